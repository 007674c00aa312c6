"""The face as its appearance says that it looks: albedo · light, at the pixels of a view."""

import torch
from torch import Tensor
from torch.nn.functional import grid_sample, normalize

from ..rendering import interpolate, shade
from .face_view import FaceView


def relight(view: FaceView, faces: Tensor, uv: Tensor | None, albedo: Tensor, lighting: Tensor) -> Tensor:
    """Renders a face.

    Args:
        view: the mesh in a picture.
        faces: (F, 3).
        uv: (V, 2), for an albedo map; else None.
        albedo: (S, S, 3) map, or (V, 3) at the vertices.
        lighting: (9, 3).

    Returns:
        (height, width, 3) of the view's window, in [0, 1]; 0 where the face is not seen.
    """
    paint = albedo if uv is None else uv
    pixels = interpolate(view.fragments, faces, torch.cat([view.normals, paint], 1)[None])[0]
    color = pixels[..., 3:] if uv is None else sample_map(albedo, pixels[..., 3:])
    light = shade(normalize(pixels[..., :3], dim=-1), lighting)
    return torch.where(view.fragments.mask[0, ..., None], color * light, 0.0).clamp(0, 1)


def sample_map(values: Tensor, uv: Tensor) -> Tensor:
    """(S, S, C) map at (h, w, 2) texture coordinates, bilinear and held at the borders: (h, w, C)."""
    grid = torch.stack([2 * uv[..., 0] - 1, 1 - 2 * uv[..., 1]], -1)[None]
    found = grid_sample(values.permute(2, 0, 1)[None], grid, "bilinear", "border", align_corners=False)
    return found[0].permute(1, 2, 0)
