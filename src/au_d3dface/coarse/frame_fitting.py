"""Head pose, camera and expression of every frame, given the person's neutral face.

Per frame: similarity pose (R, s, t) and expression e that minimise

    Σ_l w_l ρ(|D^½ (y_l - s · F · R · (n_l + Σ_k e_k b_kl) - t)| / s) + ridge · |e|²,      F = diag(1, -1, -1)

over the landmarks y_l of the image frame, n the neutral landmarks and b the expression basis in the head frame, D the
relative confidence in x, y and depth, ρ Huber's loss. Gauss-Newton jointly over pose and expression, so that a dropping
jaw is not first mistaken for a nod. Outliers are handled by modified residuals (Huber and Dutter 1974): the normal
matrix stays that of the weights w_l, which makes it a sum of six precomputed Gram matrices whatever the rotation.
Inside, points are (T, 3, L): products with 3 x 3 matrices are several times as fast as on (T, L, 3).
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from ..geometry import axis_angle_to_matrix
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
        return (self.rotation.mT @ self._to_camera_frame(points.mT.contiguous())).mT

    def _to_camera_frame(self, points: Tensor) -> Tensor:
        """(T, 3, L) points of the image frame, in pixels, to metres in the camera frame."""
        unit = points.new_tensor(IMAGE_FLIP) / self.scale[:, None]
        return (points - self.translation[..., None]).mul_(unit[..., None])


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
        directions = torch.cat([basis.expression, rigid_directions(neutral)]).mT  # (E + 7, 3, L)
        weighted = directions * basis.weights
        self.weighted = weighted.flatten(1)
        self.expression = basis.expression.mT.flatten(1)  # (E, 3L)
        grams = []
        for a, b in _PAIRS:
            gram = weighted[:, a] @ directions[:, b].T
            grams.append(gram if a == b else gram + gram.T)
        self.grams = torch.stack(grams).flatten(1)  # (6, (E + 7)²)
        self.prior = neutral.new_zeros(len(directions))
        self.prior[: len(basis.expression)] = ridge
        self.prior[len(basis.expression) :] = 1e-9  # keeps the matrix definite where depth has no weight

    def start(self, points: Tensor) -> FrameFit:
        """Poses of a face without expression, in closed form.

        Umeyama's similarity (see `geometry.similarity_alignment`) for one source and many targets, where everything but
        the 3 x 3 decompositions is one matrix product.

        Args:
            points: (T, 3, L) pixels, image frame.
        """
        weights = self.basis.weights / self.basis.weights.sum()
        source = self.neutral - weights @ self.neutral  # (L, 3)
        weighted = weights[:, None] * source
        covariance = points.new_tensor(IMAGE_FLIP)[:, None] * (points @ weighted)  # (T, 3, 3)
        u, singular, vh = torch.linalg.svd(covariance)
        sign = torch.ones_like(singular)
        sign[:, 2] = torch.where(torch.linalg.det(u) * torch.linalg.det(vh) < 0, -1.0, 1.0)
        rotation = (u * sign[:, None]) @ vh
        scale = (singular * sign).sum(-1) / (weighted * source).sum()
        origin = (rotation @ (weights @ self.neutral)) * scale[:, None] * points.new_tensor(IMAGE_FLIP)
        expression = points.new_zeros(len(points), len(self.expression))
        return FrameFit(rotation, scale, points @ weights - origin, expression)

    def misfit(self, points: Tensor, fit: FrameFit) -> Tensor:
        """(T,) metres: root mean square image-plane distance of (T, L, 3) landmarks to the fitted face."""
        return self._residuals(points.mT.contiguous(), fit)[:, :2].square().sum(1).mean(-1).sqrt()

    def _residuals(self, points: Tensor, fit: FrameFit) -> Tensor:
        """(T, 3, L) metres in the camera frame: landmarks minus the fitted face."""
        head = (fit.expression @ self.expression).view(len(points), 3, -1).add_(self.neutral.T)
        return fit._to_camera_frame(points).sub_(fit.rotation @ head)

    def factor(self, rotation: Tensor) -> Tensor:
        """Cholesky factors (T, E + 7, E + 7) of the normal matrices of frames with these rotations."""
        metric = rotation.mT @ (self.depth[:, None] * rotation)  # (T, 3, 3): D in the head frame
        size = len(self.prior)
        left = (torch.stack([metric[:, a, b] for a, b in _PAIRS], -1) @ self.grams).unflatten(-1, (size, size))
        left.diagonal(dim1=-2, dim2=-1).add_(self.prior)
        return torch.linalg.cholesky(left)

    def step(self, points: Tensor, fit: FrameFit, factor: Tensor, outlier: float) -> FrameFit:
        """One Gauss-Newton step for (T, 3, L) landmarks, with residuals above `outlier` metres pulled in to it."""
        residual = self._residuals(points, fit)
        distance = (residual[:, 0].square() + residual[:, 1].square()).sqrt_().clamp_min_(outlier)
        residual *= (outlier / distance)[:, None]
        residual *= self.depth[:, None]
        right = (fit.rotation.mT @ residual).flatten(1) @ self.weighted.T  # (T, E + 7)
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
        points = points.mT.contiguous()
        fit = self.start(points) if start is None else start
        factor = self.factor(fit.rotation)
        for iteration in range(iterations):
            growth = 1.0 if start is not None else max(1.0, 8.0 * 0.25**iteration)
            fit = self.step(points, fit, factor, growth * self.outlier)
        return fit
