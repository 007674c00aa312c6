"""timeline.png: every action unit over time, as bands of colour."""

from os import PathLike
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.patheffects import withStroke
from matplotlib.ticker import AutoMinorLocator

from .. import facs
from ..face_sequence import FaceSequence
from .files import atomic_path

_INK, _ACTIVE, _GAP = "#22303c", "#c8501e", "#d9d9d9"
_PROBABILITY = LinearSegmentedColormap.from_list("probability", ["#f6f8fa", "#c4dcec", "#5a9bc9", "#1f5a92", "#0b2e5c"])
_COLUMNS = 2000
"""More frames than this are gathered, the greatest probability of each group shown, so that no activation is lost."""


def plot_timeline(sequence: FaceSequence, path: str | PathLike[str] | None = None) -> Figure:
    """One band an action unit: the darker, the more probable; an underline where the decision is "present".

    Where the checkpoint predicts intensities, a thin curve in each band shows them, 0 at its foot and 5 at its top.
    Frames without the person are hatched grey.

    Args:
        sequence: one person.
        path: of a .png (or .pdf, .svg), or None to get only the figure.

    Raises:
        OutputError: the file cannot be written.
    """
    units = len(sequence.action_units)
    figure = Figure(figsize=(12, 1.5 + 0.34 * max(units, 3)), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    edges = _frame_edges(sequence)
    starts = np.arange(0, len(sequence), max(1, -(-len(sequence) // _COLUMNS)))
    if len(sequence) and units:
        probabilities = np.fmax.reduceat(sequence.au_probabilities, starts)  # (columns, N), ignores NaN
        mesh = axes.pcolormesh(
            edges[np.append(starts, len(sequence))],
            np.arange(units + 1) - 0.5,
            np.ma.masked_invalid(probabilities.T),
            cmap=_PROBABILITY,
            vmin=0,
            vmax=1,
            rasterized=True,
        )
        bar = figure.colorbar(mesh, ax=axes, pad=0.01, aspect=30, ticks=[0, 0.5, 1])
        bar.set_label("probability")
        bar.outline.set_visible(False)
        _draw_gaps(axes, sequence, edges)
        _draw_bands(axes, sequence, edges, starts)
    axes.set_yticks(range(units), [_name(number) for number in sequence.action_units])
    axes.set_ylim(units - 0.5, -0.5)
    if len(sequence):
        axes.set_xlim(edges[0], edges[-1])
    axes.set_xlabel("seconds")
    axes.xaxis.set_minor_locator(AutoMinorLocator())
    axes.tick_params(axis="y", length=0)
    for spine in ("top", "right", "left"):
        axes.spines[spine].set_visible(False)
    axes.set_title(_title(sequence), loc="left", color=_INK, fontsize=11)
    handles: list[Line2D | Patch] = [Line2D([], [], color=_ACTIVE, linewidth=3, label="present")]
    if sequence.au_intensities is not None:
        handles.append(Line2D([], [], color=_INK, linewidth=0.9, label="intensity, 0 to 5"))
    if not sequence.valid.all():
        handles.append(Patch(facecolor=_GAP, edgecolor="#9a9a9a", hatch="////", label="no face"))
    figure.legend(handles=handles, loc="outside upper right", ncols=len(handles), frameon=False, fontsize=9)
    if path is not None:
        with atomic_path(path) as temporary:
            figure.savefig(temporary, dpi=130)
    return figure


def _frame_edges(sequence: FaceSequence) -> np.ndarray:
    """(T + 1,) seconds: frame t is shown from its own time to that of the next."""
    step = 1 / sequence.frame_rate if len(sequence) > 1 and np.isfinite(sequence.frame_rate) else 1.0
    return np.append(sequence.timestamps, sequence.timestamps[-1:] + step)


def _draw_gaps(axes, sequence: FaceSequence, edges: np.ndarray) -> None:  # type: ignore[no-untyped-def]
    changes = np.flatnonzero(np.diff(np.concatenate([[True], sequence.valid, [True]]).astype(np.int8)))
    for first, end in changes.reshape(-1, 2):
        axes.axvspan(edges[first], edges[end], facecolor=_GAP, edgecolor="#9a9a9a", hatch="////", linewidth=0)


def _draw_bands(axes, sequence: FaceSequence, edges: np.ndarray, starts: np.ndarray) -> None:  # type: ignore[no-untyped-def]
    rows = {number: row for row, number in enumerate(sequence.action_units)}
    marks = [
        [(edges[event.onset], rows[event.action_unit] + 0.4), (edges[event.offset + 1], rows[event.action_unit] + 0.4)]
        for event in sequence.events()
    ]
    axes.add_collection(LineCollection(marks, colors=_ACTIVE, linewidths=3, capstyle="butt"), autolim=False)
    if sequence.au_intensities is not None:
        heights = np.fmax.reduceat(sequence.au_intensities, starts) / 5  # NaN breaks the curve at gaps
        middles = (edges[:-1] + np.diff(edges) / 2)[starts]
        for row in rows.values():
            (curve,) = axes.plot(middles, row + 0.34 - 0.74 * heights[:, row], color=_INK, linewidth=0.9)
            curve.set_path_effects([withStroke(linewidth=2, foreground="white", alpha=0.6)])
    for row in range(1, len(rows)):
        axes.axhline(row - 0.5, color="white", linewidth=2.5)


def _name(number: int) -> str:
    known = facs.ACTION_UNITS.get(number)
    return f"{known.name}   {known.label}" if known else facs.label(number)


def _title(sequence: FaceSequence) -> str:
    name = f"{Path(sequence.source).name}: " if sequence.source else ""
    found = int(sequence.valid.sum())
    return f"{name}face {sequence.face_id}, found in {found} of {len(sequence)} frames"
