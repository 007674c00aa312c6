"""Real clips as lists of pictures, and small faces made up for tests without data."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pytest


@pytest.fixture(scope="session")
def read_clip(clips: Path) -> Callable[..., list[SimpleNamespace]]:
    """read_clip(name, stop=None): the first frames of a clip, each with `timestamp` and `image`."""
    cache: dict[tuple[str, int | None], list[SimpleNamespace]] = {}

    def read(name: str, stop: int | None = None) -> list[SimpleNamespace]:
        if (name, stop) not in cache:
            frames = []
            with av.open(str(clips / name)) as container:
                for frame in container.decode(video=0):
                    if stop is not None and len(frames) >= stop:
                        break
                    image = frame.to_ndarray(format="rgb24")
                    frames.append(SimpleNamespace(timestamp=float(frame.pts * frame.time_base), image=image))
            cache[name, stop] = frames
        return cache[name, stop]

    return read


@pytest.fixture
def frames_of() -> Callable[..., list[SimpleNamespace]]:
    """frames_of(images, rate=30): pictures as timed frames."""

    def make(images: list[np.ndarray], rate: float = 30.0) -> list[SimpleNamespace]:
        return [SimpleNamespace(timestamp=k / rate, image=image) for k, image in enumerate(images)]

    return make


@pytest.fixture
def tracker():
    from au_d3dface.tracking import MediaPipeFaceMesh

    tracker = MediaPipeFaceMesh()
    yield tracker
    tracker.close()
