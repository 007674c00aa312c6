"""overlay.mp4: the video with every face's refined mesh, coloured by its motion, and its active action units."""

from collections.abc import Callable, Iterator, Sequence
from os import PathLike
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from .. import facs
from ..face_sequence import FaceSequence
from ..geometry import weak_perspective
from ..rendering import LabelBlock, draw_labels, draw_mesh, heat_colors
from .source_video import STILL_RATE, source_frames, write_frames

HOT_MOTION = 0.012
"""Metres from neutral at which the mesh's colour is hottest: about how far a broad smile takes the lip corners."""

_STEADY_SECONDS = 1.0
"""The labels of a face keep to the median of its box over this long, or they would tremble with every motion."""


def overlay_frames(sequences: Sequence[FaceSequence]) -> Iterator[np.ndarray]:
    """The frames of the sequences' video, read again, with meshes and labels drawn: (H, W, 3) uint8 RGB each.

    Args:
        sequences: people of one video, at least one.

    Raises:
        UsageError: there is no sequence, the sequences are of several videos, or they name no video.
        InputError: the video cannot be read any more, or is not of the size that it was.
    """
    video = source_frames(sequences, "an overlay")  # at once, not when the first frame is asked for
    decisions = [sequence.au_decisions for sequence in sequences]
    boxes = [_steady_boxes(sequence) for sequence in sequences]

    def frames() -> Iterator[np.ndarray]:
        for row, image in video:
            blocks = []
            for sequence, decided, box in zip(sequences, decisions, boxes, strict=True):
                if row < len(sequence) and sequence.valid[row]:
                    image = _draw_face(image, sequence, row)
                    title = f"face {sequence.face_id}" if len(sequences) > 1 else None
                    blocks.append(LabelBlock(_labels(sequence, row, decided[row]), tuple(box[row]), title))
            yield draw_labels(image, blocks)

    return frames()


def write_overlay(
    path: str | PathLike[str],
    sequences: Sequence[FaceSequence],
    progress: Callable[[str, int, int | None], None] | None = None,
) -> Path:
    """Writes `overlay_frames` as an mp4 that browsers play, each frame at its own time.

    Args:
        path: the .mp4 file.
        sequences: people of one video, at least one.
        progress: called as progress("overlay", frames done, frames in all).

    Raises:
        UsageError, InputError: as `overlay_frames` says.
        OutputError: the file cannot be written.
    """
    return write_frames(path, overlay_frames(sequences), sequences[0], "overlay", progress)


def _image_points(sequence: FaceSequence, row: int) -> torch.Tensor:
    camera = (torch.tensor(array[row]) for array in (sequence.rotation, sequence.scale, sequence.translation))
    return weak_perspective(torch.tensor(sequence.vertices[row]), *camera)


def _draw_face(image: np.ndarray, sequence: FaceSequence, row: int) -> np.ndarray:
    """The picture with one face's mesh."""
    motion = np.linalg.norm(sequence.vertices[row] - sequence.neutral_vertices, axis=-1)
    return draw_mesh(image, _image_points(sequence, row), sequence.faces, heat_colors(motion, HOT_MOTION))


def _steady_boxes(sequence: FaceSequence) -> np.ndarray:
    """(T, 4) left, top, right, bottom of the mesh in pixels, without its trembling."""
    boxes = np.full((len(sequence), 4), np.nan)
    for row in np.flatnonzero(sequence.valid):
        points = _image_points(sequence, row)[:, :2]
        boxes[row] = torch.cat([points.amin(0), points.amax(0)]).numpy()
    rate = sequence.frame_rate if np.isfinite(sequence.frame_rate) else STILL_RATE
    window = max(1, round(_STEADY_SECONDS * rate))
    return pd.DataFrame(boxes).rolling(window, center=True, min_periods=1).median().to_numpy()


def _labels(sequence: FaceSequence, row: int, decided: np.ndarray) -> list[tuple[str, float]]:
    lines = []
    for column in np.flatnonzero(decided):
        number = sequence.action_units[column]
        known = facs.ACTION_UNITS.get(number)
        name = f"{known.label} {known.name}" if known else facs.label(number)
        lines.append((name, float(sequence.au_probabilities[row, column])))
    return lines
