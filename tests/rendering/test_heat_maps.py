"""Error maps: colours, the scale that they share, and the bar that explains them."""

import numpy as np
import pytest
import torch

from au_d3dface.face_models import FaceMesh
from au_d3dface.rendering import (
    ColourScale,
    draw_colour_bar,
    draw_error_map,
    error_colors,
    error_maximum,
    heat_maps,
    round_ticks,
)
from au_d3dface.rendering.heat_maps import UNKNOWN, bar_rows, colour_bar_width


def lightness(colours):
    """CIELAB L* of (..., 3) sRGB in [0, 1]."""
    colours = torch.as_tensor(colours, dtype=torch.float64)
    linear = torch.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)
    return 116 * (linear @ torch.tensor([0.2126, 0.7152, 0.0722], dtype=torch.float64)) ** (1 / 3) - 16


def test_larger_errors_are_lighter():
    colours = error_colors(np.linspace(0, 4, 101), 4.0)
    steps = lightness(colours).diff()
    assert (steps > 0).all()
    assert steps.max() < 2.5 * steps.min()
    assert torch.equal(error_colors(np.array([-1.0, 9.0, np.inf]), 4.0), colours[[0, -1, -1]])


def test_what_is_not_known_is_grey_and_nothing_else_is():
    colours = error_colors(np.array([np.nan, *np.linspace(0, 2, 50)]), 2.0)
    assert torch.allclose(colours[0], torch.tensor(UNKNOWN))
    assert np.ptp(colours[0].numpy()) == 0
    assert (colours[1:].amax(-1) - colours[1:].amin(-1)).min() > 0.25  # every colour of the scale is colourful


@pytest.mark.parametrize("maximum", [0.0, -1.0, float("nan")])
def test_a_scale_needs_a_maximum(maximum):
    with pytest.raises(ValueError, match="above 0"):
        error_colors(np.ones(3), maximum)
    with pytest.raises(ValueError, match="above 0"):
        draw_colour_bar(200, 80, maximum)


def test_the_shared_maximum_is_a_rounded_percentile():
    errors = [np.linspace(0, 3.7, 1000), torch.tensor([50.0, torch.nan])]
    assert error_maximum(errors) == 4.0  # the 98th percentile is 3.63
    assert error_maximum(errors, 100) == 50.0
    assert error_maximum([np.full(5, 0.0031)]) == 0.004
    assert error_maximum([np.full(5, 2.0)]) == 2.0  # what is round already stays
    assert error_maximum([]) == error_maximum([np.zeros(4)]) == error_maximum([np.full(3, np.nan)]) == 1.0


@pytest.mark.parametrize(
    ("maximum", "ticks"),
    [
        (1.0, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (1.5, [0, 0.5, 1, 1.5]),
        (4.0, [0, 1, 2, 3, 4]),
        (12.0, [0, 2, 4, 6, 8, 10, 12]),
        (0.03, [0, 0.01, 0.02, 0.03]),
        (7.3, [0, 2, 4, 6]),
    ],
)
def test_ticks_are_round(maximum, ticks):
    assert round_ticks(maximum) == pytest.approx(ticks)


@pytest.mark.parametrize("maximum", [1.2, 2.5, 3, 5, 6, 8, 10, 999, 1e-4, 0.9999999])
def test_there_are_three_to_seven_steps(maximum):
    ticks = round_ticks(maximum)
    assert 4 <= len(ticks) <= 8
    assert ticks[0] == 0
    assert ticks[-1] <= maximum


def test_the_bar_shows_the_scale():
    maximum, size = 4.0, 16.0
    bar = draw_colour_bar(300, colour_bar_width(ColourScale(maximum), size), maximum, text_size=size)
    top, bottom = bar_rows(300, False, size)
    column = bar[top:bottom, 5].astype(float) / 255
    middles = maximum * (1 - (np.arange(bottom - top) + 0.5) / (bottom - top))
    assert np.abs(column - error_colors(middles, maximum).numpy()).max() < 0.003
    assert (bar[top - 3 : top, 5] == 255).all()
    assert (bar[bottom : bottom + 3, 5] == 255).all()
    # A dash beside the bar at each tick, and nowhere else.
    dashes = top + np.flatnonzero((bar[top:bottom, 18] < 200).all(-1))
    expected = [bottom - tick / maximum * (bottom - top) for tick in (4, 3, 2, 1, 0)]
    assert len(dashes) == 5
    assert np.abs(dashes - expected).max() <= 1


def test_numbers_and_unit_are_written(monkeypatch):
    written = {}

    def text(self, place, text, *_, **__):
        written[text] = place

    monkeypatch.setattr(heat_maps.ImageDraw.ImageDraw, "text", text)
    draw_colour_bar(300, 100, 4.0, unknown=True)
    top, bottom = bar_rows(300, True, 16.0)
    assert list(written) == ["mm", "0", "1", "2", "3", "4+", "unknown"]
    assert written["mm"][1] < written["4+"][1] < written["3"][1] < written["0"][1] < written["unknown"][1]
    assert written["2"][1] == pytest.approx((top + bottom) / 2)
    written.clear()
    draw_colour_bar(300, 100, 0.05, "m", ticks=[0, 0.02])
    assert list(written) == ["m", "0", "0.02"]


def test_all_of_the_text_fits():
    for scale in (ColourScale(4.0), ColourScale(0.012, "metres"), ColourScale(800.0, unknown=True)):
        width = colour_bar_width(scale, 20.0)
        tight, wide = (
            draw_colour_bar(300, columns, scale.maximum, scale.unit, unknown=scale.unknown, text_size=20.0)
            for columns in (width, width + 60)
        )
        assert np.array_equal(tight, wide[:, :width])
        assert (wide[:, width:] == 255).all()


def test_bars_that_cannot_be_drawn():
    with pytest.raises(ValueError, match="does not fit"):
        draw_colour_bar(40, 80, 1.0)
    with pytest.raises(ValueError, match="between 0 and 2"):
        draw_colour_bar(200, 80, 2.0, ticks=[0, 3])


def test_errors_are_found_again_on_the_mesh():
    face = FaceMesh()
    half = face.template[:, 0] > 0
    error = torch.where(half, 4.0, 0.0)
    error[face.template[:, 1] < -0.03] = torch.nan
    picture = draw_error_map(face.template, face.faces, error, 4.0, 120, 120) / 255
    yellow, blue = error_colors(torch.tensor([4.0, 0.0]), 4.0).numpy()
    assert np.abs(picture[45, 80] - yellow).max() < 0.2
    assert np.abs(picture[45, 40] - blue).max() < 0.2
    chin = picture[100, 60]
    assert np.ptp(chin) < 0.06  # grey, but for a warm light
    assert (draw_error_map(face.template * torch.nan, face.faces, error, 4.0, 20, 20) == 255).all()
