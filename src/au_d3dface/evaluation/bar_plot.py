"""The plot of a table: bars by column, the measured ones in colour, the paper's grey, with marks for a floor."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

_INK = "#22303c"
_MEASURED = ("#1f5a92", "#c8501e", "#3b8a57", "#8a5aa8", "#b98b17", "#4aa3b8", "#a8385d", "#6b6f2a")
_PAPER = ("#c9c9c9", "#9c9c9c", "#e2e2e2", "#7d7d7d")
_HATCHES = ("", "////", "....", "xxxx")


@dataclass(frozen=True)
class Bars:
    """One row of a table.

    Attributes:
        name: for the legend.
        values: (C,), NaN where there is none.
        paper: whether the numbers are the paper's, not measured.
        low, high: (C,) ends of a thin line on each bar, such as the lowest and highest fold; None for none.
    """

    name: str
    values: np.ndarray
    paper: bool = False
    low: np.ndarray | None = None
    high: np.ndarray | None = None


def bar_plot(
    columns: Sequence[str],
    rows: Sequence[Bars],
    quantity: str,
    title: str,
    floor: np.ndarray | None = None,
    floor_name: str = "always positive",
) -> Figure:
    """Bars of every row side by side, column by column; a missing value leaves its place empty.

    Args:
        columns: C names. rows: of C values each, the measured ones first.
        quantity: on the vertical axis, such as "F1, %".
        floor: (C,), drawn as a line across all bars of a column; None for none.
        floor_name: of those lines in the legend.
    """
    count, places = len(columns), max(1, len(rows))
    letters = max((len(line) for name in columns for line in name.split("\n")), default=0)  # side by side, unmixed
    inches = float(np.clip(1.5 + count * max(0.22 + 0.11 * places, 0.2 + 0.085 * letters), 6, 22))
    figure = Figure(figsize=(inches, 4.4), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    at, width = np.arange(count), 0.84 / places
    measured = paper = 0
    handles = []
    for number, row in enumerate(rows):
        x = at + (number - (places - 1) / 2) * width
        if row.paper:
            look = {"facecolor": _PAPER[paper % 4], "hatch": _HATCHES[paper // 4 % 4], "edgecolor": "white"}
            paper += 1
        else:
            look = {"facecolor": _MEASURED[measured % 8], "hatch": _HATCHES[measured // 8 % 4], "edgecolor": "white"}
            measured += 1
        name = f"paper: {row.name}" if row.paper else row.name
        handles.append(axes.bar(x, np.nan_to_num(row.values), width, label=name, linewidth=0.4, **look))
        if row.low is not None and row.high is not None:
            axes.vlines(x, row.low, row.high, color=_INK, linewidth=1.1)
    if floor is not None:
        axes.hlines(floor, at - 0.45, at + 0.45, color="white", linewidth=3.4)  # to be seen on dark bars
        axes.hlines(floor, at - 0.45, at + 0.45, color=_INK, linewidth=1.6, linestyles=(0, (2, 1)))
        handles.append(Line2D([], [], color=_INK, linewidth=1.6, linestyle=(0, (2, 1)), label=floor_name))
    axes.set_xticks(at, columns)
    axes.set_xlim(-0.55, count - 0.45)
    axes.set_ylabel(quantity)
    axes.set_title(title, loc="left", color=_INK, fontsize=11)
    axes.tick_params(axis="x", length=0)
    axes.grid(axis="y", color="#e6e6e6", linewidth=0.8)
    axes.set_axisbelow(True)
    for spine in ("top", "right", "left"):
        axes.spines[spine].set_visible(False)
    longest = max(len(handle.get_label()) for handle in handles) if handles else 0
    beside = int(np.clip(inches / (0.7 + 0.08 * longest), 1, 4))  # names side by side that fit
    figure.legend(handles=handles, loc="outside lower center", ncols=beside, frameon=False, fontsize=9)
    return figure
