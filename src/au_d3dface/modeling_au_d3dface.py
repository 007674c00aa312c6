"""The network of "AU-Aware Dynamic 3D Face Reconstruction from Videos with Transformer" (WACV 2024), Eq. 1-10.

From top to bottom: Eq. 3-4 (positional code) and the band that attention sees; attention and
layers (Eq. 5, 6, 8); the temporal module (Eq. 2, 5, 6); the spatial module (Eq. 7, 8); the heads (Eq. 9, 10);
AUD3DFaceModel (Eq. 1 and the embeddings z^t, z^s); AUD3DFaceForReconstruction.

Symbols: B clips, T frames, N action units (AUs), V mesh vertices, d hidden size, W attention window. Lengths are metres
in the canonical head frame. Outputs and cache are in outputs_au_d3dface.py, Video Swin, f^I, in video_backbone.py,
losses in losses.py, autoregressive decoding in generation_au_d3dface.py.
"""

import hashlib
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import AutoModel, PreTrainedModel
from transformers import initialization as init
from transformers.activations import ACT2FN
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from .configuration_au_d3dface import AUD3DFaceConfig
from .generation_au_d3dface import AUD3DFaceGenerationMixin
from .hub.mixin import PushToHub
from .outputs_au_d3dface import AUD3DFaceCache, AUD3DFaceModelOutput, AUD3DFaceReconstructionOutput, KeysAndValues
from .video_backbone import AUD3DFaceVideoBackbone, init_video_backbone

Regions = tuple[Tensor, list[int]]  # the columns, of 3V, inside the mask of each AU, one AU after the other; how many


def face_model_checksum(template: Tensor, faces: Tensor) -> str:
    """SHA-256 of a mesh, template (V, 3) as float32 and faces (F, 3) as int64: `config.face_model_checksum`."""
    digest = hashlib.sha256(template.detach().cpu().float().contiguous().numpy().tobytes())
    digest.update(faces.detach().cpu().long().contiguous().numpy().tobytes())
    return digest.hexdigest()


# --- time: Eq. 3-4 and the band ---------------------------------------------------------------------------------------


def in_own_precision(displacement: Tensor) -> AbstractContextManager:
    """No autocast, for the layers that read displacements.

    Their weights for the smallest motions are the largest, up to a thousand times, and large motions cancel in them:
    rounded to bfloat16 they read more of a dropped jaw's rounding than of a tightened lid.
    """
    return torch.autocast(displacement.device.type, enabled=False)


def periodic_positional_encoding(start: int, length: int, period: int, size: int, like: Tensor) -> Tensor:
    """Eq. 3-4: sin(t / 10000^(2i/d)) and cos(t / 10000^(2i/d)) at t = slot mod P.

    The paper prints the exponent as 2j/d, j the frame; it must be 2i/d, as in the FaceFormer paper that it cites.
    Computed here rather than stored: from_pretrained would return a non-persistent buffer as garbage.

    Returns:
        (length, d) for the slots start, start + 1, ..., with the device and dtype of `like`.
    """
    slots = torch.arange(start, start + length, device=like.device) % period
    frequencies = torch.exp(torch.arange(0, size, 2, device=like.device) * (-math.log(10000.0) / size))
    angles = slots[:, None] * frequencies
    return torch.stack([angles.sin(), angles.cos()], -1).flatten(-2).to(like.dtype)


def banded_mask(valid: Tensor, num_queries: int, window: int, kind: str) -> Tensor:
    """Which keys each query attends to. The queries are the last Q of the K positions.

    Position k is visible to q where q - W < k ≤ q and k is valid. By `kind`: "labels", also k = q, whatever its mask,
    because the query is its own token; "causal", features with q's own; "self", q's own only; "past", without q's own.

    Args:
        valid: (B, K) bool.

    Returns:
        (B, 1, Q, K) bool. For "causal" a query that would see nothing sees its own key, which for a masked frame is
        a zero feature. For "past" a first column is added, the null key's, visible where nothing else is.
    """
    num_keys = valid.shape[1]
    keys = torch.arange(num_keys, device=valid.device)
    queries = keys[num_keys - num_queries :, None]
    own = keys == queries
    if kind == "self":
        return own.expand(len(valid), 1, -1, -1)
    band = (keys <= queries) & (keys > queries - window)
    if kind == "past":
        band = band & ~own
    visible = band & valid[:, None, None, :]
    if kind == "labels":
        return visible | own
    nothing = ~visible.any(-1, keepdim=True)
    if kind == "past":
        return torch.cat([nothing, visible], -1)
    return visible | (own & nothing)


# --- attention and layers ---------------------------------------------------------------------------------------------


def eager_attention_forward(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float = 1.0,
    **kwargs,
) -> tuple[Tensor, Tensor]:
    """softmax(q kᵀ · scaling) v with a bool mask. (B, heads, Q, d_head) to (B, Q, heads, d_head), and the weights."""
    scores = (query @ key.transpose(-1, -2)) * scaling
    if attention_mask is not None:
        scores = scores.masked_fill(~attention_mask, torch.finfo(scores.dtype).min)
    weights = scores.softmax(-1, dtype=torch.float32).to(query.dtype)
    weights = nn.functional.dropout(weights, p=dropout, training=module.training)
    return (weights @ value).transpose(1, 2), weights


class AUD3DFaceAttention(nn.Module):
    """Multi-head attention whose keys and values are projected apart, so that they can be kept."""

    is_causal = False  # every order in time comes from the mask

    def __init__(self, config: AUD3DFaceConfig):
        super().__init__()
        self.config = config
        self.head_size = config.hidden_size // config.num_attention_heads
        self.query = nn.Linear(config.hidden_size, config.hidden_size)
        self.key = nn.Linear(config.hidden_size, config.hidden_size)
        self.value = nn.Linear(config.hidden_size, config.hidden_size)
        self.output = nn.Linear(config.hidden_size, config.hidden_size)

    def _heads(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (-1, self.head_size)).transpose(1, 2)  # (B, S, d) to (B, heads, S, d / heads)

    def keys_and_values(self, x: Tensor) -> KeysAndValues:
        return self._heads(self.key(x)), self._heads(self.value(x))

    def forward(self, x: Tensor, keys_and_values: KeysAndValues, mask: Tensor | None = None) -> Tensor:
        """x (B, Q, d), keys and values of K positions, mask (B, 1, Q, K) bool or None: (B, Q, d)."""
        attend: Callable = ALL_ATTENTION_FUNCTIONS.get_interface(
            self.config._attn_implementation, eager_attention_forward
        )
        mixed, _ = attend(
            self,
            self._heads(self.query(x)),
            *keys_and_values,
            mask,
            dropout=self.config.attention_dropout if self.training else 0.0,
            scaling=self.head_size**-0.5,
        )
        return self.output(mixed.flatten(-2))


class AUD3DFaceFeedForward(nn.Module):
    def __init__(self, config: AUD3DFaceConfig):
        super().__init__()
        self.inner = nn.Linear(config.hidden_size, config.intermediate_size)
        self.activation = ACT2FN[config.hidden_act]
        self.outer = nn.Linear(config.intermediate_size, config.hidden_size)

    def forward(self, x: Tensor) -> Tensor:
        return self.outer(self.activation(self.inner(x)))


class AUD3DFaceSpatialLayer(GradientCheckpointingLayer):
    """Eq. 8, post-norm: self-attention over the AU tokens of one frame, then feed-forward."""

    def __init__(self, config: AUD3DFaceConfig):
        super().__init__()
        self.attention = AUD3DFaceAttention(config)
        self.attention_norm = nn.LayerNorm(config.hidden_size)
        self.feed_forward = AUD3DFaceFeedForward(config)
        self.feed_forward_norm = nn.LayerNorm(config.hidden_size)
        self.dropout = nn.Dropout(config.hidden_dropout)

    def forward(self, x: Tensor) -> Tensor:
        x = self.attention_norm(x + self.dropout(self.attention(x, self.attention.keys_and_values(x))))
        return self.feed_forward_norm(x + self.dropout(self.feed_forward(x)))


class AUD3DFaceTemporalLayer(GradientCheckpointingLayer):
    """Eq. 5-6, post-norm: causal self-attention over labels, cross-attention to frame features, feed-forward.

    Eq. 6 prints the labels ĥ as keys and values of the cross-attention too, a misprint: Fig. 2 and the text say f. The
    feed-forward's residual and LayerNorm are not printed.
    """

    def __init__(self, config: AUD3DFaceConfig):
        super().__init__()
        self.attention = AUD3DFaceAttention(config)
        self.attention_norm = nn.LayerNorm(config.hidden_size)
        self.cross_attention = AUD3DFaceAttention(config)
        self.cross_attention_norm = nn.LayerNorm(config.hidden_size)
        self.feed_forward = AUD3DFaceFeedForward(config)
        self.feed_forward_norm = nn.LayerNorm(config.hidden_size)
        self.dropout = nn.Dropout(config.hidden_dropout)

    def forward(
        self,
        x: Tensor,
        label_keys: KeysAndValues,
        label_mask: Tensor,
        feature_keys: KeysAndValues,
        feature_mask: Tensor,
    ) -> Tensor:
        x = self.attention_norm(x + self.dropout(self.attention(x, label_keys, label_mask)))  # Eq. 5
        x = self.cross_attention_norm(x + self.dropout(self.cross_attention(x, feature_keys, feature_mask)))  # Eq. 6
        return self.feed_forward_norm(x + self.dropout(self.feed_forward(x)))


# --- the temporal module, section 3.3 ---------------------------------------------------------------------------------


class AUD3DFaceTemporalDecoder(nn.Module):
    """Labels of earlier frames and features of frames so far, to z^t."""

    def __init__(self, config: AUD3DFaceConfig):
        super().__init__()
        self.config = config
        self.label_embedding = nn.Linear(config.num_action_units, config.hidden_size)
        self.dropout = nn.Dropout(config.hidden_dropout)
        self.layers = nn.ModuleList(AUD3DFaceTemporalLayer(config) for _ in range(config.num_temporal_layers))
        if config.cross_attention == "past":
            self.null_feature = nn.Parameter(torch.empty(1, 1, config.hidden_size))

    def _with_position(self, x: Tensor, start: int) -> Tensor:
        config = self.config
        return x + periodic_positional_encoding(start, x.shape[1], config.positional_period, config.hidden_size, x)

    def feature_keys(self, features: Tensor, start: int) -> list[KeysAndValues]:
        """Keys and values of every layer's cross-attention. They depend on no label, so decoding makes them once.

        Features carry the code of the slot of their frame's query: without it, frame j could not tell which is its own.

        Args:
            features: (B, T, d), zero at masked frames.
            start: index of the first frame.
        """
        features = self.dropout(self._with_position(features, start))
        return [layer.cross_attention.keys_and_values(features) for layer in self.layers]

    def forward(
        self, labels: Tensor, feature_keys: list[KeysAndValues], frame_mask: Tensor, cache: AUD3DFaceCache | None
    ) -> tuple[Tensor, AUD3DFaceCache]:
        """
        Args:
            labels: (B, T, N), the frames' own labels as numbers, nothing unknown. They are shifted here: the query of
                frame j sees labels of frames before j only.
            feature_keys: of these frames, from `feature_keys`.
            frame_mask: (B, T) bool.
            cache: what came before, or None at the start of a sequence.

        Returns:
            z^t (B, T, d), and the cache, uncropped.
        """
        num_frames = labels.shape[1]
        start = cache.num_frames if cache else 0
        # Slot 0 is the begin token, h_0 = b, which Eq. 2 gives for a label of zeros; slot j + 1 holds frame j's label.
        first = cache.last_label[:, None] if cache else torch.zeros_like(labels[:, :1])
        first_valid = cache.last_valid[:, None] if cache else torch.ones_like(frame_mask[:, :1])
        shifted = torch.cat([first, labels[:, :-1]], 1)
        slot_mask = torch.cat([first_valid, frame_mask[:, :-1]], 1)
        last_label, last_valid = labels[:, -1], frame_mask[:, -1]
        if cache:
            slot_mask = torch.cat([cache.slot_mask, slot_mask], 1)
            frame_mask = torch.cat([cache.frame_mask, frame_mask], 1)
            feature_keys = [
                tuple(torch.cat(pair, 2) for pair in zip(old, new, strict=True))
                for old, new in zip(cache.feature_keys, feature_keys, strict=True)
            ]
        label_mask = banded_mask(slot_mask, num_frames, self.config.attention_window, "labels")
        feature_mask = banded_mask(frame_mask, num_frames, self.config.attention_window, self.config.cross_attention)

        x = self.dropout(self._with_position(self.label_embedding(shifted), start))  # Eq. 2 and 3-4
        label_keys = []
        for index, layer in enumerate(self.layers):
            keys = layer.attention.keys_and_values(x)
            if cache:
                keys = tuple(torch.cat(pair, 2) for pair in zip(cache.label_keys[index], keys, strict=True))
            label_keys.append(keys)
            seen = feature_keys[index]
            if self.config.cross_attention == "past":
                null = layer.cross_attention.keys_and_values(self.null_feature)
                seen = tuple(torch.cat([n.expand(len(x), -1, -1, -1), k], 2) for n, k in zip(null, seen, strict=True))
            x = layer(x, keys, label_mask, seen, feature_mask)
        end = start + num_frames
        return x, AUD3DFaceCache(end, label_keys, feature_keys, slot_mask, frame_mask, last_label, last_valid)


# --- the spatial module, section 3.4 ----------------------------------------------------------------------------------


class AUD3DFaceActionUnitTokens(nn.Module):
    """Eq. 7, v_k = MLP(M_k ⊗ (S_j − S̄)), one MLP of two layers for all AUs, one token per AU.

    Zeros add nothing to a matrix product: the first layer multiplies only the vertices inside the mask, with the same
    result as the masked dense product. Its weight is kept as (3V, d), so that a region's rows lie together.
    """

    def __init__(self, config: AUD3DFaceConfig):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(3 * config.num_vertices, config.hidden_size))
        self.bias = nn.Parameter(torch.empty(config.hidden_size))
        self.activation = ACT2FN[config.hidden_act]
        self.outer = nn.Linear(config.hidden_size, config.hidden_size)
        if config.au_token_embedding:
            self.au_embedding = nn.Parameter(torch.empty(config.num_action_units, config.hidden_size))

    def forward(self, displacement: Tensor, regions: Regions) -> Tensor:
        """displacement (B, T, 3V) to tokens (B, T, N, d)."""
        columns, sizes = regions
        inside = displacement.index_select(-1, columns).split(sizes, -1)
        with in_own_precision(displacement):
            weights = self.weight.index_select(0, columns).split(sizes)
            products = [x @ weight for x, weight in zip(inside, weights, strict=True)]
        tokens = self.outer(self.activation(torch.stack(products, -2) + self.bias))
        return tokens + self.au_embedding if hasattr(self, "au_embedding") else tokens


class AUD3DFaceSpatialEncoder(nn.Module):
    """Eq. 7-8: the AU tokens of each frame, related to each other."""

    def __init__(self, config: AUD3DFaceConfig):
        super().__init__()
        self.tokens = AUD3DFaceActionUnitTokens(config)
        self.dropout = nn.Dropout(config.hidden_dropout)
        self.layers = nn.ModuleList(AUD3DFaceSpatialLayer(config) for _ in range(config.num_spatial_layers))

    def forward(self, displacement: Tensor, regions: Regions) -> Tensor:
        """displacement (B, T, 3V) to z^s (B, T, N, d)."""
        tokens = self.dropout(self.tokens(displacement, regions))
        x = tokens.flatten(0, 1)  # (B · T, N, d): frames do not see each other
        for layer in self.layers:
            x = layer(x)
        return x.view_as(tokens)


# --- heads, section 3.5 -----------------------------------------------------------------------------------------------


class AUD3DFaceMotionDecoder(nn.Linear):
    """D of Eq. 9, one linear layer; it starts at zero, so that training starts from the mesh it refines."""

    def __init__(self, config: AUD3DFaceConfig):
        super().__init__(config.hidden_size, 3 * config.num_vertices)

    def forward(self, temporal: Tensor, spatial: Tensor) -> Tensor:
        """z^t (B, T, d) and z^s (B, T, N, d) to displacements (B, T, V, 3), in units of displacement_scale."""
        return super().forward(temporal + spatial.sum(-2)).unflatten(-1, (-1, 3))


class AUD3DFaceActionUnitHead(nn.Module):
    """W_k^T (z_j^t + z_{j,k}^s) + b_k, one linear layer per AU: the logits of Eq. 10. (The bias is not printed.)

    The bias starts at the log-odds of what the head says on average. Started at zero, the first steps of training make
    z^t a constant that does the bias's work, and it does not recover: labels fed back then change nothing.

    Args:
        mean_output: N numbers in [0, 1], the mean of the head's sigmoid over training frames.
    """

    def __init__(self, config: AUD3DFaceConfig, mean_output: Sequence[float]):
        super().__init__()
        self.mean_output = tuple(mean_output)
        self.weight = nn.Parameter(torch.empty(config.num_action_units, config.hidden_size))
        self.bias = nn.Parameter(torch.empty(config.num_action_units))

    def forward(self, temporal: Tensor, spatial: Tensor) -> Tensor:
        """z^t (B, T, d) and z^s (B, T, N, d) to (B, T, N)."""
        return ((temporal[..., None, :] + spatial) * self.weight).sum(-1) + self.bias


# --- models -----------------------------------------------------------------------------------------------------------


class AUD3DFacePreTrainedModel(PushToHub, PreTrainedModel):
    config_class = AUD3DFaceConfig
    base_model_prefix = "model"
    main_input_name = "vertices"
    input_modalities = ("video",)
    output_modalities = ("3d",)
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _supports_attention_backend = False
    _keep_in_fp32_modules_strict = ("template",)  # metres
    _no_split_modules = ("AUD3DFaceTemporalLayer", "AUD3DFaceSpatialLayer")

    @torch.no_grad()
    def _init_weights(self, module: nn.Module):
        std = self.config.initializer_range
        if getattr(module, "_is_video_backbone", False):
            init_video_backbone(module)
        elif isinstance(module, AUD3DFaceMotionDecoder):
            init.zeros_(module.weight)
            init.zeros_(module.bias)
        elif isinstance(module, nn.Linear):
            init.normal_(module.weight, std=module.in_features**-0.5)
            init.zeros_(module.bias)
        elif isinstance(module, nn.LayerNorm):
            init.ones_(module.weight)
            init.zeros_(module.bias)
        elif isinstance(module, AUD3DFaceActionUnitTokens):
            init.normal_(module.weight, std=module.weight.shape[0] ** -0.5)
            init.zeros_(module.bias)
            if hasattr(module, "au_embedding"):
                init.normal_(module.au_embedding, std=std)
        elif isinstance(module, AUD3DFaceActionUnitHead):
            init.normal_(module.weight, std=std)
            init.copy_(module.bias, torch.tensor(module.mean_output).clamp(0.001, 0.999).logit())
        elif isinstance(module, AUD3DFaceTemporalDecoder) and hasattr(module, "null_feature"):
            init.normal_(module.null_feature, std=std)
        elif isinstance(module, AUD3DFaceModel):
            for buffer in (module.template, module.faces, module.au_masks):
                init.zeros_(buffer)  # no face model yet; a checkpoint without one leaves them so

    def set_face_model(self, template: Tensor, faces: Tensor, au_masks: Tensor):
        """Gives the network its face: the mesh and the region of every AU. They are buffers, saved with the weights
        unless `config.face_model_checksum` says that the mesh may not be redistributed.

        Args:
            template: (V, 3) metres in the head frame.
            faces: (F, 3) indices of vertices, counter-clockwise seen from outside.
            au_masks: (N, V), M_k of Eq. 7, of zeros and ones; at least one vertex an AU.

        Raises:
            ValueError: a shape that differs from the config's, a mask of other values or without a vertex, a face that
                names no vertex, or a mesh other than the one that the network was trained with.
        """
        config, model = self.config, self.base_model
        for name, given, expected in (
            ("template", template, (config.num_vertices, 3)),
            ("faces", faces, (config.num_faces, 3)),
            ("au_masks", au_masks, (config.num_action_units, config.num_vertices)),
        ):
            if tuple(given.shape) != expected:
                raise ValueError(f"{name} of the face model must have shape {expected}, not {tuple(given.shape)}")
        if faces.min() < 0 or faces.max() >= config.num_vertices:
            raise ValueError(f"faces must index the {config.num_vertices} vertices of the template")
        if not ((au_masks == 0) | (au_masks == 1)).all():
            raise ValueError("au_masks must hold only zeros and ones")
        empty = [config.id2label[k] for k in (~au_masks.bool().any(1)).nonzero()[:, 0].tolist()]
        if empty:
            raise ValueError(f"au_masks has no vertex for {', '.join(empty)}")
        if config.face_model_checksum and face_model_checksum(template, faces) != config.face_model_checksum:
            raise ValueError(
                f"this mesh is not the {config.face_model!r} that the network was trained with (its checksum differs)"
            )
        model.template.copy_(template)
        model.faces.copy_(faces)
        model.au_masks.copy_(au_masks)

    def load_video_backbone(self, path: str | Path | None = None):
        """Loads Kinetics-400 weights of torchvision's `swin3d_t` into the video branch, when the user asks.

        Args:
            path: a local file with torchvision's state dict; None fetches it as torchvision does, into torch's cache.

        Raises:
            ValueError: the config has no video branch.
            MissingDependencyError: the weights cannot be fetched.
            CheckpointError: the file is missing or damaged, or its weights are of another network or size.
        """
        if not self.config.use_video:
            raise ValueError("there is no video branch to load weights into: the config has use_video=False")
        self.base_model.video_backbone.load_kinetics_weights(path)


class AUD3DFaceModel(AUD3DFacePreTrainedModel):
    """The embeddings z^t and z^s, without heads."""

    _keys_to_ignore_on_load_unexpected = (r"^(motion_decoder|au_head|intensity_head)\.",)  # of a whole checkpoint

    def __init__(self, config: AUD3DFaceConfig):
        super().__init__(config)
        config.validate_architecture()  # fields may have been changed one by one since the config was made
        mesh_size, size = 3 * config.num_vertices, config.hidden_size
        self.register_buffer("template", torch.zeros(config.num_vertices, 3))
        self.register_buffer("faces", torch.zeros(config.num_faces, 3, dtype=torch.int64))
        self.register_buffer("au_masks", torch.zeros(config.num_action_units, config.num_vertices, dtype=torch.bool))
        self._regions: tuple[Tensor, int, Regions] | None = None

        reads_motion = config.use_mesh and config.use_temporal
        if reads_motion:
            self.motion_encoder = nn.Linear(mesh_size, size)  # E^S of Eq. 1
        if config.use_video:
            self.video_backbone = AUD3DFaceVideoBackbone(config)
            # f_j = concat(f_j^I, f_j^S) to d. Without video there is nothing to add to E^S, which gives d already.
            self.feature_projection = nn.Linear(config.video_feature_size + (size if reads_motion else 0), size)
        if config.use_temporal:
            self.temporal = AUD3DFaceTemporalDecoder(config)
        if config.use_spatial:
            self.spatial = AUD3DFaceSpatialEncoder(config)

        if config.face_model_checksum:
            self._keys_to_ignore_on_save = {"template", "faces", "au_masks"}
            self._keys_to_ignore_on_load_missing = {r"\b(template|faces|au_masks)$"}
        self.post_init()

    def regions(self) -> Regions:
        """The masks of Eq. 7 as columns of the flattened mesh; made once for each content of `au_masks`.

        Raises:
            ValueError: no face model has been set.
        """
        masks = self.au_masks
        version = 0 if masks.is_inference() else masks._version
        if self._regions is None or self._regions[0] is not masks or self._regions[1] != version:
            if not masks.any(1).all():
                raise ValueError(
                    f"the network has no face model: give it the files of {self.config.face_model!r} through "
                    "set_face_model(template, faces, au_masks) first"
                )
            inside = masks.repeat_interleave(3, dim=1)
            self._regions = (masks, version, (inside.nonzero()[:, 1], inside.sum(1).tolist()))
        return self._regions[2]

    def displacement(self, vertices: Tensor | None, neutral_vertices: Tensor, frame_mask: Tensor) -> Tensor | None:
        """(S_j − S̄) / displacement_scale of every frame, zero at masked ones: (B, T, 3V), or None without the mesh.

        Raises:
            ValueError: shapes that do not fit the config or each other.
        """
        config, (batch, num_frames) = self.config, frame_mask.shape
        if neutral_vertices.shape != (batch, config.num_vertices, 3):
            raise ValueError(
                f"neutral_vertices must be (B, V, 3) = {(batch, config.num_vertices, 3)}, "
                f"not {tuple(neutral_vertices.shape)}"
            )
        if not config.use_mesh:
            return None
        if vertices is None or vertices.shape != (batch, num_frames, config.num_vertices, 3):
            given = None if vertices is None else tuple(vertices.shape)
            raise ValueError(
                f"vertices must be (B, T, V, 3) = {(batch, num_frames, config.num_vertices, 3)}, not {given}"
            )
        moved = (vertices - neutral_vertices[:, None]).flatten(-2) / config.displacement_scale
        return moved.masked_fill(~frame_mask[..., None], 0.0).to(self.dtype)

    def frame_features(
        self,
        displacement: Tensor | None,
        pixel_values_videos: Tensor | None,
        frame_mask: Tensor,
        video_features: Tensor | None = None,
    ) -> Tensor | None:
        """f_j of section 3.2, (B, T, d), zero at masked frames; None where neither branch feeds the temporal path."""
        motion = None
        if hasattr(self, "motion_encoder"):
            with in_own_precision(displacement):
                motion = self.motion_encoder(displacement)  # Eq. 1
        features = motion
        if self.config.use_video:
            if video_features is None:
                video_features = self.video_features(pixel_values_videos, frame_mask)
            elif pixel_values_videos is not None:
                raise ValueError("pixel_values_videos and video_features say the same: give one of them, not both")
            features = self._appearance(motion, video_features, frame_mask)
        return None if features is None else features.masked_fill(~frame_mask[..., None], 0.0)

    def video_features(self, pixel_values_videos: Tensor | None, frame_mask: Tensor) -> Tensor:
        """f^I of section 3.2, (B, T, h · w · C), `config.video_feature_size` numbers a frame: what the network takes in
        place of `pixel_values_videos`. It depends on nothing but the video backbone, so it is made once where that is
        frozen. Videos longer than L frames are read in overlapping clips (`AUD3DFaceVideoBackbone.read`).

        Raises:
            ValueError: the config has no video branch, or a shape that does not fit.
        """
        return torch.cat([*self.video_features_in_parts(pixel_values_videos, frame_mask)], 1)

    def video_features_in_parts(self, pixel_values_videos: Tensor | None, frame_mask: Tensor) -> Iterator[Tensor]:
        """`video_features`, some frames at a time."""
        if not self.config.use_video:
            raise ValueError("there is no video branch to make features with: the config has use_video=False")
        size = self.config.image_size
        expected = (*frame_mask.shape, 3, size, size)
        if pixel_values_videos is None or pixel_values_videos.shape != expected:
            given = None if pixel_values_videos is None else tuple(pixel_values_videos.shape)
            raise ValueError(f"pixel_values_videos must be (B, T, 3, H, W) = {expected}, not {given}")
        return self.video_backbone.read([(pixel_values_videos, frame_mask)])

    def _appearance(self, motion: Tensor | None, video_features: Tensor, frame_mask: Tensor) -> Tensor:
        expected = (*frame_mask.shape, self.config.video_feature_size)
        if video_features.shape != expected:
            raise ValueError(
                f"video_features must be (B, T, h · w · C) = {expected}, not {tuple(video_features.shape)}"
            )
        # Whatever lies at masked frames, NaN too, must reach neither the result nor the gradient.
        appearance = video_features.masked_fill(~frame_mask[..., None], 0.0).to(self.dtype)
        return self.feature_projection(appearance if motion is None else torch.cat([appearance, motion], -1))

    def spatial_embeddings(self, displacement: Tensor | None, frame_mask: Tensor) -> Tensor:
        """z^s of Eq. 8, (B, T, N, d); zero where the spatial module is off."""
        regions = self.regions()
        if self.config.use_spatial:
            return self.spatial(displacement, regions)
        zero = torch.zeros((), dtype=self.dtype, device=self.device)
        return zero.expand(*frame_mask.shape, self.config.num_action_units, self.config.hidden_size)

    def known_labels(self, au_labels: Tensor | None, au_intensity_labels: Tensor | None, frame_mask: Tensor) -> Tensor:
        """The numbers that Eq. 2 reads, (B, T, N): labels as given, r / 5 where an intensity is known, and the AU's
        positive rate where the label is unknown or the frame is masked."""
        shape = (*frame_mask.shape, self.config.num_action_units)
        for name, given in (("au_labels", au_labels), ("au_intensity_labels", au_intensity_labels)):
            if given is not None and given.shape != shape:
                raise ValueError(f"{name} must be (B, T, N) = {shape}, not {tuple(given.shape)}")
        rates = torch.tensor(self.config.au_positive_rates, dtype=self.dtype, device=frame_mask.device)
        labels = torch.full(shape, -1.0, dtype=self.dtype, device=frame_mask.device)
        if au_labels is not None:
            labels = au_labels.to(labels)
        if au_intensity_labels is not None:
            labels = torch.where(au_intensity_labels >= 0, au_intensity_labels.to(labels) / 5, labels)
        return torch.where((labels < 0) | ~frame_mask[..., None], rates, labels)

    def whole_mask(
        self,
        frame_mask: Tensor | None,
        vertices: Tensor | None,
        pixel_values_videos: Tensor | None,
        video_features: Tensor | None = None,
    ) -> Tensor:
        """frame_mask as (B, T) bool, all true where none is given."""
        inputs = (vertices, pixel_values_videos, video_features)
        given = next((one for one in inputs if one is not None), frame_mask)
        if given is None:
            raise ValueError("the network needs vertices, pixel_values_videos or video_features")
        if frame_mask is None:
            return torch.ones(given.shape[:2], dtype=torch.bool, device=given.device)
        if frame_mask.shape != given.shape[:2]:
            raise ValueError(f"frame_mask must be (B, T) = {tuple(given.shape[:2])}, not {tuple(frame_mask.shape)}")
        return frame_mask.bool()

    def forward(
        self,
        vertices: Tensor | None = None,
        neutral_vertices: Tensor | None = None,
        pixel_values_videos: Tensor | None = None,
        au_labels: Tensor | None = None,
        au_intensity_labels: Tensor | None = None,
        frame_mask: Tensor | None = None,
        past_key_values: AUD3DFaceCache | None = None,
        use_cache: bool = False,
        video_features: Tensor | None = None,
        return_dict: bool | None = None,
    ) -> AUD3DFaceModelOutput | tuple:
        """The teacher-forced pass: all frames at once, each seeing the given labels of the frames before it.

        Args:
            vertices: (B, T, V, 3) metres, coarse meshes S_j; may be None where the config reads no mesh.
            neutral_vertices: (B, V, 3) metres, S̄, always.
            pixel_values_videos: (B, T, 3, H, W) normalised face crops, where the config reads video.
            au_labels: (B, T, N), 0 or 1, or any number between, -1 where unknown; None means unknown everywhere.
            au_intensity_labels: (B, T, N), 0-5, -1 where unknown; where known, Eq. 2 reads r / 5 instead of the label.
            frame_mask: (B, T), false at frames without a face and at padding. They keep their place in time, and no
                other frame sees anything of them; padding belongs at the end. Their own outputs mean nothing.
            past_key_values: the cache of the frames before these.
            use_cache: whether the output carries the cache after the last frame.
            video_features: (B, T, h · w · C) from `video_features`, in place of pixel_values_videos.

        Raises:
            ValueError: a shape that does not fit, both pixels and features of the video, or no face model set.
        """
        if neutral_vertices is None:
            raise ValueError("the network needs neutral_vertices, the subject's neutral face (Eq. 1 and 9)")
        mask = self.whole_mask(frame_mask, vertices, pixel_values_videos, video_features)
        displacement = self.displacement(vertices, neutral_vertices, mask)
        spatial = self.spatial_embeddings(displacement, mask)
        temporal = self.frame_features(displacement, pixel_values_videos, mask, video_features)
        cache = None
        if self.config.use_temporal:
            labels = self.known_labels(au_labels, au_intensity_labels, mask)
            feature_keys = self.temporal.feature_keys(temporal, past_key_values.num_frames if past_key_values else 0)
            temporal, cache = self.temporal(labels, feature_keys, mask, past_key_values)
            cache = cache.crop(0, self.config.attention_window) if use_cache else None
        elif temporal is None:
            temporal = torch.zeros_like(spatial[:, :, 0])
        output = AUD3DFaceModelOutput(temporal_embeddings=temporal, spatial_embeddings=spatial, cache=cache)
        return output if return_dict or return_dict is None else output.to_tuple()


class AUD3DFaceForReconstruction(AUD3DFaceGenerationMixin, AUD3DFacePreTrainedModel):
    """The network with its heads: refined meshes (Eq. 9), action units (Eq. 10) and their intensities.

    `forward` is the teacher-forced pass of training; [`generate`] decodes frame by frame, and is what inference uses.
    """

    def __init__(self, config: AUD3DFaceConfig):
        super().__init__(config)
        self.model = AUD3DFaceModel(config)
        self.motion_decoder = AUD3DFaceMotionDecoder(config)
        self.au_head = AUD3DFaceActionUnitHead(config, config.au_positive_rates)
        if config.predict_intensity:  # of an AU that is present, about half of the full intensity is usual
            self.intensity_head = AUD3DFaceActionUnitHead(config, [rate / 2 for rate in config.au_positive_rates])
        self.post_init()

    def refine(
        self, temporal: Tensor, spatial: Tensor, vertices: Tensor | None, neutral_vertices: Tensor, frame_mask: Tensor
    ) -> Tensor:
        """Eq. 9, Ŝ_j = S̄ + D(z_j^t + Σ_k z_{j,k}^s), or S_j + D(...) with refine_from="coarse": (B, T, V, 3) metres."""
        base = neutral_vertices[:, None]
        if self.config.refine_from == "coarse":
            base = torch.where(frame_mask[..., None, None], vertices, base)
        motion = self.motion_decoder(temporal, spatial).to(base.dtype)  # small numbers: scaled in the meshes' precision
        return base + self.config.displacement_scale * motion

    def intensities(self, temporal: Tensor, spatial: Tensor) -> Tensor | None:
        """r_{j,k} = 5 sigmoid(U_k^T (z_j^t + z_{j,k}^s)), (B, T, N) in 0-5; None where the config predicts none."""
        return 5 * self.intensity_head(temporal, spatial).sigmoid() if self.config.predict_intensity else None

    def forward(
        self,
        vertices: Tensor | None = None,
        neutral_vertices: Tensor | None = None,
        pixel_values_videos: Tensor | None = None,
        au_labels: Tensor | None = None,
        au_intensity_labels: Tensor | None = None,
        frame_mask: Tensor | None = None,
        past_key_values: AUD3DFaceCache | None = None,
        use_cache: bool = False,
        video_features: Tensor | None = None,
        return_dict: bool | None = None,
    ) -> AUD3DFaceReconstructionOutput | tuple:
        """Arguments and errors as in [`AUD3DFaceModel.forward`]. There is no loss inside: see losses.py."""
        embedded = self.model(
            vertices,
            neutral_vertices,
            pixel_values_videos,
            au_labels,
            au_intensity_labels,
            frame_mask,
            past_key_values,
            use_cache,
            video_features,
            return_dict=True,
        )
        temporal, spatial = embedded.temporal_embeddings, embedded.spatial_embeddings
        mask = self.model.whole_mask(frame_mask, vertices, pixel_values_videos, video_features)
        logits = self.au_head(temporal, spatial)
        output = AUD3DFaceReconstructionOutput(
            vertices=self.refine(temporal, spatial, vertices, neutral_vertices, mask),
            au_logits=logits,
            au_probabilities=logits.sigmoid(),
            au_intensities=self.intensities(temporal, spatial),
            temporal_embeddings=temporal,
            spatial_embeddings=spatial,
            cache=embedded.cache,
        )
        return output if return_dict or return_dict is None else output.to_tuple()


AutoModel.register(AUD3DFaceConfig, AUD3DFaceModel, exist_ok=True)

__all__ = ["AUD3DFaceForReconstruction", "AUD3DFaceModel", "AUD3DFacePreTrainedModel"]
