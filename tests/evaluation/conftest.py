"""Files that the tests of the evaluations read: csv files as OpenFace writes them, and a short piece of the sample."""

from pathlib import Path

import numpy as np
import pytest

from au_d3dface.assets import sample_video
from au_d3dface.video import VideoReader, VideoWriter


@pytest.fixture(scope="session")
def write_openface():
    """A function that writes a csv with OpenFace's blanks: columns by name, each (T,)."""

    def write(path: Path, columns: dict[str, np.ndarray], separator: str = ", ") -> Path:
        lines = [separator.join(columns)]
        lines += [separator.join(f"{value:g}" for value in row) for row in zip(*columns.values(), strict=True)]
        path.write_text("\n".join(lines) + "\n")
        return path

    return write


@pytest.fixture(scope="session")
def short(tmp_path_factory) -> Path:
    """The first three seconds of the sample clip, in which the brows rise."""
    path = tmp_path_factory.mktemp("short") / "short.mp4"
    with VideoReader(sample_video()) as reader, VideoWriter(path, 30, reader.height, reader.width) as writer:
        for frame in reader:
            if frame.index == 90:
                break
            writer.write(frame.image)
    return path
