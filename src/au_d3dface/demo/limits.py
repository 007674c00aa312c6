"""What the page takes: limits, and the probe that refuses a video before any work."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import av

from ..errors import InputError
from ..video import Frame, VideoReader
from ..video.pictures import PICTURE_SUFFIXES

_LISTS = ("hls", "dash", "imf", "concat", "concatf")
"""FFmpeg's names of what may show files of the server that the visitor has not uploaded."""


@dataclass(frozen=True)
class Limits:
    """Attributes:
    max_seconds: of video.
    max_megabytes: of an upload.
    max_frames_a_second: with `max_seconds`, how many frames a video may have.
    max_side: pixels, the longer side of the picture.
    max_waiting: videos in the queue; whoever brings the next one is told to come back.
    keep_seconds: what was not used for so long is deleted, on a page that stays open too.
    """

    max_seconds: float = 30.0
    max_megabytes: int = 100
    max_frames_a_second: float = 60.0
    max_side: int = 4096
    max_waiting: int = 8
    keep_seconds: float = 1800.0

    @property
    def max_frames(self) -> int:
        return int(self.max_seconds * self.max_frames_a_second) + 1


def probe(path: str | PathLike[str], limits: Limits) -> None:
    """Looks at the size and the header, and decodes the first frame.

    Raises:
        InputError: the sentence of the command line where the file is no video, else which limit it passes.
    """
    path = Path(path)
    megabytes = path.stat().st_size / 2**20 if path.is_file() else 0.0
    if megabytes > limits.max_megabytes:
        raise InputError(
            f"{path} has {megabytes:.0f} MB, and this page takes up to {limits.max_megabytes}; cut or re-encode it"
        )
    with VideoReader(path) as reader:
        if max(reader.height, reader.width) > limits.max_side:
            raise InputError(
                f"the pictures of {path} have {reader.width} x {reader.height} pixels, and this page takes up to "
                f"{limits.max_side} a side; make them smaller"
            )
        if reader.num_frames and reader.frame_rate:
            seconds = reader.num_frames / reader.frame_rate
            if seconds > limits.max_seconds + 0.5:  # what a header says of the length is an estimate
                raise _too_long(path, limits, f"about {seconds:.0f} seconds")
            if reader.num_frames > limits.max_frames:
                raise _too_many(path, limits)
    if path.suffix.lower() not in PICTURE_SUFFIXES and (kind := _format(path)) in _LISTS:
        raise InputError(f"{path} is a list of other files ({kind}), not a video; give the video itself")


def _format(path: Path) -> str:
    with av.open(os.path.abspath(path), options={"protocol_whitelist": "file"}) as container:
        return container.format.name


class LimitedReader(VideoReader):
    """A `VideoReader` that ends in an InputError at the first frame beyond the limits: not every header tells a length.

    Args:
        path: of the video.
        limits: the page's.
    """

    def __init__(self, path: str | PathLike[str], limits: Limits) -> None:
        super().__init__(Path(path))
        self._limits = limits

    def _frames(self) -> Iterator[Frame]:
        for frame in super()._frames():
            if frame.timestamp > self._limits.max_seconds + 0.5:
                raise _too_long(self.path, self._limits, "more")
            if frame.index >= self._limits.max_frames:
                raise _too_many(self.path, self._limits)
            yield frame


def _too_long(path: Path, limits: Limits, length: str) -> InputError:
    return InputError(
        f"{path} lasts {length}, and this page takes up to {limits.max_seconds:g} seconds; cut it, or run au-d3dface "
        "on your own computer, which takes any length"
    )


def _too_many(path: Path, limits: Limits) -> InputError:
    return InputError(
        f"{path} has more than {limits.max_frames} frames, which is what this page takes; cut it, or make it "
        f"{limits.max_frames_a_second:g} frames a second"
    )
