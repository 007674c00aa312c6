"""The distance of points from the surface of a triangle mesh, exact and without correspondence, and its summary.

Meshes that do not share a frame are first aligned with `geometry.icp`.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..geometry import TriangleSurface


def vertex_to_surface(points: Tensor, vertices: Tensor, faces: Tensor) -> Tensor:
    """Distance of each point from the nearest point of the mesh's surface, millimetres.

    A degenerate triangle counts as the edges and corners that it has. Computed on the CPU in double precision, without
    gradients.

    Args:
        points: (..., P, 3) metres.
        vertices: (..., V, 3) metres, in the same frame, with the same leading dimensions.
        faces: (F, 3) int64 rows of `vertices`, F at least 1.

    Returns:
        (..., P) of the points' dtype and device.

    Raises:
        ValueError: no triangle, triangles of vertices that the mesh lacks, coordinates that are not finite, or leading
            dimensions that differ.
    """
    if points.shape[:-2] != vertices.shape[:-2]:
        raise ValueError(f"points {tuple(points.shape)} and vertices {tuple(vertices.shape)} differ in their meshes")
    clouds, meshes = (part.detach().cpu().double()[None].flatten(0, -3).numpy() for part in (points, vertices))
    corners = faces.cpu().numpy()
    result = np.empty(clouds.shape[:2])
    for row, (cloud, mesh) in enumerate(zip(clouds, meshes, strict=True)):
        result[row] = 1000 * TriangleSurface(mesh, corners).nearest(cloud).distances
    return torch.from_numpy(result).reshape(points.shape[:-1]).to(points)


@dataclass(frozen=True)
class DistanceSummary:
    """Of `count` distances: mean, standard deviation (of the distances themselves, not of their mean), median, mm."""

    mean: float
    sd: float
    median: float
    count: int


def summarize_distances(
    distances: Tensor | np.ndarray, regions: Mapping[str, Tensor | np.ndarray] | None = None
) -> dict[str, DistanceSummary]:
    """Mean, SD and median over the vertices of each region in all meshes, every vertex alike, and over "all" vertices.

    Args:
        distances: (..., P) such as `vertex_to_surface` gives.
        regions: name to (P,) bool, or (n,) rows of the P.

    Raises:
        ValueError: no mesh, distances that are not finite, a region without vertices, or of another mesh.
    """
    values = np.asarray(distances, np.float64)
    if not values.size:
        raise ValueError("there are no distances to summarize")
    if not np.isfinite(values).all():
        raise ValueError("distances must be finite; leave out the frames without a face")
    found = {}
    for name, rows in (regions or {}).items():
        rows = np.asarray(rows)
        if rows.dtype == bool:
            if rows.shape != values.shape[-1:]:
                raise ValueError(f"region {name!r} is of {len(rows)} vertices, the meshes have {values.shape[-1]}")
            rows = np.flatnonzero(rows)
        if not len(rows):
            raise ValueError(f"region {name!r} has no vertices")
        if rows.min() < 0 or rows.max() >= values.shape[-1]:
            wrong = rows.min() if rows.min() < 0 else rows.max()
            raise ValueError(f"region {name!r} names vertex {wrong}, the meshes have {values.shape[-1]}")
        found[name] = values[..., rows]
    return {
        name: DistanceSummary(float(part.mean()), float(part.std()), float(np.median(part)), part.size)
        for name, part in (found | {"all": values}).items()
    }
