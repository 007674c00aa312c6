"""Closed surfaces of any number of vertices for tests of distances and alignment: a sphere, and a lopsided head."""

import numpy as np
from scipy.spatial import ConvexHull


def sphere(count: int, radius: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """(count, 3) evenly spread vertices and (2 count - 4, 3) faces."""
    k = np.arange(count) + 0.5
    height, around = 1 - 2 * k / count, np.pi * (1 + 5**0.5) * k
    across = np.sqrt(1 - height**2)
    points = np.stack([across * np.cos(around), across * np.sin(around), height], 1)
    return radius * points, ConvexHull(points).simplices.astype(np.int64)


def head(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Smooth, of a head's size in metres, with a nose and without any symmetry."""
    u, faces = sphere(count)
    nose = np.exp(-20 * (u[:, 0] ** 2 + (u[:, 1] + 0.1) ** 2)) * (u[:, 2] > 0)
    radius = 0.09 * (1 + 0.25 * u[:, 1] ** 2 + 0.1 * np.sin(3 * u[:, 0] + 1) * u[:, 2] + 0.15 * nose)
    return u * radius[:, None], faces


def on_surface(vertices: np.ndarray, faces: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """(count, 3) points inside random triangles."""
    corners = vertices[faces[rng.integers(0, len(faces), count)]]
    return (rng.dirichlet(np.ones(3), count)[..., None] * corners).sum(1)
