"""The head frame and the face's part of a Multiface mesh, found from its geometry with the bundled facemesh.

The authors publish neither landmarks nor regions of their 7,306 vertices. Here the facemesh, whose frame is the
project's head frame, is laid over the subject's face at rest: a similarity by iterated nearest points from the best of
the 24 ways in which the axes of two frames can lie, then the similarity and the identity weights of the facemesh
together, by least squares on the distances from the skin's planes, points only ever going to skin that faces the same
way. The head frame is the facemesh's, without its scale:
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
from ...geometry import TriangleSurface, axis_angle_to_matrix, nearest_on_surface, similarity_alignment, vertex_normals
from ...metrics import REGIONS, facemesh_regions
from ...tracking.topology import boundary_loops

REACH, RIM_REACH = 0.012, 0.006
"""Metres from the facemesh, laid over the face, within which a vertex belongs to the face: where the nearest point is
inside the facemesh, and on its rim (the outline, the eyes, the mouth)."""

SAME_WAY = 0.2
"""Least cosine between normals of skin that faces the same way."""

WORST_FIT, LEAST_SHARE = 0.003, 0.6
"""What is asked of a face: metres, the median distance of the facemesh's points from the mesh; and the share of them
that go to skin that faces the same way, of at most `_KEPT`. Eight published subjects at rest: 0.7 to 1.7 mm."""

SIZES = (0.75, 1.3)
"""Times as large as the facemesh that a face may be."""

_COARSE_ROUNDS, _FINE_ROUNDS, _LEAST_PAIRS = 12, 30, 100
_KEPT = 0.8
"""Share of the facemesh's points, the nearest ones, that count: its rim reaches hair and ears."""

_SHAPES, _STIFFNESS = 20, 4e-7
"""Identity weights used; square metres that one standard deviation of one costs, beside the mean square distance."""


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
    target = _Target(points.numpy(), faces, normals, skin)
    starts = [_coarse(facemesh, target, _start(facemesh, target, turn)) for turn in _turns()]
    fit = min(starts, key=lambda found: target.distance(found.laid(facemesh)))
    for _ in range(_FINE_ROUNDS):
        fit = _fine(facemesh, target, fit)
    laid = fit.laid(facemesh)
    distance = TriangleSurface(target.vertices, faces).nearest(laid.numpy()).distances
    median, scale = float(np.median(distance)), float(fit.scale)
    share = len(target.pairs(laid, facemesh.faces)[0]) / len(laid)
    if not (median <= WORST_FIT and share >= LEAST_SHARE and SIZES[0] <= scale <= SIZES[1]):
        raise InputError(
            f"No face is found on {name}: of the bundled face, made {scale:.2f} times as large, {share:.0%} lies on "
            f"skin that faces the same way, {1000 * median:.1f} mm from it (median), where {LEAST_SHARE:.0%} and "
            f"{1000 * WORST_FIT:.1f} mm are asked of a face at rest; name another expression as `neutral`."
        )
    rotation = fit.rotation.T.contiguous()
    return HeadFrame(rotation, fit.translation, _regions(target, laid, facemesh.faces), median)


def face_regions(vertices: np.ndarray, faces: np.ndarray, laid: Tensor) -> Tensor:
    """Which vertices of a mesh are the face, where the facemesh has been laid over it already.

    Args:
        vertices: (V, 3) metres.
        faces: (F, 3) counter-clockwise seen from outside.
        laid: (468, 3) the facemesh's points, on the mesh or near it.

    Returns:
        (V,) int64, the row of `metrics.REGIONS` of each vertex; -1 where it is not of the face.
    """
    points = torch.from_numpy(vertices.astype(np.float64))
    normals = vertex_normals(points, torch.from_numpy(faces)).numpy()
    return _regions(_Target(points.numpy(), faces, normals, np.unique(faces)), laid.double(), FaceMesh().faces)


@dataclass(frozen=True)
class _Fit:
    """The facemesh as it is laid: x_mesh = scale · rotation · (template + Σ weights · shapes) + translation."""

    rotation: Tensor
    scale: Tensor
    translation: Tensor
    weights: Tensor

    def laid(self, facemesh: FaceMesh) -> Tensor:
        """(468, 3) float64."""
        shaped = facemesh.template.double() + torch.tensordot(self.weights, _shapes(facemesh), dims=1)
        return self.scale * shaped @ self.rotation.T + self.translation


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

    def pairs(self, laid: Tensor, laid_faces: Tensor) -> tuple[Tensor, Tensor]:
        """Rows of the points that count, (n,), and the vertices that they go to, (n,)."""
        distance, rows = self.near(laid)
        facing = (vertex_normals(laid, laid_faces).numpy() * self.normals[rows]).sum(1) >= SAME_WAY
        kept = np.flatnonzero(facing & (distance <= np.quantile(distance, _KEPT)))
        return torch.from_numpy(kept), torch.from_numpy(rows[kept])


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


def _shapes(facemesh: FaceMesh) -> Tensor:
    """(S, 468, 3)."""
    return facemesh.shape_basis[:_SHAPES].double()


def _start(facemesh: FaceMesh, target: _Target, turn: Tensor) -> _Fit:
    """The facemesh turned so, its foremost point, the tip of the nose, on the mesh's foremost one."""
    template, skin = facemesh.template.double(), torch.from_numpy(target.vertices[target.skin])
    tip = skin[(skin @ turn[:, 2]).argmax()]
    one, none = torch.ones((), dtype=torch.float64), torch.zeros(_SHAPES, dtype=torch.float64)
    return _Fit(turn, one, tip - turn @ template[template[:, 2].argmax()], none)


def _coarse(facemesh: FaceMesh, target: _Target, fit: _Fit) -> _Fit:
    """Iterated nearest points: the similarity alone."""
    template = facemesh.template.double()
    for _ in range(_COARSE_ROUNDS):
        kept, rows = target.pairs(fit.laid(facemesh), facemesh.faces)
        if len(kept) < _LEAST_PAIRS:  # most of it faces the wrong way: this start leads nowhere
            return fit
        pose = similarity_alignment(template[kept], torch.from_numpy(target.vertices)[rows])
        fit = _Fit(*pose, fit.weights)
    return fit


def _fine(facemesh: FaceMesh, target: _Target, fit: _Fit) -> _Fit:
    """One round of least squares on the distances from the tangent planes at the nearest vertices, linearized.

    Unknown are a small turn ω, a change of scale σ and a shift τ, all about the middle c of the points, and the
    identity weights w, whose squares cost:
    x' = x + ω × (x - c) + σ (x - c) + τ + scale · rotation · Σ (w' - w) · shapes.
    """
    laid, vertices = fit.laid(facemesh), torch.from_numpy(target.vertices)
    kept, rows = target.pairs(laid, facemesh.faces)
    if len(kept) < _LEAST_PAIRS:
        return fit
    normals = torch.from_numpy(target.normals)[rows]
    centre = laid.mean(0)
    arm = (laid - centre)[kept]
    moved = fit.scale * _shapes(facemesh) @ fit.rotation.T  # (S, 468, 3)
    columns = torch.cat(
        [
            torch.linalg.cross(arm, normals),
            (arm * normals).sum(-1, keepdim=True),
            normals,
            (moved[:, kept] * normals).sum(-1).T,
        ],
        1,
    )  # (n, 3 + 1 + 3 + S)
    residual = ((vertices[rows] - laid[kept]) * normals).sum(-1)
    stiffness = torch.cat([torch.zeros(7), torch.full((len(fit.weights),), _STIFFNESS)]).double()
    known = torch.cat([torch.zeros(7, dtype=torch.float64), fit.weights])
    gram = columns.T @ columns / len(kept) + torch.diag(stiffness)
    change = torch.linalg.lstsq(gram, columns.T @ residual / len(kept) - stiffness * known).solution
    turn, grown = axis_angle_to_matrix(change[:3]), 1 + change[3]
    return _Fit(
        turn @ fit.rotation,
        grown * fit.scale,
        centre + change[4:7] + grown * turn @ (fit.translation - centre),
        fit.weights + change[7:],
    )


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
