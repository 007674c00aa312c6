"""The person's neutral face: identity, the face at rest, and what the identity basis cannot say.

A frame's landmarks in the head frame are  template + identity + expression + detail. Identity and the expression at
rest are solved jointly, with a Gaussian prior on both, from ONE robust mean over the frames in which the person is at
rest: a hundred smiling frames are one piece of evidence, not a hundred, so that a person who never relaxes is still
seen as smiling. What a face at rest may differ from the population's by (a resting frown, parted lips) is absorbed in
the neutral within `rest_limit` standard deviations in each expression coefficient; the rest stays an expression.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from .frame_fitting import FrameFit, FrameFitter
from .landmark_basis import LandmarkBasis, rigid_directions
from .metric_scale import size_factor

PERSON_RIDGE = 1e-5
FRAME_RIDGE = 2e-6
"""Weights of the Gaussian priors (square metres) on one face's identity and expression, solved together, and on the
expression of a frame whose neutral is being found."""

REST_LIMIT = 1.0
REST_ENERGY = (8.0, 25.0)
"""Standard deviations of each expression coefficient that a resting face may differ by from the population's, and the
squared Mahalanobis distances up to which a calm face is taken to be at rest, and from which on it is an expression that
the person never lets go: the limit falls to 0 in between. Seen: rest 4 to 13, a constant smile 46 and more."""

DETAIL_LIMIT = 0.003
"""Metres that a neutral face may differ from identity and expression bases at a landmark."""

LIP_GAPS = ((13, 14), (82, 87), (312, 317))
LIP_GAP_SCALE = 0.002
"""Pairs of inner lip landmarks, and the gap (metres) that counts as one standard deviation away from rest."""

LID_GAPS = ((159, 145), (386, 374))
LID_QUANTILE = 0.7
LID_SCALE = 0.2
"""Pairs of lid landmarks, the quantile of their gap over the frames that counts as open eyes, and the relative closing
that counts as one standard deviation away from rest: a lowered gaze is calm, but no rest."""

REST_QUANTILE = 0.1
"""Share of the frames that is taken to be at rest, at least."""


@dataclass
class Neutral:
    """A person's neutral face.

    Attributes:
        shape: (S,) identity coefficients.
        rest: (E,) the part of the resting expression that belongs to the neutral.
        detail: (L, 3) metres at the landmarks, beyond identity and expression bases.
        landmarks: (L, 3) metres: template + shape + rest + detail.
        energy: squared Mahalanobis distance of the frames that it was taken from to the population's resting face.
    """

    shape: Tensor
    rest: Tensor
    detail: Tensor
    landmarks: Tensor
    energy: float


def frontal_weights(rotation: Tensor) -> Tensor:
    """(T,) 1 up to about 25 degrees from frontal, 0.01 from 60 degrees on."""
    return ((rotation[:, 2, 2] - 0.5) / 0.4).clamp(0.01, 1.0)


class NeutralEstimator:
    """Estimates `Neutral` from landmarks of some frames; the normal equations' matrix is factored once.

    Args:
        basis: the face model at its landmarks.
        outlier, depth_weight: as in `FrameFitter`.
    """

    def __init__(self, basis: LandmarkBasis, outlier: float, depth_weight: float) -> None:
        self.basis, self.outlier, self.depth_weight = basis, outlier, depth_weight
        directions = torch.cat([basis.shape, basis.expression, rigid_directions(basis.template)])
        weights = basis.weights[:, None] * basis.template.new_tensor([1.0, 1.0, depth_weight])
        prior = directions.new_full((len(directions),), PERSON_RIDGE)
        prior[-7:] = 1e-9
        self.directions = directions
        self.solver = _ridge_solver(directions, weights, prior)
        self.sized_directions = torch.cat([basis.shape, directions[-7:-1]])  # without scale
        sized_prior = torch.cat([prior[: len(basis.shape)], prior[-7:-1]])
        self.sized_solver = _ridge_solver(self.sized_directions, weights, sized_prior)

    def __call__(self, landmarks: Tensor, at_rest: bool = False, iterations: int = 3) -> Neutral:
        """The neutral face of the person in (K, 478, 3) landmarks, all finite.

        `at_rest` says that the person is known to be at rest in them: then all of their expression is the person's own.
        Every round fits the frames with the neutral of the round before, weighs them by how near they are to rest, and
        solves for identity and resting expression from their mean.
        """
        basis = self.basis
        points = landmarks[:, : basis.num_landmarks]
        neutral, fit = basis.template, None
        for _ in range(iterations):
            fitter = FrameFitter(basis, neutral, FRAME_RIDGE, self.outlier, self.depth_weight)
            fit = fitter(points, 1 if fit else 2, start=fit)
            heads = fit.to_head_frame(points).contiguous()
            weights = self.rest_weights(heads, fitter, fit, points)
            mean = torch.tensordot(weights, heads, dims=1)
            shape, expression, detail = self.solve(mean)
            energy = float(expression.square().sum() + lip_gap_energy(mean[None])[0])
            limit = float("inf") if at_rest else rest_limit(energy)
            rest = expression.clamp(-limit, limit)
            neutral = self.compose(shape, rest, detail)
        factor = size_factor(landmarks, fit.rotation, fit.scale, weights)
        return self.resize(neutral, rest, factor, energy)

    def rest_weights(self, heads: Tensor, fitter: FrameFitter, fit: FrameFit, points: Tensor) -> Tensor:
        """(K,) weights that sum to 1: frontal, well fitted, of little expression, near one another."""
        expression = self.expressions(heads)
        energy = expression.square().sum(1) + lip_gap_energy(heads) + lid_energy(heads)
        misfit = fitter.misfit(points, fit)
        trust = frontal_weights(fit.rotation) / (1 + (misfit / (2 * misfit.median() + 1e-6)) ** 4)
        order = energy.argsort()
        share = trust[order].cumsum(0) / trust.sum()
        level = energy[order][torch.searchsorted(share, share.new_tensor([REST_QUANTILE])).clamp_max(len(share) - 1)]
        weights = trust * torch.exp(-(energy - level).clamp_min(0) / (0.25 * level + 1))
        # Frames that pass through rest on the way from one expression to another lie off the mean of those that stay.
        for _ in range(2):
            centre = (weights[:, None] * expression).sum(0) / weights.sum()
            distance = (expression - centre).square().sum(1)
            typical = (weights * distance).sum() / weights.sum() + 1e-6
            refined = weights / (1 + (distance / typical).square())
        return refined / refined.sum()

    def expressions(self, heads: Tensor) -> Tensor:
        """(K, L, 3) head-frame landmarks to (K, E): each frame's own expression, identity solved along with it."""
        count = len(self.basis.shape)
        return self._coefficients(heads)[:, count : count + len(self.basis.expression)]

    def _coefficients(self, heads: Tensor) -> Tensor:
        return (heads - self.basis.template).flatten(1) @ self.solver.T

    def solve(self, mean: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(L, 3) landmarks in the head frame to identity (S,), expression (E,) and detail (L, 3).

        What the bases leave is detail up to DETAIL_LIMIT. More is a landmark that the face model has in another place
        than the tracker (its embedding may err): it is pulled in, and the bases solved for again.
        """
        shown = mean
        for _ in range(3):
            coefficients = self._coefficients(shown[None])[0]
            explained = self.basis.template + torch.tensordot(coefficients, self.directions, dims=1)
            detail = mean - explained
            detail = detail * (DETAIL_LIMIT / detail.norm(dim=-1, keepdim=True).clamp_min(DETAIL_LIMIT))
            shown = explained + detail
        shape, expression, _ = coefficients.split([len(self.basis.shape), len(self.basis.expression), 7])
        return shape, expression, detail

    def compose(self, shape: Tensor, rest: Tensor, detail: Tensor) -> Tensor:
        basis = self.basis
        return (
            basis.template
            + torch.tensordot(shape, basis.shape, dims=1)
            + torch.tensordot(rest, basis.expression, dims=1)
            + detail
        )

    def resize(self, neutral: Tensor, rest: Tensor, factor: float, energy: float) -> Neutral:
        """The neutral (L, 3) enlarged to its metric size, and the identity that says so as far as the basis can.

        Enlarging also moves what is off the head frame's origin: that part is taken back, so that the neutral stays
        where the face model has its faces.
        """
        basis = self.basis
        target = neutral * factor - torch.tensordot(rest, basis.expression, dims=1)
        coefficients = (target - basis.template).flatten() @ self.sized_solver.T
        count = len(basis.shape)
        moved = torch.tensordot(coefficients[count:], self.sized_directions[count:], dims=1)
        shape = coefficients[:count]
        detail = target - moved - basis.template - torch.tensordot(shape, basis.shape, dims=1)
        return Neutral(shape, rest, detail, neutral * factor - moved, energy)


def rest_limit(energy: float) -> float:
    """How far a face of this energy may pull the neutral from the population's, in standard deviations."""
    low, high = REST_ENERGY
    return REST_LIMIT * min(max((high - energy) / (high - low), 0.0), 1.0)


def lip_gap_energy(heads: Tensor) -> Tensor:
    """(K, L, 3) head-frame landmarks to (K,): squared mean gap between the lips, in units of LIP_GAP_SCALE."""
    return (_mean_gap(heads, LIP_GAPS) / LIP_GAP_SCALE).square()


def lid_energy(heads: Tensor) -> Tensor:
    """(K, L, 3) head-frame landmarks to (K,): squared closing of the eyes below their usual opening, by LID_SCALE."""
    gap = _mean_gap(heads, LID_GAPS)
    closing = (1 - gap / torch.quantile(gap, LID_QUANTILE)).clamp_min(0)
    return (closing / LID_SCALE).square()


def _mean_gap(heads: Tensor, pairs: tuple[tuple[int, int], ...]) -> Tensor:
    upper, lower = (list(side) for side in zip(*pairs, strict=True))
    return (heads[:, upper] - heads[:, lower]).norm(dim=-1).mean(1)


def _ridge_solver(directions: Tensor, weights: Tensor, prior: Tensor) -> Tensor:
    """(K, L, 3) directions, (L, 3) weights, (K,) prior to the (K, 3L) matrix of weighted ridge regression."""
    flat = directions.flatten(1).double()
    weighted = flat * weights.flatten().double()
    return torch.linalg.solve(weighted @ flat.T + prior.double().diag(), weighted).float()
