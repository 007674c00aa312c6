"""Filling in what was never seen of a surface: from its mirror image, else smoothly from what lies around it."""

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate

ROUNDS = 300
"""Of averaging over neighbouring vertices."""


def mirrored(values: Tensor, amount: Tensor, mirror: Tensor, trust: float) -> tuple[Tensor, Tensor]:
    """Blends in the mirror image where little or nothing was seen.

    Args:
        values: (N, C) at the points.
        amount: (N,) at least 0, how much was seen of each.
        mirror: (N,) int64, the mirror image of each; -1 for none.
        trust: the `amount` that a mirror image counts for at most.

    Returns:
        (N, C) values, and (N,) bool, whether there is anything to tell them from.
    """
    other = torch.where(mirror >= 0, amount[mirror], 0.0)
    share = trust * other / (other + 1)
    total = amount + share
    blended = (amount[:, None] * values + share[:, None] * values[mirror]) / total.clamp_min(1e-9)[:, None]
    return blended, total > 1e-6


def fill_map(values: Tensor, known: Tensor) -> Tensor:
    """Fills a map from coarser and coarser ones, each the mean of what is known in the finer.

    Args:
        values: (S, S, C).
        known: (S, S) bool.

    Returns:
        (S, S, C): the values where known; 0 where nothing is.
    """
    return _filled(values.permute(2, 0, 1)[None], known[None, None].to(values))[0].permute(1, 2, 0)


def _filled(values: Tensor, weights: Tensor) -> Tensor:
    """(1, C, H, W) and (1, 1, H, W) weights in [0, 1], a value being `weights` its own and for the rest its coarser."""
    height, width = values.shape[2:]
    if height == width == 1:
        return values * weights.sign()
    share = avg_pool2d(weights, 2, ceil_mode=True)
    coarser = avg_pool2d(values * weights, 2, ceil_mode=True) / share.clamp_min(1e-9)
    below = _filled(coarser, (4 * share).clamp_max(1))
    around = interpolate(below, (height, width), mode="bilinear", align_corners=False)
    return weights * values + (1 - weights) * around


def fill_vertices(values: Tensor, known: Tensor, faces: Tensor) -> Tensor:
    """Fills by averaging over neighbours, as heat spreads from what is known.

    Args:
        values: (V, C).
        known: (V,) bool.
        faces: (F, 3) int64.

    Returns:
        (V, C): the values where known; the mean where no path leads to what is known; 0 where nothing is.
    """
    if not known.any():
        return torch.zeros_like(values)
    start = values[known].mean(0)
    filled = torch.where(known[:, None], values, start)
    if known.all():
        return filled
    ends = torch.cat([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    ends = torch.cat([ends, ends.flip(1)])
    count = torch.zeros(len(values)).index_add_(0, ends[:, 0], torch.ones(len(ends)))[:, None]
    for _ in range(ROUNDS):
        mean = torch.zeros_like(values).index_add_(0, ends[:, 0], filled[ends[:, 1]]) / count.clamp_min(1)
        filled = torch.where(known[:, None] | (count == 0), filled, mean)
    return filled
