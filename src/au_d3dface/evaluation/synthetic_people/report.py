"""What `evaluate synthetic` says: the scores of folders of sequences, as Markdown tables and as numbers for JSON."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ... import facs
from ..card_results import CardResult
from ..reports import cell, markdown_table, number
from .au_scores import AU_SETS, AURows, AUScores
from .calibration import WAYS, HardCase
from .mesh_scores import ERRORS, MAX_LAG, STILL_ACCELERATION, STILL_VELOCITY, MeshScores, refined_share

ALL_FOLDERS = "all folders"
"""What all folders together are called."""


@dataclass(frozen=True)
class FolderScores:
    """All scores of one folder, or of all together.

    Attributes:
        sequences: measured. left_out: those in which no face was found.
        scores: of the network by way of calibration, "clip" first. static: of the network without temporal module.
        meshes: of the network.
        never_relaxes, never_moves: by way; empty where there is nobody, or where calibration was not measured.
    """

    sequences: int
    left_out: int
    scores: dict[str, AUScores]
    static: AUScores | None
    meshes: MeshScores
    never_relaxes: dict[str, HardCase]
    never_moves: dict[str, HardCase]

    @classmethod
    def of(
        cls,
        action_units: Sequence[int],
        rows: dict[str, AURows],
        static: AURows | None,
        **others: Any,
    ) -> "FolderScores":
        """From the frames themselves; `others` are the attributes of the same names."""
        return cls(
            scores={way: AUScores.of(part, action_units) for way, part in rows.items()},
            static=None if static is None else AUScores.of(static, action_units),
            **others,
        )

    def numbers(self) -> dict:
        """Everything, for JSON."""
        return {
            "sequences": self.sequences,
            "left_out": self.left_out,
            "action_units": {
                "full": self.scores["clip"].numbers(),
                **({} if self.static is None else {"static": self.static.numbers()}),
            },
            "meshes": self.meshes.numbers(),
            "calibration": {
                way: {
                    "means": scores.numbers()["means"],
                    "never_relaxes": _case_numbers(self.never_relaxes.get(way)),
                    "never_moves": _case_numbers(self.never_moves.get(way)),
                }
                for way, scores in self.scores.items()
                if len(self.scores) > 1
            },
        }

    def tables(self, surface_every: int, min_stretch: float) -> list[str]:
        """Paragraphs in Markdown."""
        parts = ["Action units, means:", self._means(), "By true intensity, F1 (recall):", self._levels()]
        parts += ["By action unit:", self._by_unit(), "By action unit and true intensity, F1 (recall):"]
        parts += [self._unit_levels(), *self._mesh_parts(surface_every)]
        if len(self.scores) > 1:
            parts += ["By way of learning what the person looks like at rest:", self._calibration()]
            parts.append(self._hard_cases(min_stretch))
        return parts

    def _networks(self) -> dict[str, AUScores]:
        return {"full": self.scores["clip"]} | ({} if self.static is None else {"static": self.static})

    def _means(self) -> str:
        networks = self._networks()
        header = ["over", "floor", *(f"{score}, {name}" for score in ("F1", "ROC area", "r") for name in networks)]
        rows = []
        for name in AU_SETS:
            means = {network: scores.means(name) for network, scores in networks.items()}
            rows.append([name, cell(means["full"]["always_positive_f1"], 3)])
            for score in ("f1", "roc_area", "intensity_r"):
                rows[-1] += [cell(means[network][score], 3) for network in networks]
        return markdown_table(header, rows)

    def _levels(self) -> str:
        rows = [
            [f"{name}, {network}", *(_level(scores, level, scores.mean, name) for level in range(5))]
            for name in AU_SETS
            for network, scores in self._networks().items()
        ]
        return markdown_table(["over", "1", "2", "3", "4", "5"], rows)

    def _by_unit(self) -> str:
        networks = self._networks()
        header = ["AU", "floor", *(f"{score}, {name}" for score in ("F1", "ROC area", "r") for name in networks)]
        rows = []
        for k, unit in enumerate(self.scores["clip"].action_units):
            rows.append([facs.label(unit), cell(self.scores["clip"].always_positive_f1[k])])
            for score in ("f1", "roc_area", "intensity_r"):
                rows[-1] += [cell(getattr(scores, score)[k]) for scores in networks.values()]
        return markdown_table(header, rows)

    def _unit_levels(self) -> str:
        scores = self.scores["clip"]
        rows = [
            [facs.label(unit), *(_level(scores, level, lambda values, _, k=k: values[k]) for level in range(5))]
            for k, unit in enumerate(scores.action_units)
        ]
        return markdown_table(["AU", "1", "2", "3", "4", "5"], rows)

    def _mesh_parts(self, surface_every: int) -> list[str]:
        meshes = self.meshes
        rows = []
        for name, error in meshes.errors.items():
            if not error.count:
                continue
            for mesh, values in zip(("coarse", "refined"), error.values, strict=True):
                rows.append([f"{ERRORS[name]}, {mesh}", *(cell(value) for value in values)])
            rows.append([f"{ERRORS[name]}, ratio", *(cell(value) for value in refined_share(error.values))])
        surface = meshes.errors.get("kit_surface")
        every = f", to the surface over {surface.count}, one in {surface_every}" if surface else ""
        text = f"Mean distance, mm, over {meshes.errors['whole'].count} samples{every}"
        jitter = [cell(value, 3) for value in (*meshes.jitter.values, refined_share(meshes.jitter.values))]
        motion = [["jitter, mm", *jitter]]
        lags = meshes.known_lags
        if len(lags):
            motion.append(["mean lag, samples", *(cell(value, 3) for value in lags.mean(0)), cell(None)])
            within = (np.abs(lags) <= 1).mean(0)
            motion.append(["share of lags within one sample", *(cell(value, 3) for value in within), cell(None)])
            motion.append(["largest lag, samples", *(cell(value, 3) for value in np.abs(lags).max(0)), cell(None)])
        return [
            f"{text} (the size of the face at rest, which is off by {meshes.size_error:.1%}, is taken out):",
            markdown_table(["", *meshes.regions], rows),
            f"Mean acceleration of the vertices at the {meshes.jitter.count} samples where the true motion is near "
            f"zero (velocity up to {STILL_VELOCITY:g} mm a sample, acceleration up to {STILL_ACCELERATION:g}), and lag "
            f"of the displacement over {len(lags)} sequences (up to {MAX_LAG} samples are looked at):",
            markdown_table(["", "coarse", "refined", "ratio"], motion),
        ]

    def _calibration(self) -> str:
        header = ["neutral face", *(f"{score} {name}" for score in ("F1", "ROC", "r") for name in AU_SETS)]
        rows = []
        for way, scores in self.scores.items():
            rows.append([WAYS[way]])
            for score in ("f1", "roc_area", "intensity_r"):
                rows[-1] += [cell(scores.means(name)[score], 3) for name in AU_SETS]
        return markdown_table(header, rows)

    def _hard_cases(self, min_stretch: float) -> str:
        lines = []
        if self.never_relaxes:
            some = next(iter(self.never_relaxes.values()))
            lines += [
                f"{some.people} people who never relax, {some.rows} frames (pieces of at least {min_stretch:g} s, cut "
                "out, through which one action unit is present): how often it is missed, and how often another that is "
                "absent is said to be present:",
                "",
                markdown_table(
                    ["neutral face", "missed", "false positives"],
                    [
                        [WAYS[way], cell(case.miss_rate, 3), cell(case.false_positive_rate, 4)]
                        for way, case in self.never_relaxes.items()
                    ],
                ),
            ]
        else:
            lines.append(f"Nobody shows one action unit for {min_stretch:g} s without a break.")
        lines.append("")
        if self.never_moves:
            some = next(iter(self.never_moves.values()))
            lines += [
                f"{some.people} people who never move, {some.rows} frames (pieces of at least {min_stretch:g} s, cut "
                "out, without any action unit but blinks): how often one is said to be present:",
                "",
                markdown_table(
                    ["neutral face", "false positives"],
                    [[WAYS[way], cell(case.false_positive_rate, 4)] for way, case in self.never_moves.items()],
                ),
            ]
        else:
            lines.append(f"Nobody shows no action unit for {min_stretch:g} s.")
        return "\n".join(lines)


@dataclass(frozen=True)
class SyntheticReport:
    """All folders.

    Attributes:
        folders: by name, and `ALL_FOLDERS` last where they are many.
        styles: the style of each folder's people, None for several.
        surface_every: the distance to the surface is measured at every so-manieth sample of a sequence.
        min_stretch: seconds, of people who never relax or never move.
        notes: sentences for people.
    """

    folders: dict[str, FolderScores]
    styles: dict[str, str | None]
    surface_every: int
    min_stretch: float
    notes: list[str]

    def numbers(self) -> dict:
        """Everything, for JSON."""
        return {
            "rules": {
                "surface_every": self.surface_every,
                "still_velocity_mm": STILL_VELOCITY,
                "still_acceleration_mm": STILL_ACCELERATION,
                "max_lag": MAX_LAG,
                "min_stretch_s": self.min_stretch,
            },
            "notes": self.notes,
            "folders": {
                name: {"style": self.styles.get(name)} | scores.numbers() for name, scores in self.folders.items()
            },
        }

    def text(self) -> str:
        """Everything in Markdown."""
        parts = []
        for name, scores in self.folders.items():
            style = self.styles.get(name)
            people = f"{scores.sequences} sequences, {scores.scores['clip'].rows} samples"
            parts.append(f"## {name}: {people}" + (f", style {style!r}" if style else ""))
            parts += scores.tables(self.surface_every, self.min_stretch)
        return "\n\n".join(parts)

    def card_results(self) -> list[CardResult]:
        """What a model card says of each folder: means over the action units of BP4D, of DISFA and of all."""
        results = []
        for name, scores in self.folders.items():
            clip = scores.scores["clip"]
            metrics = {}
            for units in AU_SETS:
                means = clip.means(units)
                over = "all action units" if units == "all" else f"the action units of {units}"
                metrics |= {
                    f"F1, mean over {over}": ("f1", means["f1"]),
                    f"always positive, F1, mean over {over}": ("f1", means["always_positive_f1"]),
                    f"ROC area, mean over {over}": ("roc_auc", means["roc_area"]),
                    f"intensity Pearson r, mean over {over}": ("pearsonr", means["intensity_r"]),
                }
            title = "Synthetic people, rendered and tracked"
            results.append(CardResult("synthetic", title, f"{Path(name).name}, {scores.sequences} sequences", metrics))
        return results


def _level(scores: AUScores, level: int, take: Callable[[np.ndarray, str], float], name: str = "all") -> str:
    """F1 (recall) at an intensity; `take` picks or averages, as `AUScores.mean` does."""
    f1, recall = (cell(take(getattr(scores.by_intensity, score)[level], name)) for score in ("f1", "recall"))
    return f"{f1} ({recall})"


def _case_numbers(case: HardCase | None) -> dict | None:
    if case is None:
        return None
    return {
        "people": case.people,
        "frames": case.rows,
        "missed": number(case.miss_rate),
        "false_positives": number(case.false_positive_rate),
    }
