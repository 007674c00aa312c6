"""overlay.mp4: the video with every face's refined mesh, coloured by its motion, and its active action units."""

from collections.abc import Callable, Iterator, Sequence
from os import PathLike
from pathlib import Path

import numpy as np
import torch

from .. import facs
from ..errors import InputError, UsageError
from ..face_sequence import FaceSequence
from ..geometry import weak_perspective
from ..rendering import LabelBlock, draw_labels, draw_mesh, heat_colors
from ..video import VideoReader, VideoWriter
from .files import output_errors

HOT_MOTION = 0.012
"""Metres from neutral at which the mesh's colour is hottest: about how far a broad smile takes the lip corners."""

_STILL_RATE = 25.0


def overlay_frames(sequences: Sequence[FaceSequence]) -> Iterator[np.ndarray]:
    """The frames of the sequences' video, read again, with meshes and labels drawn: (H, W, 3) uint8 RGB each.

    Args:
        sequences: people of one video, at least one.

    Raises:
        UsageError: there is no sequence, the sequences are of several videos, or they name no video.
        InputError: the video cannot be read any more, or is not of the size that it was.
    """
    source = _source(sequences)  # at once, not when the first frame is asked for
    decisions = [sequence.au_decisions for sequence in sequences]

    def frames() -> Iterator[np.ndarray]:
        with VideoReader(source) as reader:
            size, known = (reader.height, reader.width), (sequences[0].height, sequences[0].width)
            if size != known:
                raise InputError(
                    f"{source} has changed since its faces were reconstructed: its pictures are now "
                    f"{size[1]} x {size[0]} pixels, not {known[1]} x {known[0]}; reconstruct it again"
                )
            for frame in reader:
                image, blocks = frame.image, []
                for sequence, decided in zip(sequences, decisions, strict=True):
                    if frame.index < len(sequence) and sequence.valid[frame.index]:
                        image, points = _draw_face(image, sequence, frame.index)
                        title = f"face {sequence.face_id}" if len(sequences) > 1 else None
                        blocks.append(_labels(sequence, frame.index, decided[frame.index], points, title))
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
    frames = overlay_frames(sequences)
    first = sequences[0]
    rate = first.frame_rate if np.isfinite(first.frame_rate) else _STILL_RATE
    with output_errors(path), VideoWriter(Path(path), rate, first.height, first.width) as writer:
        for index, image in enumerate(frames):
            if index >= len(first):
                break  # the video has grown since
            writer.write(image, float(first.timestamps[index]))
            if progress is not None:
                progress("overlay", index + 1, len(first))
    return Path(path)


def _source(sequences: Sequence[FaceSequence]) -> str:
    sources = {sequence.source for sequence in sequences}
    if len(sources) > 1:
        raise UsageError("an overlay shows faces of one video, but these sequences come from several")
    source = sources.pop() if sources else None
    if source is None:
        raise UsageError("an overlay needs the video, but no sequence names one; set `source` to the video's path")
    return source


def _draw_face(image: np.ndarray, sequence: FaceSequence, row: int) -> tuple[np.ndarray, np.ndarray]:
    """The picture with one face's mesh, and the (V, 3) image points of that mesh."""
    vertices = sequence.vertices[row]
    camera = (torch.tensor(array[row]) for array in (sequence.rotation, sequence.scale, sequence.translation))
    points = weak_perspective(torch.tensor(vertices), *camera)
    motion = np.linalg.norm(vertices - sequence.neutral_vertices, axis=-1)
    return draw_mesh(image, points, sequence.faces, heat_colors(motion, HOT_MOTION)), points.numpy()


def _labels(sequence: FaceSequence, row: int, decided: np.ndarray, points: np.ndarray, title: str | None) -> LabelBlock:
    lines = []
    for column in np.flatnonzero(decided):
        number = sequence.action_units[column]
        known = facs.ACTION_UNITS.get(number)
        name = f"{known.label} {known.name}" if known else facs.label(number)
        lines.append((name, float(sequence.au_probabilities[row, column])))
    left, top = points[:, :2].min(0)
    right, bottom = points[:, :2].max(0)
    return LabelBlock(lines, (float(left), float(top), float(right), float(bottom)), title)
