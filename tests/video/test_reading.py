"""Reading video files: real ones, and the awkward ones that people have."""

import subprocess
import sys
from fractions import Fraction

import av
import numpy as np
import pytest
from av.video.reformatter import Colorspace

from au_d3dface.errors import InputError
from au_d3dface.video import VideoReader
from au_d3dface.video.video_file import upright


def corners(height: int = 64, width: int = 96) -> np.ndarray:
    """Red top left, green top right, blue bottom left, white bottom right."""
    image = np.zeros((height, width, 3), np.uint8)
    y, x = height // 2, width // 2
    image[:y, :x, 0] = image[:y, x:, 1] = image[y:, :x, 2] = 255
    image[y:, x:] = 255
    return image


def numbered(count: int, height: int = 64, width: int = 96) -> list[np.ndarray]:
    """Gray frames whose brightness is 2 x index + 20."""
    return [np.full((height, width, 3), 2 * index + 20, np.uint8) for index in range(count)]


def assert_close(image: np.ndarray, expected: np.ndarray) -> None:
    """Equal but for coding: the middles of the quarters agree within 6 levels."""
    assert image.shape == expected.shape
    assert image.dtype == np.uint8
    height, width = image.shape[:2]
    for y in (height // 4, 3 * height // 4):
        for x in (width // 4, 3 * width // 4):
            assert np.abs(image[y, x].astype(int) - expected[y, x]).max() <= 6, (y, x, image[y, x], expected[y, x])


def read(path) -> tuple[list, VideoReader]:
    with VideoReader(path) as reader:
        return list(reader), reader


@pytest.mark.shared_data
@pytest.mark.parametrize(
    ("name", "count", "size"),
    [
        ("pyfeat_single_face.mp4", 72, (360, 640)),
        ("pyfeat_face_noface.mov", 169, (540, 960)),
        ("pyfeat_no_face.mp4", 95, (540, 960)),  # its header says 98
        ("pyfeat_WolfgangLanger_Pexels.mp4", 472, (360, 640)),
        ("liveportrait_d9.mp4", 587, (480, 480)),  # stored 512 wide, with narrow pixels
    ],
)
def test_real_clips_are_read_to_the_last_frame(clips, name, count, size):
    with VideoReader(clips / name) as reader:
        assert (reader.height, reader.width) == size
        timestamps = []
        for index, frame in enumerate(reader):
            assert frame.index == index
            assert frame.image.shape == (*size, 3)
            timestamps.append(frame.timestamp)
    assert len(timestamps) == count
    assert timestamps[0] == 0
    assert (np.diff(timestamps) > 0).all()
    assert reader.warnings == []


@pytest.mark.shared_data
def test_real_variable_frame_rate_keeps_its_times(clips):
    frames, _ = read(clips / "pyfeat_face_noface.mov")
    steps = np.diff([frame.timestamp for frame in frames])
    assert 0.0136 < steps.min() < 0.0138
    assert 0.0416 < steps.max() < 0.0418


@pytest.mark.shared_data
@pytest.mark.parametrize("name", ["intel_asl_no.mkv", "pyfeat_face_noface.mov", "pyfeat_WolfgangLanger_Pexels.mp4"])
def test_real_colours_equal_those_of_pyav_converted_by_hand(clips, name):
    """Full range BT.601, limited BT.709 and limited BT.601: the matrix of the standard applied to the stored planes."""
    with av.open(str(clips / name)) as container:
        stored = next(container.decode(video=0))
        planes = [
            np.frombuffer(bytes(plane), np.uint8).reshape(plane.height, plane.line_size) for plane in stored.planes
        ]
        y = planes[0][::2, : stored.width : 2].astype(float)
        u, v = (plane[:, : stored.width // 2].astype(float) for plane in planes[1:])
        full, bt709 = stored.color_range == 2, stored.colorspace == 1
    kr, kb = (0.2126, 0.0722) if bt709 else (0.299, 0.114)
    if not full:
        y, u, v = (y - 16) * 255 / 219, (u - 128) * 255 / 224, (v - 128) * 255 / 224
    else:
        u, v = u - 128, v - 128
    red, blue = y + 2 * (1 - kr) * v, y + 2 * (1 - kb) * u
    green = (y - kr * red - kb * blue) / (1 - kr - kb)
    expected = np.stack([red, green, blue], -1).clip(0, 255)
    image = next(iter(VideoReader(clips / name))).image[::2, ::2]
    assert np.abs(image - expected).mean() < 1.5  # chroma is placed between the rows that share it


def test_colours_of_both_matrices_and_ranges(tmp_path, make_video):
    for matrix in (Colorspace.ITU601, Colorspace.ITU709):
        for full_range in (False, True):
            path = make_video(tmp_path / "colours.mp4", [corners()] * 3, matrix=matrix, full_range=full_range)
            frames, _ = read(path)
            assert_close(frames[0].image, corners())


@pytest.mark.parametrize(
    ("suffix", "codec", "pix_fmt"),
    [
        ("mp4", "libx265", "yuv420p"),
        ("mp4", "libx265", "yuv420p10le"),
        ("mp4", "libx264", "yuv422p10le"),
        ("mp4", "libx264", "yuv444p"),
        ("avi", "mjpeg", "yuvj420p"),
        ("webm", "libvpx-vp9", "yuva420p"),
        ("mov", "prores_ks", "yuva444p10le"),
        ("mov", "qtrle", "argb"),
        ("mkv", "ffv1", "bgr0"),
        ("gif", "gif", "rgb8"),
    ],
)
def test_codecs_and_pixel_formats(tmp_path, make_video, suffix, codec, pix_fmt):
    if codec not in av.codecs_available:
        pytest.skip(f"this build of PyAV has no {codec}")
    options = {"x265-params": "log-level=none"} if codec == "libx265" else {}
    full_range = pix_fmt in ("yuvj420p", "argb", "bgr0", "rgb8")
    path = make_video(
        tmp_path / f"video.{suffix}", [corners()] * 4, 10.0, codec, pix_fmt, full_range=full_range, options=options
    )
    frames, reader = read(path)
    assert len(frames) == 4
    assert_close(frames[0].image, corners())
    assert reader.warnings == []


def test_grayscale_becomes_three_equal_channels(tmp_path, make_video):
    frames, _ = read(make_video(tmp_path / "gray.mp4", numbered(5), pix_fmt="gray", full_range=True))
    for index, frame in enumerate(frames):
        assert (np.ptp(frame.image, axis=-1) == 0).all()
        assert abs(int(frame.image[5, 5, 0]) - (2 * index + 20)) <= 3


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("rotation", [0, 90, 180, -90])
def test_rotation_and_mirroring_are_applied(tmp_path, make_video, rotation, mirrored):
    path = make_video(tmp_path / "phone.mp4", [corners()] * 2, rotation=rotation, mirrored=mirrored)
    frames, reader = read(path)
    expected = np.rot90(corners(), rotation // 90)
    expected = expected[:, ::-1] if mirrored else expected
    assert (reader.height, reader.width) == expected.shape[:2]
    for frame in frames:
        assert_close(frame.image, expected)
        assert frame.image.flags.c_contiguous


def test_upright_takes_the_nearest_quarter_turn():
    image = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    angle = np.deg2rad(80)
    matrix = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    # (1, 0) goes to (0.17, 0.98): what pointed right points down, a turn clockwise.
    np.testing.assert_array_equal(upright(image, matrix), np.rot90(image, -1))
    np.testing.assert_array_equal(upright(image, np.eye(2)), image)


@pytest.mark.parametrize("size", [(65, 97), (1, 1), (2160, 3840)])
def test_odd_tiny_and_large_sizes(tmp_path, make_video, size):
    path = make_video(tmp_path / "size.mp4", [corners(*size)] * 2, pix_fmt="yuv444p", options={"preset": "ultrafast"})
    frames, reader = read(path)
    assert (reader.height, reader.width) == size
    assert len(frames) == 2
    assert_close(frames[1].image, corners(*size))


def test_pixels_that_are_not_square_are_made_so(tmp_path, make_video):
    path = make_video(tmp_path / "wide.mp4", [corners()] * 2, pixel_aspect_ratio=Fraction(4, 3), rotation=90)
    frames, reader = read(path)
    assert (reader.height, reader.width) == (128, 64)
    assert_close(frames[0].image, np.rot90(corners(64, 128)))


@pytest.mark.parametrize("frame_rate", [8.0, 24000 / 1001, 120.0])
def test_frame_rates(tmp_path, make_video, frame_rate):
    frames, reader = read(make_video(tmp_path / "rate.mp4", numbered(40), frame_rate))
    np.testing.assert_allclose([frame.timestamp for frame in frames], np.arange(40) / frame_rate, atol=1e-4)
    assert reader.frame_rate == pytest.approx(frame_rate, rel=1e-3)
    assert reader.num_frames == 40


def test_variable_frame_rate_and_late_start(tmp_path, make_video):
    timestamps = np.cumsum([5.0, 0.01, 0.2, 0.033, 1.5, 0.04])
    frames, _ = read(make_video(tmp_path / "variable.mkv", numbered(6), timestamps=timestamps))
    np.testing.assert_allclose([frame.timestamp for frame in frames], timestamps - 5, atol=1e-3)


def test_sound_as_the_first_stream(tmp_path, make_video):
    path = make_video(tmp_path / "sound.mp4", numbered(4), sound_first=True)
    with av.open(str(path)) as container:
        assert container.streams[0].type == "audio"
    frames, _ = read(path)
    assert len(frames) == 4


def test_one_frame(tmp_path, make_video):
    frames, reader = read(make_video(tmp_path / "one.mp4", numbered(1)))
    assert [frame.timestamp for frame in frames] == [0.0]
    assert reader.warnings == []


def test_raw_stream_without_timestamps(tmp_path, make_video):
    frames, _ = read(make_video(tmp_path / "raw.h264", numbered(30), 25.0))
    assert len(frames) == 30
    np.testing.assert_allclose([frame.timestamp for frame in frames], np.arange(30) / 25)


def test_avi_with_reordered_frames_keeps_time(tmp_path, make_video):
    """AVI knows decoding times only, so that presentation times come out of order."""
    rng = np.random.default_rng(0)
    images = list(rng.integers(0, 255, (30, 64, 96, 3), dtype=np.uint8))
    frames, _ = read(make_video(tmp_path / "reordered.avi", images, 25.0, options={"bf": "3"}))
    timestamps = np.array([frame.timestamp for frame in frames])
    assert len(timestamps) == 30
    assert (np.diff(timestamps) > 0).all()
    assert np.abs(timestamps - np.arange(30) / 25).max() < 0.2


def test_clock_repairs_missing_repeated_and_jumping_times():
    from au_d3dface.video.video_file import _Clock

    clock = _Clock(0.1)
    times = [3.0, 3.1, None, 3.1, 3.3, 3.25, 3.5, 1000.0, 1000.1, 2.0, 2.1]
    seen = np.array([clock(time, None) for time in times])
    assert seen[0] == 0
    assert (np.diff(seen) > 0).all()
    np.testing.assert_allclose(seen[[1, 6]], [0.1, 0.5])  # right again after each mistake
    np.testing.assert_allclose(seen[7:], [0.6, 0.7, 0.8, 0.9])  # the clock was set anew, twice


def test_iterating_again_starts_from_the_first_frame(tmp_path, make_video):
    with VideoReader(make_video(tmp_path / "twice.mp4", numbered(6))) as reader:
        for frame in reader:
            if frame.index == 2:
                break
        assert [frame.index for frame in reader] == [0, 1, 2, 3, 4, 5]


def noisy(count: int) -> list[np.ndarray]:
    return list(np.random.default_rng(0).integers(0, 255, (count, 64, 96, 3), dtype=np.uint8))


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_a_file_cut_off_gives_what_can_be_read_and_a_warning(tmp_path, make_video, suffix):
    options = {"movflags": "+faststart"} if suffix == "mp4" else {}
    whole = make_video(tmp_path / f"whole.{suffix}", noisy(90), container_options=options)
    cut = tmp_path / f"cut.{suffix}"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    frames, reader = read(cut)
    assert 30 < len(frames) < 60
    assert len(reader.warnings) == 1
    assert str(cut) in reader.warnings[0]
    assert f"{len(frames)} frames" in reader.warnings[0]
    assert read(whole)[1].warnings == []
    list(reader)
    assert len(reader.warnings) == 1


def test_a_file_cut_off_before_its_index_is_an_error(tmp_path, make_video):
    whole = make_video(tmp_path / "whole.mp4", noisy(30))
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    with pytest.raises(InputError, match=r"cut\.mp4 .* cut off"):
        VideoReader(cut)


@pytest.mark.parametrize("seed", range(6))
def test_damage_in_the_middle_is_survived(tmp_path, make_video, seed):
    """Seeds 1 and 4 cost no whole picture (with PyAV 18's x264): only parts, which FFmpeg makes up."""
    path = make_video(tmp_path / "damaged.mp4", noisy(60), container_options={"movflags": "+faststart"})
    data = bytearray(path.read_bytes())
    rng = np.random.default_rng(seed)
    for place in rng.integers(len(data) // 4, len(data), 400):
        data[place] = rng.integers(256)
    path.write_bytes(data)
    frames, reader = read(path)
    assert len(frames) > 5
    assert (np.diff([frame.timestamp for frame in frames]) > 0).all()
    assert len(reader.warnings) == 1


def test_a_size_that_changes_is_scaled_to_the_first(tmp_path, make_video):
    parts = [
        make_video(tmp_path / f"{index}.ts", numbered(5, *size), 25.0)
        for index, size in enumerate([(64, 96), (128, 192)])
    ]
    path = tmp_path / "changing.ts"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    frames, reader = read(path)
    assert len(frames) == 10
    assert {frame.image.shape for frame in frames} == {(64, 96, 3)}
    assert (np.diff([frame.timestamp for frame in frames]) > 0).all()
    assert sum("from 96 x 64 to 192 x 128" in warning for warning in reader.warnings) == 1


def test_memory_does_not_grow_with_length(tmp_path, make_video):
    """1,500 frames of 320 x 240 would be 345 MB."""
    path = make_video(tmp_path / "long.mp4", numbered(100, 240, 320) * 15, options={"preset": "ultrafast"})
    code = """
import resource, sys
from au_d3dface.video import VideoReader
for frame in VideoReader(sys.argv[1]):
    if frame.index == 200:
        early = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(frame.index + 1, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - early)
"""
    result = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    count, growth = map(int, result.stdout.split())
    assert count == 1500
    assert growth < 30_000  # kB on Linux


def only_sound(path) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=44_100, layout="mono")
        for index in range(20):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
            frame.rate, frame.pts = 44_100, 1024 * index
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("missing.mp4", None, "does not exist"),
        ("empty.mp4", b"", "is empty"),
        ("text.mp4", b"This is no video.\n" * 500, "not a video"),
        ("ansi.txt", b"This is no video.\n" * 500, "not a video"),
        ("noise.mp4", np.random.default_rng(1).bytes(100_000), "not a video"),
        ("noise_like_h263.mp4", np.random.default_rng(6).bytes(200_000), "not a video"),
        ("playlist.mp4", b"#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/a.ts\n", "playlist.mp4 "),
    ],
)
def test_what_is_not_a_video_is_one_clear_sentence(tmp_path, name, content, says):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=says) as caught:
        VideoReader(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_sound_only_is_an_error(tmp_path):
    only_sound(tmp_path / "sound.mp4")
    with pytest.raises(InputError, match="no pictures, only sound"):
        VideoReader(tmp_path / "sound.mp4")


def test_a_song_with_a_cover_is_an_error(tmp_path):
    path = tmp_path / "song.mp4"
    with av.open(str(path), "w") as container:
        sound = container.add_stream("aac", rate=44_100, layout="mono")
        cover = container.add_stream("mjpeg", rate=1)
        cover.height, cover.width, cover.pix_fmt = 64, 96, "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        container.mux(cover.encode(av.VideoFrame.from_ndarray(corners(), format="rgb24").reformat(format="yuvj420p")))
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.rate = 44_100
        container.mux(sound.encode(frame))
        container.mux(sound.encode(None))
        container.mux(cover.encode(None))
    with pytest.raises(InputError, match="a cover picture and sound"):
        VideoReader(path)


def test_a_device_is_an_error():
    with pytest.raises(InputError, match="neither a file nor a folder"):
        VideoReader("/dev/null")


@pytest.mark.parametrize("name", ["a\0b.mp4", "n" * 300 + ".mp4"])
def test_impossible_names_are_input_errors(tmp_path, name):
    with pytest.raises(InputError):
        VideoReader(tmp_path / name)


def test_a_file_without_permission_is_an_error(tmp_path, make_video, monkeypatch):
    path = make_video(tmp_path / "secret.mp4", numbered(2))

    def refuse(*arguments, **keywords):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.open", refuse)
    with pytest.raises(InputError, match=r"secret\.mp4 cannot be read \(Permission denied\)"):
        VideoReader(path)
