"""The surface of a triangle mesh as something to ask for its nearest points: exact, by libigl's tree of boxes.

libigl's formulas lose digits in thin triangles, and in flat ones whose corners differ they miss the nearest point
(tests/geometry/test_triangle_surface.py fails without what follows). So those are kept out of the tree, and measured
one by one by `closest_on_triangles` where a ball around them comes near enough: meshes of faces have none or a handful.
"""

from typing import NamedTuple

import igl
import numpy as np
from scipy.spatial.distance import cdist

_THIN = 0.01
"""Height over longest side; above it libigl is right to 1e-10 of the side, and the loss grows with the square."""
_PAIRS = 4_000_000
"""Distances between points and thin triangles held at once."""


class Nearest(NamedTuple):
    """The nearest point of a surface to each of P points.

    Attributes:
        points: (P, 3) on the surface.
        distances: (P,), in the mesh's unit.
        triangles: (P,) int64, the triangle that it lies in; of several equally near, any.
    """

    points: np.ndarray
    distances: np.ndarray
    triangles: np.ndarray


class TriangleSurface:
    """A triangle mesh prepared for `nearest`. A degenerate triangle counts as the edges and corners that it has.

    Args:
        vertices: (V, 3) in any unit.
        faces: (F, 3) integer rows of `vertices`, F at least 1.

    Attributes:
        triangles: (F, 3 corners, 3) float64.
        vertices: (U, 3) float64, those that are in any triangle.

    Raises:
        ValueError: no triangle, coordinates that are not finite, or triangles of vertices that the mesh lacks.
    """

    def __init__(self, vertices: np.ndarray, faces: np.ndarray) -> None:
        vertices, faces = np.asarray(vertices, np.float64), np.asarray(faces)
        if not len(faces):
            raise ValueError("a mesh without triangles has no surface")
        if faces.min() < 0 or faces.max() >= len(vertices):
            wrong = int(faces.min() if faces.min() < 0 else faces.max())
            raise ValueError(
                f"the triangles name vertex {wrong}, but the mesh has {len(vertices)} vertices: give it its own faces"
            )
        check_finite(vertices, "vertices")
        self.triangles = vertices[faces]
        self.vertices = vertices[np.unique(faces)]
        thin = _heights(self.triangles) < _THIN
        self._solid, self._thin = np.flatnonzero(~thin), np.flatnonzero(thin)
        self._tree = igl.AABB()
        self._mesh = np.ascontiguousarray(vertices), np.ascontiguousarray(faces[self._solid], np.int64)
        if len(self._solid):
            self._tree.init(*self._mesh)

    def nearest(self, points: np.ndarray) -> Nearest:
        """The nearest point of the surface to each of (P, 3) points, in the mesh's unit and frame.

        Raises:
            ValueError: coordinates that are not finite.
        """
        points = np.ascontiguousarray(points, np.float64)
        check_finite(points, "points")
        if len(self._solid):
            _, row, closest = self._tree.squared_distance(*self._mesh, points)
            found = Nearest(closest, np.linalg.norm(points - closest, axis=-1), self._solid[row])
        else:
            found = Nearest(np.empty_like(points), np.full(len(points), np.inf), np.zeros(len(points), np.int64))
        if len(self._thin):
            step = max(1, _PAIRS // len(self._thin))
            for start in range(0, len(points), step):
                part = slice(start, start + step)
                self._look_at_thin(points[part], Nearest(*(values[part] for values in found)))
        return found

    def _look_at_thin(self, points: np.ndarray, found: Nearest) -> None:
        """Brings `found`, of the same points, down to the thin triangles that are nearer."""
        triangles = self.triangles[self._thin]
        centres = triangles.mean(1)
        radii = np.linalg.norm(triangles - centres[:, None], axis=-1).max(1)
        row, column = np.nonzero(cdist(points, centres) - radii <= found.distances[:, None])
        closest = closest_on_triangles(points[row], triangles[column])
        distances = np.linalg.norm(points[row] - closest, axis=-1)
        # Farthest first: where a point has several, the assignments end with the nearest.
        order = np.argsort(-distances)
        order = order[distances[order] < found.distances[row[order]]]
        row = row[order]
        found.points[row], found.distances[row] = closest[order], distances[order]
        found.triangles[row] = self._thin[column[order]]


def closest_on_triangles(points: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """The point of each triangle that is nearest to its own point.

    It is the foot of the perpendicular where that lies inside the triangle, else on one of the edges. All are tried and
    the nearest counts; each is a point of the triangle, so rounding of the foot in a thin one can only leave it to the
    edges, never make the distance too small.

    Args:
        points: (M, 3).
        triangles: (M, 3 corners, 3); degenerate ones have no foot, only edges.

    Returns:
        (M, 3).
    """
    points, triangles = np.asarray(points, np.float64), np.asarray(triangles, np.float64)
    following = np.roll(triangles, -1, 1)
    sides = following - triangles
    lengths = (sides**2).sum(-1)
    along = ((points[:, None] - triangles) * sides).sum(-1) / np.where(lengths > 0, lengths, 1)
    on_edges = triangles + np.clip(along, 0, 1)[..., None] * sides  # (M, 3 edges, 3)
    # The foot a + v (b - a) + w (c - a), from the normal equations.
    a, ab, ac = triangles[:, 0], sides[:, 0], -sides[:, 2]
    d11, d12, d22, d1, d2 = (
        (p * q).sum(-1) for p, q in ((ab, ab), (ab, ac), (ac, ac), (points - a, ab), (points - a, ac))
    )
    with np.errstate(divide="ignore", invalid="ignore"):  # degenerate: not finite, so not inside
        determinant = d11 * d22 - d12 * d12
        v, w = (d22 * d1 - d12 * d2) / determinant, (d11 * d2 - d12 * d1) / determinant
        inside = (v >= 0) & (w >= 0) & (v + w <= 1)
        foot = np.where(inside[:, None], a + v[:, None] * ab + w[:, None] * ac, on_edges[:, 0])
    options = np.concatenate([on_edges, foot[:, None]], 1)
    best = ((options - points[:, None]) ** 2).sum(-1).argmin(1)
    return options[np.arange(len(options)), best]


def _heights(triangles: np.ndarray) -> np.ndarray:
    """(N,) over their longest sides; 0 where there is no side."""
    longest = ((triangles - np.roll(triangles, -1, 1)) ** 2).sum(-1).max(1)
    area = np.linalg.norm(np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0]), axis=-1)
    return area / np.where(longest > 0, longest, 1)


def check_finite(points: np.ndarray, what: str) -> None:
    """Raises a ValueError that names the rows of (P, 3) `points` which are not finite."""
    wrong = np.flatnonzero(~np.isfinite(points).all(-1))
    if len(wrong):
        some = ", ".join(map(str, wrong[:5].tolist())) + (", ..." if len(wrong) > 5 else "")
        raise ValueError(
            f"{what} must be finite, but {len(wrong)} of {len(points)} are not (rows {some}); leave out the frames "
            "without a face"
        )
