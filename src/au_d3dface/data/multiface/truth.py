"""What evaluation needs of a row of Multiface: the true mesh in the head frame, the face's part of it, its picture."""

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...geometry import pinhole
from .files import read_mesh, read_topology
from .head_frame import HeadFrame, find_head_frame


def read_truth(row: Mapping[str, Any]) -> tuple[Tensor, Tensor]:
    """The tracked mesh of a row, in the head frame that `row_head_frame` finds for its subject.

    Head pose and scale are the capture's own: the pose is taken out by the tracking, nothing is scaled.

    Returns:
        vertices (7306, 3) float32 metres, x to the subject's left, y up, z out of the face; faces (F, 3) int64,
        counter-clockwise seen from outside. Vertices in no triangle (about a quarter) are there, and mean nothing.

    Raises:
        InputError: a file is missing or damaged, or no face is found on the mesh of the subject at rest.
    """
    return row_head_frame(row)(_vertices(row["mesh"])), torch.from_numpy(_faces(row["topology"]))


def read_neutral_truth(row: Mapping[str, Any]) -> Tensor:
    """(7306, 3) float32 metres: the row's subject at rest, in the same head frame.

    Raises:
        InputError: as `read_truth`.
    """
    return row_head_frame(row)(_vertices(row["neutral_mesh"]))


def row_head_frame(row: Mapping[str, Any]) -> HeadFrame:
    """The head frame, and the vertices of the face by region, of a row's subject: computed once, from the face at rest.

    Raises:
        InputError: as `read_truth`.
    """
    return subject_head_frame(row["neutral_mesh"], row["topology"])


@lru_cache(maxsize=32)
def subject_head_frame(neutral_mesh: str, topology: str) -> HeadFrame:
    """The head frame found on a `.bin` of the face at rest, with the triangles of an `.obj`."""
    return find_head_frame(read_mesh(Path(neutral_mesh)), _faces(topology), neutral_mesh)


def project_mesh(row: Mapping[str, Any], vertices: Tensor | None = None) -> Tensor:
    """A mesh in the row's picture, K [R_C R_f | R_C t_f + t_C].

    Args:
        vertices: (V, 3) metres in the mesh's own frame; None for the row's tracked mesh.

    Returns:
        (V, 3) float64: x right and y down in pixels of the full picture, z the distance from the camera's plane in
        metres; for `rendering.rasterize` with `perspective`.

    Raises:
        InputError: the tracked mesh is missing or damaged.
    """
    points = (_vertices(row["mesh"]) if vertices is None else vertices).double()
    transform, intrinsics, rotation, translation = (
        torch.from_numpy(np.asarray(row[name], np.float64))
        for name in ("transform", "intrinsics", "rotation", "translation")
    )
    world = points @ transform[:, :3].T + transform[:, 3]
    return pinhole(world, rotation, translation, intrinsics)


def _vertices(path: str) -> Tensor:
    return torch.from_numpy(read_mesh(Path(path)))


@lru_cache(maxsize=32)
def _faces(path: str) -> np.ndarray:
    return read_topology(Path(path))
