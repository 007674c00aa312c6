"""Mesh distances: millimetres out of metres."""

import pytest
import torch

from au_d3dface.metrics import jitter, vertex_error


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
