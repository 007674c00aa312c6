"""meshes/000001.obj and so on: one Wavefront obj a frame, for tools that read mesh sequences."""

from collections.abc import Callable
from os import PathLike
from pathlib import Path

import numpy as np

from ..face_sequence import FaceSequence
from .files import move_into, output_errors, staging_folder
from .texture import texture_png

_MATERIAL = "newmtl face\nKa 1 1 1\nKd 1 1 1\nKs 0 0 0\nillum 1\nmap_Kd texture.png\n"


def write_obj_sequence(
    directory: str | PathLike[str],
    sequence: FaceSequence,
    progress: Callable[[str, int, int | None], None] | None = None,
) -> Path:
    """Writes `meshes/neutral.obj` and one numbered mesh a frame, counted from 1 as in the csv.

    Vertices are metres in the canonical head frame, to a micrometre; `vt` lines give uv where the sequence has it.
    Frames without the person have no file. Where the sequence has a texture map, it lies beside them as texture.png,
    with the material face.mtl; colours of vertices follow their coordinates, as many tools read them. An earlier
    `meshes` folder is replaced when all meshes are written.

    Args:
        directory: where `meshes` is made.
        sequence: the person.
        progress: called as progress("obj", frames done, frames in all).

    Raises:
        OutputError: the folder cannot be written.
    """
    directory = Path(directory)
    mapped = sequence.uv is not None and sequence.texture is not None
    colors = sequence.texture if sequence.uv is None else None
    corners = "{0}/{0}" if sequence.uv is not None else "{0}"
    head = "mtllib face.mtl\nusemtl face\n" if mapped else ""
    tail = "" if sequence.uv is None else "".join(f"vt {u:.6f} {v:.6f}\n" for u, v in sequence.uv)
    tail += "".join("f " + " ".join(corners.format(i + 1) for i in face) + "\n" for face in sequence.faces.tolist())
    with staging_folder(directory) as staging:
        folder = staging / "meshes"
        folder.mkdir()
        with output_errors(directory / "meshes"):
            if mapped:
                (folder / "face.mtl").write_text(_MATERIAL, encoding="ascii")
                (folder / "texture.png").write_bytes(texture_png(sequence))
            _write_mesh(folder / "neutral.obj", sequence.neutral_vertices, colors, head, tail)
            for row in np.flatnonzero(sequence.valid):
                _write_mesh(folder / f"{row + 1:06d}.obj", sequence.vertices[row], colors, head, tail)
                if progress is not None:
                    progress("obj", int(row) + 1, len(sequence))
        move_into(staging, directory)
    return directory / "meshes"


def _write_mesh(path: Path, vertices: np.ndarray, colors: np.ndarray | None, head: str, tail: str) -> None:
    values = vertices if colors is None else np.concatenate([vertices, colors], 1)
    line = "v" + " %.6f" * values.shape[1] + "\n"
    path.write_text(head + line * len(values) % tuple(values.ravel().tolist()) + tail, encoding="ascii")
