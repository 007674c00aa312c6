"""Writing mp4 that browsers play, or nothing."""

import errno
import sys
from pathlib import Path

import av
import numpy as np
import pytest

from au_d3dface.errors import OutputError
from au_d3dface.video import VideoReader, VideoWriter


def gradient(height: int = 64, width: int = 96, shift: int = 0) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    return np.stack([x * 2 + shift, y * 2 + shift, np.full_like(x, 90)], -1).clip(0, 255).astype(np.uint8)


def write(path: Path, images, then: BaseException | None = None, frame_rate: float = 30.0) -> None:
    """Writes all images, then raises."""
    with VideoWriter(path, frame_rate, *images[0].shape[:2]) as writer:
        for image in images:
            writer.write(image)
        if then is not None:
            raise then


def noise(count: int = 60) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (count, 120, 160, 3), dtype=np.uint8)


def test_what_was_written_is_read_back(tmp_path):
    path = tmp_path / "out.mp4"
    images = [gradient(shift=index) for index in range(20)]
    with VideoWriter(path, 24000 / 1001, 64, 96) as writer:
        for image in images:
            writer.write(image)
        assert not path.exists()
    assert writer.num_frames == 20
    assert [file.name for file in tmp_path.iterdir()] == ["out.mp4"]
    frames = list(VideoReader(path))
    assert len(frames) == 20
    for index, (frame, image) in enumerate(zip(frames, images, strict=True)):
        assert frame.timestamp == pytest.approx(index * 1001 / 24000, abs=1e-5)
        assert np.abs(frame.image.astype(int) - image).mean() < 2.5


def test_it_is_what_browsers_play(tmp_path):
    path = tmp_path / "out.mp4"
    with VideoWriter(path, 30.0, 64, 96) as writer:
        for index in range(10):
            writer.write(gradient(shift=index))
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        context = stream.codec_context
        assert (context.color_range, context.colorspace, context.color_primaries, context.color_trc) == (1, 1, 1, 1)
        assert stream.frames == 10
        assert float(stream.duration * stream.time_base) == pytest.approx(1 / 3, abs=0.002)
    data = path.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")  # the index comes first


def test_pure_colours_survive(tmp_path):
    colours = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0), (200, 150, 120)]
    image = np.repeat(np.array(colours, np.uint8)[None], 64, 0).repeat(16, 1)
    with VideoWriter(tmp_path / "out.mp4", 30.0, 64, 96) as writer:
        writer.write(image)
    back = next(iter(VideoReader(tmp_path / "out.mp4"))).image
    assert np.abs(back[32, 8::16].astype(int) - np.array(colours)).max() <= 4


@pytest.mark.parametrize("size", [(63, 96), (64, 95), (63, 95), (1, 1)])
def test_odd_sizes_repeat_the_last_row_and_column(tmp_path, size):
    height, width = size
    with VideoWriter(tmp_path / "out.mp4", 30.0, height, width) as writer:
        writer.write(gradient(height, width))
    back = next(iter(VideoReader(tmp_path / "out.mp4"))).image.astype(int)
    assert back.shape == (height + height % 2, width + width % 2, 3)
    assert np.abs(back[:height, :width] - gradient(height, width)).mean() < 3
    assert np.abs(back[-1] - back[height - 1]).mean() < 4
    assert np.abs(back[:, -1] - back[:, width - 1]).mean() < 4


def test_variable_frame_rate_stays_in_time(tmp_path):
    timestamps = [0.0, 0.01, 0.3, 0.3001, 0.9, 2.5]
    with VideoWriter(tmp_path / "out.mp4", 30.0, 64, 96) as writer:
        for index, timestamp in enumerate(timestamps):
            writer.write(gradient(shift=10 * index), timestamp)
    frames = list(VideoReader(tmp_path / "out.mp4"))
    np.testing.assert_allclose([frame.timestamp for frame in frames], timestamps, atol=2e-5)


def test_an_existing_file_is_replaced_only_by_a_whole_one(tmp_path):
    path = tmp_path / "out.mp4"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError):
        write(path, [gradient()], then=ZeroDivisionError())
    assert path.read_text() == "old"
    with VideoWriter(path, 30.0, 64, 96) as writer:
        writer.write(gradient())
    assert len(list(VideoReader(path))) == 1
    assert [file.name for file in tmp_path.iterdir()] == ["out.mp4"]


@pytest.mark.parametrize("count", [1, 40])
def test_an_interrupt_leaves_nothing(tmp_path, count):
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "out.mp4", noise(count), then=KeyboardInterrupt())
    assert list(tmp_path.iterdir()) == []


def test_without_a_frame_nothing_is_written(tmp_path):
    with pytest.raises(OutputError, match="no frame"), VideoWriter(tmp_path / "out.mp4", 30.0, 64, 96):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_folder_or_a_missing_folder_is_an_error(tmp_path):
    with pytest.raises(OutputError, match="is a folder"):
        VideoWriter(tmp_path, 30.0, 64, 96)
    with pytest.raises(OutputError, match=r"out\.mp4 cannot be written \(No such file or directory\)"):
        VideoWriter(tmp_path / "missing" / "out.mp4", 30.0, 64, 96)
    (tmp_path / "file").write_text("a file, not a folder")
    with pytest.raises(OutputError, match=r"out\.mp4 cannot be written"):
        VideoWriter(tmp_path / "file" / "out.mp4", 30.0, 64, 96)


def test_a_folder_without_permission_is_an_error(tmp_path, monkeypatch):
    def refuse(*arguments, **keywords):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("pathlib.Path.touch", refuse)
    with pytest.raises(OutputError, match=r"out\.mp4 cannot be written \(Permission denied\)"):
        VideoWriter(tmp_path / "out.mp4", 30.0, 64, 96)


@pytest.mark.skipif(sys.platform == "win32", reason="needs the POSIX limit on the size of files")
@pytest.mark.parametrize("room", [0, 1_000, 100_000, 400_000])
def test_when_room_runs_out_nothing_is_left(tmp_path, room):
    """A limit on the size of files stands for a full disk: writing fails in the same places, with another number.

    The video takes about 700 kB; little room fails at the first flush, more in the middle or while the file is closed.
    """
    import resource

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, limits[1]))
    try:
        with pytest.raises(OutputError, match=r"out\.mp4 cannot be written"):
            write(tmp_path / "out.mp4", noise())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_while_the_file_is_renamed_leaves_nothing(tmp_path, monkeypatch):
    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with (
        pytest.raises(OutputError, match="No space left on device"),
        VideoWriter(tmp_path / "out.mp4", 30.0, 64, 96) as writer,
    ):
        writer.write(gradient())
    assert list(tmp_path.iterdir()) == []


def test_wrong_arguments(tmp_path):
    for frame_rate in (0.0, -5.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="frame_rate"):
            VideoWriter(tmp_path / "out.mp4", frame_rate, 64, 96)
    with pytest.raises(ValueError, match="height and width"):
        VideoWriter(tmp_path / "out.mp4", 30.0, 0, 96)
    for image in (gradient(64, 98), gradient().astype(np.float32), gradient()[..., 0]):
        with (
            pytest.raises(ValueError, match="image must be uint8"),
            VideoWriter(tmp_path / "o.mp4", 30, 64, 96) as writer,
        ):
            writer.write(image)
    assert list(tmp_path.iterdir()) == []
