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


def head_with_the_face() -> tuple[np.ndarray, np.ndarray]:
    """The bundled face, finer, closed by the back of an ellipsoid: a head of another topology."""
    face, triangles = (array.numpy() for array in facemesh())
    face = face.astype(np.float64)
    edges = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    edges, inverse = np.unique(np.sort(edges, 1), axis=0, return_inverse=True)
    middles = face[edges].mean(1)
    ab, bc, ca = inverse.reshape(3, -1) + len(face)
    a, b, c = triangles.T
    fine = np.concatenate([np.stack(t, 1) for t in ((a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca))])
    back, behind = (array.numpy() for array in head_of_flame_size())
    back = back * [1.2, 1.25, 1.1] + [0, 0, face[:, 2].min() - 0.03]
    keep = back[:, 2] < face[:, 2].min() + 0.01
    behind = behind[keep[behind].all(1)]
    vertices = np.concatenate([face, middles, back])
    return vertices, np.concatenate([fine, behind + len(face) + len(middles)])


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
