"""The frames of one video file, through PyAV (FFmpeg)."""

import math
import os
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
from av.format import Flags as FormatFlags
from av.sidedata.sidedata import Type as SideDataType
from av.stream import Disposition
from av.video.reformatter import VideoReformatter

from ..errors import InputError

# Timestamps that step back by up to this many seconds are disorder among neighbours; further back, or further ahead
# than _LONGEST_GAP, the clock of the recording was set anew.
_DISORDER = 1.0
_LONGEST_GAP = 600.0
_DEFAULT_RATE = 30.0


class VideoFile:
    """A source of frames (see `reading.FrameSource`): the first stream of pictures of a file.

    Colours follow the file's matrix and range (BT.601 where it does not say, as FFmpeg takes it), frames are turned
    upright as the display matrix says, and pixels that are not square are made so by stretching the width.

    Raises:
        InputError: not a video, without pictures, or without one frame that can be decoded.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with self._open() as container:
            stream = self._video_stream(container)
            errors: list[str] = []
            first = next(_decoded(container, stream, errors), None)
            if first is None:
                raise InputError(f"{path} holds no frame that can be decoded; it may be damaged or cut off.")
            # Raw streams have no timestamps, and their average rate is only FFmpeg's default.
            rates = (stream.average_rate, stream.guessed_rate)
            rate = next((rate for rate in (rates if first.pts is not None else rates[::-1]) if _plausible(rate)), None)
            self.frame_rate = float(rate) if rate else None
            self._period = 1.0 / (self.frame_rate or _DEFAULT_RATE)
            seconds = float(stream.duration * stream.time_base) if stream.duration else (container.duration or 0) / 1e6
            self.num_frames = stream.frames or round(seconds / self._period) or None
            self._display_matrix = _display_matrix(first)
            self._stored_height, self._stored_width = first.height, _square_pixel_width(first.width, stream)
            turned = upright(np.empty((self._stored_height, self._stored_width, 0)), self._display_matrix)
            self.height, self.width = turned.shape[:2]

    def frames(self, warnings: list[str]) -> Iterator[tuple[float, np.ndarray]]:
        """Timestamps and images."""
        with self._open() as container:
            stream = self._video_stream(container)
            # Frames of both kinds of threading are decoded ahead in FFmpeg's threads while the caller works.
            stream.thread_type = "AUTO"
            # One reformatter for the whole file, and one thread: with several, FFmpeg starts them anew for each frame.
            reformatter = VideoReformatter()
            clock = _Clock(self._period)
            errors: list[str] = []
            first_size, resized, count, last_time = None, False, 0, 0.0
            for frame in _decoded(container, stream, errors):
                size = (frame.height, frame.width)
                first_size = first_size or size
                if size != first_size and not resized:
                    resized = True
                    warnings.append(
                        f"The pictures of {self._path} change from {first_size[1]} x {first_size[0]} to "
                        f"{size[1]} x {size[0]} pixels at frame {count + 1}; they were scaled to the first size."
                    )
                rgb = reformatter.reformat(
                    frame, width=self._stored_width, height=self._stored_height, format="rgb24", threads=1
                )
                count += 1
                last_time = frame.time if frame.time is not None else last_time
                decoding_time = None if frame.dts is None else float(frame.dts * stream.time_base)
                yield clock(frame.time, decoding_time), upright(rgb.to_ndarray(), self._display_matrix)
            if errors or self._ends_early(container, stream, last_time):
                warnings.append(
                    f"{self._path} is damaged or cut off: {count} frames could be read, the last at "
                    f"{clock.now:.2f} seconds."
                )

    def _open(self) -> av.container.InputContainer:
        try:
            # Absolute, as FFmpeg would take "a:b.mp4" for a protocol; only files, as a playlist may name addresses.
            container = av.open(
                os.path.abspath(self._path), options={"protocol_whitelist": "file"}, metadata_errors="replace"
            )
        except av.error.FFmpegError as error:
            raise InputError(
                f"{self._path} is not a video that can be read, or it is damaged or cut off ({error.strerror})."
            ) from error
        if not _is_credible(container, self._path):
            container.close()
            raise InputError(f"{self._path} is not a video.")
        return container

    def _video_stream(self, container: av.container.InputContainer) -> av.video.stream.VideoStream:
        for stream in container.streams.video:
            if not stream.disposition & Disposition.attached_pic:  # the cover of a song is no video
                return stream
        raise InputError(f"{self._path} holds no pictures, only {_others(container)}; give a file with video.")

    def _ends_early(
        self, container: av.container.InputContainer, stream: av.video.stream.VideoStream, last_time: float
    ) -> bool:
        if "mov" in container.format.name.split(","):
            # The index says where each frame lies. (A stated length says less: the last frame may be long.)
            index = stream.index_entries
            return len(index) > 0 and index[-1].pos + index[-1].size > container.size
        if container.duration is None:
            return False
        return ((container.start_time or 0) + container.duration) / 1e6 - last_time > 1.0 + self._period


def upright(image: np.ndarray, display_matrix: np.ndarray | None) -> np.ndarray:
    """Turns and mirrors (H, W, C) by the nearest quarter turn, as a display matrix says.

    The matrix (ISO/IEC 14496-12) takes the stored (x, y, 1), a row, to the shown (x', y', 1).
    """
    if display_matrix is None:
        return image
    (a, b), (c, d) = display_matrix
    if abs(b) + abs(c) > abs(a) + abs(d):
        image = image.transpose(1, 0, 2)
        a, d = c, b
    image = image[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1]
    return np.ascontiguousarray(image)


class _Clock:
    """Seconds from the first frame, strictly increasing, from timestamps that may be missing or wrong.

    The decoding times stand in where the presentation times have gone wrong more often, as in AVI files that know no
    order of presentation.
    """

    def __init__(self, period: float) -> None:
        self._period = period
        self._origin: float | None = None
        self._last: list[float | None] = [None, None]  # presentation and decoding time of the frame before
        self._faults = [0, 0]
        self.now = -period

    def __call__(self, presentation_time: float | None, decoding_time: float | None) -> float:
        times = (presentation_time, decoding_time)
        for kind, time in enumerate(times):
            last = self._last[kind]
            self._faults[kind] += time is not None and last is not None and time <= last
            self._last[kind] = time if time is not None else last
        kind = int(presentation_time is None or (decoding_time is not None and self._faults[0] > self._faults[1]))
        time = times[kind]
        follows = max(self.now + self._period, 0.0)
        if time is None:
            self.now = follows
        elif self._origin is None or not -_DISORDER < time - self._origin - self.now < _LONGEST_GAP:
            self._origin, self.now = time - follows, follows
        elif time - self._origin > self.now:
            self.now = time - self._origin
        else:
            # A repeated or misplaced timestamp: half a frame on, so that the right ones after it are reached again.
            self.now += self._period / 2
        return self.now


def _decoded(
    container: av.container.InputContainer, stream: av.video.stream.VideoStream, errors: list[str]
) -> Iterator[av.VideoFrame]:
    """Every frame that can be decoded; what cannot be read or decoded is noted in `errors` and passed over.

    A picture whose missing parts FFmpeg made up is given, and noted too: whether damage costs whole pictures or only
    parts of them is chance.
    """
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets)
        except (StopIteration, IndexError):  # PyAV ends in an IndexError where a stream appeared on the way
            return
        except av.error.FFmpegError as error:
            errors.append(str(error))
            return
        if packet.is_corrupt:
            errors.append("corrupt packet")
        try:
            frames = packet.decode()
        except av.error.FFmpegError as error:
            errors.append(str(error))
            continue
        for frame in frames:
            if frame.is_corrupt:
                errors.append("corrupt picture")
            yield frame


def _is_credible(container: av.container.InputContainer, path: Path) -> bool:
    """Whether to believe FFmpeg's guess of the format: it takes some noise for a raw stream, and some text for art."""
    format_ = container.format
    if format_.name == "tty":
        return False
    raw = format_.flags & FormatFlags.no_timestamps.value
    return not raw or path.suffix.lower().lstrip(".") in format_.extensions


def _plausible(rate: object) -> bool:
    return rate is not None and 0 < rate <= 1000


def _display_matrix(frame: av.VideoFrame) -> np.ndarray | None:
    """(2, 2) part of the display matrix that turns and mirrors, or None where there is none."""
    data = frame.side_data.get(SideDataType.DISPLAYMATRIX)
    if data is None:
        return None
    matrix = np.frombuffer(bytes(data), dtype=np.int32).reshape(3, 3)[:2, :2]
    return matrix.astype(np.float64) if matrix.any() else None


def _square_pixel_width(width: int, stream: av.video.stream.VideoStream) -> int:
    ratio = float(stream.sample_aspect_ratio or 1)
    # An absurd ratio is a mistake of the file, and one near 1 rounds the frame to whole macroblocks.
    if not 0.25 <= ratio <= 4 or math.isclose(ratio, 1, abs_tol=0.02):
        return width
    return max(1, round(width * ratio))


def _others(container: av.container.InputContainer) -> str:
    names = {"audio": "sound", "subtitle": "subtitles", "data": "data", "video": "a cover picture"}
    kinds = sorted({names.get(stream.type, stream.type) for stream in container.streams})
    return " and ".join(kinds) or "nothing that is known"
