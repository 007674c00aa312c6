"""Albedo maps over a mesh's uv."""

import torch
from torch import Tensor
from torch.nn.functional import grid_sample


def sample_texture(texture: Tensor, uv: Tensor) -> Tensor:
    """Values of a map, bilinear between the middles of its texels and held at its borders.

    Args:
        texture: (S, R, C), its first row at v = 1.
        uv: (..., 2) in [0, 1], u to the right and v up.

    Returns:
        (..., C), differentiable in both.
    """
    grid = torch.stack([2 * uv[..., 0] - 1, 1 - 2 * uv[..., 1]], -1).reshape(1, 1, -1, 2)
    values = grid_sample(texture.permute(2, 0, 1)[None], grid, "bilinear", "border", align_corners=False)
    return values[0, :, 0].T.reshape(*uv.shape[:-1], texture.shape[-1])
