"""What the page refuses before any work, and in which words."""

import numpy as np
import pytest

from au_d3dface.demo.limits import LimitedReader, Limits, probe
from au_d3dface.errors import InputError
from au_d3dface.video import VideoReader

PICTURE = np.full((48, 64, 3), 90, np.uint8)


@pytest.fixture
def two_seconds(tmp_path, make_video):
    return make_video(tmp_path / "two.mp4", [PICTURE] * 60)


def test_what_fits_is_taken(two_seconds):
    limits = Limits(max_seconds=2)
    probe(two_seconds, limits)
    with LimitedReader(two_seconds, limits) as reader:
        assert len(list(reader)) == 60


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        (Limits(max_seconds=1), r"two.mp4 lasts about 2 seconds, and this page takes up to 1 seconds"),
        (Limits(max_seconds=2, max_frames_a_second=20), "more than 41 frames"),
        (Limits(max_side=63), "64 x 48 pixels"),
        (Limits(max_megabytes=0), "MB, and this page takes up to 0"),
    ],
)
def test_what_does_not_fit_is_refused(two_seconds, limits, words):
    with pytest.raises(InputError, match=words):
        probe(two_seconds, limits)


def test_a_bad_file_gets_the_sentence_of_the_command_line(tmp_path):
    path = tmp_path / "text.mp4"
    path.write_bytes(b"this is not a video\n" * 50)
    with pytest.raises(InputError) as expected:
        VideoReader(path)
    with pytest.raises(InputError) as told:
        probe(path, Limits())
    assert str(told.value) == str(expected.value)


def test_a_file_that_hides_its_length_ends_at_the_limit(two_seconds):
    """Recordings of a browser have no length in their headers."""
    frames = []
    with pytest.raises(InputError, match=r"lasts more, and this page takes up to 1"):
        frames.extend(frame.timestamp for frame in LimitedReader(two_seconds, Limits(max_seconds=1)))
    assert len(frames) > 30
    assert max(frames) <= 1.5
    with pytest.raises(InputError, match="more than 41 frames"):
        list(LimitedReader(two_seconds, Limits(max_seconds=2, max_frames_a_second=20)))
