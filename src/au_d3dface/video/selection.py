"""Reading some of the frames of a video, as if it had been filmed with only those."""

from collections.abc import Iterator
from os import PathLike

import numpy as np

from .reading import Frame, VideoReader


class SelectedFrames(VideoReader):
    """A `VideoReader` of chosen frames: untouched, with the times that they have in the video, numbered anew from 0.

    Args:
        path: of the video.
        frames: (K,) indices of the frames to read, increasing; those beyond the end are not there.

    Raises:
        InputError: as `VideoReader`.
    """

    def __init__(self, path: str | PathLike[str], frames: np.ndarray) -> None:
        super().__init__(path)
        self._selected = [int(frame) for frame in frames]
        if self.frame_rate is not None and self.num_frames:
            self.frame_rate *= len(self._selected) / self.num_frames
        self.num_frames = len(self._selected)

    def _frames(self) -> Iterator[Frame]:
        start: float | None = None
        wanted = iter(self._selected)
        next_wanted = next(wanted, None)
        index = 0
        for frame in super()._frames():
            if frame.index != next_wanted:
                continue
            start = frame.timestamp if start is None else start
            yield Frame(index, frame.timestamp - start, frame.image)
            index += 1
            next_wanted = next(wanted, None)
