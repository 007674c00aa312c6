"""Head pose, camera and expression of every frame, given the person's neutral face.

Per frame: similarity pose (R, s, t) and expression e that minimise

    Σ_l w_l ρ(|D^½ (y_l - s · F · R · (n_l + Σ_k e_k b_kl) - t)| / s) + ridge · |e|²,      F = diag(1, -1, -1)

over the landmarks y_l of the image frame, n the neutral landmarks and b the expression basis in the head frame, D the
relative confidence in x, y and depth, ρ Huber's loss. Gauss-Newton jointly over pose and expression, so that a dropping
jaw is not first mistaken for a nod. Outliers are handled by modified residuals (Huber and Dutter 1974): the normal
matrix stays that of the weights w_l, which makes it a sum of six precomputed Gram matrices whatever the rotation.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from ..geometry import axis_angle_to_matrix, similarity_alignment
from .landmark_basis import RIGID_UNIT, LandmarkBasis, rigid_directions

IMAGE_FLIP = (1.0, -1.0, -1.0)
"""Camera frame (y up, z towards the viewer) to image frame (y down, z away): F above."""

_PAIRS = ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))


@dataclass
class FrameFit:
    """Pose, camera and expression of T frames; `translation` keeps the depth of the landmarks' own origin.

    Attributes:
        rotation: (T, 3, 3) head frame to camera frame.
        scale: (T,) pixels per metre.
        translation: (T, 3) pixels, image frame.
        expression: (T, E).
    """

    rotation: Tensor
    scale: Tensor
    translation: Tensor
    expression: Tensor

    def __getitem__(self, index: slice | Tensor) -> "FrameFit":
        return FrameFit(self.rotation[index], self.scale[index], self.translation[index], self.expression[index])

    @classmethod
    def cat(cls, fits: "list[FrameFit]") -> "FrameFit":
        return cls(*(torch.cat([getattr(fit, name) for fit in fits]) for name in cls.__dataclass_fields__))

    def to_head_frame(self, points: Tensor) -> Tensor:
        """(T, L, 3) points of the image frame to metres in the head frame."""
        moved = (points - self.translation[:, None]) * (points.new_tensor(IMAGE_FLIP) / self.scale[:, None, None])
        return moved @ self.rotation


class FrameFitter:
    """The solver for one neutral face, its Gram matrices computed once.

    Args:
        basis: the face model at its landmarks.
        neutral: (L, 3) metres, the person's landmarks at rest.
        ridge: weight of |e|², square metres: landmark noise variance times the correlation between landmarks.
        outlier: metres in the image plane beyond which a residual counts linearly (Huber's threshold).
        depth_weight: confidence in depth relative to x and y, in [0, 1].
    """

    def __init__(
        self, basis: LandmarkBasis, neutral: Tensor, ridge: float, outlier: float, depth_weight: float
    ) -> None:
        self.basis, self.neutral, self.outlier = basis, neutral, outlier
        self.depth = neutral.new_tensor([1.0, 1.0, depth_weight])
        self.directions = torch.cat([basis.expression, rigid_directions(neutral)])  # (E + 7, L, 3)
        weighted = self.directions * basis.weights[:, None]
        self.weighted = weighted.flatten(1)
        grams = []
        for a, b in _PAIRS:
            gram = weighted[..., a] @ self.directions[..., b].T
            grams.append(gram if a == b else gram + gram.T)
        self.grams = torch.stack(grams).flatten(1)  # (6, (E + 7)²)
        self.prior = torch.zeros(len(self.directions), device=neutral.device)
        self.prior[: len(basis.expression)] = ridge
        self.prior[len(basis.expression) :] = 1e-9  # keeps the matrix definite where depth has no weight

    def start(self, points: Tensor) -> FrameFit:
        """Poses of a face without expression: weighted Procrustes of (T, L, 3) landmarks, in closed form."""
        target = points * points.new_tensor(IMAGE_FLIP)
        rotation, scale, translation = similarity_alignment(
            self.neutral.expand_as(target), target, self.basis.weights.expand(target.shape[:-1])
        )
        expression = points.new_zeros(len(points), len(self.basis.expression))
        return FrameFit(rotation, scale, translation * points.new_tensor(IMAGE_FLIP), expression)

    def residuals(self, points: Tensor, fit: FrameFit) -> Tensor:
        """(T, L, 3) metres in the camera frame: landmarks minus the fitted face."""
        head = (fit.expression @ self.basis.expression.flatten(1)).view(-1, *self.neutral.shape).add_(self.neutral)
        unit = points.new_tensor(IMAGE_FLIP) / fit.scale[:, None, None]
        return ((points - fit.translation[:, None]) * unit).sub_(head @ fit.rotation.mT)

    def factor(self, rotation: Tensor) -> Tensor:
        """Cholesky factors (T, E + 7, E + 7) of the normal matrices of frames with these rotations."""
        metric = rotation.mT @ (self.depth[:, None] * rotation)  # (T, 3, 3): D in the head frame
        size = len(self.prior)
        left = (torch.stack([metric[:, a, b] for a, b in _PAIRS], -1) @ self.grams).unflatten(-1, (size, size))
        left.diagonal(dim1=-2, dim2=-1).add_(self.prior)
        return torch.linalg.cholesky(left)

    def step(self, points: Tensor, fit: FrameFit, factor: Tensor, outlier: float) -> FrameFit:
        """One Gauss-Newton step for (T, L, 3) landmarks, with residuals above `outlier` metres pulled in to it."""
        residual = self.residuals(points, fit)
        distance = residual[..., :2].norm(dim=-1, keepdim=True)
        residual *= (outlier / distance.clamp_min_(outlier)) * self.depth
        right = (residual @ fit.rotation).flatten(1) @ self.weighted.T  # (T, E + 7)
        size = fit.expression.shape[1]
        right[:, :size] -= self.prior[:size] * fit.expression
        update = torch.cholesky_solve(right[..., None], factor).squeeze(-1)
        rigid = update[:, size:] * RIGID_UNIT
        turn, shift, growth = rigid[:, :3], 0.05 * rigid[:, 3:6], rigid[:, 6]
        moved = (fit.rotation @ shift[..., None]).squeeze(-1) * fit.scale[:, None] * points.new_tensor(IMAGE_FLIP)
        return FrameFit(
            fit.rotation @ axis_angle_to_matrix(turn),
            fit.scale * torch.exp(growth),
            fit.translation + moved,
            fit.expression + update[:, :size],
        )

    def __call__(self, points: Tensor, iterations: int = 4, start: FrameFit | None = None) -> FrameFit:
        """Fits (T, L, 3) landmarks from a closed-form pose (or from `start`).

        The outlier threshold comes down to its value over the steps: far landmarks are outliers only once the
        expression has had a chance to reach them.
        """
        fit = self.start(points) if start is None else start
        factor = self.factor(fit.rotation)
        for iteration in range(iterations):
            growth = 1.0 if start is not None else max(1.0, 8.0 * 0.25**iteration)
            fit = self.step(points, fit, factor, growth * self.outlier)
        return fit
