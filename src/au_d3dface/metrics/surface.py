"""The distance of points from the surface of a triangle mesh, exact and without correspondence.

Every point is compared only with triangles that can be nearest. A triangle lies within a ball around its centroid, so
it is no nearer than its centroid less the ball's radius; whatever is so farther away than some triangle already
measured is left out. What is left is measured exactly, so the result is that of comparing all with all.
"""

import numpy as np
import torch
from scipy.spatial import cKDTree
from torch import Tensor

# Triangles whose centroids are nearest, measured first for a bound.
_FIRST = 8
# Pairs of point and triangle measured at once, and points looked up at once: they bound the temporary arrays.
_PAIRS = 1 << 18
_POINTS = 4096
# Distances are rounded; a triangle is left out only if it is farther by more than that.
_SLACK = 1e-9


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
        ValueError: no triangle, coordinates that are not finite, or leading dimensions that differ.
    """
    if points.shape[:-2] != vertices.shape[:-2]:
        raise ValueError(f"points {tuple(points.shape)} and vertices {tuple(vertices.shape)} differ in their meshes")
    if not len(faces):
        raise ValueError("a mesh without triangles has no surface")
    if not (points.isfinite().all() and vertices.isfinite().all()):
        raise ValueError("points and vertices must be finite; leave out the frames without a face")
    clouds, meshes = (part.detach().cpu().double()[None].flatten(0, -3).numpy() for part in (points, vertices))
    corners = faces.cpu().numpy()
    result = np.empty(clouds.shape[:2])
    for row, (cloud, mesh) in enumerate(zip(clouds, meshes, strict=True)):
        result[row] = 1000 * _distances(cloud, mesh[corners])
    return torch.from_numpy(result).reshape(points.shape[:-1]).to(points)


def _distances(points: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """(P,) distances of (P, 3) points from the nearest of (F, 3 corners, 3) triangles, in their unit."""
    centroids = triangles.mean(1)
    radii = np.linalg.norm(triangles - centroids[:, None], axis=-1).max(1)
    tree = cKDTree(centroids)
    nearest = np.full(len(points), np.inf)
    first = min(_FIRST, len(triangles))
    for start in range(0, len(points), _POINTS):
        some = points[start : start + _POINTS]
        _, candidates = tree.query(some, k=first)
        rows = np.repeat(np.arange(len(some)), first)
        bound = np.full(len(some), np.inf)
        _measure(some, triangles, rows, candidates.reshape(-1), bound)
        reach = bound + radii.max()
        near = tree.query_ball_point(some, reach * (1 + _SLACK) + np.finfo(float).tiny)
        rows = np.repeat(np.arange(len(some)), [len(found) for found in near])
        found = np.concatenate([np.asarray(found, np.int64) for found in near])
        away = np.linalg.norm(some[rows] - centroids[found], axis=-1) - radii[found]
        keep = away <= bound[rows] + _SLACK * reach[rows]
        _measure(some, triangles, rows[keep], found[keep], bound)
        nearest[start : start + _POINTS] = bound
    return nearest


def _measure(
    points: np.ndarray, triangles: np.ndarray, rows: np.ndarray, candidates: np.ndarray, nearest: np.ndarray
) -> None:
    """Lowers `nearest` (P,) to the distances of points[rows] from triangles[candidates], pair by pair."""
    for start in range(0, len(rows), _PAIRS):
        part = slice(start, start + _PAIRS)
        distance = point_triangle_distance(points[rows[part]], triangles[candidates[part]])
        np.minimum.at(nearest, rows[part], distance)


def point_triangle_distance(points: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Distance of each point from its own triangle, in their unit.

    The nearest point is the foot of the perpendicular where that lies inside the triangle, else on one of the edges.
    All are tried and the nearest counts; each is a point of the triangle, so rounding of the foot in a sliver can only
    leave it to the edges, never make the distance too small.

    Args:
        points: (M, 3) float64.
        triangles: (M, 3 corners, 3) float64; degenerate ones have no foot, only edges.

    Returns:
        (M,).
    """
    a, b, c = triangles[:, 0], triangles[:, 1], triangles[:, 2]
    nearest = np.minimum(_segment_distance(points, a, b), _segment_distance(points, b, c))
    nearest = np.minimum(nearest, _segment_distance(points, c, a))
    # The foot a + v (b - a) + w (c - a), from the normal equations.
    ab, ac, ap = b - a, c - a, points - a
    d11, d12, d22 = _dot(ab, ab), _dot(ab, ac), _dot(ac, ac)
    d1, d2 = _dot(ap, ab), _dot(ap, ac)
    determinant = d11 * d22 - d12**2
    with np.errstate(divide="ignore", invalid="ignore"):  # degenerate: not finite, so not inside
        v, w = (d22 * d1 - d12 * d2) / determinant, (d11 * d2 - d12 * d1) / determinant
        inside = (v >= 0) & (w >= 0) & (v + w <= 1)
    v, w = np.where(inside, v, 0.0)[:, None], np.where(inside, w, 0.0)[:, None]
    foot = np.linalg.norm(ap - v * ab - w * ac, axis=-1)
    return np.where(inside, np.minimum(nearest, foot), nearest)


def _segment_distance(points: np.ndarray, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """(M,) distance of each point from its own segment, which may be a single point."""
    along, towards = end - start, points - start
    length = _dot(along, along)
    share = np.clip(_dot(towards, along) / np.where(length > 0, length, 1.0), 0, 1)
    return np.linalg.norm(towards - share[:, None] * along, axis=-1)


def _dot(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return (a * b).sum(-1)
