"""Laws of AU trajectories: bounds, durations, company and exclusion, determinism, independence of the rate."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from au_d3dface import facs
from au_d3dface.data.synthetic import trajectories
from au_d3dface.data.synthetic.trajectories import labels, sample_action_units, sample_gaze, sample_head_pose

COLUMN = {au: index for index, au in enumerate(facs.ALL)}


@pytest.fixture(scope="module")
def many() -> np.ndarray:
    """(300, 100, 19): stronger side of 300 people for 10 s."""
    times = np.arange(100) / 10
    return np.stack([sample_action_units(np.random.default_rng(seed), times).max(-1) for seed in range(300)])


@given(seed=st.integers(0, 10**6), frames=st.integers(1, 60))
@settings(max_examples=30, deadline=None)
def test_bounds_and_determinism(seed, frames):
    times = np.arange(frames) / 10
    first = sample_action_units(np.random.default_rng(seed), times)
    assert first.shape == (frames, 19, 2)
    assert first.dtype == np.float32
    assert np.isfinite(first).all()
    assert first.min() >= 0
    assert first.max() <= 5
    np.testing.assert_array_equal(first, sample_action_units(np.random.default_rng(seed), times))
    for sample in (sample_gaze, sample_head_pose):
        motion = sample(np.random.default_rng(seed), times)
        assert np.isfinite(motion).all()
        np.testing.assert_array_equal(motion, sample(np.random.default_rng(seed), times))


def test_another_seed_is_another_person():
    times = np.arange(80) / 10
    a, b = (sample_action_units(np.random.default_rng(seed), times) for seed in (1, 2))
    assert np.abs(a - b).max() > 0.5


def test_columns_are_the_action_units_asked_for():
    times = np.arange(50) / 10
    everything = sample_action_units(np.random.default_rng(3), times)
    some = sample_action_units(np.random.default_rng(3), times, (12, 45, 1))
    np.testing.assert_array_equal(some, everything[:, [COLUMN[12], COLUMN[45], COLUMN[1]]])


def test_the_rate_only_samples():
    """A denser grid over the same time shows the same face at the times that both have."""
    coarse, dense = np.arange(0, 71) / 10, np.arange(0, 211) / 30
    for seed in range(10):
        a = sample_action_units(np.random.default_rng(seed), coarse)
        b = sample_action_units(np.random.default_rng(seed), dense)
        np.testing.assert_allclose(a, b[::3], atol=1e-4)


def test_blinks_last_a_tenth_to_four_tenths_of_a_second_mostly():
    times = np.arange(3000) / 100
    lengths, count = [], 0
    for seed in range(20):
        closed = sample_action_units(np.random.default_rng(seed), times)[:, COLUMN[45]].max(-1) > 0.01
        edges = np.flatnonzero(np.diff(np.concatenate([[0], closed.astype(int), [0]])))
        runs = (edges[1::2] - edges[::2]) / 100
        count += len(runs)
        lengths.extend(runs)
    per_ten_seconds = count / 20 / 3
    assert 1 < per_ten_seconds < 8
    assert np.mean((np.array(lengths) >= 0.07) & (np.array(lengths) <= 0.45)) > 0.85


def test_onsets_of_displays_take_two_to_eight_tenths_of_a_second(monkeypatch):
    """The time from the first motion to the apex of a display."""
    seen = []

    def record(au, start, onset, apex, offset, peak, balance):
        seen.append((onset, offset, peak))

    trajectories._displays(np.random.default_rng(0), record, 200.0)
    onset, offset, peak = np.array(seen).T
    assert len(seen) > 20
    assert onset.min() >= 0.2
    assert onset.max() <= 0.8
    assert offset.min() > 0.2
    assert peak.min() >= 0
    assert peak.max() <= 5


@pytest.mark.parametrize(("a", "b"), [(6, 12), (1, 2), (25, 26), (15, 17), (4, 7), (9, 10)])
def test_company(many, a, b):
    present = many >= 1
    together = present[..., COLUMN[a]] & present[..., COLUMN[b]]
    lift = together.mean() / (present[..., COLUMN[a]].mean() * present[..., COLUMN[b]].mean())
    assert lift > 1.5


@pytest.mark.parametrize(("a", "b"), [(23, 25), (24, 25), (28, 25), (12, 15), (5, 45)])
def test_exclusion(many, a, b):
    present = many >= 1
    together = (present[..., COLUMN[a]] & present[..., COLUMN[b]]).mean()
    assert together < 0.6 * present[..., COLUMN[a]].mean() * present[..., COLUMN[b]].mean()


def test_cheek_raising_comes_with_smiling(many):
    present = many >= 1
    assert present[..., COLUMN[12]][present[..., COLUMN[6]]].mean() > 0.55


def test_a_dropped_jaw_parts_the_lips(many):
    assert (many[..., COLUMN[25]] >= 0.5 * many[..., COLUMN[26]] - 1e-3).all()


def test_positive_rates_are_those_of_people(many):
    rates = (many >= 1).mean((0, 1))
    assert rates.min() > 0.01
    assert rates.max() < 0.6
    calm = ~(many >= 1).any(-1)
    assert 0.1 < calm.mean() < 0.6


def test_some_are_lopsided():
    times = np.arange(80) / 10
    sides = np.concatenate([sample_action_units(np.random.default_rng(s), times)[:, COLUMN[12]] for s in range(300)])
    strong = sides[sides.max(-1) > 2]
    share = strong.min(-1) / strong.max(-1)
    assert 0.02 < (share < 0.6).mean() < 0.4


def test_labels_take_the_stronger_side_from_a_trace_on():
    intensity = np.array([[[0.99, 0.2], [0.0, 1.0]]], np.float32)
    present, strength = labels(intensity)
    assert present.tolist() == [[0, 1]]
    np.testing.assert_allclose(strength, [[0.99, 1.0]])
