"""Pools and stored sequences that are made here, without fitting or rendering."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor

from au_d3dface import facs
from au_d3dface.data.synthetic.pool import SequencePool
from au_d3dface.data.synthetic.rendered_sequences import PER_SHARD, render_sequences
from au_d3dface.data.synthetic.sequences import SequenceSampler, SequenceSettings
from au_d3dface.data.synthetic.tracker_response import load_tracker_response

NUM_VERTICES = 468


@pytest.fixture(scope="session")
def make_pool() -> Callable[..., SequencePool]:
    """A function that makes a pool; see its arguments."""
    return _make_pool


def _make_pool(expression: Tensor, intensity: Tensor, sizes: Sequence[float]) -> SequencePool:
    """A pool of a made-up face whose coefficient e moves it by `sizes[e]` metres (the norm over all vertices).

    Args:
        expression: (n, T, E).
        intensity: (n, T, 19) on the subject's left; the right side is half as strong.
    """
    generator = torch.Generator().manual_seed(3)
    count, frames, modes = expression.shape
    directions = torch.linalg.qr(torch.randn(3 * NUM_VERTICES, modes, generator=generator))[0].T  # orthonormal rows
    neutral = 0.05 * torch.randn(count, NUM_VERTICES, 3, generator=generator)
    assert intensity.shape == (count, frames, len(facs.ALL))
    return SequencePool(
        neutral=neutral,
        expression=expression,
        valid=torch.ones(count, frames, dtype=torch.bool),
        intensity=torch.stack([intensity, intensity / 2], -1).half(),
        true_neutral=neutral,
        alignment=torch.eye(3).repeat(count, 1, 1),
        weights=torch.zeros(count, frames, 57, dtype=torch.float16),
        expression_basis=(directions * torch.tensor(sizes)[:, None]).unflatten(1, (-1, 3)),
        geometry=load_tracker_response().true_expression,
        frame_rate=10.0,
        provenance=[{"sources": ["made up"]}],
    )


@pytest.fixture(scope="session")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of shards, of fast sequences in the place of rendered ones."""
    folder = tmp_path_factory.mktemp("stored")
    sampler = SequenceSampler(load_tracker_response(), settings=SequenceSettings(seconds=2.0), seed=77)
    render_sequences(sampler, folder, PER_SHARD)
    return folder
