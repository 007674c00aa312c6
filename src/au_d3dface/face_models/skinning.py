"""Linear blend skinning, v = Σ_j w_j (R_j p + t_j), sparing of memory.

Written out in torch's own operations, the transformation of every vertex (12 numbers, four times a mesh) is kept for
the backward pass and goes through memory several times. Here it is made anew for a few meshes at a time, while it fits
the processor's cache.
"""

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

CHUNK = 8
"""Meshes at a time on a CPU; elsewhere all at once."""


def skin(posed: Tensor, transforms: Tensor, weights: Tensor) -> Tensor:
    """Moves vertices with their joints; differentiable (once) in vertices and transformations.

    Args:
        posed: (..., 3, V) metres, before rotation.
        transforms: (..., J, 3, 4) of the joints, rotation and translation side by side; the same leading dimensions.
        weights: (V, J).

    Returns:
        (..., V, 3).
    """
    lead = posed.shape[:-2]
    count = math.prod(lead)
    flat = posed.reshape(count, *posed.shape[-2:]), transforms.reshape(count, *transforms.shape[-3:])
    moved = _Skinning.apply(*flat, weights)
    return moved.view(*lead, *moved.shape[-2:])


class _Skinning(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, posed: Tensor, transforms: Tensor, weights: Tensor) -> Tensor:
        ctx.save_for_backward(posed, transforms, weights)
        result = posed.new_empty(len(posed), posed.shape[-1], 3)
        for rows in _chunks(posed):
            x, y, z, moved = _of_vertices(transforms[rows], weights).unbind(2)  # (b, 3, V) each
            points = posed[rows]
            moved.addcmul_(x, points[:, 0:1]).addcmul_(y, points[:, 1:2]).addcmul_(z, points[:, 2:3])
            result[rows] = moved.transpose(1, 2)
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
        posed, transforms, weights = ctx.saved_tensors
        of_posed, of_transforms = torch.empty_like(posed), torch.empty_like(transforms)
        for rows in _chunks(posed):
            pull = gradient[rows].transpose(1, 2).contiguous()  # (b, 3, V)
            rotations = _of_vertices(transforms[rows], weights)[:, :, :3]  # (b, 3 to, 3 from, V)
            pulled = rotations[:, 0] * pull[:, 0:1]
            of_posed[rows] = pulled.addcmul_(rotations[:, 1], pull[:, 1:2]).addcmul_(rotations[:, 2], pull[:, 2:3])
            outer = pull.new_empty(len(pull), 3, 4, pull.shape[-1])
            torch.mul(pull[:, :, None], posed[rows][:, None], out=outer[:, :, :3])
            outer[:, :, 3] = pull
            of_transforms[rows] = (outer @ weights).movedim(-1, 1)
        return of_posed, of_transforms, None


def _of_vertices(transforms: Tensor, weights: Tensor) -> Tensor:
    """(b, J, 3, 4) of the joints and (V, J) weights to (b, 3, 4, V) of the vertices."""
    return transforms.movedim(1, -1) @ weights.T


def _chunks(meshes: Tensor) -> Iterator[slice]:
    step = CHUNK if meshes.device.type == "cpu" else max(len(meshes), 1)
    return (slice(start, start + step) for start in range(0, len(meshes), step))
