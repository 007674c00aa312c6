"""Scores of action units against true intensities: per AU, and as means over the AUs of BP4D, of DISFA and all."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from ... import facs
from ...data.synthetic.trajectories import PRESENCE_THRESHOLD
from ...metrics import IntensityScores, always_positive_f1, f1_by_intensity, f1_score, pearson, roc_area
from ..reports import number

AU_SETS: dict[str, tuple[int, ...]] = {"BP4D": facs.BP4D, "DISFA": facs.DISFA, "all": facs.ALL}
"""The sets over which means are taken, each as far as the network reads it."""


@dataclass(frozen=True)
class AURows:
    """What was said of some frames, and what is true of them; a row a frame, a column an AU.

    Attributes:
        truth: (M, N) float, 0-5, of the stronger side.
        decisions: (M, N) bool.
        probabilities: (M, N).
        intensities: (M, N) 0-5, or None where the network predicts none.
    """

    truth: np.ndarray
    decisions: np.ndarray
    probabilities: np.ndarray
    intensities: np.ndarray | None

    @property
    def present(self) -> np.ndarray:
        """(M, N) bool, from the intensity on from which an AU is labelled present."""
        return self.truth >= PRESENCE_THRESHOLD

    @classmethod
    def cat(cls, parts: Iterable["AURows"]) -> "AURows":
        """One after the other; all with intensities, or none."""
        parts = list(parts)
        intensities = [part.intensities for part in parts if part.intensities is not None]
        return cls(
            np.concatenate([part.truth for part in parts]),
            np.concatenate([part.decisions for part in parts]),
            np.concatenate([part.probabilities for part in parts]),
            np.concatenate(intensities) if intensities else None,
        )


@dataclass(frozen=True)
class AUScores:
    """All scores, pooled over the rows; (N,) each, NaN where one is not defined.

    Attributes:
        action_units: the N numbers.
        rows: how many frames.
        f1: at the network's own thresholds. always_positive_f1: the floor beside it.
        roc_area: of the probabilities. intensity_r: Pearson's r of the intensities; all NaN where there are none.
        by_intensity: F1 and recall by true intensity, (5, N) each.
    """

    action_units: tuple[int, ...]
    rows: int
    f1: np.ndarray
    always_positive_f1: np.ndarray
    roc_area: np.ndarray
    intensity_r: np.ndarray
    by_intensity: IntensityScores

    @classmethod
    def of(cls, rows: AURows, action_units: Sequence[int]) -> "AUScores":
        labels = rows.present.astype(np.int64)
        unknown = np.full(len(action_units), np.nan)
        return cls(
            tuple(action_units),
            len(labels),
            f1_score(rows.decisions, labels),
            always_positive_f1(labels),
            roc_area(rows.probabilities, labels),
            unknown if rows.intensities is None else pearson(rows.intensities, rows.truth),
            f1_by_intensity(rows.decisions, rows.truth),
        )

    def mean(self, score: np.ndarray, name: str = "all") -> float:
        """Mean of an (N,) score over the AUs of a set of `AU_SETS` for which it is defined; NaN where there is none."""
        known = score[[k for k, unit in enumerate(self.action_units) if unit in AU_SETS[name]]]
        known = known[~np.isnan(known)]
        return float(known.mean()) if len(known) else float("nan")

    def means(self, name: str) -> dict[str, float]:
        """The means of all scores over one set."""
        scores = ("f1", "always_positive_f1", "roc_area", "intensity_r")
        return {score: self.mean(getattr(self, score), name) for score in scores}

    def numbers(self) -> dict:
        """Everything, for JSON."""
        return {
            "frames": self.rows,
            "means": {
                name: {
                    "action_units": [unit for unit in units if unit in self.action_units],
                    **{score: number(value) for score, value in self.means(name).items()},
                    "by_intensity": {
                        str(level + 1): {
                            "f1": number(self.mean(self.by_intensity.f1[level], name)),
                            "recall": number(self.mean(self.by_intensity.recall[level], name)),
                        }
                        for level in range(5)
                    },
                }
                for name, units in AU_SETS.items()
            },
            "by_au": {
                facs.label(unit): {
                    "f1": number(self.f1[k]),
                    "always_positive_f1": number(self.always_positive_f1[k]),
                    "roc_area": number(self.roc_area[k]),
                    "intensity_r": number(self.intensity_r[k]),
                    "by_intensity": {
                        str(level + 1): {
                            "f1": number(self.by_intensity.f1[level, k]),
                            "recall": number(self.by_intensity.recall[level, k]),
                            "frames": int(self.by_intensity.rows[level, k]),
                        }
                        for level in range(5)
                    },
                }
                for k, unit in enumerate(self.action_units)
            },
        }
