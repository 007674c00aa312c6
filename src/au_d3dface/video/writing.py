"""Writing video that browsers play."""

import math
import os
import uuid
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self

import av
import numpy as np
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc, VideoReformatter

from ..errors import OutputError

_TIME_BASE = Fraction(1, 90_000)


class VideoWriter:
    """Writes an mp4: H.264, 4:2:0, BT.709 limited range, index first, so that browsers play it while it loads.

    The file grows under a temporary name beside the target and gets its name when the `with` block ends well; when it
    ends in an exception (an interrupt too), nothing is left. Odd heights and widths are made even by repeating the last
    row or column, as 4:2:0 needs.

        with VideoWriter("overlay.mp4", 30.0, height, width) as writer:
            writer.write(image)

    Args:
        path: of the mp4; an existing file is replaced.
        frame_rate: frames a second.
        height, width: of the images that will be written, pixels.
        crf: x264's constant rate factor: 18 looks like the original, greater is smaller and coarser.
        preset: x264's preset.

    Raises:
        OutputError: here and from `write` and the end of the block: the file cannot be written, is a folder, or the
            disk is full.
    """

    def __init__(
        self, path: str | Path, frame_rate: float, height: int, width: int, crf: int = 18, preset: str = "veryfast"
    ) -> None:
        if not (math.isfinite(frame_rate) and frame_rate > 0):
            raise ValueError(f"frame_rate must be a positive number, not {frame_rate}")
        if height < 1 or width < 1:
            raise ValueError(f"height and width must be positive, not {height} x {width}")
        self.path = Path(path)
        self.height, self.width = height, width
        self.num_frames = 0
        self._frame_rate = frame_rate
        self._last_pts = -1
        self._padding = ((0, height % 2), (0, width % 2), (0, 0))
        self._reformatter = VideoReformatter()
        if self.path.is_dir():
            raise OutputError(f"{self.path} is a folder; a video needs the name of a file.")
        self._temporary = self.path.with_name(f".{self.path.name}.{uuid.uuid4().hex[:8]}.part")
        try:
            self._temporary.touch(exist_ok=False)  # FFmpeg would create it only when the first frame comes
            self._container = av.open(
                os.path.abspath(self._temporary), "w", format="mp4", options={"movflags": "+faststart"}
            )
        except (av.error.FFmpegError, OSError) as error:
            raise self._unwritable(error) from error
        try:
            self._stream = self._new_stream(crf, preset)
        except BaseException:
            self._discard()
            raise

    def _new_stream(self, crf: int, preset: str) -> av.video.stream.VideoStream:
        rate = Fraction(self._frame_rate).limit_denominator(10_000)
        options = {"crf": str(crf), "preset": preset, "g": str(max(1, round(2 * self._frame_rate)))}
        stream = self._container.add_stream("libx264", rate=rate, options=options)
        stream.width, stream.height = self.width + self.width % 2, self.height + self.height % 2
        stream.pix_fmt = "yuv420p"
        # Fine enough for any frame rate, and for frames that come at their own times.
        stream.codec_context.time_base = stream.time_base = _TIME_BASE
        stream.codec_context.colorspace = Colorspace.ITU709
        stream.codec_context.color_range = ColorRange.MPEG
        stream.codec_context.color_primaries = ColorPrimaries.BT709
        stream.codec_context.color_trc = ColorTrc.BT709
        return stream

    def write(self, image: np.ndarray, timestamp: float | None = None) -> None:
        """Adds a frame.

        Args:
            image: (height, width, 3) uint8 RGB.
            timestamp: seconds, for frames that do not come at the frame rate; increasing. Give it for all or none.
        """
        if image.shape != (self.height, self.width, 3) or image.dtype != np.uint8:
            raise ValueError(
                f"image must be uint8 of shape {(self.height, self.width, 3)}, not {image.dtype} of {image.shape}"
            )
        seconds = self.num_frames / self._frame_rate if timestamp is None else timestamp
        pts = max(round(seconds / _TIME_BASE), self._last_pts + 1)
        if self.height % 2 or self.width % 2:
            image = np.pad(image, self._padding, mode="edge")
        frame = self._reformatter.reformat(
            av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24"),
            format="yuv420p",
            dst_colorspace=Colorspace.ITU709,
            dst_color_range=ColorRange.MPEG,
            interpolation="AREA",
            threads=1,
        )
        frame.pts, frame.time_base = pts, _TIME_BASE
        self._encode(frame)
        self._last_pts = pts
        self.num_frames += 1

    def _encode(self, frame: av.VideoFrame | None) -> None:
        try:
            self._container.mux(self._stream.encode(frame))
        except (av.error.FFmpegError, OSError) as error:
            raise self._unwritable(error) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is not None:
            self._discard()
            return
        try:
            self._finish()
        except BaseException:
            self._discard()
            raise

    def _finish(self) -> None:
        if not self.num_frames:
            raise OutputError(f"{self.path} was not written, as there was no frame to write.")
        self._encode(None)
        try:
            self._container.close()
            os.replace(self._temporary, self.path)
        except (av.error.FFmpegError, OSError) as error:
            raise self._unwritable(error) from error

    def _discard(self) -> None:
        # Closing writes the rest of the file, which fails again on a full disk.
        with suppress(av.error.FFmpegError, OSError):
            self._container.close()
        self._temporary.unlink(missing_ok=True)

    def _unwritable(self, error: Exception) -> OutputError:
        reason = getattr(error, "strerror", None) or str(error)
        return OutputError(
            f"{self.path} cannot be written ({reason}); check that its folder exists, allows writing and has room."
        )
