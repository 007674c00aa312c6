"""The figure of methods side by side, as the paper's Fig. 3: frames of a video, below them the meshes of each method.

Meshes are turned as the head is and as large as the face in the frame above, in the middle of their pictures. Those of
other methods, which have their own topology, frame of reference and size, are first laid on our refined mesh of the
same frame (`meshes.placement.place`, with scale): what the figure compares is shape, not where a method puts the head.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ...export.strip import crop_picture, inside_video, picture_windows, read_pictures, window_view
from ...face_sequence import FaceSequence
from ...rendering import StripRow, View, compose_strip, draw_face
from ..meshes.frame_meshes import FrameMeshes
from ..meshes.placement import place
from ..reports import number

CELL = 320
"""Pixels along a side of each picture: 5 of them are 7 inches at 230 dots an inch."""

RULE = "laid on the refined mesh of the same frame, with scale, drawn through the same camera"
"""How other methods' meshes come to stand where they do."""


def strip_figure(
    sequence: FaceSequence,
    frames: Sequence[int],
    others: Mapping[str, FrameMeshes] | None = None,
    first_frame: int = 1,
    cell: int = CELL,
) -> tuple[np.ndarray, dict[str, Any]]:
    """The picture and its numbers.

    Args:
        sequence: the person, whose `source` is the video.
        frames: numbers from 1 of frames that show the person; a column each.
        others: meshes by the name of the method, a row each.
        first_frame: the number that the others' files give to frame 1.
        cell: pixels along a side of each picture.

    Returns:
        (H, W, 3) uint8, and what JSON says of it: frames, seconds, and how each mesh was laid.

    Raises:
        InputError: another method lacks a frame, or the video has changed.
    """
    rows = [frame - 1 for frame in frames]
    windows = picture_windows([sequence], rows)
    views = [window_view(sequence, row, window, cell) for row, window in zip(rows, windows, strict=True)]
    pictures = read_pictures(sequence, sorted(rows))
    shown = zip(rows, inside_video(sequence, windows), strict=True)
    parts = [StripRow("input", [crop_picture(pictures[row], window, cell) for row, window in shown])]
    for label, vertices in (("coarse", sequence.coarse_vertices), ("refined", sequence.vertices)):
        parts.append(StripRow(label, _drawn(vertices[rows], sequence.faces, views, cell)))
    said = {}
    for name, folder in (others or {}).items():
        meshes = folder.at([frame + first_frame - 1 for frame in frames])
        laid, said[name] = _laid(meshes, folder, sequence, rows)
        parts.append(StripRow(name, _drawn(laid, folder.faces, views, cell)))
    times = [f"{sequence.timestamps[row]:.2f} s" for row in rows]
    numbers = {
        "video": sequence.source,
        "frames": list(frames),
        "seconds": [number(sequence.timestamps[row]) for row in rows],
        "other_methods": said,
    }
    return compose_strip(parts, times, cell=(cell, cell)), numbers


def _drawn(vertices: np.ndarray, faces: np.ndarray, views: list[View], cell: int) -> list[np.ndarray]:
    return [draw_face(mesh, faces, cell, cell, view=view) for mesh, view in zip(vertices, views, strict=True)]


def _laid(
    meshes: np.ndarray, folder: FrameMeshes, sequence: FaceSequence, rows: list[int]
) -> tuple[np.ndarray, dict[str, Any]]:
    """(K, V, 3) in our head frame, and how they came there."""
    motion, residual = None, 0.0
    laid, scales, residuals = [], [], []
    for mesh, row in zip(meshes, rows, strict=True):
        motion, residual = place(mesh, folder.faces, sequence.vertices[row], sequence.faces, True, motion, residual)
        laid.append(motion(mesh.astype(np.float64)))
        scales.append(number(motion.scale))
        residuals.append(number(1000 * residual))
    return np.stack(laid), {
        "folder": str(folder.path),
        "vertices": len(meshes[0]),
        "unit_of_files": folder.unit,
        "alignment": RULE,
        "scale": scales,
        "mean_distance_mm": residuals,
    }
