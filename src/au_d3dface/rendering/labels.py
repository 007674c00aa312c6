"""Text on video: the names of active action units beside each face, with a bar for how active they are."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from .text import font, text_width

_SMALLEST = 5.0
_PANEL = (18, 22, 28)
_PANEL_OPACITY = 0.62
_TEXT = (245, 245, 245)
_TITLE = (150, 205, 235)
_BAR, _BAR_BACK = (255, 176, 66), (88, 94, 102)

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class LabelBlock:
    """What is written beside one face.

    Attributes:
        lines: names with amounts in [0, 1], drawn as bars, from the top.
        box: left, top, right and bottom of the face, pixels; None for a block that belongs to the whole picture, which
            goes to the top left corner.
        title: a line above, such as the person's name, or None.
    """

    lines: Sequence[tuple[str, float]]
    box: Box | None = None
    title: str | None = None


def draw_labels(image: np.ndarray, blocks: Sequence[LabelBlock], text_size: float | None = None) -> np.ndarray:
    """The picture with a block of labels beside each face, inside the picture and off the faces where there is room.

    In a video, boxes that follow the face frame by frame make the labels follow it too.

    Args:
        image: (H, W, 3) uint8 RGB.
        blocks: one for each face; those with neither lines nor title are left out.
        text_size: pixels; by default a twenty-sixth of the picture's shorter side, and at least 10. Blocks that would
            not fit are written smaller, or left out where they would be under 5 pixels: nobody could read them.

    Returns:
        (H, W, 3) uint8, a new array.
    """
    result = image.copy()
    height, width = image.shape[:2]
    wanted = text_size or max(10.0, min(height, width) / 26)
    faces = [block.box for block in blocks if block.box is not None]
    taken: list[Box] = []
    for block in blocks:
        if not block.lines and block.title is None:
            continue
        size = wanted
        columns, rows = _block_size(block, size)
        if columns > width or rows > height:
            size *= min(width / columns, height / rows)
            if size < _SMALLEST:
                continue
            columns, rows = _block_size(block, size)
        left, top = _place(block.box, columns, rows, width, height, faces, taken)
        taken.append((left, top, left + columns, top + rows))
        window = result[top : top + rows, left : left + columns]
        window[:] = _draw(block, size, window)
    return result


def _block_size(block: LabelBlock, size: float) -> tuple[int, int]:
    """Columns and rows of a block's panel."""
    names = [text_width(name, size) for name, _ in block.lines] or [0.0]
    title = text_width(block.title, size) if block.title is not None else 0.0
    bars = 3.5 * size if block.lines else 0.0
    rows = len(block.lines) + (block.title is not None)
    return int(max(max(names) + bars, title) + 1.2 * size), int(rows * 1.35 * size + 0.8 * size)


def _place(
    face: Box | None, columns: int, rows: int, width: int, height: int, faces: list[Box], taken: list[Box]
) -> tuple[int, int]:
    """Left and top of the place, among those around the face, that hides the least."""
    if face is None:
        candidates = [(0.0, 0.0)]
    else:
        left, top, right, bottom = face
        gap = 0.08 * (right - left)
        middle_x, middle_y = (left + right - columns) / 2, (top + bottom - rows) / 2
        beside = [(right + gap, y) for y in (top, middle_y)] + [(left - gap - columns, y) for y in (top, middle_y)]
        candidates = [*beside, (middle_x, bottom + gap), (middle_x, top - gap - rows)]
        candidates += [(x, y) for y in (0, height - rows) for x in (width - columns, 0)]
    fitted = [
        (round(min(max(x, 0), max(width - columns, 0))), round(min(max(y, 0), max(height - rows, 0))))
        for x, y in candidates
    ]

    def hidden(place: tuple[int, int]) -> float:
        box = (place[0], place[1], place[0] + columns, place[1] + rows)
        return sum(_overlap(box, other) for other in faces) + 3 * sum(_overlap(box, other) for other in taken)

    return min(fitted, key=hidden)  # the first of equals: candidates are in order of preference


def _overlap(a: Box, b: Box) -> float:
    """Square pixels that two boxes share."""
    return max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))


def _draw(block: LabelBlock, size: float, window: np.ndarray) -> np.ndarray:
    """The panel over this part of the picture."""
    dark = window * (1 - _PANEL_OPACITY) + np.array(_PANEL) * _PANEL_OPACITY
    picture = Image.fromarray(dark.astype(np.uint8))
    draw = ImageDraw.Draw(picture)
    left, right, y, step = 0.6 * size, window.shape[1] - 0.6 * size, 0.4 * size, 1.35 * size
    if block.title is not None:
        draw.text((left, y + step / 2), block.title, _TITLE, font(size), anchor="lm")
        y += step
    for name, amount in block.lines:
        draw.text((left, y + step / 2), name, _TEXT, font(size), anchor="lm")
        bar = (right - 3 * size, y + 0.38 * step, right, y + 0.68 * step)
        draw.rectangle(bar, fill=_BAR_BACK)
        share = min(max(float(amount), 0.0), 1.0)  # NaN becomes 0
        if share * 3 * size >= 1:
            draw.rectangle((bar[0], bar[1], bar[0] + share * 3 * size, bar[3]), fill=_BAR)
        y += step
    return np.asarray(picture)
