"""Clips of any length to one batch: frames padded at the end, masked, with unknown labels."""

from collections.abc import Sequence

import torch
from torch import Tensor

_PADDING = {"au_labels": -1, "au_intensity_labels": -1.0, "frame_mask": False, "scored": False}


_WITHOUT_FRAMES = (
    "rest_vertices",
    "neutral_vertices",
    "true_neutral",
    "alignment",
    "shape",
    "texture",
    "sequence",
    "taught",
)


def collate_clips(clips: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Stacks clips into a batch.

    Args:
        clips: each with `frame_mask` (T,) bool; every tensor whose first dimension is T is taken as one row a frame
            (`vertices`, `expression`, `au_labels`, `au_intensity_labels`, `pixel_values_videos`, `pictures`), except
            `neutral_vertices` (V, 3) and the others of `_WITHOUT_FRAMES`.

    Returns:
        The same keys with a leading batch dimension. Short clips are padded at the end: frame_mask False, labels and
        intensities -1 (unknown), meshes by their last frame, so that padding looks like a face.
    """
    longest = max(len(clip["frame_mask"]) for clip in clips)
    batch = {}
    for name in clips[0]:
        rows = [clip[name] for clip in clips]
        if name not in _WITHOUT_FRAMES:
            rows = [_pad(row, longest, _PADDING.get(name)) for row in rows]
        batch[name] = torch.stack(rows)
    return batch


def _pad(row: Tensor, length: int, value: float | bool | None) -> Tensor:
    missing = length - len(row)
    if not missing:
        return row
    tail = row[-1:].expand(missing, *row.shape[1:]) if value is None else row.new_full((missing, *row.shape[1:]), value)
    return torch.cat([row, tail])
