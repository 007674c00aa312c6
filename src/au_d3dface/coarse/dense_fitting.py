"""A dense face fitted to the sparse one that the network refines: the 9,409 vertices of ICT-FaceKit from 468 points.

The points are where the dense model has its 468 landmarks. Once a person, from the neutral face: a similarity between
the two models' frames, identity, and the expression at rest (the dense model's own neutral has parted lips). Then,
frame by frame, expression weights w in 0-1 that minimise

    Σ_l |y_l - n_l - Σ_k (w_k - r_k) b_kl|² + RIDGE · |w - r|²,

y the points, n the neutral ones, b the shapes at the landmarks and r the weights at rest. It is strictly convex, so
that w and the mesh follow the points continuously; nothing is smoothed over time, and a blink keeps its length. What
the shapes cannot say is carried over the surface (`surface_detail.py`).
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from ..face_models import FaceModel, ICTFaceKit
from ..geometry import axis_angle_to_matrix
from .landmark_basis import RIGID_UNIT, LandmarkBasis, rigid_directions
from .surface_detail import SurfaceInterpolator

SHAPE_RIDGE = 1e-5
REST_RIDGE = 1e-4
RIDGE = 1e-5
"""Weights of the Gaussian priors, square metres, on identity, on expression at rest (what identity can say as well is
identity), and on the distance of expression weights from rest."""

UNSEEN = ("eyeLook", "PupilDilate")
"""Shapes that are never used: the 468 points say nothing of where an eye looks, only how far its lids are open."""

SWEEPS = 30
CHUNK = 256
"""Rounds of coordinate descent, and frames that are fitted at a time."""


@dataclass
class DenseNeutral:
    """A person's dense face at rest.

    Attributes:
        shape: (S,) identity coefficients.
        rest: (E,) expression weights at rest, in 0-1.
        points: (L, 3) metres, the sparse model's neutral landmarks, in its head frame.
        vertices: (V, 3) metres, in the same frame.
        rotation, scale, translation: (3, 3), scalar and (3,) metres: dense model's frame to that one.
    """

    shape: Tensor
    rest: Tensor
    points: Tensor
    vertices: Tensor
    rotation: Tensor
    scale: Tensor
    translation: Tensor


class DenseFitting:
    """Fits a dense face model with weights in 0-1 (ICT-FaceKit) to the vertices of a sparse one (facemesh).

    Args:
        dense: the model fitted.
        sparse: the model whose vertices are given; both with an embedding of the 468 landmarks.

    Raises:
        UsageError: a model without the embedding.
    """

    def __init__(self, dense: ICTFaceKit, sparse: FaceModel) -> None:
        self.face_model, self.sparse = dense, sparse
        self.basis = LandmarkBasis(dense)
        LandmarkBasis(sparse)  # says what is wrong with a model without landmarks
        self.detail = SurfaceInterpolator(dense)
        self.highest = torch.tensor([0.0 if name.startswith(UNSEEN) else 1.0 for name in dense.expression_names])

    @torch.no_grad()
    def neutral(self, vertices: Tensor, iterations: int = 4) -> DenseNeutral:
        """The person's dense face at rest, from the (V', 3) neutral vertices of the sparse model."""
        basis = self.basis
        points = self._points(vertices)
        identities, expressions = len(basis.shape), len(basis.expression)
        rotation, scale, translation = torch.eye(3), torch.ones(()), torch.zeros(3)
        coefficients = torch.zeros(identities + expressions)
        directions = torch.cat([basis.shape, basis.expression])
        lower = torch.cat(
            [torch.full((identities,), -torch.inf), torch.zeros(expressions), torch.full((7,), -torch.inf)]
        )
        upper = torch.cat([torch.full((identities,), torch.inf), self.highest, torch.full((7,), torch.inf)])
        ridge = torch.tensor([SHAPE_RIDGE] * identities + [REST_RIDGE] * expressions + [1e-9] * 7)
        for _ in range(iterations):
            posed = basis.template + torch.tensordot(coefficients, directions, dims=1)
            own = (points - translation) @ rotation / scale
            moving = torch.cat([directions, rigid_directions(posed)]).flatten(1)
            solver = _BoxLeastSquares(moving, ridge)
            solved = solver((own - basis.template).flatten()[None], lower, upper, sweeps=SWEEPS)[0]
            coefficients, rigid = solved[:-7], solved[-7:] * RIGID_UNIT
            translation = translation + scale * (rotation @ (0.05 * rigid[3:6]))
            rotation = rotation @ axis_angle_to_matrix(rigid[:3])
            scale = scale * torch.exp(rigid[6])
        shape, rest = coefficients.split([identities, expressions])
        explained = basis.template + torch.tensordot(coefficients, directions, dims=1)
        own = (points - translation) @ rotation / scale
        dense = self.face_model(shape, rest) + self.detail((own - explained)[None])[0]
        return DenseNeutral(shape, rest, points, dense @ rotation.T * scale + translation, rotation, scale, translation)

    @torch.no_grad()
    def __call__(self, vertices: Tensor, neutral: DenseNeutral) -> tuple[Tensor, Tensor]:
        """Frames of a person.

        Args:
            vertices: (T, V', 3) metres of the sparse model, finite.
            neutral: the person's, as `neutral` gives it.

        Returns:
            (T, V, 3) vertices of the dense model in the same head frame, and (T, E) expression weights in 0-1.
        """
        basis, rest = self.basis, neutral.rest
        solver = _BoxLeastSquares(basis.expression.flatten(1), torch.full((len(rest),), RIDGE))
        # Both bases carried into the head frame at once, so that a frame costs two products of matrices.
        turn = neutral.rotation.T * neutral.scale
        moved = (self.face_model.expression_basis @ turn).flatten(1)  # (E, 3V)
        dense = torch.empty(len(vertices), *neutral.vertices.shape)
        weights = torch.empty(len(vertices), len(rest))
        for start in range(0, len(vertices), CHUNK):
            rows = slice(start, start + CHUNK)
            shown = self._points(vertices[rows]) - neutral.points
            own = shown @ neutral.rotation / neutral.scale
            change = solver(own.flatten(1), -rest, self.highest - rest)
            left = shown - torch.tensordot(change, basis.expression @ turn, dims=1)
            torch.mm(change, moved, out=dense[rows].flatten(1))
            dense[rows] += neutral.vertices + self.detail(left)
            weights[rows] = rest + change
        return dense, weights

    def _points(self, vertices: Tensor) -> Tensor:
        """(..., V', 3) vertices of the sparse model to its (..., L, 3) landmarks."""
        embedding = self.sparse.landmarks_468
        assert embedding is not None  # __init__ has looked
        return embedding(vertices.float(), self.sparse.faces.to(vertices.device)).cpu()


class _BoxLeastSquares:
    """Many ridge regressions with the same directions and bounded coefficients.

    Args:
        directions: (K, D).
        ridge: (K,), above 0.
    """

    def __init__(self, directions: Tensor, ridge: Tensor) -> None:
        self.directions = directions
        self.gram = directions.double() @ directions.double().T + ridge.double().diag()

    def __call__(self, targets: Tensor, lower: Tensor, upper: Tensor, sweeps: int = SWEEPS) -> Tensor:
        """(T, D) targets and bounds (K,) to coefficients (T, K), by coordinate descent from the clipped free ones."""
        right = self.directions.double() @ targets.double().T  # (K, T): a coordinate's row lies together
        low, high = lower.double()[:, None], upper.double()[:, None]
        solution = torch.linalg.solve(self.gram, right).clamp(low, high)
        diagonal = self.gram.diagonal()
        for _ in range(sweeps):
            for k in range(len(solution)):
                step = (right[k] - self.gram[k] @ solution) / diagonal[k]
                solution[k] = (solution[k] + step).clamp(low[k], high[k])
        return solution.T.float()
