"""Errors and other amounts as colour on a mesh, with the bar that says what the colours mean.

The colours are those of `heat_colors`: their lightness rises evenly, so that they are read in grey and by the
colour-blind too. What is not known is grey, which the scale does not hold.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from .overlay import heat_colors
from .still import WHITE, Array, View, draw_face
from .text import font, text_width

UNKNOWN = (0.62, 0.62, 0.62)
"""Colour of what is not known."""

INK = (34, 48, 60)
"""Colour of text on white."""

_RELIEF = 0.4
"""Colours on a surface are shaded this much only, or they could not be found again on the bar."""

_ROUND = (1.0, 1.2, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0)


@dataclass(frozen=True)
class ColourScale:
    """What colours stand for: amounts from 0 to `maximum` of `unit`; `unknown` says that some are not known, and
    `unknown_label` what the bar calls these."""

    maximum: float
    unit: str = "mm"
    unknown: bool = False
    unknown_label: str = "unknown"


def error_colors(error_mm: Array, maximum_mm: float) -> Tensor:
    """Colours for errors: (V,) to (V, 3) float32 in [0, 1]; blue is 0, yellow `maximum_mm` and more, grey NaN.

    Raises:
        ValueError: a maximum that is not above 0.
    """
    if not maximum_mm > 0:
        raise ValueError(f"the maximum of a colour scale must be above 0, not {maximum_mm}")
    error = torch.as_tensor(error_mm, dtype=torch.float32)
    return torch.where(error.isnan()[:, None], torch.tensor(UNKNOWN), heat_colors(error, maximum_mm))


def error_maximum(errors: Sequence[Array], percentile: float = 98.0) -> float:
    """A round maximum for one scale of many maps: their common percentile, rounded up; 1 where no error is above 0.

    The few vertices beyond it are yellow like the maximum, as the bar says; a scale up to the very largest error would
    show all others as one blue.
    """
    values = np.concatenate([np.asarray(error, np.float64).ravel() for error in errors]) if len(errors) else np.empty(0)
    values = values[np.isfinite(values)]
    value = float(np.percentile(values, percentile)) if len(values) else 0.0
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return float(f"{power * next(step for step in _ROUND if step >= value / power - 1e-9):.3g}")


def round_ticks(maximum: float) -> list[float]:
    """From 0 to at most `maximum` (above 0) in round steps, of which there are three to seven."""
    power = 10.0 ** math.floor(math.log10(maximum))
    step = next(step * power for step in (5.0, 2.0, 1.0, 0.5, 0.2) if maximum / (step * power) >= 3 - 1e-9)
    return [float(f"{k * step:.6g}") for k in range(math.floor(maximum / step + 1e-9) + 1)]


def draw_colour_bar(
    height: int,
    width: int,
    maximum: float,
    unit: str = "mm",
    ticks: Sequence[float] | None = None,
    unknown: bool = False,
    text_size: float = 16.0,
    unknown_label: str = "unknown",
) -> np.ndarray:
    """An upright bar of the scale's colours on white, with the unit above and numbers beside it.

    Args:
        height, width: of the picture, pixels; `colour_bar_width` says how wide it must be for all of its text.
        maximum: the amount of the uppermost colour, above 0; its number says "and more", for larger amounts look alike.
        ticks: amounts from 0 to `maximum`; round ones where not given.
        unknown: adds a grey patch for what is not known, with `unknown_label` beside it.
        text_size: pixels.

    Returns:
        (height, width, 3) uint8.

    Raises:
        ValueError: a maximum that is not above 0, a tick outside the scale, or a height without room for the bar.
    """
    if not maximum > 0:
        raise ValueError(f"the maximum of a colour scale must be above 0, not {maximum}")
    ticks = round_ticks(maximum) if ticks is None else list(ticks)
    if any(not 0 <= tick <= maximum for tick in ticks):
        raise ValueError(f"ticks must lie between 0 and {maximum:g}")
    top, bottom = bar_rows(height, unknown, text_size)
    if bottom - top < 2 * text_size:
        raise ValueError(f"a colour bar with text of {text_size:g} pixels does not fit into {height} pixels")
    picture = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(picture)
    thick = round(text_size)
    amounts = maximum * (1 - (np.arange(bottom - top) + 0.5) / (bottom - top))
    column = (255 * error_colors(amounts, maximum)).round().to(torch.uint8).numpy()
    picture.paste(Image.fromarray(np.repeat(column[:, None], thick, 1)), (0, top))
    draw.text((0, top - 0.75 * text_size), unit, INK, font(text_size), anchor="ls")
    for tick in ticks:
        y = bottom - tick / maximum * (bottom - top)
        # The outermost ticks lie on the ends of the bar, not half beyond them.
        draw.line([(thick, min(max(y, top), bottom - 1)), (1.35 * thick, min(max(y, top), bottom - 1))], INK, 1)
        draw.text((1.6 * thick, y), _tick_label(tick, maximum), INK, font(text_size), anchor="lm")
    if unknown:
        patch = bottom + round(0.9 * text_size)
        draw.rectangle((0, patch, thick - 1, patch + thick - 1), tuple(round(255 * part) for part in UNKNOWN))
        draw.text((1.6 * thick, patch + thick / 2), unknown_label, INK, font(text_size), anchor="lm")
    return np.asarray(picture)


def bar_rows(height: int, unknown: bool, text_size: float) -> tuple[int, int]:
    """First row of the bar itself in a picture of so many rows, and the one after its last."""
    return round(2.2 * text_size), height - round((2.6 if unknown else 0.8) * text_size)


def colour_bar_width(scale: ColourScale, text_size: float) -> int:
    """Pixels that a bar with round ticks needs."""
    texts = [_tick_label(tick, scale.maximum) for tick in round_ticks(scale.maximum)]
    texts += [scale.unknown_label] if scale.unknown else []
    beside = 1.6 * round(text_size) + max(text_width(text, text_size) for text in texts)
    return math.ceil(max(beside, text_width(scale.unit, text_size))) + 2


def draw_error_map(
    vertices: Array,
    faces: Array,
    error_mm: Array,
    maximum_mm: float,
    height: int = 320,
    width: int = 320,
    view: View | None = None,
    background: tuple[float, float, float] = WHITE,
) -> np.ndarray:
    """A mesh coloured by its error, lightly shaded.

    Args:
        vertices: (V, 3) metres, head frame. faces: (F, 3).
        error_mm: (V,) millimetres; NaN where it is not known.
        maximum_mm: the error of the uppermost colour, as `error_maximum` finds it for maps that are compared.
        height, width, view, background: as `draw_face` takes them.

    Returns:
        (height, width, 3) uint8.
    """
    return draw_face(vertices, faces, height, width, error_colors(error_mm, maximum_mm), view, background, _RELIEF)


def _tick_label(tick: float, maximum: float) -> str:
    return f"{tick:g}+" if tick == maximum else f"{tick:g}"
