"""Reading the frames of a video, of a folder of pictures, or of one picture, as a stream."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

import numpy as np

from ..errors import InputError
from .pictures import PICTURE_SUFFIXES, Pictures, pictures_of_folder
from .video_file import VideoFile


@dataclass
class Frame:
    """One frame.

    Attributes:
        index: 0 for the first frame.
        timestamp: seconds from the first frame; strictly increasing.
        image: (H, W, 3) uint8 RGB, upright.
    """

    index: int
    timestamp: float
    image: np.ndarray


class FrameSource(Protocol):
    """What gives the frames: a video file or a list of pictures."""

    height: int
    width: int
    frame_rate: float | None
    num_frames: int | None

    def frames(self, warnings: list[str]) -> Iterator[tuple[float, np.ndarray]]:
        """Timestamps and images from the first frame on; adds to `warnings` what people should know."""
        ...


class VideoReader:
    """Streams the frames of a video file, a folder of pictures, or one picture (a clip of one frame).

    Iterating yields `Frame`s one at a time, so that memory does not grow with length; every new iteration starts from
    the first frame. Rotation and mirroring that a file asks for are applied, and so are non-square pixels.

        with VideoReader("interview.mp4") as reader:
            for frame in reader:
                ...

    Args:
        path: the file or folder. Pictures of a folder are taken in the order of the numbers in their names.
        image_folder_rate: frames a second of a folder of pictures.

    Attributes:
        path: as given.
        height, width: of every frame, pixels.
        frame_rate: average frames a second, for writing; None for a single picture or where a file does not say.
        num_frames: an estimate, for progress bars only; None where unknown.
        warnings: sentences for people, about the latest iteration: a file cut off, a picture that changes its size.

    Raises:
        InputError: the input is missing, cannot be read, or holds no picture. Raised when the reader is made, except
            for a picture of a folder that turns out to be damaged, which is seen when its turn comes.
    """

    def __init__(self, path: str | Path, image_folder_rate: float = 30.0) -> None:
        if not (math.isfinite(image_folder_rate) and image_folder_rate > 0):
            raise ValueError(f"image_folder_rate must be a positive number, not {image_folder_rate}")
        self.path = Path(path)
        self.warnings: list[str] = []
        self._source = _source_of(self.path, image_folder_rate)
        self._iterations: list[Iterator[Frame]] = []
        self.height, self.width = self._source.height, self._source.width
        self.frame_rate, self.num_frames = self._source.frame_rate, self._source.num_frames

    def __iter__(self) -> Iterator[Frame]:
        self.close()
        self.warnings.clear()
        self._iterations = [self._frames()]
        return self._iterations[0]

    def _frames(self) -> Iterator[Frame]:
        for index, (timestamp, image) in enumerate(self._source.frames(self.warnings)):
            yield Frame(index, timestamp, image)

    def close(self) -> None:
        """Ends an iteration that is under way and closes its file."""
        for iteration in self._iterations:
            iteration.close()
        self._iterations.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def _source_of(path: Path, image_folder_rate: float) -> FrameSource:
    try:
        size = path.stat().st_size
        if path.is_dir():
            return Pictures(pictures_of_folder(path), image_folder_rate)
        if not path.is_file():
            raise InputError(f"{path} is neither a file nor a folder; give a video, a picture or a folder of pictures.")
        with path.open("rb"):
            pass
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(f"{path} does not exist; check the name of the video.") from None
    except (OSError, ValueError) as error:  # ValueError: a null byte in the name
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"{path} cannot be read ({reason}); check its permissions and its name.") from error
    if size == 0:
        raise InputError(f"{path} is empty; it may not have been copied or downloaded to its end.")
    if path.suffix.lower() in PICTURE_SUFFIXES:
        return Pictures([path], None)
    return VideoFile(path)
