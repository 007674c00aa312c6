"""How Tables 2 and 3 are shown: Markdown, LaTeX and a plot, the paper's rows beside the measured ones and marked.

A score that is not defined is an empty cell with its reason; a method that was trained on people whom it is tested on
is marked in every row, and never compared.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from ... import facs
from ..bar_plot import Bars, bar_plot
from ..latex import latex_table
from ..paper_tables import ACTION_UNITS, PAPER_F1, PLOTTED
from ..reports import cell, markdown_table
from .table import F1, FLOOR, SCORES, BenchmarkTable, MethodScores, PartScores, mean_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_UNFAIR = " †"


class BenchmarkReport:
    """Args: table: all scores."""

    def __init__(self, table: BenchmarkTable) -> None:
        self.table = table

    def text(self) -> str:
        """The table for people, in Markdown."""
        title = self.table.benchmark.upper()
        counted = {
            "labelled": "all that are labelled",
            "pictures": "those with a label and a picture",
            "prepared": "those with a label and a reconstructed face",
        }[self.table.frames_that_count]
        whose = "the published parts" if self.table.published else "parts of your own"
        number = 2 if self.table.benchmark == "bp4d" else 3
        paragraphs = [
            f"# {title}: action units",
            f"F1 in per cent at the threshold {self.table.threshold}, pooled over the frames of each tested part "
            f"({whose}). Frames that count: {counted}. A frame that counts but in which no face was reconstructed "
            "counts as one in which no action unit was found. Unknown labels are left out. Rows named `paper` are the "
            "paper's, Table "
            f"{number}, on the published parts, not measured here.",
            markdown_table(
                ["F1, %", *self.table.columns, "average"], [*self._f1_rows(), *self._floors(), *self._papers()]
            ),
        ]
        others = self._other_rows()
        if others:
            paragraphs += [
                "Other scores, means over the tested parts. Events are matched where they overlap by half or more; "
                "their errors are the mean distances of matched onsets and offsets:",
                markdown_table(["", *self.table.columns, "average"], others),
            ]
        header = ["method", "tested", "people", "frames", "without a face", "F1", "always positive", "ROC area"]
        paragraphs += [markdown_table(header, self._part_rows()), "\n".join(f"- {note}" for note in self.notes())]
        return "\n\n".join(paragraphs)

    def notes(self) -> list[str]:
        """Why cells are empty, and what is to be known of a method."""
        notes = list(self.table.remarks)
        for method in self.table.methods:
            for part, scores in method.parts.items():
                if scores.unfair is not None:
                    notes.append(f"† {method.name}, {part}: {scores.unfair}")
            notes += [f"{method.name}: {note}" for note in method.notes]
            lacking = [label for label in self.table.columns if label not in method.action_units]
            if lacking:
                notes.append(
                    f"–: {method.name} says nothing of {', '.join(lacking)}, so it has no average to compare either"
                )
        for part, scores in self._by_part().items():
            without = [
                label for label in self.table.columns if scores.value(label, FLOOR) is None and label in scores.by_au
            ]
            if without:
                notes.append(
                    f"–: {', '.join(without)} is never labelled present in the frames of {part} that count, so it has "
                    "no F1 there and is left out of that part's average"
                )
        return notes

    def latex(self) -> str:
        """Tables for a paper: F1 beside the paper's, F1 by part where there are several, and the other scores."""
        title, header = self.table.benchmark.upper(), ["", *self.table.columns, "average"]
        fair_all = all(method.is_fair for method in self.table.methods)
        dagger = "" if fair_all else f"{_UNFAIR}: trained on people whom it is tested on, not comparable."
        alike = len({tuple(sorted(method.parts)) for method in self.table.methods}) == 1
        caption = (
            f"F1 (%) on {title} at the threshold {self.table.threshold}, mean over the tested parts; unknown labels "
            f"are left out.{dagger}"
        )
        fair = [self._f1_row(method) for method in self.table.methods if method.is_fair]
        apart = [self._f1_row(method) for method in self.table.methods if not method.is_fair]
        tables = [
            latex_table(
                header,
                fair,
                caption,
                reference_rows=[*apart, *self._floors(by_part=False)],
                paper_rows=self._papers(prefix=""),
                best="highest" if alike else None,
                label=f"tab:{self.table.benchmark}",
            )
        ]
        if any(len(method.parts) > 1 for method in self.table.methods):
            caption = f"F1 (%) on {title} by tested part.{dagger}"
            rows = [row for method in self.table.methods for row in self._f1_rows_by_part(method)]
            floors = self._floors(by_mean=False)
            label = f"tab:{self.table.benchmark}-parts"
            tables.append(latex_table(header, rows, caption, reference_rows=floors, best=None, label=label))
        others = self._other_rows()
        if others:
            caption = f"Other scores on {title}, means over the tested parts.{dagger}"
            tables.append(latex_table(header, others, caption, best=None, label=f"tab:{self.table.benchmark}-more"))
        return "\n".join(tables)

    def figure(self) -> "Figure":
        """Bars of F1 by action unit; a thin line goes from the lowest to the highest part."""
        columns, rows = [*self.table.columns, "average"], []
        for method in self.table.methods:
            by_part = [
                [*(scores.value(label, F1) for label in self.table.columns), self.table.average(method, part, F1)]
                for part, scores in method.parts.items()
            ]
            values = np.array([self.table.mean(method, label, F1) for label in columns], np.float64)
            known = 100 * np.array(by_part, np.float64)
            several = len(by_part) > 1
            low, high = (np.fmin.reduce(known), np.fmax.reduce(known)) if several else (None, None)
            name = f"{method.name}, {self._parts_said(method)}{'' if method.is_fair else _UNFAIR}"
            rows.append(Bars(name, 100 * values, low=low, high=high))
        papers = {row[0]: row[1:] for row in self._papers(prefix="")}
        for name in PLOTTED:
            values = np.array([np.nan if text == "–" else float(text) for text in papers[name]])
            rows.append(Bars(name, values, paper=True))
        first = self.table.methods[0]
        floor = np.array([self.table.mean(first, label, FLOOR) for label in columns], np.float64)
        title = f"{self.table.benchmark.upper()}: F1 by action unit, threshold {self.table.threshold}"
        return bar_plot(columns, rows, "F1, %", title, floor=100 * floor)

    def _parts_said(self, method: MethodScores) -> str:
        names = list(method.parts)
        return f"{names[0]} tested" if len(names) == 1 else f"mean of {len(names)} of {len(self.table.parts)} folds"

    def _row(self, title: str, values: Iterable[float | None], score: str) -> list[str]:
        _, factor, decimals = SCORES[score]
        return [title, *(cell(None if value is None else factor * value, decimals) for value in values)]

    def _f1_rows(self) -> list[list[str]]:
        rows = []
        for method in self.table.methods:
            rows += self._f1_rows_by_part(method)
            if len(method.parts) > 1:
                rows.append(self._f1_row(method))
        return rows

    def _f1_row(self, method: MethodScores) -> list[str]:
        title = f"{method.name}, {self._parts_said(method)}{'' if method.is_fair else _UNFAIR}"
        return self._row(title, [self.table.mean(method, label, F1) for label in [*self.table.columns, "average"]], F1)

    def _f1_rows_by_part(self, method: MethodScores) -> list[list[str]]:
        rows = []
        for part, scores in method.parts.items():
            values = [*(scores.value(label, F1) for label in self.table.columns), self.table.average(method, part, F1)]
            title = f"{method.name}, {part} tested{'' if scores.unfair is None else _UNFAIR}"
            rows.append(self._row(title, values, F1))
        return rows

    def _by_part(self) -> dict[str, PartScores]:
        """Of every tested part the scores that know most action units: floors are the same for all."""
        found: dict[str, PartScores] = {}
        for method in self.table.methods:
            for part, scores in method.parts.items():
                if part not in found or len(scores.by_au) > len(found[part].by_au):
                    found[part] = scores
        return found

    def _floors(self, by_part: bool = True, by_mean: bool = True) -> list[list[str]]:
        everyone = MethodScores("always positive", self._by_part())
        rows = []
        sets = {tuple(method.parts) for method in self.table.methods}
        for part in everyone.parts if by_part else [names[0] for names in sets if len(names) == 1]:
            values = [*(everyone.parts[part].value(label, FLOOR) for label in self.table.columns)]
            rows.append(self._row(f"always positive, {part} tested", [*values, mean_of(values)], FLOOR))
        for names in sorted(sets) if by_mean else ():
            if len(names) > 1:
                method = MethodScores("always positive", {part: everyone.parts[part] for part in names})
                values = [self.table.mean(method, label, FLOOR) for label in [*self.table.columns, "average"]]
                rows.append(self._row(f"always positive, {self._parts_said(method)}", values, FLOOR))
        return rows

    def _papers(self, prefix: str = "paper, ") -> list[list[str]]:
        units = [facs.label(unit) for unit in ACTION_UNITS[self.table.benchmark]]
        rows = []
        for paper in PAPER_F1[self.table.benchmark]:
            f1 = dict(zip(units, paper.f1, strict=True))
            average = paper.average if set(self.table.columns) == set(units) else None  # else of other action units
            values = [*(f1.get(label) for label in self.table.columns), average]
            rows.append([f"{prefix}{paper.method}", *(cell(value, 1) for value in values)])
        return rows

    def _other_rows(self) -> list[list[str]]:
        rows = []
        for method in self.table.methods:
            for score in self.table.known_scores(method):
                values = [self.table.mean(method, label, score) for label in [*self.table.columns, "average"]]
                if score not in (F1, FLOOR) and any(value is not None for value in values):
                    unfair = "" if method.is_fair else _UNFAIR
                    rows.append(self._row(f"{method.name}, {SCORES[score][0]}{unfair}", values, score))
        return rows

    def _part_rows(self) -> list[list[str]]:
        rows = []
        for method in self.table.methods:
            for part, scores in method.parts.items():
                counts = [str(n) for n in (scores.subjects, scores.frames, scores.frames_without_face)]
                unfair = "" if scores.unfair is None else _UNFAIR
                rows.append([f"{method.name}{unfair}", part, *counts])
                for score in (F1, FLOOR, "roc_area"):
                    rows[-1] += self._row("", [self.table.average(method, part, score)], score)[1:]
        return rows
