"""Meshes of known shape for the tests of rasterizers and renderers."""

import numpy as np
import torch
from scipy.spatial import ConvexHull

from au_d3dface.face_models import FaceMesh
from au_d3dface.geometry import axis_angle_to_matrix


def head_of_flame_size() -> tuple[torch.Tensor, torch.Tensor]:
    """A closed, bumpy head of triangles of about one size, as many as FLAME's: (4990, 3) metres and (9976, 3)."""
    count = 4990  # a closed mesh of V vertices has 2 V - 4 triangles
    place = np.arange(count) + 0.5
    height, around = np.arccos(1 - 2 * place / count), np.pi * (1 + 5**0.5) * place
    ball = np.stack([np.sin(height) * np.sin(around), np.cos(height), np.sin(height) * np.cos(around)], 1)
    faces = ConvexHull(ball).simplices
    a, b, c = ball[faces[:, 0]], ball[faces[:, 1]], ball[faces[:, 2]]
    inward = (np.cross(b - a, c - a) * (a + b + c)).sum(1) < 0
    faces[inward] = faces[inward][:, ::-1]
    bump = 1 + 0.05 * np.sin(5 * np.arctan2(ball[:, 0], ball[:, 2])) * np.sin(height) ** 3 + 0.04 * np.cos(7 * height)
    vertices = ball * bump[:, None] * [0.075, 0.11, 0.09]
    return torch.from_numpy(vertices).float(), torch.from_numpy(faces.astype(np.int64))


def facemesh() -> tuple[torch.Tensor, torch.Tensor]:
    """The bundled face's 468 vertices and its triangles."""
    model = FaceMesh()
    return model.template, model.faces


def random_rotations(count: int, seed: int, largest: float = 0.8) -> torch.Tensor:
    """(count, 3, 3)."""
    generator = torch.Generator().manual_seed(seed)
    return axis_angle_to_matrix((torch.rand(count, 3, generator=generator) * 2 - 1) * largest)


def in_picture(vertices: torch.Tensor, size: int, seed: int, count: int = 1) -> torch.Tensor:
    """(count, V, 3): the mesh in random poses, filling most of a picture of `size` pixels a side."""
    rotation = random_rotations(count, seed)
    centred = vertices - (vertices.amax(0) + vertices.amin(0)) / 2
    scale = 0.85 * size / (vertices.amax(0) - vertices.amin(0)).max()
    seen = centred @ rotation.mT * scale
    return seen * torch.tensor([1.0, -1.0, -1.0]) + torch.tensor([size / 2, size / 2, 0.0])
