"""The video that sequences were made from, read again to draw on, and videos made of it, each frame at its own time."""

from collections.abc import Callable, Iterator, Sequence
from os import PathLike
from pathlib import Path

import numpy as np

from ..errors import InputError, UsageError
from ..face_sequence import FaceSequence
from ..video import VideoReader, VideoWriter
from .files import output_errors

STILL_RATE = 25.0
"""Frames a second of a video made of one picture."""


def source_frames(sequences: Sequence[FaceSequence], what: str) -> Iterator[tuple[int, np.ndarray]]:
    """The frames of the sequences' video: (row, (H, W, 3) uint8 RGB).

    Args:
        sequences: people of one video, at least one.
        what: is to be made of it, such as "an overlay".

    Raises:
        UsageError: at once: there is no sequence, the sequences are of several videos, or they name no video.
        InputError: the video cannot be read any more, or is not of the size that it was.
    """
    sources = {sequence.source for sequence in sequences}
    if len(sources) > 1:
        raise UsageError(f"{what} shows faces of one video, but these sequences come from several")
    source = sources.pop() if sources else None
    if source is None:
        raise UsageError(f"{what} needs the video, but no sequence names one; set `source` to the video's path")

    def frames() -> Iterator[tuple[int, np.ndarray]]:
        with VideoReader(source) as reader:
            size, known = (reader.height, reader.width), (sequences[0].height, sequences[0].width)
            if size != known:
                raise InputError(
                    f"{source} has changed since its faces were reconstructed: its pictures are now "
                    f"{size[1]} x {size[0]} pixels, not {known[1]} x {known[0]}; reconstruct it again"
                )
            for frame in reader:
                yield frame.index, frame.image

    return frames()


def write_frames(
    path: str | PathLike[str],
    frames: Iterator[np.ndarray],
    sequence: FaceSequence,
    stage: str,
    progress: Callable[[str, int, int | None], None] | None = None,
    beside: int = 1,
) -> Path:
    """Writes pictures, one a frame of the sequence, as an mp4 that browsers play.

    Args:
        path: the .mp4 file.
        frames: (H, beside · W, 3) uint8 RGB.
        sequence: whose size and times the frames have.
        stage: what `progress` is told is done: called as progress(stage, frames done, frames in all).
        beside: how many pictures lie side by side.

    Raises:
        OutputError: the file cannot be written.
    """
    rate = sequence.frame_rate if np.isfinite(sequence.frame_rate) else STILL_RATE
    width = beside * sequence.width
    with output_errors(path), VideoWriter(Path(path), rate, sequence.height, width) as writer:
        for index, image in enumerate(frames):
            if index >= len(sequence):
                break  # the video has grown since
            writer.write(image, float(sequence.timestamps[index]))
            if progress is not None:
                progress(stage, index + 1, len(sequence))
    return Path(path)
