"""Normals of triangle meshes."""

import torch
from torch import Tensor
from torch.nn.functional import normalize


def triangle_normals(vertices: Tensor, faces: Tensor) -> Tensor:
    """Area-weighted normals, (b - a) × (c - a): (..., V, 3) and (F, 3) to (..., F, 3), length twice the area."""
    a, b, c = vertices[..., faces, :].unbind(-2)
    return torch.linalg.cross(b - a, c - a)


def vertex_normals(vertices: Tensor, faces: Tensor) -> Tensor:
    """Unit normals at the vertices, the area-weighted mean of the triangles around each.

    Args:
        vertices: (..., V, 3).
        faces: (F, 3) int64, counter-clockwise seen from outside.

    Returns:
        (..., V, 3) of length 1; zero at a vertex of no triangle.
    """
    of_faces = triangle_normals(vertices, faces)
    total = torch.zeros_like(vertices)
    for corner in range(3):
        total.index_add_(-2, faces[:, corner], of_faces)
    return normalize(total, dim=-1)
