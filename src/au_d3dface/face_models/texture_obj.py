"""Texture coordinates of a mesh from an OBJ file of it (FLAME's head_template.obj)."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..errors import CheckpointError

_MAX_BYTES = 64 * 2**20
"""A hundred times FLAME's."""


def read_texture_coordinates(path: Path, faces: np.ndarray, num_vertices: int) -> tuple[Tensor, Tensor]:
    """The `vt` lines of an OBJ, and which of them each corner of the mesh's triangles has.

    Args:
        path: the OBJ; its triangles may come in another order, and begin with another corner.
        faces: (F, 3) the mesh's own triangles.
        num_vertices: of the mesh.

    Returns:
        (U, 2) float32 coordinates, v up; (F, 3) int64 rows of them, in the order of `faces`.

    Raises:
        CheckpointError: the file is missing, damaged, without texture coordinates, or of another mesh.
    """
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise CheckpointError(f"{path} is far larger than FLAME's OBJ file; take it from its authors again.")
        lines = [line.split() for line in path.read_bytes().splitlines()]
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror or error}.") from error
    try:
        coordinates = np.array([line[1:3] for line in lines if line[:1] == [b"vt"]], np.float64).reshape(-1, 2)
        corners = [[part.split(b"/")[:2] for part in line[1:]] for line in lines if line[:1] == [b"f"]]
        indices = np.array(corners, dtype="S16").astype(np.int64) - 1  # (F, 3 corners, vertex and texture)
    except (ValueError, OverflowError) as error:
        raise CheckpointError(f"{path} has faces that are not triangles with texture coordinates.") from error
    if indices.shape[1:] != (3, 2):
        raise CheckpointError(f"{path} has faces that are not triangles with texture coordinates.")
    count = sum(line[:1] == [b"v"] for line in lines)
    if count != num_vertices or indices.shape != (len(faces), 3, 2):
        raise CheckpointError(
            f"{path} has {count:,} vertices and {len(corners):,} faces, where FLAME's mesh has {num_vertices:,} and "
            f"{len(faces):,}."
        )
    if indices.min() < 0 or indices[..., 1].max() >= len(coordinates) or not np.isfinite(coordinates).all():
        raise CheckpointError(f"{path} has faces that point outside its texture coordinates.")
    of_triangle = {tuple(sorted(row[:, 0])): dict(row.tolist()) for row in indices}
    try:
        rows = [[of_triangle[tuple(sorted(face))][corner] for corner in face] for face in faces.tolist()]
    except KeyError as error:
        raise CheckpointError(f"{path} has other triangles than the model, so it is of another mesh.") from error
    return torch.from_numpy(coordinates.astype(np.float32)), torch.tensor(rows)
