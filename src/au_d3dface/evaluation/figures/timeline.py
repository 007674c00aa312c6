"""The figure of action units over time against labels: probability, threshold, decision, label, and F1 beside it."""

from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import AutoMinorLocator

from ... import facs
from ...metrics import f1_score
from ..reports import cell, number
from .files import INK, LABEL, LINE, PAGE_WIDTH, QUIET, UNKNOWN, figure_style
from .labelled_clips import LabelledClip

_COLUMNS = 3000
"""More frames than this are gathered, the greatest probability of each group shown, so that no activation is lost."""

_ROW, _FOOT, _HEIGHT = 0.27, 0.33, 0.74
"""Inches of a row; where its probability 0 is below its middle; and how much of the row the probability takes."""


def timeline_figure(clip: LabelledClip) -> Figure:
    """A row an action unit: the probability as a curve, its threshold dashed, the decision "present" as a bar at the
    foot, the label "present" as a band behind, and at the right F1 and in
    what share of the frames it is labelled present.

    Frames without the face, or whose label is not known, are hatched.
    """
    units = len(clip.action_units)
    edges, unit_of_time = _edges(clip)
    middles = (edges[:-1] + edges[1:]) / 2
    with figure_style():
        figure = Figure(figsize=(PAGE_WIDTH, 0.95 + _ROW * max(units, 3)), layout="constrained", facecolor="white")
        FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        step = max(1, -(-len(middles) // _COLUMNS))
        starts = np.arange(0, len(middles), step)
        shown = np.fmax.reduceat(clip.probabilities, starts)  # NaN breaks the curve
        for row in range(units):
            _bands(axes, edges, clip.labels[:, row] == 1, row - 0.5, 1.0, facecolor=LABEL)
            unknown = clip.valid & (clip.labels[:, row] < 0)
            _bands(axes, edges, unknown, row - 0.5, 1.0, facecolor="white", edgecolor=UNKNOWN, hatch="////")
            _bands(axes, edges, clip.decisions[:, row] == 1, row + _FOOT + 0.02, 0.1, facecolor=LINE)
            if np.isfinite(clip.thresholds[row]):
                height = row + _FOOT - _HEIGHT * clip.thresholds[row]
                axes.plot([edges[0], edges[-1]], [height] * 2, color=QUIET, linewidth=0.5, dashes=(4, 3))
            axes.plot(middles[starts], row + _FOOT - _HEIGHT * shown[:, row], color=LINE, linewidth=0.9)
        _bands(axes, edges, ~clip.valid, -0.5, units, facecolor=UNKNOWN, edgecolor="#9a9a9a", hatch="////")
        lines = [[(edges[0], row - 0.5), (edges[-1], row - 0.5)] for row in range(1, units)]
        axes.add_collection(LineCollection(lines, colors="white", linewidths=1.5), autolim=False)
        axes.set_yticks(range(units), [_name(unit) for unit in clip.action_units])
        axes.set_ylim(units - 0.5, -0.5)
        axes.set_xlim(edges[0], edges[-1])
        axes.set_xlabel(unit_of_time)
        axes.xaxis.set_minor_locator(AutoMinorLocator())
        axes.tick_params(axis="y", length=0)
        for side in ("top", "right", "left"):
            axes.spines[side].set_visible(False)
        _margin(axes, clip)
        handles: list[Line2D | Patch] = [
            Line2D([], [], color=LINE, linewidth=0.9, label="probability"),
            Line2D([], [], color=LINE, linewidth=2.5, label="decided present"),
            Patch(facecolor=LABEL, label="labelled present"),
        ]
        if np.isfinite(clip.thresholds).any():
            handles.insert(1, Line2D([], [], color=QUIET, linewidth=0.6, dashes=(4, 3), label="threshold"))
        if (clip.valid[:, None] & (clip.labels < 0)).any():
            handles.append(Patch(facecolor="white", edgecolor=UNKNOWN, hatch="////", label="no label"))
        if not clip.valid.all():
            handles.append(Patch(facecolor=UNKNOWN, edgecolor="#9a9a9a", hatch="////", label="no face"))
        figure.legend(handles=handles, loc="outside upper center", ncols=len(handles), frameon=False)
        return figure


def timeline_numbers(clip: LabelledClip) -> dict[str, Any]:
    """What the figure shows, for JSON: F1, counts and threshold of each action unit."""
    scores = _scores(clip)
    known = clip.decisions >= 0
    return {
        "clip": clip.name,
        "labels": clip.label_source,
        "frames": len(clip.valid),
        "frames_with_a_face": int(clip.valid.sum()),
        "mean_f1": number(np.nanmean(scores)) if np.isfinite(scores).any() else None,
        "by_au": {
            facs.label(unit): {
                "f1": number(scores[k]),
                "threshold": number(clip.thresholds[k]),
                "labelled_frames": int((known[:, k] & (clip.labels[:, k] >= 0)).sum()),
                "labelled_present": int((known[:, k] & (clip.labels[:, k] == 1)).sum()),
                "decided_present": int(((clip.labels[:, k] >= 0) & (clip.decisions[:, k] == 1)).sum()),
            }
            for k, unit in enumerate(clip.action_units)
        },
    }


def _scores(clip: LabelledClip) -> np.ndarray:
    return f1_score(clip.decisions == 1, np.where(clip.decisions < 0, -1, clip.labels))


def _margin(axes, clip: LabelledClip) -> None:  # type: ignore[no-untyped-def]
    """Columns of numbers at the right of the axes, in the axes' own width so that nothing overlaps."""
    across = axes.get_yaxis_transform()
    scores, known = _scores(clip), clip.decisions >= 0
    units = len(clip.action_units)

    def write(place: float, row: float, text: str, color: str) -> None:
        axes.text(place, row, text, transform=across, ha="right", va="center", fontsize=7, color=color)

    for place, head in ((1.05, "F1"), (1.14, "labelled")):
        write(place, -0.8, head, QUIET)
    for row in range(units):
        labelled = known[:, row] & (clip.labels[:, row] >= 0)
        share = (clip.labels[labelled, row] == 1).mean() if labelled.any() else None
        write(1.05, row, cell(scores[row]), INK)
        write(1.14, row, "–" if share is None else f"{100 * share:.0f} %", QUIET)
    if np.isfinite(scores).any():
        below = {"xycoords": "axes fraction", "textcoords": "offset points", "ha": "right", "va": "center"}
        for place, text, color in ((1.05, f"{np.nanmean(scores):.2f}", INK), (1.14, "mean", QUIET)):
            axes.annotate(text, (place, 0), (0, -19), fontsize=7, color=color, **below)  # below the numbers of the axis


def _bands(axes, edges: np.ndarray, holds: np.ndarray, top: float, height: float, **look: Any) -> None:  # type: ignore[no-untyped-def]
    """Boxes over every run of frames in which (T,) `holds`."""
    changes = np.flatnonzero(np.diff(np.concatenate([[False], holds, [False]]).astype(np.int8))).reshape(-1, 2)
    spans = [(edges[first], edges[end] - edges[first]) for first, end in changes]
    if spans:
        axes.broken_barh(spans, (top, height), linewidth=0, **look)


def _edges(clip: LabelledClip) -> tuple[np.ndarray, str]:
    """(T + 1,) where each frame begins, and the last ends; seconds where all are known and rise, else frame numbers."""
    times = clip.times
    if len(times) > 1 and np.isfinite(times).all() and (np.diff(times) > 0).all():
        return np.append(times, times[-1] + np.median(np.diff(times))), "seconds"
    return np.arange(len(times) + 1) + 0.5, "frame"


def _name(unit: int) -> str:
    known = facs.ACTION_UNITS.get(unit)
    return f"{known.name}   {known.label}" if known else facs.label(unit)
