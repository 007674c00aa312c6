"""sequence.npz: the arrays come back as they were, and long videos come in parts of bounded size."""

from pathlib import Path

import numpy as np

from au_d3dface.export.npz import write_npz
from au_d3dface.face_sequence import FaceSequence


def test_arrays_come_back(tmp_path: Path, small_sequence: FaceSequence) -> None:
    (path,) = write_npz(tmp_path, small_sequence)
    assert path.name == "sequence.npz"
    with np.load(path) as arrays:
        for name in ("vertices", "neutral_vertices", "faces", "timestamps", "valid", "coarse_vertices", "au_motion"):
            assert np.array_equal(arrays[name], getattr(small_sequence, name), equal_nan=True), name
        assert arrays["vertices"].dtype == np.float32
        assert arrays["action_units"].tolist() == list(small_sequence.action_units)
        assert arrays["frame"].tolist() == list(range(1, len(small_sequence) + 1))
        assert np.array_equal(arrays["au_probabilities"], small_sequence.au_probabilities, equal_nan=True)
    assert list(tmp_path.iterdir()) == [path]


def test_long_videos_come_in_parts(tmp_path: Path, small_sequence: FaceSequence) -> None:
    frame_bytes = 2 * small_sequence.vertices[0].nbytes
    paths = write_npz(tmp_path, small_sequence, part_bytes=5 * frame_bytes)
    assert [path.name for path in paths] == [f"sequence_{n:03d}.npz" for n in range(-(-len(small_sequence) // 5))]
    parts = [np.load(path) for path in paths]
    assert all(len(part["vertices"]) <= 5 for part in parts)
    for name in ("vertices", "au_probabilities", "timestamps"):
        joined = np.concatenate([part[name] for part in parts])
        assert np.array_equal(joined, getattr(small_sequence, name), equal_nan=True)
    assert np.concatenate([part["frame"] for part in parts]).tolist() == list(range(1, len(small_sequence) + 1))
    assert all(np.array_equal(part["faces"], small_sequence.faces) for part in parts)


def test_optional_arrays_are_left_out(tmp_path: Path, small_sequence: FaceSequence) -> None:
    plain = FaceSequence(**{**vars(small_sequence), "uv": None, "au_intensities": None})
    with np.load(write_npz(tmp_path, plain)[0]) as arrays:
        assert not {"uv", "au_intensities"} & set(arrays.files)
