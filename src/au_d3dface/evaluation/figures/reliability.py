"""Reliability diagrams: of the frames given a probability, how many are labelled present; by action unit and pooled."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from ... import facs
from ...data.synthetic.rendered_sequences import StoredSequences
from ...errors import InputError
from ...metrics import Reliability, brier_score, reliability
from ...metrics.calibration import BINS
from ...pipeline_au_d3dface import Progress
from ..reports import number
from ..synthetic_people.calibration import decode, true_intensities
from ..synthetic_people.evaluation import SyntheticEvaluation, folder_names, read_sequence
from .files import INK, LINE, PAGE_WIDTH, QUIET, figure_style
from .labelled_clips import LabelledClip

_COLUMNS = 5
"""Panels beside one another."""

_SHARE = "#c9d3da"


@dataclass(frozen=True)
class LabelledRows:
    """Probabilities and labels, a row a frame of any clip, a column an action unit.

    Attributes:
        action_units: the N numbers, increasing.
        probabilities: (M, N) 0-1; NaN where not known.
        labels: (M, N) 0, 1, or -1 where not known.
        sources: what the rows are of, for the numbers.
    """

    action_units: tuple[int, ...]
    probabilities: np.ndarray
    labels: np.ndarray
    sources: tuple[str, ...]


def rows_of_clips(clips: Sequence[LabelledClip]) -> LabelledRows:
    """All frames of the clips, one after the other; action units that a clip lacks are not known in it."""
    units = tuple(sorted({unit for clip in clips for unit in clip.action_units}))
    probabilities, labels = [], []
    for clip in clips:
        columns = [units.index(unit) for unit in clip.action_units]
        probabilities.append(np.full((len(clip.valid), len(units)), np.nan))
        labels.append(np.full((len(clip.valid), len(units)), -1))
        probabilities[-1][:, columns], labels[-1][:, columns] = clip.probabilities, clip.labels
    sources = tuple(f"{clip.name} ({clip.label_source})" for clip in clips)
    return LabelledRows(units, np.concatenate(probabilities), np.concatenate(labels), sources)


def rows_of_synthetic(
    folders: Sequence[str | Path], evaluation: SyntheticEvaluation, progress: Progress | None = None
) -> LabelledRows:
    """What the network says of held-out synthetic people, against their true action units, as `evaluate synthetic`.

    Raises:
        InputError: a folder cannot be read or is damaged, or no face was found in any of its sequences.
    """
    paths = [Path(folder) for folder in folders]
    stored = [StoredSequences(path) for path in paths]
    units = evaluation.model.config.action_units
    parts, sources = [], []
    done, total = 0, sum(map(len, stored))
    for source, name in zip(stored, folder_names(paths), strict=True):
        before = len(parts)
        for index in range(len(source)):
            sequence = read_sequence(source, index)
            if sequence.face.valid.any():
                decoded = decode(evaluation.model, evaluation.fitting(sequence.face), sequence.times)
                parts.append(decoded.rows(true_intensities(sequence, units)))
            done += 1
            if progress is not None:
                progress("measuring", done, total)
        if len(parts) == before:
            raise InputError(f"no face was found in any sequence of {source.folder}; render others")
        sources.append(f"synthetic people of {name}")
    probabilities = np.concatenate([part.probabilities for part in parts])
    labels = np.concatenate([part.present for part in parts]).astype(np.int64)
    order = np.argsort(units)
    return LabelledRows(tuple(units[k] for k in order), probabilities[:, order], labels[:, order], tuple(sources))


def reliability_figure(rows: LabelledRows, bins: int = BINS) -> Figure:
    """A panel for all action units pooled, and one for each; below the curve, bars say how many frames a bin has.

    A marker's area tells, too, how many frames it stands for; bins without a frame have none.
    """
    panels: list[tuple[str, Reliability, float]] = []
    scores = brier_score(rows.probabilities, rows.labels)
    pooled = brier_score(rows.probabilities.reshape(-1, 1), rows.labels.reshape(-1, 1))[0]
    panels.append(("all pooled", reliability(rows.probabilities, rows.labels, bins), pooled))
    for k, unit in enumerate(rows.action_units):
        curve = reliability(rows.probabilities[:, k], rows.labels[:, k], bins)
        panels.append((_name(unit), curve, scores[k]))
    columns = min(_COLUMNS, len(panels))
    lines = -(-len(panels) // columns)
    with figure_style():
        side = PAGE_WIDTH / _COLUMNS
        width = max(side * columns, 3.8)  # at least that of the legend
        figure = Figure(figsize=(width, side * 1.12 * lines + 0.4), layout="constrained", facecolor="white")
        FigureCanvasAgg(figure)
        grid = figure.subplots(lines, columns, sharex=True, sharey=True, squeeze=False)
        for place, axes in enumerate(grid.flat):
            if place >= len(panels):
                axes.set_visible(False)
                continue
            _panel(axes, *panels[place], bins=bins, first=place == 0)
            if place + columns >= len(panels):  # nothing below it
                axes.tick_params(labelbottom=True)
        figure.supxlabel("probability", fontsize=7.5)
        figure.supylabel("share labelled present", fontsize=7.5)
        handles = [
            Line2D([], [], color=LINE, marker="o", markersize=3.5, linewidth=1, label="measured"),
            Line2D([], [], color=QUIET, linewidth=0.7, dashes=(4, 3), label="perfect"),
            Patch(facecolor=_SHARE, label="share of the frames"),
        ]
        figure.legend(handles=handles, loc="outside upper center", ncols=len(handles), frameon=False)
        return figure


def reliability_numbers(rows: LabelledRows, bins: int = BINS) -> dict[str, Any]:
    """What the figure shows, for JSON."""
    scores = brier_score(rows.probabilities, rows.labels)
    pooled = brier_score(rows.probabilities.reshape(-1, 1), rows.labels.reshape(-1, 1))[0]
    return {
        "sources": list(rows.sources),
        "bins": bins,
        "pooled": _numbers(reliability(rows.probabilities, rows.labels, bins), pooled),
        "by_au": {
            facs.label(unit): _numbers(reliability(rows.probabilities[:, k], rows.labels[:, k], bins), scores[k])
            for k, unit in enumerate(rows.action_units)
        },
    }


def _numbers(curve: Reliability, brier: float) -> dict[str, Any]:
    total = int(curve.counts.sum())
    present = float(np.nansum(curve.counts * curve.present)) / total if total else float("nan")
    return {
        "frames": total,
        "labelled_present": number(present),
        "ece": number(curve.ece),
        "brier": number(brier),
        "frames_by_bin": curve.counts.tolist(),
        "mean_probability_by_bin": [number(value) for value in curve.probability],
        "labelled_present_by_bin": [number(value) for value in curve.present],
    }


def _panel(axes, title: str, curve: Reliability, brier: float, bins: int, first: bool) -> None:  # type: ignore[no-untyped-def]
    total = int(curve.counts.sum())
    axes.set_title(title, fontsize=6.8, fontweight="bold" if first else "normal", color=INK, pad=10)
    axes.plot([0, 1], [0, 1], color=QUIET, linewidth=0.7, dashes=(4, 3), zorder=1)
    axes.set_xlim(-0.03, 1.03)
    axes.set_ylim(-0.03, 1.03)
    axes.set_aspect("equal")
    axes.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
    axes.set_yticks([0, 0.5, 1], ["0", "0.5", "1"])
    axes.tick_params(length=2)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    if not total:
        axes.text(0.5, 0.5, "no label", ha="center", va="center", fontsize=6.5, color=QUIET)
        return
    shares = curve.counts / total
    axes.bar((np.arange(bins) + 0.5) / bins, 0.25 * shares, 0.85 / bins, bottom=-0.03, color=_SHARE, zorder=0)
    filled = curve.counts > 0
    axes.plot(curve.probability[filled], curve.present[filled], color=LINE, linewidth=1, zorder=2)
    size = 3 + 22 * np.sqrt(shares[filled])
    axes.scatter(
        curve.probability[filled], curve.present[filled], size, color=LINE, edgecolor="white", linewidth=0.4, zorder=3
    )
    text = f"ECE {curve.ece:.3f}  Brier {brier:.3f}  n {_short(total)}"
    axes.text(0.5, 1.02, text, transform=axes.transAxes, ha="center", va="bottom", fontsize=5.8, color=QUIET)


def _short(count: int) -> str:
    """544, 9.8k, 120k, 1.2M."""
    for size, letter in ((1_000_000, "M"), (1000, "k")):
        if count >= size:
            return f"{count / size:.{0 if count >= 100 * size else 1}f}{letter}"
    return str(count)


def _name(unit: int) -> str:
    known = facs.ACTION_UNITS.get(unit)
    return f"{known.label} {known.name}" if known else facs.label(unit)
