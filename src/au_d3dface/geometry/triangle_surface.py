"""The surface of a triangle mesh as something to ask for its nearest points: exact, and without comparing all with all.

Triangles are cut, large and long ones into several, into pieces of about one size. A piece lies within a ball around
its centroid, so it is no nearer than its centroid less the ball's radius; whatever is so farther away than some
triangle already measured is left out. What is left is measured exactly, whole triangles and not their pieces, so the
result is that of comparing all with all. Centroids are looked up in a k-d tree.
"""

from itertools import chain
from typing import NamedTuple

import numpy as np
from scipy.spatial import cKDTree

# Radius to which pieces are cut, in median radii of the triangles, unless that makes more pieces than so many times as
# many as there are triangles.
_PIECE, _MOST_PIECES = 1.2, 3
# Centroids looked up at once for each point; if so many are not proven to be enough, the next number of them.
_LOOK_UPS = (24, 64)
# Pairs of point and triangle measured at once, which then stay in the processor's cache, and points looked up at once.
_PAIRS = 4096
_POINTS = 4096
# What a point that is followed may move before it is anchored anew, in radii of the largest piece.
_MARGIN = 0.1
# A point with more pieces within reach, such as the middle of a ball, is looked up anew each time.
_NOTED = 1000
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
        pieces, self._owners = _cut(self.triangles)
        centroids = pieces.mean(1)
        self._radii = _radii(pieces)
        self._largest = float(self._radii.max())
        self._tree = cKDTree(centroids, leafsize=10)
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
            self._search(points[part], Nearest(found.points[part], found.distances[part], found.triangles[part]))
        return found

    def _search(self, points: np.ndarray, found: Nearest) -> None:
        """Brings `found`, of the same points, down to the nearest triangles."""
        left = np.arange(len(points))
        for count in _LOOK_UPS:
            away, near = self._look_up(points[left], count)
            self._measure(points, left, self._owners[near[:, 0]], found)
            left = left[~self._sift(points, left, away, near, found)]
        if not len(left):
            return
        reach = found.distances[left] + self._largest
        reach += 2 * _SLACK * reach + np.finfo(float).tiny
        within = self._tree.query_ball_point(points[left], reach)
        row = np.repeat(left, [len(some) for some in within])
        pieces = np.concatenate([np.asarray(some, np.int64) for some in within])
        away = np.linalg.norm(points[row] - self._tree.data[pieces], axis=-1)
        keep = away - self._radii[pieces] <= found.distances[row] + _SLACK * away
        self._measure(points, row[keep], self._owners[pieces[keep]], found)

    def _look_up(self, points: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
        """The `count` pieces of nearest centroids, and how far those are away, nearest first: (P, count) each."""
        return self._tree.query(points, k=[*range(1, min(count, len(self._radii)) + 1)])

    def _sift(
        self, points: np.ndarray, rows: np.ndarray, away: np.ndarray, near: np.ndarray, found: Nearest
    ) -> np.ndarray:
        """Measures what of points[rows]' pieces `near` may be nearer than `found`; whether no other can be, (rows,).

        `away` are the distances of the centroids or less, and the last of a row is no more than those of all others.
        """
        bound = found.distances[rows, None]
        row, column = np.nonzero(away - self._radii[near] <= bound + _SLACK * np.abs(away))
        self._measure(points, rows[row], self._owners[near[row, column]], found)
        last = away[:, -1]
        everything = near.shape[1] == len(self._radii)
        return everything | (last - self._largest > found.distances[rows] + _SLACK * np.abs(last))

    def _measure(self, points: np.ndarray, rows: np.ndarray, triangles: np.ndarray, found: Nearest) -> None:
        """Lowers `found` to the distances of points[rows] from `triangles`, pair by pair; rows in order."""
        for start in range(0, len(rows), _PAIRS):
            row, triangle = rows[start : start + _PAIRS], triangles[start : start + _PAIRS]
            closest = _closest(points[row].T, *(corner[:, triangle] for corner in self._corners))
            distance = np.sqrt(_dot(points[row].T - closest, points[row].T - closest))
            first = np.flatnonzero(np.diff(row, prepend=-1))
            least = np.minimum.reduceat(distance, first)
            best = np.flatnonzero(distance == np.repeat(least, np.diff(first, append=len(row))))
            best = best[distance[best] < found.distances[row[best]]]
            found.points[row[best]], found.triangles[row[best]] = closest[:, best].T, triangle[best]
            found.distances[row[best]] = distance[best]


class NearestFollower:
    """`TriangleSurface.nearest` for points that move little from call to call, as in an alignment; as exact.

    Where a point is first, its anchor, all pieces are noted whose balls come within its reach, which is a little more
    than its distance. When it has moved by m, whatever was not noted is no nearer than its reach less m; while that is
    more than the distance of the triangle that was the nearest before, only what was noted is looked at. A point for
    which that proves too little is anchored anew.
    """

    def __init__(self, surface: TriangleSurface, points: np.ndarray) -> None:
        """`points` (P, 3): where they are first."""
        self._surface = surface
        self._anchors = np.array(points, np.float64)
        check_finite(self._anchors, "points")
        self._reach = np.full(len(self._anchors), -1.0)  # nothing is noted yet
        self._rows = self._near = np.zeros(0, np.int64)  # points, and triangles whose pieces come within their reach
        self._gaps = np.zeros(0)  # from the anchor to the nearest ball around one of these pieces
        self._triangles = surface._owners[surface._tree.query(self._anchors)[1]]

    def nearest(self, points: np.ndarray) -> Nearest:
        """As `TriangleSurface.nearest`, of the points' new places (P, 3)."""
        surface, points = self._surface, np.asarray(points, np.float64)
        check_finite(points, "points")
        found = Nearest(np.empty_like(points), np.full(len(points), np.inf), np.zeros(len(points), np.int64))
        surface._measure(points, np.arange(len(points)), self._triangles, found)
        moved = np.linalg.norm(points - self._anchors, axis=-1) * (1 + _SLACK)
        lost = np.flatnonzero(found.distances + moved > self._reach * (1 - _SLACK))
        if len(lost):
            surface._measure(points, lost, surface._owners[surface._tree.query(points[lost])[1]], found)
            self._anchor(points, lost, found)
            moved[lost] = 0.0
        bound = found.distances + moved + _SLACK * (self._reach + surface._largest)
        near = self._gaps <= bound[self._rows]
        surface._measure(points, self._rows[near], self._near[near], found)
        self._triangles = found.triangles
        return found

    def _anchor(self, points: np.ndarray, lost: np.ndarray, found: Nearest) -> None:
        """Notes anew what is within reach of points[lost], which are no farther from the surface than `found` says."""
        surface = self._surface
        reach = found.distances[lost] + 2 * _MARGIN * surface._largest
        # Beyond the reach by rounding alone: what is noted too much does no harm.
        radii = (reach + surface._largest) * (1 + _SLACK) + np.finfo(float).tiny
        counts = surface._tree.query_ball_point(points[lost], radii, return_length=True)
        many, few = lost[counts > _NOTED], lost[counts <= _NOTED]
        self._anchors[lost] = points[lost]
        self._reach[lost] = np.where(counts > _NOTED, -1.0, reach)
        for start in range(0, len(many), _POINTS):
            rows = many[start : start + _POINTS]
            some = Nearest(*(part[rows] for part in found))
            surface._search(points[rows], some)
            for whole, part in zip(found, some, strict=True):
                whole[rows] = part
        within = surface._tree.query_ball_point(points[few], radii[counts <= _NOTED])
        row = np.repeat(few, counts[counts <= _NOTED])
        piece = np.fromiter(chain.from_iterable(within), np.int64, len(row))
        away = points[row] - surface._tree.data[piece]
        gap = np.sqrt(_dot(away.T, away.T)) - surface._radii[piece]
        noted = gap <= self._reach[row] + _SLACK * (self._reach[row] + surface._largest)
        kept = ~np.isin(self._rows, lost)
        rows = np.concatenate([self._rows[kept], row[noted]])
        triangles = np.concatenate([self._near[kept], surface._owners[piece[noted]]])
        gaps = np.concatenate([self._gaps[kept], gap[noted]])
        # In order of the points, as `_measure` wants them, and a triangle once, at the gap of its nearest piece.
        number = rows * len(surface.triangles) + triangles
        order = np.argsort(number, kind="stable")
        first = np.flatnonzero(np.diff(number[order], prepend=-1))
        self._rows, self._near = rows[order][first], triangles[order][first]
        self._gaps = np.minimum.reduceat(gaps[order], first) if len(first) else gaps


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


def _cut(triangles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pieces (N, 3, 3) of (F, 3, 3) triangles, halved at their longest edges until small, and their triangles (N,)."""
    radii = _radii(triangles)
    limit = max(_PIECE * float(np.median(radii)), float(np.finfo(float).tiny))
    while np.maximum((radii / limit) ** 2, 1).sum() > _MOST_PIECES * len(triangles):  # about as many as there will be
        limit *= 1.25
    small, owners = [], []
    pieces, owner = triangles, np.arange(len(triangles))
    while len(pieces):
        large = _radii(pieces) > limit
        small.append(pieces[~large])
        owners.append(owner[~large])
        pieces, owner = pieces[large], owner[large]
        longest = np.linalg.norm(pieces - np.roll(pieces, -1, 1), axis=-1).argmax(1)  # from this corner to the next
        a, b, c = (pieces[np.arange(len(pieces)), (longest + step) % 3] for step in range(3))
        middle = (a + b) / 2
        pieces = np.concatenate([np.stack([a, middle, c], 1), np.stack([middle, b, c], 1)])
        owner = np.concatenate([owner, owner])
    return np.concatenate(small), np.concatenate(owners)


def _radii(triangles: np.ndarray) -> np.ndarray:
    """(N,) from the centroid of each to its farthest corner."""
    return np.sqrt(((triangles - triangles.mean(1, keepdims=True)) ** 2).sum(-1)).max(1)


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
