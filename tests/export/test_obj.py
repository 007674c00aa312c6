"""Mesh sequences: numbered as the csv counts, readable, replaced as a whole."""

from pathlib import Path

import numpy as np

from au_d3dface.export.obj import write_obj_sequence
from au_d3dface.face_sequence import FaceSequence


def read_obj(path: Path) -> tuple[np.ndarray, np.ndarray, list[list[str]]]:
    lines = [line.split() for line in path.read_text().splitlines()]
    vertices = np.array([line[1:] for line in lines if line[0] == "v"], float)
    uv = np.array([line[1:] for line in lines if line[0] == "vt"], float)
    return vertices, uv, [line[1:] for line in lines if line[0] == "f"]


def test_meshes_come_back(tmp_path: Path, small_sequence: FaceSequence) -> None:
    folder = write_obj_sequence(tmp_path, small_sequence)
    frames = [path.stem for path in sorted(folder.iterdir())]
    assert frames == [f"{row + 1:06d}" for row in np.flatnonzero(small_sequence.valid)] + ["neutral"]
    vertices, uv, faces = read_obj(folder / "000003.obj")
    assert np.abs(vertices - small_sequence.vertices[2]).max() < 1e-6
    assert np.allclose(uv, small_sequence.uv, atol=1e-6)
    assert [[int(corner.split("/")[0]) - 1 for corner in face] for face in faces] == small_sequence.faces.tolist()
    assert all(corner.split("/")[0] == corner.split("/")[1] for face in faces for corner in face)
    assert np.abs(read_obj(folder / "neutral.obj")[0] - small_sequence.neutral_vertices).max() < 1e-6


def test_without_uv(tmp_path: Path, small_sequence: FaceSequence) -> None:
    small_sequence.uv = None
    _, uv, faces = read_obj(write_obj_sequence(tmp_path, small_sequence) / "000001.obj")
    assert not len(uv)
    assert "/" not in faces[0][0]


def test_a_shorter_run_leaves_no_mesh_of_the_longer_one(tmp_path: Path, make_sequence) -> None:
    write_obj_sequence(tmp_path, make_sequence(frames=8, invalid=()))
    folder = write_obj_sequence(tmp_path, make_sequence(frames=3, invalid=()))
    assert [path.name for path in sorted(folder.iterdir())] == ["000001.obj", "000002.obj", "000003.obj", "neutral.obj"]
    assert list(tmp_path.iterdir()) == [folder]
