"""Some of a video's frames, as they are in the video."""

import numpy as np
import pytest

from au_d3dface.video import SelectedFrames, VideoReader


@pytest.fixture
def video(tmp_path, make_video):
    return make_video(
        tmp_path / "steps.mp4", (np.full((32, 48, 3), 12 * k, np.uint8) for k in range(20)), frame_rate=20
    )


def test_frames_and_times_are_the_video_s(video):
    with VideoReader(video) as reader:
        every = list(reader)
    with SelectedFrames(video, np.array([2, 3, 11, 19])) as reader:
        assert (reader.num_frames, reader.frame_rate) == (4, pytest.approx(4))
        for _ in range(2):  # each iteration from the start
            some = list(reader)
            assert [frame.index for frame in some] == [0, 1, 2, 3]
            for frame, index in zip(some, (2, 3, 11, 19), strict=True):
                assert np.array_equal(frame.image, every[index].image)
                assert frame.timestamp == pytest.approx(every[index].timestamp - every[2].timestamp)


def test_frames_beyond_the_end_are_not_there(video):
    with SelectedFrames(video, np.array([18, 25])) as reader:
        assert len(list(reader)) == 1
    with SelectedFrames(video, np.array([], np.int64)) as reader:
        assert list(reader) == []
