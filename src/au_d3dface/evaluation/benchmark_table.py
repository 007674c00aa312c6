"""Tables 2 and 3: scores of methods on the parts of BP4D or DISFA, by action unit, as they are and beside the paper's.

Whoever measured them, `evaluate bp4d` or the training of the folds, they are written here: as numbers, Markdown, LaTeX
and a plot. A score that is not defined is an empty cell with its reason; a method that was trained on people whom it is
tested on is marked in every row.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import facs
from .card_results import CardResult
from .paper_tables import ACTION_UNITS, PAPER_F1, PLOTTED
from .reports import cell, markdown_table

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

_UNFAIR = " †"


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
        threshold: for people, of the probability from which an action unit counts as present.
    """

    benchmark: str
    parts: Sequence[str]
    published: bool
    frames_that_count: str
    methods: Sequence[MethodScores]
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
        return _mean(method.parts[part].value(label, score) for label in self.columns)

    def mean(self, method: MethodScores, label: str, score: str, parts: Iterable[str] | None = None) -> float | None:
        """Mean over tested parts, of one action unit or of the averages (`label` "average")."""
        names = list(method.parts if parts is None else parts)
        if label == "average":
            return _mean(self.average(method, part, score) for part in names)
        return _mean(method.parts[part].value(label, score) for part in names)

    def numbers(self) -> dict[str, Any]:
        """Everything, for JSON."""
        return {
            "benchmark": self.benchmark,
            "parts": list(self.parts),
            "published_parts": self.published,
            "frames_that_count": self.frames_that_count,
            "threshold": self.threshold,
            "action_units": self.columns,
            "methods": {method.name: self._method_numbers(method) for method in self.methods},
        }

    def text(self) -> str:
        """The table for people, in Markdown."""
        title = self.benchmark.upper()
        counted = {
            "labelled": "all that are labelled",
            "pictures": "those with a label and a picture",
            "prepared": "those with a label and a reconstructed face",
        }[self.frames_that_count]
        whose = "the published parts" if self.published else "parts of your own"
        number = 2 if self.benchmark == "bp4d" else 3
        paragraphs = [
            f"# {title}: action units",
            f"F1 in per cent at the threshold {self.threshold}, pooled over the frames of each tested part ({whose}). "
            f"Frames that count: {counted}. A frame that counts but in which no face was reconstructed counts as one "
            "in which no action unit was found. Unknown labels are left out. Rows named `paper` are the paper's, Table "
            f"{number}, on the published parts, not measured here.",
            markdown_table(["F1, %", *self.columns, "average"], [*self._f1_rows(), *self._floors(), *self._papers()]),
        ]
        others = self._other_rows()
        if others:
            paragraphs += [
                "Other scores, means over the tested parts. Events are matched where they overlap by half or more; "
                "their errors are the mean distances of matched onsets and offsets:",
                markdown_table(["", *self.columns, "average"], others),
            ]
        header = ["method", "tested", "people", "frames", "without a face", "F1", "always positive", "ROC area"]
        paragraphs += [markdown_table(header, self._part_rows()), *(f"- {note}" for note in self.notes())]
        return "\n\n".join(paragraphs)

    def notes(self) -> list[str]:
        """Why cells are empty, and what is to be known of a method."""
        notes = []
        for method in self.methods:
            for part, scores in method.parts.items():
                if scores.unfair is not None:
                    notes.append(f"† {method.name}, {part}: {scores.unfair}")
            notes += [f"{method.name}: {note}" for note in method.notes]
            lacking = [label for label in self.columns if label not in method.action_units]
            if lacking:
                notes.append(
                    f"–: {method.name} says nothing of {', '.join(lacking)}, so it has no average to compare either"
                )
        for part, scores in self._by_part().items():
            without = [label for label in self.columns if scores.value(label, FLOOR) is None and label in scores.by_au]
            if without:
                notes.append(
                    f"–: {', '.join(without)} is never labelled present in the frames of {part} that count, so it has "
                    "no F1 there and is left out of that part's average"
                )
        return notes

    def latex(self) -> str:
        """Tables for a paper: F1 beside the paper's, F1 by part where there are several, and the other scores."""
        from .latex import latex_table

        title, header = self.benchmark.upper(), ["", *self.columns, "average"]
        fair_all = all(method.is_fair for method in self.methods)
        dagger = "" if fair_all else f"{_UNFAIR}: trained on people whom it is tested on, not comparable."
        alike = len({tuple(sorted(method.parts)) for method in self.methods}) == 1
        caption = (
            f"F1 (%) on {title} at the threshold {self.threshold}, mean over the tested parts; unknown labels are left "
            f"out.{dagger}"
        )
        fair = [self._f1_row(method) for method in self.methods if method.is_fair]
        apart = [self._f1_row(method) for method in self.methods if not method.is_fair]
        tables = [
            latex_table(
                header,
                fair,
                caption,
                reference_rows=[*apart, *self._floors(by_part=False)],
                paper_rows=self._papers(prefix=""),
                best="highest" if alike else None,
                label=f"tab:{self.benchmark}",
            )
        ]
        if any(len(method.parts) > 1 for method in self.methods):
            caption = f"F1 (%) on {title} by tested part.{dagger}"
            rows = [row for method in self.methods for row in self._f1_rows_by_part(method)]
            floors = self._floors(by_mean=False)
            label = f"tab:{self.benchmark}-parts"
            tables.append(latex_table(header, rows, caption, reference_rows=floors, best=None, label=label))
        others = self._other_rows()
        if others:
            caption = f"Other scores on {title}, means over the tested parts.{dagger}"
            tables.append(latex_table(header, others, caption, best=None, label=f"tab:{self.benchmark}-more"))
        return "\n".join(tables)

    def figure(self) -> "Figure":
        """Bars of F1 by action unit; a thin line goes from the lowest to the highest part."""
        from .bar_plot import Bars, bar_plot

        columns, rows = [*self.columns, "average"], []
        for method in self.methods:
            by_part = [
                [*(scores.value(label, F1) for label in self.columns), self.average(method, part, F1)]
                for part, scores in method.parts.items()
            ]
            values = np.array([self.mean(method, label, F1) for label in columns], np.float64)
            known = 100 * np.array(by_part, np.float64)
            several = len(by_part) > 1
            low, high = (np.fmin.reduce(known), np.fmax.reduce(known)) if several else (None, None)
            name = f"{method.name}, {self._parts_said(method)}{'' if method.is_fair else _UNFAIR}"
            rows.append(Bars(name, 100 * values, low=low, high=high))
        papers = {row[0]: row[1:] for row in self._papers(prefix="")}
        for name in PLOTTED:
            values = np.array([np.nan if text == "–" else float(text) for text in papers[name]])
            rows.append(Bars(name, values, paper=True))
        first = self.methods[0]
        floor = np.array([self.mean(first, label, FLOOR) for label in columns], np.float64)
        title = f"{self.benchmark.upper()}: F1 by action unit, threshold {self.threshold}"
        return bar_plot(columns, rows, "F1, %", title, floor=100 * floor)

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
            for score in self._known(method)
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
                    **{score: _rounded(self.average(method, part, score)) for score in self._known(method)},
                    "subjects": scores.subjects,
                    "frames": scores.frames,
                    "frames_without_face": scores.frames_without_face,
                    **({} if scores.unfair is None else {"unfair": scores.unfair}),
                    **scores.more,
                    "by_au": {
                        label: {score: _rounded(scores.value(label, score)) for score in self._known(method)}
                        for label in labels
                    },
                }
                for part, scores in method.parts.items()
            },
            "mean": {
                **{score: _rounded(self.mean(method, "average", score)) for score in self._known(method)},
                "by_au": {
                    label: {score: _rounded(self.mean(method, label, score)) for score in self._known(method)}
                    for label in labels
                },
            },
            "notes": list(method.notes),
        }

    def _known(self, method: MethodScores) -> list[str]:
        """The scores of which the method has any, perhaps undefined."""
        measured = {score for part in method.parts.values() for scores in part.by_au.values() for score in scores}
        return [score for score in SCORES if score in measured]

    def _parts_said(self, method: MethodScores) -> str:
        names = list(method.parts)
        return f"{names[0]} tested" if len(names) == 1 else f"mean of {len(names)} of {len(self.parts)} folds"

    def _row(self, title: str, values: Iterable[float | None], score: str) -> list[str]:
        _, factor, decimals = SCORES[score]
        return [title, *(cell(None if value is None else factor * value, decimals) for value in values)]

    def _f1_rows(self) -> list[list[str]]:
        rows = []
        for method in self.methods:
            rows += self._f1_rows_by_part(method)
            if len(method.parts) > 1:
                rows.append(self._f1_row(method))
        return rows

    def _f1_row(self, method: MethodScores) -> list[str]:
        title = f"{method.name}, {self._parts_said(method)}{'' if method.is_fair else _UNFAIR}"
        return self._row(title, [self.mean(method, label, F1) for label in [*self.columns, "average"]], F1)

    def _f1_rows_by_part(self, method: MethodScores) -> list[list[str]]:
        rows = []
        for part, scores in method.parts.items():
            values = [*(scores.value(label, F1) for label in self.columns), self.average(method, part, F1)]
            title = f"{method.name}, {part} tested{'' if scores.unfair is None else _UNFAIR}"
            rows.append(self._row(title, values, F1))
        return rows

    def _by_part(self) -> dict[str, PartScores]:
        """Of every tested part the scores that know most action units: floors are the same for all."""
        found: dict[str, PartScores] = {}
        for method in self.methods:
            for part, scores in method.parts.items():
                if part not in found or len(scores.by_au) > len(found[part].by_au):
                    found[part] = scores
        return found

    def _floors(self, by_part: bool = True, by_mean: bool = True) -> list[list[str]]:
        everyone = MethodScores("always positive", self._by_part())
        rows = []
        sets = {tuple(method.parts) for method in self.methods}
        for part in everyone.parts if by_part else [names[0] for names in sets if len(names) == 1]:
            values = [*(everyone.parts[part].value(label, FLOOR) for label in self.columns)]
            rows.append(self._row(f"always positive, {part} tested", [*values, _mean(values)], FLOOR))
        for names in sorted(sets) if by_mean else ():
            if len(names) > 1:
                method = MethodScores("always positive", {part: everyone.parts[part] for part in names})
                values = [self.mean(method, label, FLOOR) for label in [*self.columns, "average"]]
                rows.append(self._row(f"always positive, {self._parts_said(method)}", values, FLOOR))
        return rows

    def _papers(self, prefix: str = "paper, ") -> list[list[str]]:
        units = [facs.label(unit) for unit in ACTION_UNITS[self.benchmark]]
        rows = []
        for paper in PAPER_F1[self.benchmark]:
            f1 = dict(zip(units, paper.f1, strict=True))
            average = paper.average if set(self.columns) == set(units) else None  # else of other action units
            values = [*(f1.get(label) for label in self.columns), average]
            rows.append([f"{prefix}{paper.method}", *(cell(value, 1) for value in values)])
        return rows

    def _other_rows(self) -> list[list[str]]:
        rows = []
        for method in self.methods:
            for score in self._known(method):
                values = [self.mean(method, label, score) for label in [*self.columns, "average"]]
                if score not in (F1, FLOOR) and any(value is not None for value in values):
                    unfair = "" if method.is_fair else _UNFAIR
                    rows.append(self._row(f"{method.name}, {SCORES[score][0]}{unfair}", values, score))
        return rows

    def _part_rows(self) -> list[list[str]]:
        rows = []
        for method in self.methods:
            for part, scores in method.parts.items():
                counts = [str(n) for n in (scores.subjects, scores.frames, scores.frames_without_face)]
                unfair = "" if scores.unfair is None else _UNFAIR
                rows.append([f"{method.name}{unfair}", part, *counts])
                for score in (F1, FLOOR, "roc_area"):
                    rows[-1] += self._row("", [self.average(method, part, score)], score)[1:]
        return rows


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


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return math.fsum(known) / len(known) if known else None


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
