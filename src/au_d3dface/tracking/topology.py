"""The face mesh over MediaPipe's 468 landmarks: triangles, holes, mirror, and landmarks with a known meaning.

The edges are read from the installed mediapipe; everything else follows from them. The mesh is open at the eyes, the
mouth and the outline. "Right" and "left" are the subject's, so right is on the left of an image.
"""

import importlib
import importlib.util
from functools import cache
from itertools import combinations
from pathlib import Path

import numpy as np
from scipy.optimize import linear_sum_assignment

from ..errors import MissingDependencyError
from .base import NUM_FACE_LANDMARKS, NUM_LANDMARKS

# Found by drawing the numbers on faces and looking.
RIGHT_EYE_OUTER, RIGHT_EYE_INNER, LEFT_EYE_INNER, LEFT_EYE_OUTER = 33, 133, 362, 263
RIGHT_EYE_UPPER_LID, RIGHT_EYE_LOWER_LID, LEFT_EYE_UPPER_LID, LEFT_EYE_LOWER_LID = 159, 145, 386, 374
RIGHT_IRIS, LEFT_IRIS = 468, 473
"""Iris centres; the four points after each are on the iris' edge, at image right, top, image left and bottom."""
RIGHT_BROW_OUTER, RIGHT_BROW_INNER, LEFT_BROW_INNER, LEFT_BROW_OUTER = 70, 107, 336, 300
NASION, NOSE_TIP, SUBNASALE, RIGHT_NOSE_WING, LEFT_NOSE_WING = 168, 4, 2, 129, 358
RIGHT_LIP_CORNER, LEFT_LIP_CORNER = 61, 291
UPPER_LIP_TOP, UPPER_LIP_INNER, LOWER_LIP_INNER, LOWER_LIP_BOTTOM = 0, 13, 14, 17
FOREHEAD_TOP, CHIN, RIGHT_CHEEK_OUTLINE, LEFT_CHEEK_OUTLINE = 10, 152, 234, 454

_HOLES = {
    "outline": (FOREHEAD_TOP, 36),
    "mouth": (LOWER_LIP_INNER, 20),
    "right_eye": (RIGHT_EYE_OUTER, 16),
    "left_eye": (LEFT_EYE_OUTER, 16),
}
_RIGHT_OF_FOREHEAD_TOP = 109

_LANDMARKS_68 = (
    # Contour, from the subject's right temple over the chin to the left.
    *(127, 234, 132, 58, 172, 136, 150, 176, 152, 400, 379, 365, 397, 288, 361, 454, 356),
    *(70, 63, 105, 66, 107),  # right brow, outer to inner
    *(336, 296, 334, 293, 300),  # left brow, inner to outer
    *(168, 197, 5, 4, 98, 97, 2, 326, 327),  # nose: bridge down to the tip, then its base from right to left
    *(33, 160, 158, 133, 153, 144),  # right eye, from the outer corner over the upper lid
    *(362, 385, 387, 263, 373, 380),  # left eye, from the inner corner over the upper lid
    *(61, 39, 37, 0, 267, 269, 291, 321, 314, 17, 84, 91),  # outer lips, from the right corner over the upper lip
    *(78, 81, 13, 311, 308, 402, 14, 178),  # inner lips, the same way
)


def landmarks_68() -> np.ndarray:
    """(68,) int64: the mesh vertices nearest to the 68 points of the iBUG 300-W mark-up, in its order.

    The 17 contour points are the mesh's own outline, which does not slide along the cheek when the head turns.
    """
    return np.array(_LANDMARKS_68, dtype=np.int64)


@cache
def _face_mesh_triangles() -> np.ndarray:
    edges = _mesh_edges()
    neighbours: list[set[int]] = [set() for _ in range(NUM_FACE_LANDMARKS)]
    for a, b in edges:
        neighbours[a].add(b)
        neighbours[b].add(a)
    cliques = sorted((a, b, c) for a, b in edges for c in neighbours[a] & neighbours[b] if c > b)
    at_edge: dict[tuple[int, int], list[tuple[int, ...]]] = {edge: [] for edge in edges}
    for clique in cliques:
        for edge in combinations(clique, 2):
            at_edge[edge].append(clique)
    # Three edges that enclose other triangles are a clique but no triangle: each of them has two true ones already.
    false = {clique for clique in cliques if all(len(at_edge[edge]) > 2 for edge in combinations(clique, 2))}

    # From one triangle whose sense is known to all others: neighbours run along their common edge in opposite senses.
    top = (FOREHEAD_TOP, _RIGHT_OF_FOREHEAD_TOP)
    waiting = [top]  # the directed edges whose triangle, on their left, is to be entered
    oriented: dict[tuple[int, ...], tuple[int, int, int]] = {}
    while waiting:
        a, b = waiting.pop()
        for clique in at_edge[min(a, b), max(a, b)]:
            if clique in oriented or clique in false:
                continue
            c = next(corner for corner in clique if corner not in (a, b))
            oriented[clique] = (a, b, c)
            waiting += [(b, a), (c, b), (a, c)]
    triangles = np.array([oriented[clique] for clique in cliques if clique not in false], dtype=np.int64)
    triangles.setflags(write=False)
    return triangles


def face_mesh_triangles() -> np.ndarray:
    """(852, 3) int64: the triangles, counter-clockwise seen from outside, in a fixed order.

    Normals point out of the face where x is to the subject's left, y up and z out of the face; in the image frame (y
    down, z away from the camera), which has the same handedness, they do so too.

    Raises:
        MissingDependencyError: mediapipe, which carries the edges, is not installed.
    """
    return _face_mesh_triangles().copy()


@cache
def _boundary_loops() -> dict[str, np.ndarray]:
    triangles = _face_mesh_triangles()
    directed = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    present = set(map(tuple, directed.tolist()))
    following = {a: b for a, b in present if (b, a) not in present}
    loops = {}
    for name, (first, length) in _HOLES.items():
        loop = [first]
        while (vertex := following[loop[-1]]) != first:
            loop.append(vertex)
        if len(loop) != length:
            raise MissingDependencyError(
                f"the face mesh of the installed mediapipe has {len(loop)} edges around the {name}, not {length}: "
                "install mediapipe 0.10.21, whose mesh is the one that this package knows"
            )
        loops[name] = np.array(loop, dtype=np.int64)
    return loops


def boundary_loops() -> dict[str, np.ndarray]:
    """The mesh's edges, each a closed loop of vertices with the surface on the left, seen from outside.

    Returns:
        `outline` (36,) from the top of the forehead over the subject's right cheek; `mouth` (20,) from the middle of
        the lower lip; `right_eye` (16,) and `left_eye` (16,) from the outer corner.
    """
    return {name: loop.copy() for name, loop in _boundary_loops().items()}


@cache
def _mirror_indices() -> np.ndarray:
    # The mesh is symmetric but for six diagonals, so its harmonic drawing (Tutte 1963) with the outline on a symmetric
    # polygon is symmetric up to less than half the distance of neighbours: the nearest mirrored partner is the partner.
    triangles, outline = _face_mesh_triangles(), _boundary_loops()["outline"]
    adjacency = np.zeros((NUM_FACE_LANDMARKS, NUM_FACE_LANDMARKS))
    for a, b in ((0, 1), (1, 2), (2, 0)):
        adjacency[triangles[:, a], triangles[:, b]] = adjacency[triangles[:, b], triangles[:, a]] = 1
    laplacian = np.diag(adjacency.sum(1)) - adjacency
    angle = 2 * np.pi * np.arange(len(outline)) / len(outline)
    drawing = np.zeros((NUM_FACE_LANDMARKS, 2))
    drawing[outline] = np.stack([-np.sin(angle), np.cos(angle)], 1)
    inside = np.setdiff1d(np.arange(NUM_FACE_LANDMARKS), outline)
    pull = laplacian[np.ix_(inside, outline)] @ drawing[outline]
    drawing[inside] = np.linalg.solve(laplacian[np.ix_(inside, inside)], -pull)
    distance = np.linalg.norm((drawing * [-1, 1])[:, None] - drawing[None], axis=-1)
    mirror = linear_sum_assignment(distance)[1].astype(np.int64)
    # Iris centres, then image right and image left swap; top and bottom stay.
    irises = np.array([473, 476, 475, 474, 477, 468, 471, 470, 469, 472])
    mirror = np.concatenate([mirror, irises])
    mirror.setflags(write=False)
    return mirror


def mirror_indices(irises: bool = False) -> np.ndarray:
    """The left-right mirror permutation: landmark `mirror[i]` is the mirror image of landmark i.

    A face is mirrored at its symmetry plane by `vertices[mirror] * [-1, 1, 1]`. It maps the triangles to triangles but
    for six quadrilaterals, whose diagonals mediapipe drew differently on the two sides.

    Args:
        irises: also permutes the ten iris points.

    Returns:
        (468,) int64, or (478,) with irises; applied twice it is the identity.
    """
    return _mirror_indices()[: NUM_LANDMARKS if irises else NUM_FACE_LANDMARKS].copy()


def _mesh_edges() -> set[tuple[int, int]]:
    """The mesh's undirected edges (a < b), from whichever table the installed mediapipe carries."""
    package = importlib.util.find_spec("mediapipe")
    if package is None or not package.submodule_search_locations:
        raise MissingDependencyError(
            "mediapipe, which carries the face mesh's edges, is not installed: run `pip install mediapipe==0.10.21` "
            "(Python 3.11 or 3.12)"
        )
    # The table alone is a plain Python file: read without importing mediapipe, which takes a second and needs libGL.
    table = Path(package.submodule_search_locations[0], "python", "solutions", "face_mesh_connections.py")
    if table.is_file():
        spec = importlib.util.spec_from_file_location("_face_mesh_connections", table)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        pairs = module.FACEMESH_TESSELATION
    else:
        pairs = _edges_of_tasks()
    return {(min(a, b), max(a, b)) for a, b in pairs}


def _edges_of_tasks() -> list[tuple[int, int]]:
    """The same table where mediapipe 0.10.30 and later keep it."""
    try:
        landmarker = importlib.import_module("mediapipe.tasks.python.vision.face_landmarker")
    except ImportError as error:
        raise MissingDependencyError(
            f"mediapipe, which carries the face mesh's edges, does not import ({error}): reinstall mediapipe"
        ) from error
    return [(edge.start, edge.end) for edge in landmarker.FaceLandmarksConnections.FACE_LANDMARKS_TESSELATION]
