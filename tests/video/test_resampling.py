"""Laws of resampling between the video's and the model's frame rate."""

import time
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from au_d3dface.video import sample_frames, spread_samples


@st.composite
def timelines(draw):
    """Timestamps in whole milliseconds with some frames missing, and a model rate."""
    steps = draw(st.lists(st.integers(1, 400), min_size=0, max_size=60))
    timestamps = np.concatenate([[0], np.cumsum(steps, dtype=np.int64)]) / 1000
    valid = np.array(draw(st.lists(st.booleans(), min_size=len(timestamps), max_size=len(timestamps))))
    return timestamps, valid, draw(st.sampled_from([5.0, 10.0, 12.5, 25.0, 30.0]))


def expected_value(index, samples, frames, timestamps, valid):
    """The rule, frame by frame, in plain words."""
    known = [(int(frame), float(sample)) for frame, sample in zip(frames, samples, strict=True) if frame >= 0]
    exact = [sample for frame, sample in known if frame == index]
    if exact:
        return exact[0]
    before = [pair for pair in known if pair[0] < index][-1:]
    after = [pair for pair in known if pair[0] > index][:1]
    joined_before = [pair for pair in before if valid[pair[0] : index].all()]
    joined_after = [pair for pair in after if valid[index : pair[0]].all()]
    if joined_before and joined_after:
        (first, low), (last, high) = *joined_before, *joined_after
        return low + (high - low) * (timestamps[index] - timestamps[first]) / (timestamps[last] - timestamps[first])
    candidates = joined_before or joined_after or before + after
    return min(candidates, key=lambda pair: abs(timestamps[pair[0]] - timestamps[index]))[1]


@given(timelines())
def test_sampling_laws(timeline):
    timestamps, valid, rate = timeline
    frames = sample_frames(timestamps, valid, rate)
    # Milliseconds times the rate in whole numbers: exact cells, halves rounded up.
    cells = (2 * np.round(timestamps * 1000).astype(int) * int(2 * rate) // 2 + 1000) // 2000
    assert frames.dtype == np.int64
    assert len(frames) == cells[-1] + 1
    for cell, frame in enumerate(frames):
        inside = [index for index in np.flatnonzero(cells == cell) if valid[index]]
        if frame < 0:
            assert not inside
        else:
            distances = [round(abs(timestamps[index] - cell / rate), 9) for index in inside]
            assert frame == inside[int(np.argmin(distances))]
    chosen = frames[frames >= 0]
    assert (np.diff(chosen) > 0).all()
    assert valid[chosen].all()


@given(timelines(), st.integers(0, 2**32 - 1))
def test_spreading_laws(timeline, seed):
    timestamps, valid, rate = timeline
    frames = sample_frames(timestamps, valid, rate)
    samples = np.random.default_rng(seed).normal(size=len(frames))
    samples[frames < 0] = np.nan  # never read
    values, interpolated = spread_samples(samples, frames, timestamps, valid)
    chosen = frames[frames >= 0]
    np.testing.assert_array_equal(np.isnan(values), ~valid)
    np.testing.assert_array_equal(values[chosen], samples[frames >= 0])
    sampled = np.zeros(len(timestamps), bool)
    sampled[chosen] = True
    np.testing.assert_array_equal(interpolated, valid & ~sampled)
    for index in np.flatnonzero(valid):
        assert values[index] == pytest.approx(expected_value(index, samples, frames, timestamps, valid), abs=1e-12)


@given(timelines())
def test_a_function_linear_in_time_comes_back_where_nothing_is_missing(timeline):
    timestamps, _, rate = timeline
    valid = np.ones(len(timestamps), bool)
    frames = sample_frames(timestamps, valid, rate)
    chosen = frames[frames >= 0]
    values, _ = spread_samples(np.where(frames >= 0, 3 * timestamps[frames] - 1, np.nan), frames, timestamps, valid)
    np.testing.assert_allclose(
        values, 3 * timestamps.clip(timestamps[chosen[0]], timestamps[chosen[-1]]) - 1, atol=1e-9
    )


def test_thirty_to_ten_a_second_is_every_third_frame():
    for count in (1, 2, 3, 30, 3000):
        frames = sample_frames(np.arange(count) / 30, np.ones(count, bool), 10.0)
        np.testing.assert_array_equal(frames, np.arange(len(frames)) * 3 - (np.arange(len(frames)) * 3 >= count))


def test_exact_multiples_are_stable():
    """Whatever the last bit of k / 10, frame k is entry k, also far from the start."""
    timestamps = np.arange(200_000) / 10
    for nudge in (0.0, 1e-12, 1e-9):
        np.testing.assert_array_equal(
            sample_frames(timestamps + nudge, np.ones(len(timestamps), bool), 10.0), np.arange(200_000)
        )
    halves = (np.arange(1, 1000) + 0.5) / 10
    just_below = np.nextafter(halves, 0)
    valid = np.ones(len(halves), bool)
    np.testing.assert_array_equal(sample_frames(halves, valid, 10.0), sample_frames(just_below, valid, 10.0))


def test_slow_video_leaves_entries_empty():
    np.testing.assert_array_equal(sample_frames(np.array([0.0, 0.4]), np.ones(2, bool), 10.0), [0, -1, -1, -1, 1])


def test_an_invalid_frame_gives_way_to_its_neighbour():
    valid = np.array([True, True, True, False, True, True])
    np.testing.assert_array_equal(sample_frames(np.arange(6) / 30, valid, 10.0), [0, 2, 5])


def test_values_are_held_beside_a_gap_and_never_cross_it():
    timestamps = np.arange(13) / 30  # sampled: 0, 3, 6, 9, 12
    valid = np.ones(13, bool)
    valid[4] = False
    frames = sample_frames(timestamps, valid, 10.0)
    np.testing.assert_array_equal(frames, [0, 3, 6, 9, 12])
    values, interpolated = spread_samples(np.array([0.0, 3.0, 60.0, 63.0, 66.0]), frames, timestamps, valid)
    np.testing.assert_allclose(values, [0, 1, 2, 3, np.nan, 60, 60, 61, 62, 63, 64, 65, 66])
    np.testing.assert_array_equal(np.flatnonzero(interpolated), [1, 2, 5, 7, 8, 10, 11])


def test_a_run_without_a_sample_takes_the_nearest_in_time():
    timestamps = np.array([0.0, 0.02, 0.04, 0.06, 0.1])
    valid = np.array([True, False, True, False, True])
    frames = sample_frames(timestamps, valid, 10.0)
    np.testing.assert_array_equal(frames, [0, 4])
    values, _ = spread_samples(np.array([1.0, 2.0]), frames, timestamps, valid)
    np.testing.assert_allclose(values, [1, np.nan, 1, np.nan, 2])


def test_nothing_valid_and_nothing_at_all():
    timestamps = np.arange(5) / 30
    frames = sample_frames(timestamps, np.zeros(5, bool), 10.0)
    np.testing.assert_array_equal(frames, [-1, -1])
    values, interpolated = spread_samples(np.zeros((2, 7)), frames, timestamps, np.zeros(5, bool))
    assert values.shape == (5, 7)
    assert np.isnan(values).all()
    assert not interpolated.any()
    none = sample_frames(np.empty(0), np.empty(0, bool), 10.0)
    assert none.shape == (0,)
    assert spread_samples(np.zeros((0, 7)), none, np.empty(0), np.empty(0, bool))[0].shape == (0, 7)


def test_a_sample_that_is_not_a_number_stays_where_it_is():
    timestamps = np.arange(4) / 10
    values, _ = spread_samples(np.array([0.0, np.nan, 2.0, 3.0]), np.arange(4), timestamps, np.ones(4, bool))
    np.testing.assert_array_equal(values, [0, np.nan, 2, 3])


def test_types_of_values():
    timestamps, valid = np.arange(3) / 20, np.ones(3, bool)
    frames = np.array([0, 2])
    for given_type, wanted in ((np.float32, np.float32), (np.float64, np.float64), (np.bool_, np.float32)):
        values, _ = spread_samples(np.array([0, 1], given_type), frames, timestamps, valid)
        assert values.dtype == wanted
        np.testing.assert_array_equal(values, [0, 0.5, 1])


def test_wrong_arguments():
    good, valid = np.arange(4) / 30, np.ones(4, bool)
    for timestamps in (good[::-1], good - 1, np.zeros(4), np.array([0, 1, np.nan, 2]), np.array([0, 1, 2, np.inf])):
        with pytest.raises(ValueError, match="increasing"):
            sample_frames(timestamps, valid, 10.0)
    for rate in (0.0, -1.0, np.nan, np.inf):
        with pytest.raises(ValueError, match="frame_rate"):
            sample_frames(good, valid, rate)
    with pytest.raises(ValueError, match="must be"):
        sample_frames(good, valid[:3], 10.0)
    with pytest.raises(ValueError, match="must be"):
        sample_frames(good, valid.astype(int), 10.0)
    with pytest.raises(ValueError, match="samples"):
        spread_samples(np.zeros(3), np.array([0, 1]), good, valid)
    with pytest.raises(ValueError, match="within the input frames"):
        spread_samples(np.zeros(2), np.array([0, 9]), good, valid)
    with pytest.raises(ValueError, match="no sample"):
        spread_samples(np.zeros(2), np.array([-1, -1]), good, valid)


def test_an_hour_of_meshes_is_quick_and_is_not_copied():
    """100,000 frames of 468 vertices: the result is 562 MB, and the work takes little beside it."""
    count = 100_000
    timestamps = np.arange(count) / 30
    valid = np.ones(count, bool)
    frames = sample_frames(timestamps, valid, 10.0)
    samples = np.zeros((len(frames), 468, 3), np.float32)
    tracemalloc.start()
    start = time.process_time()
    values, _ = spread_samples(samples, frames, timestamps, valid)
    seconds, peak = time.process_time() - start, tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert values.shape == (count, 468, 3)
    assert peak < values.nbytes + 60e6
    assert seconds < 10
