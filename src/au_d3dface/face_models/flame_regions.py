"""AU regions and the 468 landmarks for FLAME's mesh, derived from the bundled facemesh and the user's own FLAME.

The two models share the 68 iBUG points. A similarity, and a smooth warp (biharmonic splines) through those points, lay
the facemesh over FLAME's template; every one of its 468 points then moves to the nearest skin that faces the same way,
inner lips each to their own lip. Where they come to lie are the 468 landmarks. A vertex of FLAME belongs to the region
of an action unit if the place of that facemesh next to it does, and sides are made the same. The authors publish
neither: these are this project's, made on the user's machine, and nothing of FLAME is needed to ship them.
"""

from dataclasses import dataclass

import numpy as np
import torch
from scipy.interpolate import RBFInterpolator
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree
from torch import Tensor

from ..facs import ALL, label
from ..geometry import nearest_on_surface, similarity_alignment, vertex_normals
from .base import LandmarkEmbedding
from .facemesh import FaceMesh
from .ibug68 import IBUG_68_OF_468, INNER_LIPS

NUM_CONTOUR = 17
CONTOUR_SLACK, SLACK = 1e-2, 1e-4
"""Smoothing of the warp at the 17 contour points, which two meshes seldom have in the same places, and at the rest."""

REACH = 0.006
"""Metres from the facemesh, laid on the skin, within which a vertex can belong to a region."""

SAME_WAY = 0.2
"""Least cosine between normals of skin that faces the same way: the inside of a lip or a lid does not."""

JAW = 2
"""Column of the skinning weights; the lower lip goes with the jaw."""

_CANDIDATES, _NEAR = 12, 0.03
"""Nearest vertices whose triangles are looked at; metres from a landmark beyond which a vertex is in no region."""


@dataclass(frozen=True)
class Derived:
    """What is derived for one FLAME.

    Attributes:
        landmarks_468: the facemesh's points on FLAME's skin.
        au_regions: (19, V) uint8, rows as in `facs.ALL`.
    """

    landmarks_468: LandmarkEmbedding
    au_regions: Tensor


def derive(template: Tensor, faces: Tensor, skinning_weights: Tensor, landmarks_68: LandmarkEmbedding) -> Derived:
    """The 468 landmarks and the AU regions of a FLAME.

    Args:
        template: (V, 3) metres.
        faces: (F, 3).
        skinning_weights: (V, 5), of which the jaw's tell the lips apart.
        landmarks_68: the authors' embedding.

    Raises:
        ValueError: an action unit gets no vertex, so that the landmarks are not those of this mesh.
    """
    facemesh = FaceMesh()
    skin = _skin_faces(len(template), faces)
    laid = _warp(facemesh, landmarks_68(template, faces))  # (468, 3), near the skin
    normals = vertex_normals(laid, facemesh.faces)
    vertices, triangles = template.double().numpy(), skin.numpy()
    corners, weights, _ = nearest_on_surface(laid.numpy(), vertices, triangles, _CANDIDATES, normals.numpy(), SAME_WAY)
    jaw = skinning_weights[skin, JAW].mean(1)  # (F',), of each triangle
    for lip, rows in INNER_LIPS.items():
        own = triangles[((jaw > 0.5) if lip == "lower" else (jaw <= 0.5)).numpy()]
        if len(own):
            chosen = list(rows)
            placed = nearest_on_surface(laid[chosen].numpy(), vertices, own, _CANDIDATES)
            corners[chosen], weights[chosen] = placed[0], placed[1]
    on_skin = torch.from_numpy((vertices[corners] * weights[..., None]).sum(1))
    return Derived(_embedding(faces, corners, weights), _regions(template, faces, skin, facemesh, on_skin))


def _skin_faces(num_vertices: int, faces: Tensor) -> Tensor:
    """(F', 3): the largest connected part, which is the head without the eyeballs."""
    rows = faces.numpy()
    pairs = np.concatenate([rows[:, [0, 1]], rows[:, [1, 2]]])
    graph = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(num_vertices, num_vertices))
    _, part = connected_components(graph, directed=False)
    return faces[torch.from_numpy(part[rows[:, 0]] == np.bincount(part[rows[:, 0]]).argmax())]


def _warp(facemesh: FaceMesh, landmarks: Tensor) -> Tensor:
    """(468, 3) float64: the facemesh bent so that its iBUG points come to the (68, 3) given ones."""
    source, target = facemesh.template.double(), landmarks.double()
    rows = torch.tensor(IBUG_68_OF_468)
    inner = rows[NUM_CONTOUR:]
    rotation, scale, translation = similarity_alignment(source[inner], target[NUM_CONTOUR:])
    placed = scale * source @ rotation.T + translation
    slack = np.full(len(rows), SLACK)
    slack[:NUM_CONTOUR] = CONTOUR_SLACK
    bend = RBFInterpolator(placed[rows].numpy(), (target - placed[rows]).numpy(), smoothing=slack, kernel="linear")
    return placed + torch.from_numpy(bend(placed.numpy()))


def _embedding(faces: Tensor, corners: np.ndarray, weights: np.ndarray) -> LandmarkEmbedding:
    """Places on triangles named by their corners, as rows of `faces`."""
    of_triangle = {tuple(face): row for row, face in enumerate(faces.tolist())}
    rows = [of_triangle[tuple(face)] for face in corners.tolist()]
    return LandmarkEmbedding(torch.tensor(rows), torch.from_numpy(weights).float())


def _regions(template: Tensor, faces: Tensor, skin: Tensor, facemesh: FaceMesh, on_skin: Tensor) -> Tensor:
    """(19, V) uint8 regions, from those of the facemesh whose vertices lie at (468, 3) places on the skin."""
    vertices = template.double().numpy()
    used = skin.unique().numpy()
    near = used[cKDTree(on_skin.numpy()).query(vertices[used])[0] < _NEAR]
    normals = vertex_normals(template.double(), faces)[near].numpy()
    corners, weights, distance = nearest_on_surface(
        vertices[near], on_skin.numpy(), facemesh.faces.numpy(), _CANDIDATES, normals, SAME_WAY
    )
    own = facemesh.au_regions.double().numpy()  # (19, 468)
    share = np.zeros((len(ALL), len(template)))
    share[:, near] = (own[:, corners] * weights).sum(-1) * (distance < REACH)
    # The same left and right: a vertex goes with the one nearest to its mirror image.
    mirrored = vertices * [-1, 1, 1] + [2 * vertices[used, 0].mean(), 0, 0]
    partner = used[cKDTree(vertices[used]).query(mirrored[used])[1]]
    regions = np.zeros(share.shape, bool)
    regions[:, used] = (share[:, used] + share[:, partner]) / 2 >= 0.5
    empty = [label(number) for number, region in zip(ALL, regions, strict=True) if not region.any()]
    if empty:
        raise ValueError(f"no vertex is in the region of {', '.join(empty)}")
    return torch.from_numpy(regions.astype(np.uint8))
