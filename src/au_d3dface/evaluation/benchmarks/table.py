"""Tables 2 and 3: scores of methods on the parts of BP4D or DISFA, by action unit, their means, and what a card says.

Whoever measured them, `evaluate bp4d` or the training of the folds: `report` writes them all alike.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ... import facs
from ..card_results import CardResult
from ..paper_tables import ACTION_UNITS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

F1, FLOOR = "f1", "always_positive_f1"
SCORES: dict[str, tuple[str, float, int]] = {
    F1: ("F1, %", 100, 1),
    FLOOR: ("always positive, F1, %", 100, 1),
    "roc_area": ("ROC area", 1, 3),
    "matthews_correlation": ("Matthews correlation", 1, 3),
    "intensity_icc": ("intensity ICC(3,1)", 1, 3),
    "intensity_r": ("intensity Pearson r", 1, 3),
    "event_f1": ("F1 of events, %", 100, 1),
    "onset_error": ("onset error, s", 1, 2),
    "offset_error": ("offset error, s", 1, 2),
}
"""Title, factor and decimals of every score that a table shows."""

CARD_TYPES = {
    F1: "f1",
    FLOOR: "f1",
    "roc_area": "roc_auc",
    "matthews_correlation": "matthews_correlation",
    "intensity_icc": "icc",
    "intensity_r": "pearsonr",
}
"""The scores that a model card has, and their names on the Hub."""


@dataclass(frozen=True)
class PartScores:
    """One method on one tested part.

    Attributes:
        subjects, frames, frames_without_face: of the part; the last are among the frames.
        by_au: by label of the action unit and name of `SCORES`; None where a score is not defined.
        unfair: why these are no scores of a fair test, a sentence; None where nothing is known against it.
        more: what else the JSON says.
    """

    subjects: int
    frames: int
    frames_without_face: int
    by_au: Mapping[str, Mapping[str, float | None]]
    unfair: str | None = None
    more: Mapping[str, Any] = field(default_factory=dict)

    def value(self, label: str, score: str) -> float | None:
        """One score; None where it is not defined.

        F1 is not defined where the action unit is never labelled present (then its floor is 0): whatever a method
        says, the formula gives 0.
        """
        scores = self.by_au.get(label, {})
        if score in (F1, FLOOR) and not scores.get(FLOOR):
            return None
        return scores.get(score)


@dataclass(frozen=True)
class MethodScores:
    """One method.

    Attributes:
        name: for people. parts: its scores by tested part.
        about: what the JSON says of it: checkpoint, input, modules, coarse faces.
        notes: sentences about it.
    """

    name: str
    parts: Mapping[str, PartScores]
    about: Mapping[str, Any] = field(default_factory=dict)
    notes: Sequence[str] = ()

    @property
    def is_fair(self) -> bool:
        return all(part.unfair is None for part in self.parts.values())

    @property
    def action_units(self) -> set[str]:
        """Labels of those that it says anything of."""
        return {label for part in self.parts.values() for label in part.by_au}


@dataclass(frozen=True)
class BenchmarkTable:
    """All methods.

    Attributes:
        benchmark: "bp4d" or "disfa". parts: every part's name. published: whether these are the published parts.
        frames_that_count: of `benchmark_rows.COUNTED`.
        methods: in order, one at least.
        remarks: sentences about the parts.
        threshold: for people, of the probability from which an action unit counts as present.
    """

    benchmark: str
    parts: Sequence[str]
    published: bool
    frames_that_count: str
    methods: Sequence[MethodScores]
    remarks: Sequence[str] = ()
    threshold: str = "0.5"

    @property
    def columns(self) -> list[str]:
        """Labels of the benchmark's action units of which any method says anything."""
        seen = set().union(*(method.action_units for method in self.methods))
        units = [facs.label(unit) for unit in ACTION_UNITS[self.benchmark]]
        return [*(label for label in units if label in seen), *sorted(seen - set(units))]

    def average(self, method: MethodScores, part: str, score: str) -> float | None:
        """Mean over the action units for which the score is defined; None where the method lacks one of the columns."""
        if not set(self.columns) <= method.action_units:
            return None
        return mean_of(method.parts[part].value(label, score) for label in self.columns)

    def mean(self, method: MethodScores, label: str, score: str, parts: Iterable[str] | None = None) -> float | None:
        """Mean over tested parts, of one action unit or of the averages (`label` "average")."""
        names = list(method.parts if parts is None else parts)
        if label == "average":
            return mean_of(self.average(method, part, score) for part in names)
        return mean_of(method.parts[part].value(label, score) for part in names)

    def numbers(self) -> dict[str, Any]:
        """Everything, for JSON."""
        return {
            "benchmark": self.benchmark,
            "parts": list(self.parts),
            "published_parts": self.published,
            "frames_that_count": self.frames_that_count,
            "threshold": self.threshold,
            "action_units": self.columns,
            "remarks": list(self.remarks),
            "methods": {method.name: self._method_numbers(method) for method in self.methods},
        }

    def text(self) -> str:
        """The table for people, in Markdown."""
        from .report import BenchmarkReport

        return BenchmarkReport(self).text()

    def latex(self) -> str:
        """Tables for a paper."""
        from .report import BenchmarkReport

        return BenchmarkReport(self).latex()

    def figure(self) -> "Figure":
        """Bars of F1 by action unit."""
        from .report import BenchmarkReport

        return BenchmarkReport(self).figure()

    def card_results(self) -> tuple[list[CardResult], list[str]]:
        """What a model card says of the first method, part by part and as the mean over parts that are fair tests; and
        why parts are left out.
        """
        method = self.methods[0]
        fair = [part for part, scores in method.parts.items() if scores.unfair is None]
        results = [self._card_result(method, [part], part) for part in fair]
        if len(fair) > 1:
            results.append(self._card_result(method, fair, f"mean of {', '.join(fair)}"))
        refused = [f"{part}: {scores.unfair}" for part, scores in method.parts.items() if scores.unfair is not None]
        return results, refused

    def _card_result(self, method: MethodScores, parts: Sequence[str], split: str) -> CardResult:
        labels = [label for label in self.columns if label in method.action_units]
        over = f"mean over {len(labels)} action units"
        metrics = {
            f"{SCORES[score][0].removesuffix(', %')}, {over}": (
                CARD_TYPES[score],
                self.mean(method, "average", score, parts),
            )
            for score in self.known_scores(method)
            if score in CARD_TYPES
        }
        metrics |= {f"F1, {label}": ("f1", self.mean(method, label, F1, parts)) for label in labels}
        whose = "" if self.published else ", parts of the tester's own"
        return CardResult(self.benchmark, f"{self.benchmark.upper()}{whose}", split, metrics)

    def _method_numbers(self, method: MethodScores) -> dict[str, Any]:
        labels = [label for label in self.columns if label in method.action_units]
        return {
            **method.about,
            "folds": {
                part: {
                    **{score: _rounded(self.average(method, part, score)) for score in self.known_scores(method)},
                    "subjects": scores.subjects,
                    "frames": scores.frames,
                    "frames_without_face": scores.frames_without_face,
                    **({} if scores.unfair is None else {"unfair": scores.unfair}),
                    **scores.more,
                    "by_au": {
                        label: {score: _rounded(scores.value(label, score)) for score in self.known_scores(method)}
                        for label in labels
                    },
                }
                for part, scores in method.parts.items()
            },
            "mean": {
                **{score: _rounded(self.mean(method, "average", score)) for score in self.known_scores(method)},
                "by_au": {
                    label: {score: _rounded(self.mean(method, label, score)) for score in self.known_scores(method)}
                    for label in labels
                },
            },
            "notes": list(method.notes),
        }

    def known_scores(self, method: MethodScores) -> list[str]:
        """The scores of which the method has any, perhaps undefined."""
        measured = {score for part in method.parts.values() for scores in part.by_au.values() for score in scores}
        return [score for score in SCORES if score in measured]


def recorded_scores(record: Mapping[str, Any]) -> PartScores:
    """The scores that the training of a network on a benchmark measured at its end.

    Args:
        record: its training.json.
    """
    held_out = record["pools"][0]["held_out"]
    return PartScores(
        held_out["subjects"],
        record["held_out"]["frames"],
        held_out["frames_without_face"],
        record["held_out"]["by_au"],
        more={"steps": record["steps"]},
    )


def mean_of(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return math.fsum(known) / len(known) if known else None


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
