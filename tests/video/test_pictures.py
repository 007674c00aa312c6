"""Pictures and folders of pictures as videos."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from au_d3dface.errors import InputError
from au_d3dface.video import VideoReader
from au_d3dface.video.pictures import pictures_of_folder


def picture(value: int = 100, height: int = 20, width: int = 30) -> Image.Image:
    image = np.full((height, width, 3), value, np.uint8)
    image[:5, :5] = (255, 0, 0)  # red top left
    return Image.fromarray(image)


def test_a_picture_is_a_clip_of_one_frame(tmp_path):
    picture().save(tmp_path / "face.PNG")
    with VideoReader(tmp_path / "face.PNG") as reader:
        frames = list(reader)
    assert (reader.height, reader.width, reader.num_frames, reader.frame_rate) == (20, 30, 1, None)
    assert [(frame.index, frame.timestamp) for frame in frames] == [(0, 0.0)]
    np.testing.assert_array_equal(frames[0].image, np.asarray(picture()))


def test_a_folder_is_read_in_the_order_of_its_numbers_at_its_rate(tmp_path):
    for number in (10, 9, 100, 1):
        picture(number).save(tmp_path / f"frame{number}.png")
    (tmp_path / "notes.txt").write_text("not a picture")
    (tmp_path / "._frame1.png").write_bytes(b"what macOS leaves beside a file")
    (tmp_path / "folder.png").mkdir()
    with VideoReader(tmp_path, image_folder_rate=8.0) as reader:
        frames = list(reader)
    assert [frame.image[10, 10, 0] for frame in frames] == [1, 9, 10, 100]
    assert [frame.timestamp for frame in frames] == [0.0, 0.125, 0.25, 0.375]
    assert (reader.num_frames, reader.frame_rate) == (4, 8.0)


@given(st.lists(st.integers(0, 10**12), min_size=1, max_size=8, unique=True))
def test_numbers_of_any_length_keep_their_order(tmp_path_factory, numbers):
    folder = tmp_path_factory.mktemp("numbers")
    for number in numbers:
        (folder / f"a{number}b.jpg").touch()
    assert [path.name for path in pictures_of_folder(folder)] == [f"a{number}b.jpg" for number in sorted(numbers)]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_honoured(tmp_path, orientation):
    stored, exif = picture(), Image.Exif()
    exif[0x0112] = orientation
    stored.save(tmp_path / "phone.png", exif=exif)
    with VideoReader(tmp_path / "phone.png") as reader:
        image = next(iter(reader)).image
    stored = np.asarray(stored)
    turns = {1: 0, 2: 0, 3: 2, 4: 2, 5: 1, 6: -1, 7: -1, 8: 1}[orientation]
    # Orientations 2, 4, 5, 7 mirror left to right what 1, 3, 6, 8 give.
    expected = np.rot90(stored, {5: -1, 7: 1}.get(orientation, turns))
    expected = expected[:, ::-1] if orientation in (2, 4, 5, 7) else expected
    assert (reader.height, reader.width) == expected.shape[:2]
    np.testing.assert_array_equal(image, expected)


def test_gray_transparent_palette_cmyk_and_16_bit_pictures(tmp_path):
    for mode in ("L", "LA", "RGBA", "P", "1", "CMYK"):
        path = tmp_path / f"{mode}.tif" if mode == "CMYK" else tmp_path / f"{mode}.png"
        Image.new("RGB", (8, 6), (255, 255, 255)).convert(mode).save(path)
        with VideoReader(path) as reader:
            np.testing.assert_array_equal(next(iter(reader)).image, np.full((6, 8, 3), 255, np.uint8))
    levels = np.array([[0, 256, 32768, 65535]], np.uint16)
    Image.fromarray(levels).save(tmp_path / "deep.png")
    with VideoReader(tmp_path / "deep.png") as reader:
        image = next(iter(reader)).image
    np.testing.assert_array_equal(image, np.repeat((levels // 256).astype(np.uint8)[..., None], 3, -1))


def test_pictures_of_different_size_are_an_error_before_anything_is_read(tmp_path):
    picture().save(tmp_path / "1.png")
    picture(width=31).save(tmp_path / "2.png")
    with pytest.raises(InputError, match=r"2\.png is 31 x 20 pixels, but 1\.png beside it is 30 x 20"):
        VideoReader(tmp_path)


def test_a_folder_without_pictures_is_an_error(tmp_path):
    (tmp_path / "notes.txt").write_text("not a picture")
    with pytest.raises(InputError, match="holds no pictures"):
        VideoReader(tmp_path)


def test_a_folder_without_permission_is_an_error(tmp_path, monkeypatch):
    def refuse(*arguments):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.iterdir", refuse)
    with pytest.raises(InputError, match=r"cannot be read \(Permission denied\)") as caught:
        VideoReader(tmp_path)
    assert str(tmp_path) in str(caught.value)


@pytest.mark.parametrize("content", [b"This is no picture.", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0" + bytes(50)])
def test_what_is_not_a_picture_is_an_error(tmp_path, content):
    (tmp_path / "face.png").write_bytes(content)
    with pytest.raises(InputError, match=r"face\.png"):
        VideoReader(tmp_path / "face.png")


def test_heic_and_animations_get_their_own_sentence(tmp_path):
    (tmp_path / "phone.heic").write_bytes(b"\0\0\0\x18ftypheic")
    with pytest.raises(InputError, match="HEIC"):
        VideoReader(tmp_path / "phone.heic")
    picture().save(tmp_path / "moving.webp", save_all=True, append_images=[picture(50)])
    with pytest.raises(InputError, match="animation"):
        VideoReader(tmp_path / "moving.webp")


def test_a_picture_that_breaks_off_is_an_error_when_its_turn_comes(tmp_path):
    rng = np.random.default_rng(0)
    for index in range(3):
        Image.fromarray(rng.integers(0, 255, (40, 40, 3), dtype=np.uint8)).save(tmp_path / f"{index}.png")
    broken = tmp_path / "2.png"
    broken.write_bytes(broken.read_bytes()[:2000])
    frames = iter(VideoReader(tmp_path))
    assert [next(frames).index, next(frames).index] == [0, 1]
    with pytest.raises(InputError, match=r"2\.png cannot be read as a picture"):
        next(frames)


@pytest.mark.parametrize("rate", [0.0, -1.0, float("nan"), float("inf")])
def test_the_rate_of_a_folder_must_be_positive(tmp_path, rate):
    picture().save(tmp_path / "1.png")
    with pytest.raises(ValueError, match="image_folder_rate"):
        VideoReader(tmp_path, image_folder_rate=rate)
