"""Writing a figure: the picture, and beside it the numbers that it shows, both or neither.

Figures drawn by matplotlib share one style: sizes of text for a printed page of 7 inches, and colours that the
colour-blind tell apart (Okabe and Ito's).
"""

import json
from collections.abc import Mapping
from contextlib import AbstractContextManager
from os import PathLike
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from ...errors import OutputError, UsageError
from ...export.files import atomic_path, check_output_directory, output_errors

VECTOR = (".png", ".pdf", ".svg")
RASTER = (".png",)
"""Suffixes of figures made of lines and text, and of those made of pictures."""

PAGE_WIDTH = 7.2
"""Inches, of a figure across both columns of a paper."""

DOTS_PER_INCH = 300

INK, LINE, LABEL, QUIET, UNKNOWN = "#22303c", "#0072b2", "#f0b478", "#6b7a86", "#d9d9d9"
"""Text; what we say; what is labelled (a light vermilion, for bands); helping lines; what is not known."""

STYLE = {
    "font.size": 7.5,
    "axes.labelsize": 7.5,
    "axes.titlesize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "hatch.linewidth": 0.4,
    "pdf.fonttype": 42,  # text stays text, which journals ask for
    "svg.fonttype": "none",
    "svg.hashsalt": "au-d3dface",  # the same numbers give the same file
}


def figure_style() -> AbstractContextManager[None]:
    """The style, while it is entered."""
    return mpl.rc_context(STYLE)  # type: ignore[arg-type]


def check_figure(path: str | PathLike[str], suffixes: tuple[str, ...] = VECTOR) -> Path:
    """Makes sure that the figure can be written, before the long work starts. Leaves nothing behind.

    Raises:
        UsageError: another suffix.
        OutputError: a folder has the name of one of the two files, or their folder cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() not in suffixes:
        raise UsageError(f"the name of this figure must end in {' or '.join(suffixes)}, not {path.name!r}")
    check_output_directory(path.parent)
    for file in (path, path.with_suffix(".json")):
        if file.is_dir():
            raise OutputError(f"cannot write {file}: a folder has its name; choose another name")
    return path


def write_figure(path: str | PathLike[str], figure: Figure | np.ndarray, numbers: Mapping[str, Any]) -> list[Path]:
    """Writes a matplotlib figure or an (H, W, 3) uint8 picture, and `numbers` as json under the same name.

    Raises:
        OutputError: a file cannot be written; then neither is.
    """
    path = Path(path)
    with output_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path.with_suffix(".json")) as json_file, atomic_path(path) as picture_file:
        json_file.write_text(json.dumps(numbers, indent=2, ensure_ascii=False, allow_nan=False) + "\n", "utf-8")
        if isinstance(figure, np.ndarray):
            Image.fromarray(figure).save(picture_file, format="PNG")
        else:
            with figure_style():
                date = {"CreationDate": None} if path.suffix.lower() == ".pdf" else {"Date": None}
                metadata = {} if path.suffix.lower() == ".png" else date
                figure.savefig(picture_file, dpi=DOTS_PER_INCH, format=path.suffix[1:].lower(), metadata=metadata)
    return [path, path.with_suffix(".json")]
