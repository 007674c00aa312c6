"""Clips sampled in time from any rate: which frames exactly, every frame scored once, nothing across a gap."""

import numpy as np
import pytest

from au_d3dface.data.clips import class_weights, clips_of, drawn_phase, grids, positive_rates, runs
from au_d3dface.errors import UsageError

RATES = {8: 1, 20: 2, 25: 3, 29.97: 3, 30000 / 1001: 3, 60: 6}


def nearest(times: np.ndarray, start: float, count: int, rate: float) -> list[int]:
    """By hand: for entries at start + k / rate, the frame of the entry's cell nearest in time, the earlier of two."""
    found = []
    for entry in range(count):
        at = start + entry / rate
        position = (times - at) * rate
        inside = np.flatnonzero((position >= -0.5 - 1e-6) & (position < 0.5 - 1e-6))
        order = sorted(inside, key=lambda row: (round(abs(position[row]), 6), row))
        found.append(int(order[0]) if order else -1)
    return found


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("origin", [0.0, 97.56])
def test_sampling_is_exact_in_time(rate, origin):
    times = np.arange(700) / rate
    phases = grids(times + origin, 10.0)
    assert len(phases) == RATES[rate]
    shown = set()
    for grid in phases:
        unseen = times[min(set(range(700)) - shown)]
        start = unseen - np.floor(unseen * 10 + 1e-9) / 10  # the grid goes through the first frame not shown yet
        assert grid.tolist() == nearest(times, start, len(grid), 10.0)
        drift = (times[grid] - start - np.arange(len(grid)) / 10)[grid >= 0]
        # Half a frame where there are more frames than entries, else half an entry; it never adds up.
        assert np.abs(drift).max() <= 0.5 / max(rate, 10) + 1e-9
        shown |= set(grid[grid >= 0].tolist())
    assert shown == set(range(700))


def test_the_first_clip_at_known_rates():
    first = {rate: clips_of(np.arange(300), np.arange(300) / rate, 20, 10.0)[0].rows.tolist() for rate in (8, 25, 60)}
    assert first[60] == list(range(0, 120, 6))  # 20 frames in two seconds
    assert first[25] == [0, 2, 5, 7, 10, 12, 15, 17, 20, 22, 25, 27, 30, 32, 35, 37, 40, 42, 45, 47]
    assert first[8] == [0, 1, -1, 2, 3, 4, 5, -1, 6, 7, 8, 9, -1, 10, 11, 12, 13, -1, 14, 15]
    ntsc = clips_of(np.arange(6000), np.arange(6000) / 29.97, 20, 10.0)
    rows = np.concatenate([clip.rows for clip in ntsc if clip.phase == 0])
    # 29.97 is a little under three frames an entry: after 1,000 entries it is 3 frames short of 3,000.
    assert rows[0] == 0
    assert rows[1000] == 2997
    assert set(np.diff(rows[rows >= 0])) == {2, 3}


@pytest.mark.parametrize("stride", [None, 7, 1])
@pytest.mark.parametrize("rate", RATES)
def test_every_frame_is_scored_once_with_most_before_it(rate, stride):
    clips = clips_of(np.arange(1, 314), np.arange(313) / rate, 20, 10.0, stride)
    scored = np.concatenate([clip.rows[clip.scored] for clip in clips])
    assert sorted(scored.tolist()) == list(range(313))
    assert all(len(clip.rows) == 20 and (clip.rows >= 0).any() for clip in clips)
    if stride == 1:
        later = [clip for clip in clips if clip.phase == 0][1:]
        # Where clips overlap, a frame counts where it is last: only the newest entry, once the first clip is over.
        assert all(not clip.scored[:-1].any() for clip in later)


def test_padding_is_at_the_end_and_masked():
    [one] = clips_of(np.array([4, 5, 6]), np.array([0.0, 0.1, 0.2]), 5, 10.0)
    assert one.rows.tolist() == [0, 1, 2, -1, -1]
    assert one.scored.tolist() == [True, True, True, False, False]
    assert (one.run, one.phase, one.phases) == (0, 0, 1)
    whole = clips_of(np.arange(10), np.arange(10) / 10, 5, 10.0)
    assert [clip.rows.tolist() for clip in whole] == [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9]]
    overlapping = clips_of(np.arange(11), np.arange(11) / 10, 5, 10.0, stride=3)
    assert [clip.rows.tolist() for clip in overlapping] == [[0, 1, 2, 3, 4], [3, 4, 5, 6, 7], [6, 7, 8, 9, 10]]


def test_nothing_goes_across_a_gap_or_a_cut():
    frames = np.array([*range(1, 40), *range(45, 90), *range(200, 230)])
    times = frames / 25
    clips = clips_of(frames, times, 6, 10.0, cuts=(60, 3000, 1))
    bounds = {0: (1, 39), 1: (45, 59), 2: (60, 89), 3: (200, 229)}
    assert {clip.run for clip in clips} == set(bounds)
    for clip in clips:
        numbers = frames[clip.rows[clip.rows >= 0]]
        lowest, highest = bounds[clip.run]
        assert lowest <= numbers.min()
        assert numbers.max() <= highest
    assert sorted(np.concatenate([clip.rows[clip.scored] for clip in clips]).tolist()) == list(range(len(frames)))
    assert [(run.start, run.stop) for run in runs(np.array([3, 6, 9, 15]), step=3)] == [(0, 3), (3, 4)]
    assert runs(np.empty(0, np.int64)) == []


def test_uneven_times():
    random = np.random.default_rng(0)
    times = np.cumsum(random.uniform(0.01, 0.2, 400))
    clips = clips_of(np.arange(400), times, 20, 10.0)
    assert sorted(np.concatenate([clip.rows[clip.scored] for clip in clips]).tolist()) == list(range(400))
    for bad in ([0.0, 0.1, 0.1], [0.0, np.nan, 0.2], [0.0, 0.2, 0.1], [0.0, 1e-9, 0.1]):
        with pytest.raises(ValueError, match="timestamps must increase"):
            clips_of(np.arange(3), np.array(bad), 2, 10.0)
    for stride in (21, -1):
        with pytest.raises(ValueError, match="stride must be from 1 to the clip's length, 20"):
            clips_of(np.arange(3), np.arange(3) / 10, 20, 10.0, stride)


def test_training_draws_a_phase_anew_in_every_epoch():
    drawn = np.array([drawn_phase("F001_T1", 0, 3, epoch) for epoch in range(3000)])
    assert np.bincount(drawn, minlength=3).min() > 900
    assert drawn_phase("F001_T1", 0, 3, 7, seed=5) == drawn_phase("F001_T1", 0, 3, 7, seed=5)
    others = np.array([drawn_phase("F001_T2", 0, 3, epoch) for epoch in range(3000)])
    assert 0.25 < (drawn == others).mean() < 0.42


def test_rates_and_weights_count_known_labels_only():
    labels = [np.array([[1, 0, -1], [0, 0, -1]]), np.array([[1, 1, 1], [1, -1, 0]])]
    assert positive_rates(labels, (1, 2, 4)) == [0.75, 1 / 3, 0.5]
    weights = np.array(class_weights(labels, (1, 2, 4)))
    np.testing.assert_allclose(weights, np.array([4 / 3, 3, 2]) / (4 / 3 + 3 + 2) * 3, rtol=1e-6)
    with pytest.raises(UsageError, match="AU04 never occurs in the training parts"):
        positive_rates([np.array([[1, 1, 0]])], (1, 2, 4))
    with pytest.raises(UsageError, match="AU02 has no known label in the training parts"):
        positive_rates([np.array([[1, -1, 1]])], (1, 2, 4))
