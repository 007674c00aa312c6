"""Rigid and similarity alignment of corresponding points."""

import torch
from torch import Tensor


def similarity_alignment(
    source: Tensor, target: Tensor, weights: Tensor | None = None, with_scale: bool = True
) -> tuple[Tensor, Tensor, Tensor]:
    """Weighted least-squares similarity, target ≈ scale · rotation · source + translation, in closed form.

    Umeyama, "Least-squares estimation of transformation parameters between two point patterns" (1991).

    Args:
        source, target: (..., P, 3) corresponding points, P at least 3 and not on one line.
        weights: (..., P) non-negative, or None for equal weights.
        with_scale: False fixes the scale to 1 (rigid alignment).

    Returns:
        rotation (..., 3, 3), proper; scale (...); translation (..., 3).
    """
    if weights is None:
        weights = torch.ones(target.shape[:-1], dtype=target.dtype, device=target.device)
    weights = (weights / weights.sum(-1, keepdim=True))[..., None]
    source_mean = (weights * source).sum(-2, keepdim=True)
    target_mean = (weights * target).sum(-2, keepdim=True)
    source_centred, target_centred = source - source_mean, target - target_mean
    covariance = (weights * target_centred).transpose(-1, -2) @ source_centred  # (..., 3, 3)
    u, singular, vh = torch.linalg.svd(covariance)
    sign = torch.ones_like(singular)
    sign[..., 2] = torch.where(torch.linalg.det(u) * torch.linalg.det(vh) < 0, -1.0, 1.0)
    rotation = (u * sign[..., None, :]) @ vh
    if with_scale:
        variance = (weights * source_centred**2).sum((-1, -2))
        scale = (singular * sign).sum(-1) / variance.clamp_min(1e-30)
    else:
        scale = torch.ones_like(singular[..., 0])
    moved = scale[..., None] * (rotation @ source_mean.transpose(-1, -2)).squeeze(-1)
    return rotation, scale, target_mean.squeeze(-2) - moved
