"""What the evaluations print and write: aligned Markdown tables, and the same as JSON, LaTeX and a plot."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..export.files import move_into, staging_folder

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table whose columns are aligned, so that it reads as well in a terminal; numbers to the right."""
    columns = list(zip(header, *rows, strict=True))
    widths = [max(map(len, column)) for column in columns]
    lines = [[cell.ljust(widths[0]) if k == 0 else cell.rjust(widths[k]) for k, cell in enumerate(header)]]
    lines.append(["-" * width if k == 0 else "-" * (width - 1) + ":" for k, width in enumerate(widths)])
    lines += [
        [cell.ljust(widths[0]) if k == 0 else cell.rjust(widths[k]) for k, cell in enumerate(row)] for row in rows
    ]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def cell(value: float | None, decimals: int = 2) -> str:
    """A number for a table; a dash where there is none."""
    return "–" if value is None or np.isnan(value) else f"{value:.{decimals}f}"


def number(value: float) -> float | None:
    """A number for JSON, four decimals; None for NaN, which JSON lacks."""
    return None if np.isnan(value) else round(float(value), 4)


def write_report(
    directory: Path,
    name: str,
    text: str,
    numbers: dict[str, Any],
    latex: str | None = None,
    figure: "Figure | None" = None,
) -> list[Path]:
    """Writes `name`.md and `name`.json into a folder, which is made where it is missing; all files or none.

    Args:
        latex: of `latex.latex_table`, or several one after the other; written as `name`.tex where given.
        figure: of `bar_plot.bar_plot`; written as `name`.png where given.

    Raises:
        OutputError: the folder cannot be written.
    """
    with staging_folder(directory) as staging:
        (staging / f"{name}.md").write_text(text + "\n", encoding="utf-8")
        content = json.dumps(numbers, indent=2, ensure_ascii=False, allow_nan=False)
        (staging / f"{name}.json").write_text(content + "\n", encoding="utf-8")
        if latex is not None:
            (staging / f"{name}.tex").write_text(latex, encoding="utf-8")
        if figure is not None:
            figure.savefig(staging / f"{name}.png", dpi=130)
        return move_into(staging, directory)
