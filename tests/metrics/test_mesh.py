"""Mesh distances: millimetres out of metres; jitter and lag."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from au_d3dface.metrics import displacement_error, jitter, lag, vertex_distance, vertex_error


def test_a_shift_is_its_length():
    vertices = torch.randn(4, 10, 3)
    shift = torch.tensor([0.003, 0.0, 0.004])
    assert vertex_error(vertices + shift, vertices) == pytest.approx(torch.full((4,), 5.0), abs=1e-3)


def test_steady_motion_has_no_jitter():
    direction = torch.randn(10, 3)
    steady = torch.arange(6.0)[:, None, None] * direction
    assert jitter(steady).item() == pytest.approx(0, abs=1e-2)


def test_jitter_of_one_jump_and_its_mask():
    vertices = torch.zeros(5, 1, 3)
    vertices[2, 0, 0] = 0.001
    assert jitter(vertices).item() == pytest.approx((1 + 2 + 1) / 3)
    assert jitter(vertices, torch.tensor([True, False, False])).item() == pytest.approx(1)
    assert torch.isnan(jitter(vertices, torch.zeros(3, dtype=torch.bool)))


def test_distances_are_by_vertex_and_errors_their_means():
    generator = torch.Generator().manual_seed(0)
    vertices, reference = torch.randn(2, 3, 4, 10, 3, generator=generator)
    distance = vertex_distance(vertices, reference)
    assert distance.shape == (3, 4, 10)
    assert distance[1, 2, 5].item() == pytest.approx(1000 * float(torch.dist(vertices[1, 2, 5], reference[1, 2, 5])))
    assert torch.allclose(vertex_error(vertices, reference), distance.mean(-1))


def test_displacement_error_sees_the_motion_and_not_the_shape():
    generator = torch.Generator().manual_seed(0)
    neutral, other_neutral = torch.randn(2, 10, 3, generator=generator)
    motion = torch.randn(4, 10, 3, generator=generator)
    args = (neutral + motion, neutral, other_neutral + motion, other_neutral)
    assert displacement_error(*args) == pytest.approx(torch.zeros(4), abs=2e-3)
    # Half of the motion: half of its length is missing.
    half = displacement_error(neutral + motion / 2, neutral, other_neutral + motion, other_neutral)
    assert half == pytest.approx(500 * motion.norm(dim=-1).mean(-1), rel=1e-4)


def motion_at(times: np.ndarray, seed: int) -> torch.Tensor:
    """(T, 4, 3) a band-limited motion (periods of at least nine samples) that can be sampled anywhere."""
    rng = np.random.default_rng(seed)
    frequencies, phases = rng.uniform(0.01, 0.11, (6, 4, 3)), rng.uniform(0, 2 * np.pi, (6, 4, 3))
    return torch.from_numpy(np.sin(2 * np.pi * frequencies * times[:, None, None, None] + phases).sum(1))


@given(seed=st.integers(0, 10**6), shift=st.floats(-3.5, 3.5), noise=st.sampled_from([0.0, 0.1]))
@settings(max_examples=60, deadline=None)
def test_lag_of_a_delayed_motion(seed, shift, noise):
    times = np.arange(150.0)
    true, late = motion_at(times, seed), motion_at(times - shift, seed)
    late = 0.5 * late + 7 + noise * torch.from_numpy(np.random.default_rng(seed).normal(size=late.shape))
    assert lag(late, true) == pytest.approx(shift, abs=0.1)


def test_lag_is_zero_with_itself_and_odd_in_its_arguments():
    true, late = motion_at(np.arange(60.0), 1), motion_at(np.arange(60.0) - 1.3, 1)
    assert lag(true, true) == pytest.approx(0, abs=0.02)
    assert lag(late, true) == pytest.approx(-lag(true, late), abs=1e-9)


def test_lag_beyond_the_shifts_tried_and_of_no_motion():
    times = np.arange(100.0)
    true = motion_at(times, 2)
    assert lag(motion_at(times - 2.5, 2), true, max_lag=1) == 1.0
    assert np.isnan(lag(torch.zeros_like(true), true))
    with pytest.raises(ValueError, match="too few"):
        lag(true[:7], true[:7])
    with pytest.raises(ValueError, match="one shape"):
        lag(true[:-1], true)
