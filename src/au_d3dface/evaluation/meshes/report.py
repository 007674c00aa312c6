"""What Table 1 says: methods by row, all sequences pooled, as Markdown, numbers for JSON, LaTeX and a plot.

Every method is measured in the same frames: those in which all of them have a mesh.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import InputError
from ..latex import latex_table
from ..reports import cell, markdown_table, number
from .aligning import Measuring
from .measuring import Job, Measured, read_result
from .multirex import REGIONS as MULTIREX_REGIONS
from .tables import MeshTable, MethodRow, mesh_table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PAPER_ROWS = (
    ("DECA", 1.865, 1.405),
    ("EMOCA", 1.624, 1.234),
    ("ours, spatial", 1.587, 1.245),
    ("ours, temporal + spatial", 1.503, 1.127),
)
"""Table 1 of the paper as printed: method, mean and SD, mm, on 30 videos of Multiface."""

PAPER_VIDEOS = 30


@dataclass(frozen=True)
class Averages:
    """Means over frames by region, millimetres, and their deviation; `mean` is that of the regions."""

    regions: dict[str, tuple[float, float]]

    @classmethod
    def of(cls, parts: Sequence[dict[str, np.ndarray]]) -> "Averages":
        found = {}
        for name in dict.fromkeys(name for part in parts for name in part):
            values = np.concatenate([part[name] for part in parts if name in part])
            values = values[np.isfinite(values)]
            if len(values):
                found[name] = float(values.mean()), float(values.std())
        return cls(found)

    @property
    def mean(self) -> float:
        return float(np.mean([mean for mean, _ in self.regions.values()])) if self.regions else float("nan")

    def numbers(self) -> dict[str, Any]:
        """For JSON."""
        parts = {name: {"mean": number(mean), "sd": number(sd)} for name, (mean, sd) in self.regions.items()}
        return parts | {"mean_of_regions": number(self.mean)}


@dataclass(frozen=True)
class Table1:
    """The table.

    Attributes:
        title: such as "Multiface" or "SYNTHETIC people", which every table, caption and plot names.
        table: the rows, and how they were aligned.
        measuring: the settings.
        frames: by sequence, how many all methods have. unseen: by method, frames in which it saw no face.
        by_sequence: means by method and sequence, millimetres.
        coarse: by row of a checkpoint, the row of the coarse meshes that it refines.
        region_wise, multirex: by method; empty where not asked for.
        paper: whether the paper's rows stand beside them.
        notes: sentences for people.
    """

    title: str
    table: MeshTable
    measuring: Measuring
    frames: dict[str, int]
    unseen: dict[str, int]
    by_sequence: dict[str, dict[str, float]]
    coarse: dict[str, str] = field(default_factory=dict)
    region_wise: dict[str, Averages] = field(default_factory=dict)
    multirex: dict[str, Averages] = field(default_factory=dict)
    paper: bool = False
    notes: list[str] = field(default_factory=list)

    @property
    def regions(self) -> list[str]:
        """Of all methods, in order."""
        return list(dict.fromkeys(name for row in self.table.rows.values() for name in row.summaries if name != "all"))

    def how(self) -> str:
        """How it was measured, in one sentence or two."""
        what = "the vertices of the face" if self.measuring.measure == "face" else "all vertices"
        on = "" if self.measuring.align_regions is None else f" on {', '.join(self.measuring.align_regions)}"
        counted = f"{sum(self.frames.values())} meshes of {len(self.frames)} sequences"
        return f"Of {what}, {counted}. {self.table.alignment()}".replace("Aligned by ICP", f"Aligned by ICP{on}")

    def text(self) -> str:
        """Tables in Markdown."""
        lines = [f"## {self.title}: vertex to surface, mm", ""]
        lines.append(markdown_table(_HEADER, [*self._whole(), *self._paper()]))
        for heading, header, rows in self._more():
            lines += ["", f"{heading}:", "", markdown_table(header, rows)]
        lines += ["", self.how()]
        if self.paper:
            lines.append("Rows marked (paper) are printed in the paper, not measured here.")
        return "\n".join(lines)

    def latex(self) -> str:
        """The same tables in LaTeX."""
        caption = f"{self.title}: distance of vertices from the true surface, mm. {self.how()}"
        paper = [[name.removesuffix(" (paper)"), *rest] for name, *rest in self._paper()]
        best = [None, None, "lowest", None, "lowest"]
        tables = [latex_table(_HEADER, self._whole(), caption, paper_rows=paper, best=best, label="tab:meshes")]
        for place, (heading, header, rows) in enumerate(self._more()):
            caption = f"{self.title}: {heading[0].lower()}{heading[1:]}."
            tables.append(latex_table(header, rows, caption, best="lowest", label=f"tab:meshes-{place + 1}"))
        return "\n".join(tables)

    def figure(self) -> "Figure":
        """Bars of the whole face and of each region, by method."""
        from ..bar_plot import Bars, bar_plot

        rows = []
        columns = ["whole", *self.regions]
        for method, row in self.table.rows.items():
            parts = [row.summaries.get("all" if name == "whole" else name) for name in columns]
            rows.append(Bars(method, np.array([np.nan if part is None else part.mean for part in parts])))
        for name, mean, _ in PAPER_ROWS if self.paper else ():
            rows.append(Bars(name, np.array([mean, *[np.nan] * (len(columns) - 1)]), paper=True))
        return bar_plot(columns, rows, "mean distance, mm", f"{self.title}: vertex to surface")

    def numbers(self) -> dict[str, Any]:
        """Everything, for JSON."""
        return {
            "data": self.title,
            "measuring": self.measuring.numbers(),
            "frames": self.frames,
            "frames_without_a_face": self.unseen,
            **self.table.numbers(),
            "mean_by_sequence_mm": {
                method: {name: number(mean) for name, mean in found.items()}
                for method, found in self.by_sequence.items()
            },
            "region_wise_icp_mm": {method: found.numbers() for method, found in self.region_wise.items()},
            "multirex_protocol_mm": {method: found.numbers() for method, found in self.multirex.items()},
            "paper_mm": [{"method": name, "mean": mean, "sd": sd} for name, mean, sd in PAPER_ROWS]
            if self.paper
            else [],
            "notes": self.notes,
        }

    def _whole(self) -> list[list[str]]:
        return [
            [method, str(row.meshes), *(cell(value, 3) for value in (part.mean, part.sd, part.median))]
            for method, row in self.table.rows.items()
            for part in [row.summaries["all"]]
        ]

    def _paper(self) -> list[list[str]]:
        rows = PAPER_ROWS if self.paper else ()
        return [[f"{name} (paper)", "–", cell(mean, 3), cell(sd, 3), "–"] for name, mean, sd in rows]

    def _more(self) -> list[tuple[str, list[str], list[list[str]]]]:
        """Heading, header and rows of the tables by region, as far as there are any."""
        found = []
        if self.regions:
            rows = [
                [method, *(cell(part.mean if (part := row.summaries.get(name)) else None, 3) for name in self.regions)]
                for method, row in self.table.rows.items()
            ]
            found.append(("Mean by region, mm, aligned as a whole", ["method", *self.regions], rows))
        tables = (
            ("Mean by region, mm, each region rigidly aligned by itself by ICP", self.region_wise, self.regions),
            ("MultiREX's region-wise protocol, mm", self.multirex, list(MULTIREX_REGIONS)),
        )
        for heading, averages, names in tables:
            if averages:
                rows = [
                    [method, *(cell(part.regions.get(name, (np.nan, 0))[0], 3) for name in names), cell(part.mean, 3)]
                    for method, part in averages.items()
                ]
                found.append((heading, ["method", *names, "mean"], rows))
        return found


_HEADER = ["method", "meshes", "mean", "SD", "median"]


def pooled(title: str, jobs: Sequence[Job], measuring: Measuring, paper: bool, notes: Sequence[str] = ()) -> Table1:
    """The table of what `measuring.run` has kept of these jobs.

    Raises:
        InputError: a result has gone, methods share no frame, or the meshes of one are of several topologies.
    """
    notes = list(notes)
    by_truth: dict[str, list[Job]] = {}
    for job in jobs:
        by_truth.setdefault(job.truth.name, []).append(job)
    common = {}
    for name, parts in by_truth.items():
        frames = [set(read_result(job).frames.tolist()) for job in parts]
        shared = np.array(sorted(set.intersection(*frames)), np.int64)
        if len(shared) < max(map(len, frames)):
            notes.append(f"{name}: {len(shared)} frames are measured, those in which all methods have a mesh")
        if len(shared):
            common[name] = shared
    if not common:
        raise InputError("there is no frame in which all methods have a mesh, so there is nothing to compare")
    rows: dict[str, MethodRow] = {}
    settings = None
    by_sequence, unseen, coarse, region_wise, multirex = {}, {}, {}, {}, {}
    for method in dict.fromkeys(job.method.name for job in jobs):  # one by one: their distances fill the memory
        own = [job for job in jobs if job.method.name == method and job.truth.name in common]
        results = [read_result(job).at(common[job.truth.name]) for job in own]
        table = mesh_table({method: [part.distances for part in results]}, {method: _same_regions(method, results)})
        rows[method], settings = table.rows[method], table.settings
        means = [float(part.distances.distances.mean()) for part in results]
        by_sequence[method] = dict(zip((job.truth.name for job in own), means, strict=True))
        unseen[method] = sum(part.unseen for part in results)
        if (use := getattr(own[0].method, "checkpoint", None)) is not None:
            coarse[method] = method.removesuffix(f" + {use.name}")
        if measuring.region_wise and results[0].region_wise:
            region_wise[method] = Averages.of([part.region_wise for part in results])
        if measuring.multirex is not None:
            multirex[method] = Averages.of([part.multirex for part in results])
        units = {(f"the meshes of {method}", part.unit) for part in results}
        units |= {("the true meshes", part.true_unit) for part in results}
        said = [
            f"{whose} are in {unit}, told from their size, and were made metres"
            for whose, unit in sorted(units)
            if unit != "m"
        ]
        notes += [sentence for sentence in said if sentence not in notes]
    if measuring.multirex is not None:
        others = [method for method, found in multirex.items() if not found.regions]
        if others:
            notes.append(f"MultiREX's protocol takes FLAME's 5,023 vertices, so it says nothing of {', '.join(others)}")
    counts = {name: len(frames) for name, frames in common.items()}
    return Table1(
        title,
        MeshTable(rows, settings),
        measuring,
        counts,
        unseen,
        by_sequence,
        coarse,
        region_wise,
        multirex,
        paper,
        notes,
    )


def _same_regions(method: str, results: Sequence[Measured]) -> dict[str, np.ndarray]:
    """The regions of a method's meshes, which are of one topology, but whose face may be found anew in each sequence.

    Raises:
        InputError: they differ.
    """
    first = results[0].regions
    for part in results[1:]:
        if first.keys() != part.regions.keys() or any(
            not np.array_equal(first[name], part.regions[name]) for name in first
        ):
            raise InputError(
                f"the face of {method} was found at other vertices in one sequence than in another; name its regions "
                "with --regions, or measure all with --measure all"
            )
    return first
