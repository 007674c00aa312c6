"""Clips of the sample for the page."""

from pathlib import Path

import pytest

from au_d3dface.assets import sample_video
from au_d3dface.video import VideoReader, VideoWriter


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample's frames from 1 s on, two seconds: the brows go up."""
    path = tmp_path_factory.mktemp("clip") / "my face.mp4"
    with VideoReader(sample_video()) as reader, VideoWriter(path, 30, reader.height, reader.width) as writer:
        for frame in reader:
            if 30 <= frame.index < 90:
                writer.write(frame.image)
    return path
