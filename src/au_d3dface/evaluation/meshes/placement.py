"""Laying a mesh on another of any topology and in any frame of reference, without anyone saying where the face is.

Used for drawing other methods' meshes like ours (`figures.strip`); what is measured has its start from `face_parts`.
One of the two, the smaller as a rule, is in the head frame. The rule: where both have the same triangles, vertices
correspond, and the alignment is that of least squares. Else the smaller, a face say, is moved onto the surface of the
larger, a head say, by ICP, robust, from the best of many starts: turned in steps of right angles, with its front on the
larger's outermost point and its middle at five heights, or middle on middle; then turned back into a motion of the one
that was asked for.
"""

import itertools

import numpy as np
from scipy.spatial import cKDTree

from ...geometry import ICPSettings, Similarity, TriangleSurface, icp

_POINTS = 120
"""Vertices with which starts are compared."""

_FINALISTS = 6
_TRIAL = ICPSettings(max_iterations=25, tolerance=1e-5)
_HEIGHTS = (-0.3, -0.15, 0.0, 0.15, 0.3)
"""Of the larger mesh's extent, from its middle."""

_FOLLOWED = 1.5
"""A start is kept from the frame before unless its residual is worse than this many times what that frame's was."""


def place(
    vertices: np.ndarray,
    faces: np.ndarray,
    onto: np.ndarray,
    onto_faces: np.ndarray,
    with_scale: bool = False,
    start: Similarity | None = None,
    start_residual: float = 0.0,
) -> tuple[Similarity, float]:
    """The motion that lays a mesh on another one.

    Args:
        vertices: (V, 3) metres. faces: (F, 3).
        onto: (W, 3) metres. onto_faces: (G, 3).
        with_scale: whether the size may change too.
        start: what was found for the frame before, with its `start_residual` in metres; None to look everywhere.

    Returns:
        The motion, and the mean distance in metres that it leaves between the smaller mesh and the larger surface.

    Raises:
        ValueError: coordinates that are not finite, or a mesh without triangles.
    """
    vertices, onto = np.asarray(vertices, np.float64), np.asarray(onto, np.float64)
    if not (len(faces) and len(onto_faces)):
        raise ValueError("a mesh without triangles has no surface")
    if vertices.shape == onto.shape and np.array_equal(faces, onto_faces):
        found = Similarity.of_correspondences(vertices, onto, with_scale)
        return found, float(np.linalg.norm(found(vertices) - onto, axis=-1).mean())
    if _diagonal(vertices, faces) > _diagonal(onto, onto_faces):
        back = None if start is None else start.inverse()
        found, residual = place(onto, onto_faces, vertices, faces, with_scale, back, start_residual)
        return found.inverse(), residual
    points, surface = vertices[np.unique(faces)], TriangleSurface(onto, onto_faces)
    settings = ICPSettings(with_scale)
    if start is not None:
        followed = icp(points, surface, None, start, settings)
        if followed.residual <= _FOLLOWED * start_residual + 1e-4:
            return followed.transform, followed.residual
    some = points[np.linspace(0, len(points) - 1, min(_POINTS, len(points))).astype(int)]
    starts = [Similarity(), *_starts(points, surface.vertices)]
    tree = cKDTree(surface.vertices)  # near enough to the surface for a choice
    nearness = [tree.query(option(some))[0].clip(max=0.03).mean() for option in starts]
    best = [starts[k] for k in np.argsort(nearness, kind="stable")[:_FINALISTS]]
    tried = [icp(some, surface, None, option, _TRIAL) for option in best]
    chosen = min(tried, key=lambda result: result.residual)
    result = icp(points, surface, None, chosen.transform, settings)
    return result.transform, result.residual


def _diagonal(vertices: np.ndarray, faces: np.ndarray) -> float:
    """Of the box around the vertices that are in triangles."""
    return float(np.linalg.norm(np.ptp(vertices[np.unique(faces)], axis=0)))


def _starts(points: np.ndarray, target: np.ndarray) -> list[Similarity]:
    """The small mesh in every turn of right angles, before the large one's outermost points and in its middle."""
    low, high = target.min(0), target.max(0)
    middle, extent = (low + high) / 2, high - low
    centre = (points.min(0) + points.max(0)) / 2
    front = np.array([centre[0], centre[1], points[:, 2].max()])
    starts = []
    for rotation in _turns():
        starts.append(Similarity(rotation, 1.0, middle - rotation @ centre))
        out, up = rotation[:, 2], rotation[:, 1]
        reach = (target - middle) @ out
        for height in _HEIGHTS:
            place_of_front = middle + reach.max() * out + height * np.abs(extent @ up) * up
            starts.append(Similarity(rotation, 1.0, place_of_front - rotation @ front))
    return starts


def _turns() -> list[np.ndarray]:
    """The 24 rotations that turn axes into axes."""
    turns = []
    for order in itertools.permutations(range(3)):
        for signs in itertools.product((1.0, -1.0), repeat=3):
            matrix = np.zeros((3, 3))
            matrix[np.arange(3), order] = signs
            if np.linalg.det(matrix) > 0:
                turns.append(matrix)
    return turns
