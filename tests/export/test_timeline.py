"""timeline.png: made without pyplot, with a band for every AU, dark where active, hatched where nobody is."""

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from au_d3dface.export.timeline import plot_timeline
from au_d3dface.face_sequence import FaceSequence


def test_the_figure_says_what_the_sequence_holds(tmp_path: Path, small_sequence: FaceSequence) -> None:
    before = sys.modules.get("matplotlib.pyplot")
    figure = small_sequence.plot(tmp_path / "timeline.png")
    assert sys.modules.get("matplotlib.pyplot") is before
    axes = figure.axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == [
        "inner brow raiser   AU01",
        "lip corner puller   AU12",
        "lips part   AU25",
    ]
    shown = axes.collections[0].get_array().reshape(3, -1)
    assert np.allclose(shown.filled(np.nan), small_sequence.au_probabilities.T, equal_nan=True)
    marks = [path.vertices for path in axes.collections[-1].get_paths()]
    assert len(marks) == len(small_sequence.events())
    assert len(axes.patches) == 1  # the gap
    assert {text.get_text() for text in figure.legends[0].get_texts()} == {"present", "intensity, 0 to 5", "no face"}
    assert list(tmp_path.iterdir()) == [tmp_path / "timeline.png"]
    picture = np.asarray(Image.open(tmp_path / "timeline.png").convert("RGB")).astype(int)
    assert (picture[..., 2] - picture[..., 0] > 60).mean() > 0.02  # blue bands
    assert (picture[..., 0] - picture[..., 2] > 120).mean() > 0.001  # orange marks


@pytest.mark.parametrize(("frames", "invalid"), [(1, ()), (5, tuple(range(5))), (4500, (3, 4))])
def test_any_length(tmp_path: Path, make_sequence, frames: int, invalid: tuple[int, ...]) -> None:
    sequence = make_sequence(frames=frames, invalid=invalid)
    figure = plot_timeline(sequence, tmp_path / "t.png")
    shown = figure.axes[0].collections[0].get_array().reshape(3, -1)
    assert shown.shape[1] <= 2000
    if not sequence.valid.any():
        assert shown.mask.all()
    else:
        assert np.allclose(shown.max(1), np.nanmax(sequence.au_probabilities, 0))
