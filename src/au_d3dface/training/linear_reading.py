"""A linear reading of action units, which teaches the network what to say of faces that no source shows.

Fast sequences are bent far from what was synthesised, because no source answers as real faces do. On such inputs a
network trained on true labels finds fine structure that real faces do not have; a ridge regression from displacements
to intensities cannot. On real clips the regression alone agrees better with OpenFace than a network trained on the same
labels. So it sets the AU targets of fast sequences, while rendered ones keep their true labels.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from .. import facs
from ..data.synthetic.pool import SequencePool
from ..data.synthetic.trajectories import PRESENCE_THRESHOLD

INTENSITY = 5.0


@dataclass
class LinearReading:
    """intensity = displacement · weight + bias, probability = sigmoid(slope · intensity + shift).

    Attributes:
        weight: (3V, N), per metre. bias, slope, shift: (N,).
    """

    weight: Tensor
    bias: Tensor
    slope: Tensor
    shift: Tensor

    @classmethod
    def fit(cls, pool: SequencePool, action_units: tuple[int, ...], strength: float) -> "LinearReading":
        """Ridge regression of intensities on expression coefficients, then logistic regression of presence on it.

        Args:
            pool: its valid frames, unbent.
            strength: of the ridge, per frame and in units of the coefficients' unit variance.
        """
        columns = [facs.ALL.index(unit) for unit in action_units]
        features = pool.expression[pool.valid].double()
        intensity = pool.intensity[pool.valid][:, columns].double().amax(-1)
        bias = intensity.mean(0)
        gram = features.T @ features + strength * len(features) * torch.eye(features.shape[1], dtype=torch.float64)
        solution = torch.linalg.solve(gram, features.T @ (intensity - bias))  # (E, N)
        weight = torch.linalg.pinv(pool.expression_basis.flatten(1).double()) @ solution
        reading, present = features @ solution + bias, (intensity >= PRESENCE_THRESHOLD).double()
        slope, shift = (torch.full_like(bias, value).requires_grad_() for value in (1.0, -1.0))
        optimizer = torch.optim.LBFGS([slope, shift], max_iter=100, line_search_fn="strong_wolfe")

        def loss() -> Tensor:
            optimizer.zero_grad()
            value = binary_cross_entropy_with_logits(slope * reading + shift, present)
            value.backward()
            return value

        optimizer.step(loss)
        return cls(weight.float(), bias.float(), slope.detach().float(), shift.detach().float())

    def __call__(self, vertices: Tensor, neutral_vertices: Tensor) -> tuple[Tensor, Tensor]:
        """(B, T, V, 3) and (B, V, 3) metres to probabilities (B, T, N) and intensities (B, T, N) in 0-5."""
        displacement = (vertices - neutral_vertices[:, None]).flatten(2)
        intensity = displacement @ self.weight.to(displacement) + self.bias.to(displacement)
        slope, shift = self.slope.to(displacement), self.shift.to(displacement)
        return (slope * intensity + shift).sigmoid(), intensity.clamp(0, INTENSITY)

    def teach(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """The batch, with `au_targets` (B, T, N) in [0, 1] added: the labels, and this reading in clips that are
        `taught`, whose fed-back labels and intensities become this reading's too."""
        probability, intensity = self(batch["vertices"], batch["neutral_vertices"])
        taught, labels, known = batch["taught"][:, None, None], batch["au_labels"], batch["au_intensity_labels"]
        return batch | {
            "au_targets": torch.where(taught, probability, labels.to(probability)),
            "au_labels": torch.where(taught, (probability >= 0.5).to(labels), labels),
            "au_intensity_labels": torch.where(taught, intensity.to(known), known),
        }
