"""Calibration of probabilities: whether what is said to be so probable is so in that share of the frames."""

from dataclasses import dataclass

import numpy as np

BINS = 10
"""Of a reliability curve, of equal width."""


@dataclass(frozen=True)
class Reliability:
    """Probabilities of known rows, gathered in bins of equal width; a bin has its upper edge, and the first one 0 too.

    Attributes:
        counts: (B,) int64, rows in each bin.
        probability: (B,) mean probability of its rows; NaN where there are none.
        present: (B,) share of its rows that are present; NaN where there are none.
    """

    counts: np.ndarray
    probability: np.ndarray
    present: np.ndarray

    @property
    def ece(self) -> float:
        """The expected calibration error: mean over the rows of |share present - mean probability| of their bin."""
        filled = self.counts > 0
        if not filled.any():
            return float("nan")
        gaps = np.abs(self.present[filled] - self.probability[filled])
        return float((self.counts[filled] * gaps).sum() / self.counts.sum())


def reliability(probabilities: np.ndarray, labels: np.ndarray, bins: int = BINS) -> Reliability:
    """The reliability curve of probabilities of any shape, all together.

    Args:
        probabilities: 0-1; NaN where not known, which is left out.
        labels: of the same shape, 0, 1, or -1 for unknown, which is left out.
        bins: how many, at least 1.

    Raises:
        ValueError: shapes that differ, probabilities beyond 0-1, or no bin.
    """
    probability, present = _known(probabilities, labels)
    if bins < 1:
        raise ValueError(f"a reliability curve needs at least one bin, not {bins}")
    place = np.searchsorted(np.linspace(0, 1, bins + 1)[1:-1], probability)
    counts = np.bincount(place, minlength=bins)
    with np.errstate(invalid="ignore"):  # 0 / 0 is the NaN of an empty bin
        return Reliability(
            counts,
            np.bincount(place, probability, bins) / counts,
            np.bincount(place, present, bins) / counts,
        )


def brier_score(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Mean squared difference of probability and label of each AU; 0 is perfect.

    Args:
        probabilities: (M, N) 0-1; NaN where not known, which is left out.
        labels: (M, N) 0, 1, or -1 for unknown, which is left out.

    Returns:
        (N,) float64; NaN where an AU has no known row.

    Raises:
        ValueError: shapes that differ, or probabilities beyond 0-1.
    """
    probabilities, labels = np.asarray(probabilities, np.float64), np.asarray(labels)
    scores = np.full(labels.shape[1], np.nan)
    for column in range(labels.shape[1]):
        probability, present = _known(probabilities[:, column], labels[:, column])
        if len(present):
            scores[column] = ((probability - present) ** 2).mean()
    return scores


def _known(probabilities: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(K,) probabilities and (K,) 0 or 1, of the rows in which both are known."""
    probabilities, labels = np.asarray(probabilities, np.float64), np.asarray(labels)
    if probabilities.shape != labels.shape:
        raise ValueError(f"probabilities {probabilities.shape} and labels {labels.shape} differ in shape")
    known = ~np.isnan(probabilities) & (labels >= 0)
    probability = probabilities[known]
    if len(probability) and not (probability.min() >= 0 and probability.max() <= 1):
        raise ValueError(f"probabilities must be 0-1, not {probability.min():g} to {probability.max():g}")
    return probability, (labels[known] == 1).astype(np.float64)
