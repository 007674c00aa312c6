"""Pictures side by side, as in the paper's Fig. 3 and 4: columns are frames, rows are what is shown of them.

Labels of columns stand above, notes (such as active action units) below, labels of rows upright at the left; captions
stand under single pictures, and a colour bar at the right of the rows whose colours it explains.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from .heat_maps import INK, ColourScale, colour_bar_width, draw_colour_bar
from .text import font, shortened, wrapped

MAX_SIDE = 6000
"""Pixels: a strip that would be wider or higher is made of smaller pictures."""

_SMALLEST_CELL = 24
_LINE = 1.3
"""Height of a line, in sizes of its text."""

Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class StripRow:
    """One row.

    Attributes:
        label: stands upright at the left; may be empty.
        pictures: (H, W, 3) uint8 RGB, one a column; None leaves a place empty.
        captions: a line under each picture, or nothing at all.
        scale: what the row's colours stand for. Rows of one scale that follow one another share a bar.
    """

    label: str
    pictures: Sequence[np.ndarray | None]
    captions: Sequence[str] = ()
    scale: ColourScale | None = None


@dataclass(frozen=True)
class StripLayout:
    """Where everything is. Boxes are left, top, right and bottom in pixels of the whole; right and bottom lie outside.

    Attributes:
        height, width: of the whole. text_size: pixels.
        cells: a box for each picture, by row and column.
        labels: a box for the label of each row. heads, notes: a box for the label and the notes of each column.
        title: a box. bars: boxes of the colour bars, each with its scale.
    """

    height: int
    width: int
    text_size: float
    cells: list[list[Box]]
    labels: list[Box]
    heads: list[Box]
    notes: list[Box]
    title: Box
    bars: list[tuple[Box, ColourScale]]


def compose_strip(
    rows: Sequence[StripRow],
    column_labels: Sequence[str] = (),
    column_notes: Sequence[Sequence[str]] = (),
    title: str = "",
    cell: tuple[int, int] | None = None,
) -> np.ndarray:
    """All pictures on white.

    Every picture is brought to one size, as large as its place allows with its own proportions.

    Args:
        rows: at least one, all of as many pictures, at least one.
        column_labels: a line above each column, or nothing.
        column_notes: lines below each column, or nothing.
        title: a line above everything, or nothing.
        cell: height and width of the place of a picture, pixels; by default those of the largest pictures. Smaller
            where the whole would be larger than MAX_SIDE.

    Returns:
        (H, W, 3) uint8.

    Raises:
        ValueError: no picture at all, numbers of pictures or labels that differ, or so many pictures that none of them
            could be seen.
    """
    layout = strip_layout(rows, column_labels, column_notes, title, cell)
    size = layout.text_size
    whole = Image.new("RGB", (layout.width, layout.height), "white")
    draw = ImageDraw.Draw(whole)
    for row, boxes, label in zip(rows, layout.cells, layout.labels, strict=True):
        for picture, box in zip(row.pictures, boxes, strict=True):
            if picture is not None:
                _paste(whole, picture, box)
        for caption, box in zip(row.captions, boxes, strict=False):  # there are none, or one a picture
            text = shortened(caption, size, box[2] - box[0])
            draw.text(((box[0] + box[2]) / 2, box[3] + 0.65 * size), text, INK, font(size), anchor="mm")
        _write_upright(whole, row.label, label, size)
    for text, box in zip(column_labels, layout.heads, strict=False):
        text = shortened(text, size, box[2] - box[0])
        draw.text(((box[0] + box[2]) / 2, (box[1] + box[3]) / 2), text, INK, font(size), anchor="mm")
    for lines, box in zip(column_notes, layout.notes, strict=False):
        for k, text in enumerate(lines):
            text = shortened(text, size, box[2] - box[0])
            draw.text(((box[0] + box[2]) / 2, box[1] + (k + 0.5) * _LINE * size), text, INK, font(size), anchor="mm")
    if title:
        left, top, right, bottom = layout.title
        text = shortened(title, 1.15 * size, right - left)
        draw.text((left, (top + bottom) / 2), text, INK, font(1.15 * size), anchor="lm")
    for (left, top, right, bottom), scale in layout.bars:
        bar = draw_colour_bar(
            bottom - top,
            right - left,
            scale.maximum,
            scale.unit,
            unknown=scale.unknown,
            text_size=size,
            unknown_label=scale.unknown_label,
        )
        whole.paste(Image.fromarray(bar), (left, top))
    return np.asarray(whole)


def strip_layout(
    rows: Sequence[StripRow],
    column_labels: Sequence[str] = (),
    column_notes: Sequence[Sequence[str]] = (),
    title: str = "",
    cell: tuple[int, int] | None = None,
) -> StripLayout:
    """Where `compose_strip` puts things; takes and raises the same."""
    columns = len(rows[0].pictures) if rows else 0
    if not columns:
        raise ValueError("a strip needs at least one picture")
    for row in rows:
        if len(row.pictures) != columns or len(row.captions) not in (0, columns):
            raise ValueError(f"row {row.label!r} of a strip must have {columns} pictures, and as many captions or none")
    if len(column_labels) not in (0, columns) or len(column_notes) not in (0, columns):
        raise ValueError(f"a strip of {columns} columns needs as many labels and notes, or none")
    if cell is None:
        shapes = [picture.shape for row in rows for picture in row.pictures if picture is not None]
        if not shapes:
            raise ValueError("a strip needs at least one picture")
        cell = max(shape[0] for shape in shapes), max(shape[1] for shape in shapes)
    height, width = cell
    while True:
        layout = _layout(rows, column_labels, column_notes, title, height, width)
        longer = max(layout.height, layout.width)
        if longer <= MAX_SIDE:
            return layout
        share = min(0.98, MAX_SIDE / longer)
        height, width = int(share * height), int(share * width)
        if min(height, width) < _SMALLEST_CELL:
            raise ValueError(f"{columns} x {len(rows)} pictures are too many for one strip; leave some out")


def _layout(
    rows: Sequence[StripRow],
    column_labels: Sequence[str],
    column_notes: Sequence[Sequence[str]],
    title: str,
    cell_height: int,
    cell_width: int,
) -> StripLayout:
    size = float(min(max(round(min(cell_height, cell_width) / 15), 9), 32))
    gap, edge, line = max(2, round(size / 3)), round(size), round(_LINE * size)
    columns = len(rows[0].pictures)
    label_lines = max(len(wrapped(row.label, size, cell_height, 2)) for row in rows)
    label_width = label_lines * line + (gap if label_lines else 0)
    left = edge + label_width
    lefts = [left + k * (cell_width + gap) for k in range(columns)]
    title_box = (edge, edge, lefts[-1] + cell_width, edge + (round(1.8 * size) if title else 0))
    y = title_box[3] if title else edge
    head_rows = (y, y + line + gap) if column_labels else (y, y)
    y = head_rows[1]
    tops = []
    for row in rows:
        tops.append(y)
        y += cell_height + (line if row.captions else 0) + gap
    y -= gap
    note_rows = (y + gap, y + gap + line * max(map(len, column_notes))) if column_notes else (y, y)
    bars, right = [], lefts[-1] + cell_width
    bar_left = right + 2 * gap
    for first, last in _runs_of_scale(rows):
        scale = rows[first].scale
        assert scale is not None
        box = (bar_left, tops[first], bar_left + colour_bar_width(scale, size), tops[last] + cell_height)
        bars.append((box, scale))
        right = max(right, box[2])
    return StripLayout(
        height=note_rows[1] + edge,
        width=right + edge,
        text_size=size,
        cells=[[(x, top, x + cell_width, top + cell_height) for x in lefts] for top in tops],
        labels=[(edge, top, left - gap, top + cell_height) if label_lines else (edge, top, edge, top) for top in tops],
        heads=[(x, head_rows[0], x + cell_width, head_rows[1]) for x in lefts],
        notes=[(x, note_rows[0], x + cell_width, note_rows[1]) for x in lefts],
        title=(edge, title_box[1], right, title_box[3]),
        bars=bars,
    )


def _runs_of_scale(rows: Sequence[StripRow]) -> list[tuple[int, int]]:
    """First and last row of every run of rows that have one scale."""
    runs: list[tuple[int, int]] = []
    for k, row in enumerate(rows):
        if row.scale is None:
            continue
        if runs and runs[-1][1] == k - 1 and rows[k - 1].scale == row.scale:
            runs[-1] = (runs[-1][0], k)
        else:
            runs.append((k, k))
    return runs


def _paste(whole: Image.Image, picture: np.ndarray, box: Box) -> None:
    """The picture in the middle of its box."""
    height, width = picture.shape[:2]
    share = min((box[2] - box[0]) / width, (box[3] - box[1]) / height)
    size = max(1, round(share * width)), max(1, round(share * height))
    image = Image.fromarray(np.ascontiguousarray(picture))
    if image.size != size:
        image = image.resize(size, Image.Resampling.LANCZOS)
    left, top = (box[0] + box[2] - size[0]) // 2, (box[1] + box[3] - size[1]) // 2
    whole.paste(image, (left, top))


def _write_upright(whole: Image.Image, text: str, box: Box, size: float) -> None:
    """Text that reads from below to above, in the middle of its box."""
    width, height = box[2] - box[0], box[3] - box[1]
    lines = wrapped(text, size, height, 2)
    if not lines:
        return
    flat = Image.new("RGB", (height, width), "white")
    draw = ImageDraw.Draw(flat)
    first = width - (len(lines) - 0.5) * _LINE * size  # the last line is next to the pictures
    for k, line in enumerate(lines):
        draw.text((height / 2, first + k * _LINE * size), line, INK, font(size), anchor="mm")
    whole.paste(flat.transpose(Image.Transpose.ROTATE_90), (box[0], box[1]))
