"""AUD3DFaceConfig: every choice that shapes the network, one field each.

Equation, section and table numbers are those of Kuang, Kephart and Ji, "AU-Aware Dynamic 3D Face Reconstruction from
Videos with Transformer" (WACV 2024). "Ours" marks what the paper does not give.
"""

from difflib import get_close_matches

from huggingface_hub.dataclasses import strict
from transformers import AutoConfig, PreTrainedConfig
from transformers.generation import GenerationConfig

from . import facs

# What transformers itself hands to a config beside the dataclass fields; any other keyword is a mistake.
_KEYWORDS_OF_TRANSFORMERS = {
    "attn_implementation",
    "auto_map",
    "experts_implementation",
    "model_type",
    "name_or_path",
    "num_labels",
    "output_attentions",
    "per_layer_config",
    "torch_dtype",
    *GenerationConfig._get_default_generation_params(),
}


@strict
class AUD3DFaceConfig(PreTrainedConfig):
    r"""
    The configuration of [`AUD3DFaceModel`] and [`AUD3DFaceForReconstruction`]. The defaults are the paper's network
    over the bundled face model, without video; every row of Table 4 is a setting of the four `use_` switches.

    What is reconstructed:

    action_units (`tuple[int]`, defaults to every action unit of [`facs.ALL`]):
        FACS numbers of the N action units (AUs), in the order of every tensor with a dimension N. `id2label` and
        `label2id` (`AU01`, ...) follow from it.
    num_vertices, num_faces (`int`, defaults to 468 and 852):
        V and F of the mesh. They give the buffers `template` (V, 3), `faces` (F, 3) and `au_masks` (N, V) their shape.
    face_model (`str`, defaults to `"facemesh"`):
        Name of the face model whose mesh this is.
    face_model_checksum (`str`, *optional*):
        Given for a face model that may not be redistributed: the SHA-256 of its mesh, as
        [`modeling_au_d3dface.face_model_checksum`] makes it. The buffers then stay out of the saved checkpoint, and the
        user's own files bring them through `set_face_model`, which checks them against this value.
    frame_rate (`float`, defaults to 10.0):
        Frames a second that the network reads (20 in two seconds, section 4). Video of another rate is resampled by
        time.
    clip_length (`int`, defaults to 20):
        L, frames in a training clip; video features of longer videos are read in overlapping clips of this length.
    displacement_scale (`float`, defaults to 0.002):
        Metres. Displacements from the neutral face are divided by it before the first layer (Eq. 1 and 7) and the
        motion decoder's output (Eq. 9) is multiplied by it, so that the network works with numbers near one: a single
        strong expression moves the vertices of a face by about 2 mm root mean square. Ours.

    Which branches exist (Table 4); a branch that is switched off has no parameters:

    use_temporal (`bool`, defaults to `True`):
        The temporal module of section 3.3, Eq. 2-6. Off: z^t is the projected appearance where video is on, else zero.
    use_spatial (`bool`, defaults to `True`):
        The spatial module of section 3.4, Eq. 7-8; needs the mesh. Off: z^s is zero.
    use_mesh (`bool`, defaults to `True`):
        Coarse meshes as input: f^S of Eq. 1 to the temporal module, and the AU tokens of the spatial one.
    use_video (`bool`, defaults to `False`):
        Face crops as input, through Video Swin: f^I of section 3.2.

    Size:

    hidden_size (`int`, defaults to 256):
        d of both transformers; even, and a multiple of `num_attention_heads`. Ours.
    num_attention_heads (`int`, defaults to 8):
        Attention heads of every layer. Ours.
    intermediate_size (`int`, defaults to 1024):
        Width of the feed-forward layers. (The hidden layer of the AU-token MLP has the hidden size.) Ours.
    num_temporal_layers, num_spatial_layers (`int`, defaults to 3):
        N_d of the two modules.
    hidden_act (`str`, defaults to `"gelu"`):
        Activation of feed-forward layers and of the AU-token MLP. Ours.
    hidden_dropout, attention_dropout (`float`, defaults to 0.1):
        Dropout of embeddings and layer outputs, and of attention weights. Ours.
    initializer_range (`float`, defaults to 0.02):
        Standard deviation at which AU embeddings and the heads of Eq. 10 start; other layers start at 1/√fan-in.

    How the paper is read:

    cross_attention (`str`, defaults to `"causal"`):
        Which features frame j attends to. `"causal"`: f_{≤j}; `"self"`: f_j alone; `"past"`: f_{<j}, as Eq. 5 is
        printed, with a learned null key for a frame that has no past.
    attention_window (`int`, defaults to 20):
        W: self- and cross-attention of frame j see the W frames up to j, in training, cached, parallel and streaming
        decoding alike.
    positional_period (`int`, defaults to 20):
        P of Eq. 3-4, at least `attention_window`, so that no two frames in a window share a code.
    au_token_embedding (`bool`, defaults to `True`):
        Adds a learned embedding of the AU to its token, so that AUs with one region (23, 24 and 28) are told apart.
        `False` is Eq. 7 as printed.
    refine_from (`str`, defaults to `"neutral"`):
        What the motion decoder's displacement is added to: `"neutral"`, Eq. 9 as printed, or `"coarse"`, the frame's
        coarse mesh.
    predict_intensity (`bool`, defaults to `True`):
        Whether there are intensity heads (0-5). Ours.
    au_positive_rates (`tuple[float]`, *optional*, defaults to 0.5 each):
        Share of training frames in which each AU occurs. An unknown label enters Eq. 2 as this number.

    Loss, read by [`losses.ReconstructionLoss`]:

    au_class_weights (`str` or `tuple[float]`, *optional*, defaults to `"balanced"`):
        w_k of the weighted cross-entropy: `"balanced"` takes (1/r_k) / Σ_m(1/r_m) · N of `au_positive_rates`; N numbers
        are taken as they are; `None` is Eq. 15 as printed, without weights.
    smooth_reduction (`str`, defaults to `"mean"`):
        `"mean"` over frames and features, so that λ_smooth means the same for any d and clip length; `"sum"` is Eq. 14.

    Video branch, torchvision's Video Swin; the defaults are `swin3d_t`:

    video_frames (`str`, defaults to `"twice"`):
        Video Swin halves time. `"twice"` feeds each frame twice, so that one temporal cell is one frame; `"repeat"`
        feeds frames once and repeats each cell: half the cost, appearance at half the rate.
    image_size (`int`, defaults to 224):
        Height and width of the face crops, pixels.
    video_embed_dim (`int`), video_depths, video_num_heads (`tuple[int]`), defaults to 96, (2, 2, 6, 2), (3, 6, 12, 24):
        Channels of the first stage (each later stage doubles them), blocks and heads of every stage.
    video_window_size (`tuple[int]`, defaults to (8, 7, 7)):
        Attention window: temporal cells, rows, columns.
    video_stochastic_depth (`float`, defaults to 0.1):
        Largest probability with which training skips a block.

    Raises:
        ValueError: a keyword that is not a field, or fields that do not fit together; the sentence says which and why.
    """

    model_type = "au_d3dface"
    keys_to_ignore_at_inference = ("cache",)

    action_units: tuple[int, ...] | list[int] = facs.ALL
    num_vertices: int = 468
    num_faces: int = 852
    face_model: str = "facemesh"
    face_model_checksum: str | None = None
    frame_rate: float | int = 10.0
    clip_length: int = 20
    displacement_scale: float | int = 0.002

    use_temporal: bool = True
    use_spatial: bool = True
    use_mesh: bool = True
    use_video: bool = False

    hidden_size: int = 256
    num_attention_heads: int = 8
    intermediate_size: int = 1024
    num_temporal_layers: int = 3
    num_spatial_layers: int = 3
    hidden_act: str = "gelu"
    hidden_dropout: float | int = 0.1
    attention_dropout: float | int = 0.1
    initializer_range: float | int = 0.02

    cross_attention: str = "causal"
    attention_window: int = 20
    positional_period: int = 20
    au_token_embedding: bool = True
    refine_from: str = "neutral"
    predict_intensity: bool = True
    au_positive_rates: tuple[float | int, ...] | list[float | int] | None = None

    au_class_weights: str | tuple[float | int, ...] | list[float | int] | None = "balanced"
    smooth_reduction: str = "mean"

    video_frames: str = "twice"
    image_size: int = 224
    video_embed_dim: int = 96
    video_depths: tuple[int, ...] | list[int] = (2, 2, 6, 2)
    video_num_heads: tuple[int, ...] | list[int] = (3, 6, 12, 24)
    video_window_size: tuple[int, ...] | list[int] = (8, 7, 7)
    video_stochastic_depth: float | int = 0.1

    def __post_init__(self, **kwargs):
        for keyword in kwargs:
            if keyword not in _KEYWORDS_OF_TRANSFORMERS and not keyword.startswith("_"):
                close = get_close_matches(keyword, self.default_config_fields(), n=1)
                hint = f"; did you mean {close[0]!r}?" if close else ""
                raise ValueError(f"{keyword!r} is not a field of AUD3DFaceConfig{hint}")
        kwargs.pop("model_type", None)  # of a file; the class has it
        kwargs.pop("auto_map", None)  # of a repository with a remote-code file, which nothing that is saved here has
        # JSON has no tuples: a config compares equal to its reloaded self only if both hold the same type.
        for name, value in vars(self).items():
            if isinstance(value, list) and name != "architectures":
                setattr(self, name, tuple(value))
        if self.au_positive_rates is None:
            self.au_positive_rates = (0.5,) * self.num_action_units
        if self.id2label is None:
            self.id2label = dict(enumerate(map(facs.label, self.action_units)))
            self.label2id = {label: index for index, label in self.id2label.items()}
        super().__post_init__(**kwargs)
        self.validate_architecture()  # here too, because @strict would turn its ValueError into a class of its own

    @classmethod
    def register_for_auto_class(cls, auto_class: str | type = "AutoConfig") -> None:
        """Does nothing, as of [`hub.mixin.PushToHub`]."""

    @property
    def num_action_units(self) -> int:
        """N."""
        return len(self.action_units)

    @property
    def video_feature_size(self) -> int:
        """Numbers in one frame's flattened f^I: h · w · C, 7 · 7 · 768 for `swin3d_t` at 224 pixels."""
        cells = -(-self.image_size // 4)
        for _ in self.video_depths[1:]:
            cells = -(-cells // 2)
        return cells * cells * self.video_embed_dim * 2 ** (len(self.video_depths) - 1)

    def validate_architecture(self):
        """Raises ValueError where fields do not fit together. Run by the constructor and by the models'."""
        units = self.action_units
        if not units or len(set(units)) != len(units) or min(units) < 1:
            raise ValueError(f"action_units must be different FACS numbers, at least one, not {list(units)}")
        if list(self.id2label.values()) != [facs.label(unit) for unit in units]:
            raise ValueError("id2label follows from action_units: leave it out, or give both to agree")
        for name in ("num_vertices", "num_faces", "clip_length", "hidden_size", "num_attention_heads", "image_size"):
            self._require(getattr(self, name) >= 1, name, "at least 1")
        for name in ("intermediate_size", "num_temporal_layers", "num_spatial_layers", "attention_window"):
            self._require(getattr(self, name) >= 1, name, "at least 1")
        for name in ("frame_rate", "displacement_scale", "initializer_range"):
            self._require(getattr(self, name) > 0, name, "greater than 0")
        for name in ("hidden_dropout", "attention_dropout", "video_stochastic_depth"):
            self._require(0 <= getattr(self, name) < 1, name, "at least 0 and less than 1")
        for name, choices in (
            ("cross_attention", ("causal", "self", "past")),
            ("refine_from", ("neutral", "coarse")),
            ("video_frames", ("twice", "repeat")),
            ("smooth_reduction", ("mean", "sum")),
        ):
            self._require(getattr(self, name) in choices, name, f"one of {', '.join(map(repr, choices))}")
        if self.hidden_size % 2 or self.hidden_size % self.num_attention_heads:
            raise ValueError(
                f"hidden_size ({self.hidden_size}) must be even and a multiple of num_attention_heads "
                f"({self.num_attention_heads})"
            )
        if self.positional_period < self.attention_window:
            raise ValueError(
                f"positional_period ({self.positional_period}) must be at least attention_window "
                f"({self.attention_window}), or two frames in one window would share a positional code"
            )
        self._validate_branches()
        rates = self.au_positive_rates
        if len(rates) != len(units) or not all(0 <= rate <= 1 for rate in rates):
            raise ValueError(f"au_positive_rates must be {len(units)} numbers in [0, 1], one for each action unit")
        weights = self.au_class_weights
        if isinstance(weights, str):
            self._require(weights == "balanced", "au_class_weights", "'balanced', None, or one number for each AU")
        elif weights is not None and (len(weights) != len(units) or min(weights) < 0):
            raise ValueError(f"au_class_weights must be {len(units)} numbers of at least 0, one for each action unit")

    def _validate_branches(self):
        if not (self.use_mesh or self.use_video):
            raise ValueError("the network needs an input: set use_mesh or use_video")
        if not (self.use_temporal or self.use_spatial):
            raise ValueError("the network needs a module: set use_temporal or use_spatial")
        if self.use_spatial and not self.use_mesh:
            raise ValueError("the spatial module reads meshes (Eq. 7): use_spatial needs use_mesh")
        if self.refine_from == "coarse" and not self.use_mesh:
            raise ValueError("refine_from='coarse' adds to the coarse mesh: it needs use_mesh")
        stages, heads = len(self.video_depths), len(self.video_num_heads)
        if stages != heads or sum(self.video_depths) < 2 or min((*self.video_depths, *self.video_num_heads)) < 1:
            raise ValueError(
                "video_depths and video_num_heads must be of one length, at least 1 everywhere, with two blocks in all"
            )
        for stage, number in enumerate(self.video_num_heads):
            if (self.video_embed_dim << stage) % number:
                raise ValueError(f"stage {stage} of Video Swin has {self.video_embed_dim << stage} channels, "
                                 f"which {number} heads do not divide")  # fmt: skip
        if len(self.video_window_size) != 3 or min(self.video_window_size) < 1:
            raise ValueError("video_window_size must be three numbers: temporal cells, rows, columns")

    def _require(self, holds: bool, name: str, what: str):
        if not holds:
            raise ValueError(f"{name} must be {what}, not {getattr(self, name)!r}")


AutoConfig.register(AUD3DFaceConfig.model_type, AUD3DFaceConfig, exist_ok=True)
