"""The head frame and the face's part of a Multiface mesh, found from its geometry with the bundled facemesh.

The authors publish neither landmarks nor regions of their 7,306 vertices. Here the facemesh, whose frame is the
project's head frame, is laid over the subject's face at rest: a similarity by iterated nearest points from the best of
the 24 ways in which the axes of two frames can lie, then in turns the similarity and the identity coefficients of the
facemesh, points only ever going to skin that faces the same way. The head frame is the facemesh's, without its scale:
x to the subject's left, y up, z out of the face, metres as captured. A vertex belongs to the face, and to the region
of the facemesh vertex next to it, if it lies within a few millimetres of the facemesh and faces the same way; so the
back of the head, the ears, the neck and vertices in no triangle (eyes, inside of the mouth) do not count.
"""

import itertools
from dataclasses import dataclass

import numpy as np
import torch
from scipy.spatial import cKDTree
from torch import Tensor

from ...errors import InputError
from ...face_models import FaceMesh
from ...geometry import nearest_on_surface, similarity_alignment, vertex_normals
from ...metrics import REGIONS, facemesh_regions
from ...tracking.topology import boundary_loops

REACH, RIM_REACH = 0.012, 0.006
"""Metres from the facemesh, laid over the face, within which a vertex belongs to the face: where the nearest point is
inside the facemesh, and on its rim (the outline, the eyes, the mouth)."""

SAME_WAY = 0.2
"""Least cosine between normals of skin that faces the same way."""

WORST_FIT = 0.004
"""Metres: a median distance of the facemesh from the mesh above which it is not on the face."""

_COARSE_ROUNDS, _FINE_ROUNDS, _SHAPE_ROUNDS = 12, 20, 8
_KEPT = 0.8
"""Share of the facemesh's points, the nearest ones, that count: its rim reaches hair and ears."""

_SHAPES, _STIFFNESS = 20, 4e-6
"""Identity coefficients used, and square metres that one of one standard deviation costs, against the mean square
distance: a tracked face is smooth, and correspondences err by about two millimetres."""


@dataclass(frozen=True)
class HeadFrame:
    """Where the head frame lies in the mesh's own frame, and which vertices are the face.

    Attributes:
        rotation: (3, 3) and origin: (3,) metres, float64: x_head = rotation (x_mesh - origin).
        regions: (7306,) int64, the row of `metrics.REGIONS` of each vertex; -1 where it is not of the face.
        fit: metres, median distance of the facemesh's points from the mesh.
    """

    rotation: Tensor
    origin: Tensor
    regions: Tensor
    fit: float

    @property
    def face(self) -> Tensor:
        """(n,) int64 vertices of the face, increasing."""
        return torch.nonzero(self.regions >= 0)[:, 0]

    def __call__(self, vertices: Tensor) -> Tensor:
        """(..., V, 3) metres in the mesh's own frame to (..., V, 3) in the head frame, of the same dtype."""
        return ((vertices.double() - self.origin) @ self.rotation.T).to(vertices.dtype)


def find_head_frame(vertices: np.ndarray, faces: np.ndarray, name: str) -> HeadFrame:
    """The head frame of a face at rest.

    Args:
        vertices: (V, 3) metres.
        faces: (F, 3) counter-clockwise seen from outside.
        name: of the mesh, for the error.

    Raises:
        InputError: the facemesh does not come to lie on it, so that it is not a face at rest.
    """
    facemesh = FaceMesh()
    points, triangles = torch.from_numpy(vertices.astype(np.float64)), torch.from_numpy(faces)
    normals = vertex_normals(points, triangles).numpy()
    skin = np.unique(faces)
    template = facemesh.template.double()
    target = _Target(points.numpy(), faces, normals, skin)
    starts = (_iterate(template, facemesh.faces, target, _start(template, target, turn)) for turn in _turns())
    rotation, scale, translation = min(starts, key=lambda pose: target.distance(_posed(template, pose)))
    pose = rotation, scale, translation
    for _ in range(_FINE_ROUNDS):
        pose = _step(template, facemesh.faces, target, pose)
    shaped = template
    for _ in range(_SHAPE_ROUNDS):
        laid = _posed(shaped, pose)
        places, kept = target.places(laid, facemesh.faces)
        shaped = _shape(facemesh, _unposed(places, pose), kept)
        pose = similarity_alignment(shaped[kept], places[kept])
    fit = target.distance(_posed(shaped, pose))
    if not fit <= WORST_FIT:
        raise InputError(
            f"No face is found on {name}: the bundled face lies {1000 * fit:.1f} mm from it (median), where "
            f"{1000 * WORST_FIT:.0f} mm is the most for a face at rest; name another expression as `neutral`."
        )
    regions = _regions(target, _posed(shaped, pose), facemesh.faces)
    return HeadFrame(pose[0].T.contiguous(), pose[2], regions, fit)


_Pose = tuple[Tensor, Tensor, Tensor]
"""Rotation (3, 3), scale () and translation (3,) from the facemesh's frame to the mesh's."""


@dataclass(frozen=True)
class _Target:
    """The mesh: (V, 3) vertices and normals, (F, 3) faces, and which vertices are in a triangle."""

    vertices: np.ndarray
    faces: np.ndarray
    normals: np.ndarray
    skin: np.ndarray

    def __post_init__(self) -> None:
        object.__setattr__(self, "tree", cKDTree(self.vertices[self.skin]))

    def near(self, laid: Tensor) -> tuple[np.ndarray, np.ndarray]:
        """(L,) distances to the nearest vertex in a triangle, and which it is."""
        distance, row = self.tree.query(laid.numpy())  # type: ignore[attr-defined]
        return distance, self.skin[row]

    def distance(self, laid: Tensor) -> float:
        """Median over the points, to the nearest vertex (a few millimetres too much where vertices are sparse)."""
        return float(np.median(self.near(laid)[0]))

    def places(self, laid: Tensor, laid_faces: Tensor) -> tuple[Tensor, Tensor]:
        """The nearest points of the surface that face the same way, (L, 3), and which of them count, (L,) bool."""
        own = vertex_normals(laid, laid_faces).numpy()
        corners, weights, distance = nearest_on_surface(
            laid.numpy(), self.vertices, self.faces, normals=own, least_cosine=SAME_WAY
        )
        kept = distance <= np.quantile(distance, _KEPT)
        return torch.from_numpy((self.vertices[corners] * weights[..., None]).sum(1)), torch.from_numpy(kept)


def _turns() -> list[Tensor]:
    """The 24 rotations that take axes to axes, the identity first."""
    turns = []
    for order in itertools.permutations(range(3)):
        for signs in itertools.product((1.0, -1.0), repeat=3):
            turn = torch.zeros(3, 3, dtype=torch.float64)
            turn[list(order), range(3)] = torch.tensor(signs, dtype=torch.float64)
            if torch.linalg.det(turn) > 0:
                turns.append(turn)
    return turns


def _start(template: Tensor, target: _Target, turn: Tensor) -> _Pose:
    """The facemesh turned so, its foremost point, the tip of the nose, on the mesh's foremost one."""
    skin = torch.from_numpy(target.vertices[target.skin])
    tip = skin[(skin @ turn[:, 2]).argmax()]
    return turn, torch.ones((), dtype=torch.float64), tip - turn @ template[template[:, 2].argmax()]


def _iterate(template: Tensor, faces: Tensor, target: _Target, pose: _Pose) -> _Pose:
    for _ in range(_COARSE_ROUNDS):
        pose = _step(template, faces, target, pose)
    return pose


def _step(template: Tensor, faces: Tensor, target: _Target, pose: _Pose) -> _Pose:
    """One round of iterated nearest points, to vertices."""
    laid = _posed(template, pose)
    distance, rows = target.near(laid)
    facing = (vertex_normals(laid, faces).numpy() * target.normals[rows]).sum(1) >= SAME_WAY
    kept = facing & (distance <= np.quantile(distance, _KEPT))
    if kept.sum() < 100:  # most of it faces the wrong way: this start leads nowhere
        return pose
    chosen = torch.from_numpy(kept)
    return similarity_alignment(template[chosen], torch.from_numpy(target.vertices[rows[kept]]))


def _posed(points: Tensor, pose: _Pose) -> Tensor:
    rotation, scale, translation = pose
    return scale * points @ rotation.T + translation


def _unposed(points: Tensor, pose: _Pose) -> Tensor:
    rotation, scale, translation = pose
    return (points - translation) @ rotation / scale


def _shape(facemesh: FaceMesh, places: Tensor, kept: Tensor) -> Tensor:
    """(468, 3): the facemesh of the identity coefficients that bring its kept points nearest to (468, 3) places."""
    basis = facemesh.shape_basis[:_SHAPES].double()
    columns = basis[:, kept].flatten(1).T  # (3 n, S)
    residual = (places - facemesh.template.double())[kept].flatten()
    count = int(kept.sum())
    gram = columns.T @ columns / count + _STIFFNESS * torch.eye(len(basis), dtype=torch.float64)
    weights = torch.linalg.solve(gram, columns.T @ residual / count)
    return facemesh.template.double() + torch.tensordot(weights, basis, dims=1)


def _regions(target: _Target, laid: Tensor, laid_faces: Tensor) -> Tensor:
    """(V,) int64 of the mesh's vertices, -1 beyond the face."""
    near = target.skin[cKDTree(laid.numpy()).query(target.vertices[target.skin])[0] < 2 * REACH]
    own = target.normals[near]
    corners, weights, distance = nearest_on_surface(
        target.vertices[near], laid.numpy(), laid_faces.numpy(), normals=own, least_cosine=SAME_WAY
    )
    across = vertex_normals(laid, laid_faces).numpy()
    same_way = ((across[corners] * weights[..., None]).sum(1) * own).sum(1) >= SAME_WAY
    of_vertex = np.empty(len(laid), np.int64)
    for row, name in enumerate(REGIONS):
        of_vertex[facemesh_regions()[name].numpy()] = row
    nearest = np.take_along_axis(corners, weights.argmax(1)[:, None], 1)[:, 0]
    rim = np.concatenate(list(boundary_loops().values()))
    on_rim = (np.isin(corners, rim) | (weights < 1e-9)).all(1)
    reach = np.where(on_rim, RIM_REACH, REACH)
    regions = np.full(len(target.vertices), -1, np.int64)
    regions[near] = np.where((distance < reach) & same_way, of_vertex[nearest], -1)
    return torch.from_numpy(regions)
