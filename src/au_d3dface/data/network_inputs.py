"""What a network takes of a batch of clips: meshes, and pictures or their features, or coefficients for an MLP."""

import torch
from torch import Tensor

from ..video_processing_au_d3dface import normalise_crops

Batch = dict[str, Tensor]


def coefficients(batch: Batch) -> Tensor:
    """(B, T, E): expression, and the pose of neck, jaw and eyes where the face model has one."""
    return torch.cat([batch[name] for name in ("expression", "pose") if name in batch], -1)


def reconstruction_inputs(batch: Batch, use_video: bool) -> dict[str, Tensor]:
    """The arguments of `AUD3DFaceForReconstruction.generate` for a batch with meshes."""
    seen = {name: batch[name] for name in ("vertices", "neutral_vertices", "frame_mask")}
    if use_video and "video_features" in batch:
        seen["video_features"] = batch["video_features"]
    elif use_video:
        seen["pixel_values_videos"] = normalise_crops(batch["crops"])
    return seen
