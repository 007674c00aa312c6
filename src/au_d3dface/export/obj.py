"""meshes/000001.obj and so on: one Wavefront obj a frame, for tools that read mesh sequences."""

from os import PathLike
from pathlib import Path

import numpy as np

from ..face_sequence import FaceSequence
from .files import move_into, output_errors, staging_folder


def write_obj_sequence(directory: str | PathLike[str], sequence: FaceSequence) -> Path:
    """Writes `meshes/neutral.obj` and one numbered mesh a frame, counted from 1 as in the csv.

    Vertices are metres in the canonical head frame, to a micrometre; `vt` lines give uv where the sequence has it.
    Frames without the person have no file. An earlier `meshes` folder is replaced when all meshes are written.

    Raises:
        OutputError: the folder cannot be written.
    """
    directory = Path(directory)
    corners = "{0}/{0}" if sequence.uv is not None else "{0}"
    tail = "" if sequence.uv is None else "".join(f"vt {u:.6f} {v:.6f}\n" for u, v in sequence.uv)
    tail += "".join("f " + " ".join(corners.format(i + 1) for i in face) + "\n" for face in sequence.faces.tolist())
    with staging_folder(directory) as staging:
        folder = staging / "meshes"
        folder.mkdir()
        with output_errors(directory / "meshes"):
            _write_mesh(folder / "neutral.obj", sequence.neutral_vertices, tail)
            for row in np.flatnonzero(sequence.valid):
                _write_mesh(folder / f"{row + 1:06d}.obj", sequence.vertices[row], tail)
        move_into(staging, directory)
    return directory / "meshes"


def _write_mesh(path: Path, vertices: np.ndarray, tail: str) -> None:
    lines = "v %.6f %.6f %.6f\n" * len(vertices) % tuple(vertices.ravel().tolist())
    path.write_text(lines + tail, encoding="ascii")
