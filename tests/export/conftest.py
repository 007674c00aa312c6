"""Sequences that the export tests write."""

from collections.abc import Callable

import numpy as np
import pytest

from au_d3dface.face_sequence import FaceSequence
from au_d3dface.video import VideoWriter


def _make_sequence(frames: int = 24, invalid: tuple[int, ...] = (9, 10), rank: int = 3, seed: int = 0) -> FaceSequence:
    """A grid of 7 x 6 vertices bent like a face mask, moving smoothly along `rank` directions, 25 frames a second."""
    rng = np.random.default_rng(seed)
    columns, rows = np.meshgrid(np.linspace(-0.07, 0.07, 6), np.linspace(0.1, -0.1, 7))
    neutral = np.stack([columns, rows, 0.05 - 8 * columns**2 - 2 * rows**2], -1).reshape(-1, 3)
    corner = np.arange(42).reshape(7, 6)
    a, b, c, d = (part.ravel() for part in (corner[1:, :-1], corner[1:, 1:], corner[:-1, 1:], corner[:-1, :-1]))
    faces = np.concatenate([np.stack([a, b, c], -1), np.stack([a, c, d], -1)])
    directions = 0.004 * rng.normal(size=(rank, 42, 3))
    phases, speeds = rng.uniform(0, 6, rank), rng.uniform(0.1, 0.3, rank)
    waves = np.sin(np.arange(frames)[:, None] * speeds + phases)
    moving = neutral + np.einsum("tr,rvc->tvc", waves, directions)
    probabilities = 0.5 + 0.5 * np.sin(np.arange(frames)[:, None] * np.array([0.2, 0.3, 0.1]) + np.array([0, 1, 2]))
    valid = np.ones(frames, bool)
    valid[[frame for frame in invalid if frame < frames]] = False
    arrays = {
        "vertices": moving,
        "coarse_vertices": moving + 0.001,
        "au_probabilities": probabilities,
        "au_intensities": 5 * probabilities,
    }
    arrays = {name: values.astype(np.float32) for name, values in arrays.items()}
    for values in arrays.values():
        values[~valid] = np.nan
    uv = np.stack(np.meshgrid(np.linspace(0, 1, 6), np.linspace(1, 0, 7)), -1).reshape(-1, 2)
    return FaceSequence(
        face_id=0,
        timestamps=np.arange(frames) / 25,
        valid=valid,
        neutral_vertices=neutral,
        faces=faces,
        uv=uv,
        action_units=(1, 12, 25),
        au_masks=np.eye(3)[:, np.arange(42) % 3],
        rotation=np.broadcast_to(np.eye(3), (frames, 3, 3)),
        scale=np.full(frames, 600.0),
        translation=np.full((frames, 2), 80.0),
        confidence=np.where(valid, 0.9, 0.0),
        interpolated=np.arange(frames) % 3 != 0,
        height=160,
        width=160,
        provenance={"checkpoint": "synthetic"},
        **arrays,
    )


@pytest.fixture(scope="session")
def make_sequence() -> Callable[..., FaceSequence]:
    return _make_sequence


@pytest.fixture
def small_sequence() -> FaceSequence:
    return _make_sequence()


@pytest.fixture
def sequence_with_video(small_sequence: FaceSequence, tmp_path_factory: pytest.TempPathFactory) -> FaceSequence:
    """The small sequence over a video of 160 x 160 grey pixels with a slowly moving shade."""
    path = tmp_path_factory.mktemp("video") / "source.mp4"
    shade = np.linspace(60, 120, 160).astype(np.uint8)
    with VideoWriter(path, 25.0, 160, 160) as writer:
        for frame in range(len(small_sequence)):
            image = np.broadcast_to(np.roll(shade, frame)[:, None, None], (160, 160, 3))
            writer.write(np.ascontiguousarray(image), frame / 25)
    small_sequence.source = str(path)
    return small_sequence
