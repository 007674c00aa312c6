"""The surface of a triangle mesh as something to ask for its nearest points: exact, and without comparing all with all.

A triangle lies within a ball around its centroid, so it is no nearer than its centroid less the ball's radius; whatever
is so farther away than some triangle already measured is left out. What is left is measured exactly, so the result is
that of comparing all with all. Centroids are looked up in k-d trees, one for each class of triangles of like size, so
that a few large triangles do not widen the search among the small ones.
"""

from typing import NamedTuple

import numpy as np
from scipy.spatial import cKDTree

# Centroids looked up at once for each point; if so many are not proven to be enough, the next number of them.
_LOOK_UPS = (12, 48)
# Upper ends of the classes of sizes, in median radii.
_CLASSES = (2.0, 8.0, np.inf)
# Pairs of point and triangle measured at once, and points looked up at once: they bound the temporary arrays.
_PAIRS = 1 << 16
_POINTS = 4096
# Distances are rounded; a triangle is left out only if it is farther by more than that.
_SLACK = 1e-9


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
        centroids = self.triangles.mean(1)
        self._radii = np.linalg.norm(self.triangles - centroids[:, None], axis=-1).max(1)
        self._classes = []
        largest = float(np.median(self._radii))
        sizes = np.searchsorted(np.array(_CLASSES[:-1]) * largest, self._radii)
        for size in np.unique(sizes):
            rows = np.flatnonzero(sizes == size)
            self._classes.append((cKDTree(centroids[rows]), rows, float(self._radii[rows].max())))
        # Component by component, (3, F) each, as `_measure` reads them.
        self._corners = [np.ascontiguousarray(self.triangles[:, corner].T) for corner in range(3)]

    def nearest(self, points: np.ndarray) -> Nearest:
        """The nearest point of the surface to each of (P, 3) points, in the mesh's unit and frame.

        Raises:
            ValueError: coordinates that are not finite.
        """
        points = np.asarray(points, np.float64)
        check_finite(points, "points")
        found = Nearest(np.empty_like(points), np.full(len(points), np.inf), np.zeros(len(points), np.int64))
        for start in range(0, len(points), _POINTS):
            part = slice(start, start + _POINTS)
            some = Nearest(found.points[part], found.distances[part], found.triangles[part])
            for tree, rows, largest in self._classes:
                self._search(points[part], tree, rows, largest, some)
        return found

    def _search(self, points: np.ndarray, tree: cKDTree, rows: np.ndarray, largest: float, found: Nearest) -> None:
        """Brings `found` down to the triangles of one class: `rows`, their centroids in `tree`, `largest` radius."""
        left = np.arange(len(points))
        for count in _LOOK_UPS:
            count = min(count, len(rows))
            away, near = tree.query(points[left], k=[*range(1, count + 1)])
            candidates = rows[near]
            self._measure(points, left, candidates[:, 0], found)
            bound = found.distances[left, None]
            row, column = np.nonzero(away[:, 1:] - self._radii[candidates[:, 1:]] <= bound + _SLACK * away[:, 1:])
            self._measure(points, left[row], candidates[row, column + 1], found)
            # All others have centroids no nearer than the last.
            last = away[:, -1]
            left = left[last - largest <= found.distances[left] + _SLACK * last]
            if count == len(rows) or not len(left):
                return
        reach = found.distances[left] + largest
        reach += 2 * _SLACK * reach + np.finfo(float).tiny
        near = tree.query_ball_point(points[left], reach)
        row = np.repeat(left, [len(some) for some in near])
        candidates = rows[np.concatenate([np.asarray(some, np.int64) for some in near])]
        centres = self.triangles[candidates].mean(1)
        away = np.linalg.norm(points[row] - centres, axis=-1)
        keep = away - self._radii[candidates] <= found.distances[row] + _SLACK * away
        self._measure(points, row[keep], candidates[keep], found)

    def _measure(self, points: np.ndarray, rows: np.ndarray, candidates: np.ndarray, found: Nearest) -> None:
        """Lowers `found` to the distances of points[rows] from triangles `candidates`, pair by pair; rows in order."""
        for start in range(0, len(rows), _PAIRS):
            row, triangle = rows[start : start + _PAIRS], candidates[start : start + _PAIRS]
            closest = _closest(points[row].T, *(corner[:, triangle] for corner in self._corners))
            distance = np.sqrt(_dot(points[row].T - closest, points[row].T - closest))
            first = np.flatnonzero(np.diff(row, prepend=-1))
            least = np.minimum.reduceat(distance, first)
            best = np.flatnonzero(distance == np.repeat(least, np.diff(first, append=len(row))))
            best = best[distance[best] < found.distances[row[best]]]
            found.points[row[best]], found.triangles[row[best]] = closest[:, best].T, triangle[best]
            found.distances[row[best]] = distance[best]


def closest_on_triangles(points: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """The point of each triangle that is nearest to its own point.

    It is the foot of the perpendicular where that lies inside the triangle, else on one of the edges. All are tried and
    the nearest counts; each is a point of the triangle, so rounding of the foot in a sliver can only leave it to the
    edges, never make the distance too small.

    Args:
        points: (M, 3).
        triangles: (M, 3 corners, 3); degenerate ones have no foot, only edges.

    Returns:
        (M, 3).
    """
    points, triangles = np.asarray(points, np.float64), np.asarray(triangles, np.float64)
    return _closest(points.T, *(triangles[:, corner].T for corner in range(3))).T


def check_finite(points: np.ndarray, what: str) -> None:
    """Raises a ValueError that names the rows of (P, 3) `points` which are not finite."""
    wrong = np.flatnonzero(~np.isfinite(points).all(-1))
    if len(wrong):
        some = ", ".join(map(str, wrong[:5].tolist())) + (", ..." if len(wrong) > 5 else "")
        raise ValueError(
            f"{what} must be finite, but {len(wrong)} of {len(points)} are not (rows {some}); leave out the frames "
            "without a face"
        )


def _closest(points: np.ndarray, a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    """`closest_on_triangles` with the coordinates first, (3, M) each."""
    ab, ac, bc, ap, bp = b - a, c - a, c - b, points - a, points - b
    d11, d12, d22 = _dot(ab, ab), _dot(ab, ac), _dot(ac, ac)
    d1, d2 = _dot(ap, ab), _dot(ap, ac)
    least = np.full(points.shape[1], np.inf)
    closest = np.empty_like(points)
    for origin, from_origin, along, towards, length in (
        (a, ap, ab, d1, d11),
        (a, ap, ac, d2, d22),
        (b, bp, bc, _dot(bp, bc), _dot(bc, bc)),
    ):
        share = np.clip(towards / np.where(length > 0, length, 1.0), 0, 1)
        step = share * along
        away = from_origin - step
        squared = _dot(away, away)
        nearer = squared < least
        np.copyto(closest, origin + step, where=nearer)
        np.copyto(least, squared, where=nearer)
    # The foot a + v (b - a) + w (c - a), from the normal equations.
    determinant = d11 * d22 - d12 * d12
    with np.errstate(divide="ignore", invalid="ignore"):  # degenerate: not finite, so not inside
        v, w = (d22 * d1 - d12 * d2) / determinant, (d11 * d2 - d12 * d1) / determinant
        inside = np.flatnonzero((v >= 0) & (w >= 0) & (v + w <= 1))
    step = v[inside] * ab[:, inside] + w[inside] * ac[:, inside]
    away = ap[:, inside] - step
    nearer = _dot(away, away) < least[inside]
    closest[:, inside[nearer]] = (a[:, inside] + step)[:, nearer]
    return closest


def _dot(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
