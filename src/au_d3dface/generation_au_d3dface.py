"""Autoregressive decoding: predicted action units are fed back, frame by frame (section 3.3, inference).

Only the temporal self-attention depends on fed-back labels. Meshes, video and the spatial module are read in parallel,
a bounded number of frames at a time; then the chain of labels is decoded in one of three ways with the same result:

- "cached": one frame a pass, with the keys and values of the last W - 1 frames kept.
- "fixed_point": a block of frames a pass, from guessed labels. The outputs up to the first wrong guess come from right
  inputs, so they are final (at least one frame a pass); the block's own outputs are the next guess (Jacobi iteration).
- "full": everything decoded anew for each frame, without a cache: slow, the reference that the other two must equal.
"""

import copy
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from transformers import GenerationConfig
from transformers.generation.streamers import BaseStreamer
from transformers.utils import GENERATION_CONFIG_NAME, ModelOutput

if TYPE_CHECKING:
    from .outputs_au_d3dface import AUD3DFaceCache, KeysAndValues

FRAMES_AT_ONCE = 256  # read in parallel; bounds memory on long sequences


class AUD3DFaceGenerationConfig(GenerationConfig):
    """How labels are decided and fed back; saved beside the model as generation_config.json.

    Args:
        feedback: what Eq. 2 reads of an earlier frame: "hard", its decision 0 or 1, as in training; "soft", its
            probability; "intensity", its predicted intensity divided by 5.
        threshold: the probability from which an action unit counts as present.
        au_thresholds: N thresholds, one for each action unit, instead of `threshold`.
        decoding: "cached", "fixed_point", "full", or "auto": the quicker, "fixed_point" for hard feedback and "cached"
            for the others, which have no exact fixed point in few passes.
        block_size: frames a pass of "fixed_point".

    Raises:
        ValueError: an unknown keyword or value, or "fixed_point" with feedback other than "hard".
    """

    def __init__(
        self,
        feedback: str = "hard",
        threshold: float = 0.5,
        au_thresholds: list[float] | tuple[float, ...] | None = None,
        decoding: str = "auto",
        block_size: int = 32,
        **kwargs,
    ):
        unknown = [name for name in kwargs if name not in vars(GenerationConfig())]
        if unknown:
            raise ValueError(f"{unknown[0]!r} is not a setting of AUD3DFaceGenerationConfig")
        self.feedback = feedback
        self.threshold = threshold
        self.au_thresholds = None if au_thresholds is None else list(au_thresholds)
        self.decoding = decoding
        self.block_size = block_size
        super().__init__(**kwargs)

    def validate(self, *args, **kwargs):
        super().validate(*args, **kwargs)
        for name, choices in (
            ("feedback", ("hard", "soft", "intensity")),
            ("decoding", ("auto", "cached", "fixed_point", "full")),
        ):
            if getattr(self, name) not in choices:
                raise ValueError(f"{name} must be one of {', '.join(choices)}, not {getattr(self, name)!r}")
        if not all(0 <= threshold <= 1 for threshold in (self.threshold, *(self.au_thresholds or ()))):
            raise ValueError("threshold and au_thresholds are probabilities, in [0, 1]")
        if self.block_size < 1:
            raise ValueError(f"block_size must be at least 1, not {self.block_size}")
        if self.decoding == "fixed_point" and self.feedback != "hard":
            raise ValueError("decoding='fixed_point' is exact for feedback='hard' only; use decoding='cached'")

    @classmethod
    def from_model_config(cls, model_config) -> "AUD3DFaceGenerationConfig":
        """The defaults: nothing of this is in the model's config."""
        return cls()

    def thresholds(self, num_action_units: int) -> list[float]:
        """N thresholds. Raises ValueError where `au_thresholds` has another number."""
        if self.au_thresholds is None:
            return [self.threshold] * num_action_units
        if len(self.au_thresholds) != num_action_units:
            raise ValueError(f"au_thresholds has {len(self.au_thresholds)} numbers for {num_action_units} action units")
        return self.au_thresholds


@dataclass
class AUD3DFaceGenerateOutput(ModelOutput):
    """
    Attributes:
        vertices: (B, T, V, 3) metres, refined meshes.
        au_probabilities: (B, T, N).
        au_intensities: (B, T, N) in 0-5; None where the config predicts none.
        au_labels: (B, T, N), what was fed back: decisions 0 or 1 (or probabilities, by `feedback`), known labels as
            given, -1 at masked frames, which feed nothing back. Teacher-forced `forward` with these gives the same
            vertices, probabilities and intensities.
    """

    vertices: Tensor | None = None
    au_probabilities: Tensor | None = None
    au_intensities: Tensor | None = None
    au_labels: Tensor | None = None


@dataclass
class AUD3DFaceDecodingState:
    """Live decoding: what `decode_step` keeps between frames. Its size does not grow.

    Attributes:
        neutral_vertices: (B, V, 3) metres. A new neutral face is a new state: start_decoding again.
        generation_config: the settings, complete.
        cache: the last W - 1 frames as the temporal module sees them; None before the first frame.
        pixel_values_videos, pixel_mask: the trailing L - 1 frames and their masks, where the network reads video.
    """

    neutral_vertices: Tensor
    generation_config: AUD3DFaceGenerationConfig
    cache: "AUD3DFaceCache | None" = None
    pixel_values_videos: Tensor | None = None
    pixel_mask: Tensor | None = None


@dataclass
class _Frames:
    """Some consecutive frames, read in parallel, before their labels are decided."""

    features: Tensor | None  # (B, n, d)
    feature_keys: "list[KeysAndValues]"
    spatial: Tensor  # (B, n, N, d)
    mask: Tensor  # (B, n)
    known: Tensor  # (B, n, N), -1 where unknown

    def __getitem__(self, at: slice) -> "_Frames":
        return _Frames(
            None,
            [(k[:, :, at], v[:, :, at]) for k, v in self.feature_keys],
            self.spatial[:, at],
            self.mask[:, at],
            self.known[:, at],
        )


def in_chunks(parts: Iterable[Tensor], num_frames: int, size: int) -> Iterator[Tensor]:
    """Joins parts (B, n, h · w · C) of any n and cuts them anew, into `size` frames each and the rest.

    Raises:
        ValueError: they have not `num_frames` frames in all; known before the last chunk is given.
    """
    held: list[Tensor] = []
    have, missing = 0, num_frames
    for part in parts:
        held.append(part)
        have, missing = have + part.shape[1], missing - part.shape[1]
        if missing < 0:
            raise ValueError(f"video_features go on after the last of {num_frames} frames")
        while have > size:  # the last chunk waits for the end of the parts
            joined = torch.cat(held, 1)
            yield joined[:, :size]
            held, have = [joined[:, size:]], have - size
    if missing:
        raise ValueError(f"video_features end after {num_frames - missing} of {num_frames} frames")
    yield torch.cat(held, 1)


class AUD3DFaceGenerationMixin:
    """`generate` for whole sequences; `start_decoding` and `decode_step` for live ones, with the same numbers."""

    generation_config_class = AUD3DFaceGenerationConfig

    def adjust_generation_fn(
        self, generation_config, from_auto_class, from_pipeline, pretrained_model_name_or_path, *args, **kwargs
    ):
        """Called by from_pretrained to load generation_config.json; without that file the defaults hold."""
        if generation_config is not None:
            self.generation_config = AUD3DFaceGenerationConfig.from_dict(generation_config.to_dict())
            return
        if pretrained_model_name_or_path is None:
            return
        path = str(pretrained_model_name_or_path)
        names = ("cache_dir", "force_download", "proxies", "local_files_only", "token", "revision", "subfolder")
        options = {**dict(zip(names, args, strict=False)), **kwargs}
        options = {name: value for name, value in options.items() if name in names and value is not None}
        if os.path.isdir(path) and not os.path.isfile(
            os.path.join(path, options.get("subfolder", ""), GENERATION_CONFIG_NAME)
        ):
            return
        self.generation_config = AUD3DFaceGenerationConfig.from_pretrained(path, **options)

    def _generation_config(
        self, generation_config: AUD3DFaceGenerationConfig | None, overrides: dict
    ) -> AUD3DFaceGenerationConfig:
        config = copy.deepcopy(self.generation_config if generation_config is None else generation_config)
        unknown = config.update(**overrides)
        if unknown:
            raise ValueError(f"generate has no argument or setting {next(iter(unknown))!r}")
        config.thresholds(self.config.num_action_units)
        if config.feedback == "intensity" and not self.config.predict_intensity:
            raise ValueError("feedback='intensity' needs a network that predicts intensities")
        if config.decoding == "auto":
            config.decoding = "fixed_point" if config.feedback == "hard" else "cached"
        return config

    @torch.no_grad()
    def generate(
        self,
        vertices: Tensor | None = None,
        neutral_vertices: Tensor | None = None,
        pixel_values_videos: Tensor | None = None,
        au_labels: Tensor | None = None,
        frame_mask: Tensor | None = None,
        streamer: BaseStreamer | None = None,
        generation_config: AUD3DFaceGenerationConfig | None = None,
        video_features: Tensor | Iterable[Tensor] | None = None,
        **overrides,
    ) -> AUD3DFaceGenerateOutput:
        """Decodes sequences of any length; beside input and output, memory is bounded by L, W and FRAMES_AT_ONCE.

        Args:
            vertices, neutral_vertices, pixel_values_videos, frame_mask: as in `forward`.
            au_labels: (B, T, N) labels that are known beforehand (coded data, what-if), -1 where not; they are fed back
                instead of the prediction.
            streamer: its `put` receives an [`AUD3DFaceGenerateOutput`] of one frame (T = 1) for each frame in order.
            generation_config: instead of the model's own; `overrides` change single settings of it for this call.
            video_features: as in `forward`; or an iterable of (B, n, h · w · C), the frames in order in parts of any
                length, as `AUD3DFaceVideoBackbone.read` yields them, which are taken as they are needed.

        Raises:
            ValueError: a shape that does not fit, an unknown setting, both pixels and features of the video, features
                of too few or too many frames, or no face model set.
        """
        settings = self._generation_config(generation_config, overrides)
        if neutral_vertices is None:
            raise ValueError("generate needs neutral_vertices, the subject's neutral face (Eq. 1 and 9)")
        whole = video_features if isinstance(video_features, Tensor) else None
        mask = self.model.whole_mask(frame_mask, vertices, pixel_values_videos, whole)
        video = None
        if self.config.use_video:
            if video_features is None:
                video = self.model.video_features_in_parts(pixel_values_videos, mask)
            elif pixel_values_videos is not None:
                raise ValueError("pixel_values_videos and video_features say the same: give one of them, not both")
            else:
                video = video_features if whole is None else [whole]
        num_frames = mask.shape[1]
        step = num_frames if settings.decoding == "full" else FRAMES_AT_ONCE
        if streamer is not None:
            step = min(step, settings.block_size)
        outputs, cache = [], None
        for start, chunk in self._read(vertices, neutral_vertices, video, au_labels, mask, step):
            at = slice(start, start + chunk.mask.shape[1])
            temporal, labels, cache = self._decode(chunk, cache, settings)
            seen = None if vertices is None else vertices[:, at]
            output = self._read_out(temporal, labels, chunk, seen, neutral_vertices)
            outputs.append(output)
            if streamer is not None:
                for frame in range(chunk.mask.shape[1]):
                    streamer.put(AUD3DFaceGenerateOutput(**{k: v[:, frame : frame + 1] for k, v in output.items()}))
        if streamer is not None:
            streamer.end()
        return AUD3DFaceGenerateOutput(**{k: torch.cat([o[k] for o in outputs], 1) for k in outputs[0]})

    def start_decoding(
        self,
        neutral_vertices: Tensor,
        generation_config: AUD3DFaceGenerationConfig | None = None,
        **overrides,
    ) -> AUD3DFaceDecodingState:
        """A fresh state for live decoding: neutral_vertices (B, V, 3) metres, settings as in `generate`."""
        return AUD3DFaceDecodingState(neutral_vertices, self._generation_config(generation_config, overrides))

    @torch.no_grad()
    def decode_step(
        self,
        state: AUD3DFaceDecodingState,
        vertices: Tensor | None = None,
        pixel_values: Tensor | None = None,
        au_labels: Tensor | None = None,
        frame_mask: Tensor | None = None,
    ) -> AUD3DFaceGenerateOutput:
        """Decodes the next frame and moves `state` on. Without video the numbers are those of `generate`; with it, the
        video branch reads the trailing L frames, where `generate` sees frames on both sides.

        Args:
            vertices: (B, V, 3) metres; at a frame without a face anything finite, with frame_mask false.
            pixel_values: (B, 3, H, W) normalised face crop, where the network reads video.
            au_labels: (B, N) known labels, -1 where not.
            frame_mask: (B,), false where the frame has no face.

        Returns:
            One frame: T = 1 in every shape.
        """
        meshes = None if vertices is None else vertices[:, None]
        pixels = None if pixel_values is None else pixel_values[:, None]
        labels = None if au_labels is None else au_labels[:, None]
        mask = self.model.whole_mask(None if frame_mask is None else frame_mask[:, None], meshes, pixels)
        displacement = self.model.displacement(meshes, state.neutral_vertices, mask)
        if pixels is None:
            features = self.model.frame_features(displacement, None, mask)
        else:
            features = self._trailing_features(state, displacement, pixels, mask)
        frame = self._frame(features, displacement, labels, mask, state.cache.num_frames if state.cache else 0)
        temporal, fed, state.cache = self._decode_cached(frame, state.cache, state.generation_config)
        return self._read_out(temporal, fed, frame, meshes, state.neutral_vertices)

    def _trailing_features(
        self, state: AUD3DFaceDecodingState, displacement: Tensor | None, pixels: Tensor, mask: Tensor
    ) -> Tensor | None:
        trailing_mask = mask
        if state.pixel_values_videos is not None:
            pixels = torch.cat([state.pixel_values_videos, pixels], 1)
            trailing_mask = torch.cat([state.pixel_mask, mask], 1)
        keep = self.config.clip_length - 1
        state.pixel_values_videos = pixels[:, max(0, pixels.shape[1] - keep) :]
        state.pixel_mask = trailing_mask[:, max(0, pixels.shape[1] - keep) :]
        if displacement is not None:  # only the last frame's features are read: earlier motion may be anything
            earlier = displacement.new_zeros(len(displacement), pixels.shape[1] - 1, displacement.shape[-1])
            displacement = torch.cat([earlier, displacement], 1)
        features = self.model.frame_features(displacement, pixels, trailing_mask)
        return None if features is None else features[:, -1:]

    # --- reading, deciding, writing -----------------------------------------------------------------------------------

    def _read(
        self,
        vertices: Tensor | None,
        neutral_vertices: Tensor,
        video: Iterable[Tensor] | None,
        au_labels: Tensor | None,
        mask: Tensor,
        step: int,
    ) -> Iterator[tuple[int, _Frames]]:
        """The sequence in chunks of `step` frames."""
        model, num_frames = self.model, mask.shape[1]
        chunks = None if video is None else in_chunks(video, num_frames, step)
        for start in range(0, num_frames, step):
            at = slice(start, min(start + step, num_frames))
            displacement = model.displacement(
                None if vertices is None else vertices[:, at], neutral_vertices, mask[:, at]
            )
            seen = model.frame_features(displacement, None, mask[:, at], None if chunks is None else next(chunks))
            yield (
                start,
                self._frame(seen, displacement, None if au_labels is None else au_labels[:, at], mask[:, at], start),
            )

    def _frame(
        self, features: Tensor | None, displacement: Tensor | None, au_labels: Tensor | None, mask: Tensor, start: int
    ) -> _Frames:
        shape = (*mask.shape, self.config.num_action_units)
        if au_labels is None:
            known = torch.full(shape, -1.0, dtype=self.dtype, device=mask.device)
        elif au_labels.shape == shape:
            known = au_labels.to(mask.device, self.dtype)
        else:
            raise ValueError(f"au_labels must be (B, T, N), here {shape}, not {tuple(au_labels.shape)}")
        keys = self.model.temporal.feature_keys(features, start) if self.config.use_temporal else []
        return _Frames(features, keys, self.model.spatial_embeddings(displacement, mask), mask, known)

    def _decide(self, temporal: Tensor, frames: _Frames, settings: AUD3DFaceGenerationConfig) -> Tensor:
        """What Eq. 2 reads of these frames later on, (B, n, N): known labels, else predictions; rates where masked."""
        if settings.feedback == "intensity":
            values = self.intensities(temporal, frames.spatial) / 5
        else:
            values = self.au_head(temporal, frames.spatial).sigmoid()
            if settings.feedback == "hard":
                values = (values >= values.new_tensor(settings.thresholds(values.shape[-1]))).to(values.dtype)
        values = torch.where(frames.known < 0, values, frames.known)
        return torch.where(frames.mask[..., None], values, values.new_tensor(self.config.au_positive_rates))

    def _decode(
        self, frames: _Frames, cache: "AUD3DFaceCache | None", settings: AUD3DFaceGenerationConfig
    ) -> "tuple[Tensor, Tensor, AUD3DFaceCache | None]":
        """z^t (B, n, d), fed-back labels (B, n, N) and the cache after these frames."""
        if not self.config.use_temporal:
            temporal = frames.features if frames.features is not None else torch.zeros_like(frames.spatial[:, :, 0])
            return temporal, self._decide(temporal, frames, settings), None
        if settings.decoding == "full":
            return self._decode_full(frames, settings)
        if settings.decoding == "fixed_point":
            return self._decode_fixed_point(frames, cache, settings)
        steps = []
        for frame in range(frames.mask.shape[1]):
            *step, cache = self._decode_cached(frames[frame : frame + 1], cache, settings)
            steps.append(step)
        temporal, labels = (torch.cat(parts, 1) for parts in zip(*steps, strict=True))
        return temporal, labels, cache

    def _decode_cached(
        self, frame: _Frames, cache: "AUD3DFaceCache | None", settings: AUD3DFaceGenerationConfig
    ) -> "tuple[Tensor, Tensor, AUD3DFaceCache | None]":
        if not self.config.use_temporal:
            return self._decode(frame, cache, settings)
        # The label of the newest frame is read by nothing before it has been decided.
        temporal, cache = self.model.temporal(frame.known, frame.feature_keys, frame.mask, cache)
        labels = self._decide(temporal, frame, settings)
        return temporal, labels, replace(cache.crop(0, self.config.attention_window), last_label=labels[:, -1])

    def _decode_fixed_point(
        self, frames: _Frames, cache: "AUD3DFaceCache | None", settings: AUD3DFaceGenerationConfig
    ) -> "tuple[Tensor, Tensor, AUD3DFaceCache]":
        num_frames, done, temporal = frames.mask.shape[1], 0, []
        last = cache.last_label[:, None] if cache else torch.zeros_like(frames.known[:, :1])
        rates = last.new_tensor(self.config.au_positive_rates)
        labels = torch.where(frames.mask[..., None], torch.where(frames.known < 0, last, frames.known), rates)
        while done < num_frames:
            at = slice(done, min(done + settings.block_size, num_frames))
            block = frames[at]
            states, tried = self.model.temporal(labels[:, at], block.feature_keys, block.mask, cache)
            decided = self._decide(states, block, settings)
            wrong = (decided != labels[:, at]).any(-1).any(0).nonzero()
            # Frame k saw the labels of frames before k: all states up to and with the first wrong guess are right.
            right = int(wrong[0]) + 1 if len(wrong) else len(decided[0])
            labels[:, at] = decided
            if at.stop < num_frames:
                unread = slice(at.stop, num_frames)
                labels[:, unread] = torch.where(
                    frames.mask[:, unread, None] & (frames.known[:, unread] < 0), decided[:, -1:], labels[:, unread]
                )
            temporal.append(states[:, :right])
            done += right
            cache = replace(
                tried.crop(len(decided[0]) - right, self.config.attention_window),
                last_label=labels[:, done - 1],
                last_valid=frames.mask[:, done - 1],
            )
        return torch.cat(temporal, 1), labels, cache

    def _decode_full(self, frames: _Frames, settings: AUD3DFaceGenerationConfig) -> "tuple[Tensor, Tensor, None]":
        labels, temporal = frames.known[:, :0], []
        for frame in range(frames.mask.shape[1]):
            past = frames[: frame + 1]
            with_own = torch.cat([labels, past.known[:, -1:]], 1)
            states, _ = self.model.temporal(with_own, past.feature_keys, past.mask, None)
            temporal.append(states[:, -1:])
            labels = torch.cat([labels, self._decide(temporal[-1], past[frame : frame + 1], settings)], 1)
        return torch.cat(temporal, 1), labels, None

    def _read_out(
        self, temporal: Tensor, labels: Tensor, frames: _Frames, vertices: Tensor | None, neutral_vertices: Tensor
    ) -> AUD3DFaceGenerateOutput:
        return AUD3DFaceGenerateOutput(
            vertices=self.refine(temporal, frames.spatial, vertices, neutral_vertices, frames.mask),
            au_probabilities=self.au_head(temporal, frames.spatial).sigmoid(),
            au_intensities=self.intensities(temporal, frames.spatial),
            au_labels=labels.masked_fill(~frames.mask[..., None], -1.0),
        )
