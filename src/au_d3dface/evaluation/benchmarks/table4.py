"""Table 4: average F1 by input and modules, measured on BP4D and DISFA or on synthetic people, beside the paper's.

Scores are taken from what has been measured already: by the trainings themselves (training.json) or by
`au-d3dface evaluate bp4d | disfa` (its json).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ... import facs
from ..card_results import CardResult
from ..paper_tables import PAPER_TABLE4
from ..reports import cell, markdown_table, number

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ROWS = {
    "video_temporal": ("video", "temporal"),
    "mesh_temporal": ("mesh", "temporal"),
    "mesh_spatial": ("mesh", "spatial"),
    "mesh_temporal_spatial": ("mesh", "temporal + spatial"),
    "video_mesh_temporal": ("mesh + video", "temporal"),
    "video_mesh_spatial": ("mesh + video", "spatial"),
    "video_mesh_temporal_spatial": ("mesh + video", "temporal + spatial"),
    "landmarks_mlp": ("coefficients", "MLP"),
}
"""Input and modules of the configs of `training.table4`, in the paper's order, and the MLP of its baselines."""

AU_SETS = {"BP4D": facs.BP4D, "DISFA": facs.DISFA, "all": facs.ALL}


@dataclass(frozen=True)
class Range:
    """A mean, and the lowest and highest of what it is the mean of."""

    mean: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Range":
        return cls(sum(values) / len(values), min(values), max(values))


@dataclass(frozen=True)
class Tested:
    """What one column of a row says F1 of, for a model card: `dataset`, `title` and `split` of `CardResult`.

    Attributes:
        over: the action units that it is the mean over, for people.
    """

    dataset: str
    title: str
    split: str
    over: str


@dataclass(frozen=True)
class Table4Row:
    """One model.

    Attributes:
        input, modules: in the paper's words. name: of the model; a config of `ROWS`, or what its user calls it.
        f1: by column; columns that were not measured are left out.
        always_positive_f1: the floors beside them.
        roc_area, mesh_mm: means; None where they were not measured.
        unfair: columns that are no fair test of it, as it was trained on people who are tested.
        tested: by column of `f1`.
        more: what else the JSON says.
    """

    input: str
    modules: str
    name: str
    f1: Mapping[str, Range]
    always_positive_f1: Mapping[str, float]
    roc_area: float | None = None
    mesh_mm: float | None = None
    unfair: frozenset[str] = frozenset()
    tested: Mapping[str, Tested] = field(default_factory=dict)
    more: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Table4:
    """All models.

    Attributes:
        data: what it was measured on, for people.
        columns: keys of `Table4Row.f1`, and their titles.
        spread: what a mean is over, such as "seeds" or "folds"; empty where nothing has a spread.
        rows: in the paper's order. notes: sentences.
        more: what else the JSON says.
    """

    data: str
    columns: Mapping[str, str]
    spread: str
    rows: Sequence[Table4Row]
    notes: Sequence[str] = ()
    more: Mapping[str, Any] = field(default_factory=dict)

    @property
    def floors(self) -> dict[str, float]:
        """Of every column, from the first row that has it: the same for all that were measured on one set of frames."""
        return {
            key: next(row.always_positive_f1[key] for row in self.rows if key in row.always_positive_f1)
            for key in self.columns
            if any(key in row.always_positive_f1 for row in self.rows)
        }

    def numbers(self) -> dict[str, Any]:
        """Everything, for JSON."""
        return {
            "data": self.data,
            **self.more,
            "rows": [
                {
                    "row": row.name,
                    "input": row.input,
                    "modules": row.modules,
                    "paper": dict(zip(("BP4D", "DISFA"), _paper(row), strict=True)),
                    "f1": {key: [number(v) for v in (one.mean, one.low, one.high)] for key, one in row.f1.items()},
                    "always_positive_f1": {key: number(value) for key, value in row.always_positive_f1.items()},
                    "roc_area": None if row.roc_area is None else number(row.roc_area),
                    "mesh_mm": None if row.mesh_mm is None else number(row.mesh_mm),
                    **({"unfair": sorted(row.unfair)} if row.unfair else {}),
                    **row.more,
                }
                for row in self.rows
            ],
            "notes": list(self.notes),
        }

    def text(self) -> str:
        """The table for people, in per cent and millimetres, in Markdown."""
        over = f", mean over {self.spread} (in brackets from the lowest to the highest)" if self.spread else ""
        header = [*self._header(), "paper, BP4D", "paper, DISFA"]
        rows = [[*self._cells(row), *(cell(value, 1) for value in _paper(row))] for row in self.rows]
        rows.append([*self._floor_cells(), "–", "–"])
        return "\n\n".join(
            [
                f"F1 (mean over action units, %) on **{self.data}**{over}. Columns named `paper` are the paper's, "
                "Table 4, on BP4D and DISFA, not measured here.",
                markdown_table(header, rows),
                *(["\n".join(f"- {note}" for note in self.notes)] if self.notes else []),
            ]
        )

    def latex(self) -> str:
        """The table for a paper, the paper's rows under the measured ones."""
        from ..latex import latex_table

        over = f", mean over {self.spread} (lowest-highest)" if self.spread else ""
        width = len(self._header())
        blank = (width - 4) * ["–"]
        papers = [[*row, *(cell(f1, 1) for f1 in printed), *blank] for row, printed in PAPER_TABLE4.items()]
        best = [None, None, *(len(self.columns) * ["highest"]), *(["highest"] if self._has("roc_area") else [])]
        best += ["lowest"] if self._has("mesh_mm") else []
        return latex_table(
            self._header(),
            [self._cells(row) for row in self.rows],
            f"F1 (%), mean over action units, on {self.data}{over}; the paper's on BP4D and DISFA.",
            reference_rows=[self._floor_cells()],
            paper_rows=papers,
            best=best,
            label="tab:modules",
        )

    def figure(self) -> "Figure":
        """Bars by model, the paper's beside them, and what saying "present" everywhere gets; without unfair tests."""
        from ..bar_plot import Bars, bar_plot

        def values(found: Iterable[float | None]) -> np.ndarray:
            return np.array([np.nan if value is None else value for value in found])

        bars, floors = [], self.floors
        for key, title in self.columns.items():
            ranges = [None if key in row.unfair else row.f1.get(key) for row in self.rows]
            floor = 100 * floors[key] if key in floors else None
            bars.append(
                Bars(
                    title,
                    values([*(None if one is None else 100 * one.mean for one in ranges), floor]),
                    low=values([*(None if one is None else 100 * one.low for one in ranges), None]),
                    high=values([*(None if one is None else 100 * one.high for one in ranges), None]),
                )
            )
        for k, name in enumerate(("BP4D", "DISFA")):
            bars.append(Bars(name, values([*(_paper(row)[k] for row in self.rows), None]), paper=True))
        labels = [f"{row.input}\n{row.modules.replace(' + ', ' +' + chr(10))}" for row in self.rows]
        return bar_plot([*labels, "always\npositive"], bars, "F1, %", f"Average F1 on {self.data}")

    def card_results(self) -> tuple[list[CardResult], list[str]]:
        """What a model card says of the only row that was measured; and why columns are left out."""
        (row,) = [row for row in self.rows if row.f1]
        found: dict[tuple[str, str, str], dict[str, tuple[str, float | None]]] = {}
        for key, f1 in row.f1.items():
            tested = row.tested[key]
            metrics = found.setdefault((tested.dataset, tested.title, tested.split), {})
            if key not in row.unfair:
                metrics[f"F1, mean over {tested.over}"] = "f1", f1.mean
                metrics[f"always positive, F1, mean over {tested.over}"] = "f1", row.always_positive_f1.get(key)
        if row.roc_area is not None or row.mesh_mm is not None:  # of synthetic people, the only ones with either
            (metrics,) = found.values()
            metrics["ROC area, mean over all action units"] = "roc_auc", row.roc_area
            metrics["mean distance of vertices from the true ones, mm"] = "mean_distance_mm", row.mesh_mm
        refused = [f"{key}: {row.name} was trained on people whom it is tested on" for key in sorted(row.unfair)]
        return [CardResult(*about, metrics) for about, metrics in found.items()], refused

    def _has(self, name: str) -> bool:
        return any(getattr(row, name) is not None for row in self.rows)

    def _header(self) -> list[str]:
        extra = [title for name, title in (("roc_area", "ROC area"), ("mesh_mm", "mesh, mm")) if self._has(name)]
        return ["input", "modules", *self.columns.values(), *extra]

    def _cells(self, row: Table4Row) -> list[str]:
        cells = [row.input, row.modules]
        for key in self.columns:
            one = row.f1.get(key)
            text = "–" if one is None else f"{'† ' if key in row.unfair else ''}{100 * one.mean:.1f}"
            spread = one is not None and self.spread and one.low < one.high
            cells.append(text + (f" ({100 * one.low:.1f}-{100 * one.high:.1f})" if spread and one else ""))
        cells += [cell(row.roc_area, 3)] if self._has("roc_area") else []
        return cells + ([cell(row.mesh_mm)] if self._has("mesh_mm") else [])

    def _floor_cells(self) -> list[str]:
        floors = self.floors
        cells = [cell(100 * floors[key] if key in floors else None, 1) for key in self.columns]
        return ["always positive", "", *cells, *(len(self._header()) - 2 - len(cells)) * ["–"]]


def synthetic_table4(
    records: Mapping[str, Sequence[Mapping[str, Any]]], more: Mapping[str, Any] | None = None
) -> Table4:
    """The table of `training.table4` on rendered synthetic people.

    Args:
        records: by name of `ROWS`, training.json of every seed. more: for the JSON.
    """
    rows = [_synthetic_row(name, [record["held_out"] for record in found]) for name, found in records.items()]
    frames = {row.more["frames"] for row in rows}
    seeds = max(len(found) for found in records.values())
    return Table4(
        "rendered synthetic people",
        {"BP4D": "BP4D's AUs", "DISFA": "DISFA's AUs", "all": "all AUs"},
        f"{seeds} seeds" if seeds > 1 else "",
        rows,
        [
            f"Measured on {' or '.join(map(str, sorted(frames)))} frames of held-out synthetic people"
            + ("" if seeds > 1 else ", one seed")
            + "; BP4D's and DISFA's action units as labels, not their videos."
        ],
        more or {},
    )


def _synthetic_row(name: str, runs: Sequence[Mapping[str, Any]]) -> Table4Row:
    def means(score: str, units: Sequence[int]) -> list[float]:
        return [sum(run["by_au"][facs.label(unit)][score] or 0.0 for unit in units) / len(units) for run in runs]

    errors = [run["refined_error_mm"] for run in runs if run.get("refined_error_mm") is not None]
    return Table4Row(
        *ROWS[name],
        name,
        {key: Range.of(means("f1", units)) for key, units in AU_SETS.items()},
        {key: means("always_positive_f1", units)[0] for key, units in AU_SETS.items()},
        sum(run["roc_area_mean"] for run in runs) / len(runs),
        sum(errors) / len(errors) if errors else None,
        tested={
            key: Tested(
                "synthetic",
                "Synthetic people, rendered and tracked",
                f"Table 4, {runs[0]['frames']} frames of held-out people",
                "all action units" if key == "all" else f"the action units of {key}",
            )
            for key in AU_SETS
        },
        more={
            "frames": runs[0]["frames"],
            "by_au": {au: [run["by_au"][au]["f1"] for run in runs] for au in runs[0]["by_au"]},
        },
    )


def _paper(row: Table4Row) -> tuple[float | None, float | None]:
    return PAPER_TABLE4.get((row.input, row.modules), (None, None))
