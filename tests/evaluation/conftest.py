"""Files that the tests of the evaluations read: csv files as OpenFace writes them, a short piece of the sample, a
made-up ICT-FaceKit."""

from pathlib import Path

import numpy as np
import pytest

from au_d3dface.assets import sample_video
from au_d3dface.data.synthetic.tracker_response import load_tracker_response
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


@pytest.fixture(scope="session")
def kit_file(kit_arrays, tmp_path_factory) -> Path:
    """The made-up kit, with all the names of the real one."""
    arrays = dict(kit_arrays)
    names = list(load_tracker_response().expression_names)
    rows = [list(arrays["expression_names"]).index(n) if n in arrays["expression_names"] else None for n in names]
    moved = arrays["expression_delta"]
    arrays["expression_delta"] = np.stack([np.zeros_like(moved[0]) if row is None else moved[row] for row in rows])
    arrays["expression_names"] = np.array(names)
    path = tmp_path_factory.mktemp("whole-kit") / "kit.npz"
    np.savez(path, **arrays)
    return path
