"""What the network gives out, and the cache that lets later frames attend to earlier ones.

Symbols as in modeling_au_d3dface.py: B clips, T frames, N action units, V vertices, d hidden size, W attention window.
"""

from dataclasses import dataclass, replace

from torch import Tensor
from transformers.utils import ModelOutput

KeysAndValues = tuple[Tensor, Tensor]  # of one attention layer, each (B, heads, frames, d / heads)


@dataclass
class AUD3DFaceCache:
    """What later frames may still attend to: the last W - 1 frames, whatever the length of the sequence.

    A cache is never changed in place: every pass makes a new one, so that a pass can be tried and thrown away.

    Attributes:
        num_frames: frames seen so far; the next frame has this index.
        label_keys, feature_keys: keys and values of the self- and cross-attention of every temporal layer.
        slot_mask, frame_mask: (B, n) bool, which of those labels and features may be attended to.
        last_label: (B, N), the label of the last frame as Eq. 2 reads it; last_valid: (B,) bool, its frame mask.
    """

    num_frames: int
    label_keys: list[KeysAndValues]
    feature_keys: list[KeysAndValues]
    slot_mask: Tensor
    frame_mask: Tensor
    last_label: Tensor
    last_valid: Tensor

    def crop(self, dropped: int, window: int) -> "AUD3DFaceCache":
        """Without the newest `dropped` frames, and of the rest only what a window of W frames still reaches.

        The last label is that of the pass that made the cache: where frames are dropped, the caller replaces it.
        """
        end = self.slot_mask.shape[1] - dropped
        kept = slice(max(0, end - (window - 1)), end)
        return replace(
            self,
            num_frames=self.num_frames - dropped,
            label_keys=[(k[:, :, kept], v[:, :, kept]) for k, v in self.label_keys],
            feature_keys=[(k[:, :, kept], v[:, :, kept]) for k, v in self.feature_keys],
            slot_mask=self.slot_mask[:, kept],
            frame_mask=self.frame_mask[:, kept],
        )


@dataclass
class AUD3DFaceModelOutput(ModelOutput):
    """
    Attributes:
        temporal_embeddings: (B, T, d), z^t.
        spatial_embeddings: (B, T, N, d), z^s; zero where the spatial module is off.
        cache: what follows needs of these frames, after the last one, with `use_cache=True`.
    """

    temporal_embeddings: Tensor | None = None
    spatial_embeddings: Tensor | None = None
    cache: AUD3DFaceCache | None = None


@dataclass
class AUD3DFaceReconstructionOutput(ModelOutput):
    """
    Attributes:
        vertices: (B, T, V, 3) metres, the refined meshes Ŝ of Eq. 9, in the dtype of the meshes that were given.
        au_logits, au_probabilities: (B, T, N), Eq. 10 before and after the sigmoid.
        au_intensities: (B, T, N) in 0-5; None where the config predicts none.
        temporal_embeddings, spatial_embeddings, cache: as in [`AUD3DFaceModelOutput`].
    """

    vertices: Tensor | None = None
    au_logits: Tensor | None = None
    au_probabilities: Tensor | None = None
    au_intensities: Tensor | None = None
    temporal_embeddings: Tensor | None = None
    spatial_embeddings: Tensor | None = None
    cache: AUD3DFaceCache | None = None
