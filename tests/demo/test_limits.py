"""What the page refuses before any work, and in which words."""

import struct
import zlib

import numpy as np
import pytest

from au_d3dface.demo.limits import LimitedReader, Limits, probe
from au_d3dface.errors import InputError
from au_d3dface.video import VideoReader

PICTURE = np.full((48, 64, 3), 90, np.uint8)


@pytest.fixture
def two_seconds(tmp_path, make_video):
    return make_video(tmp_path / "two.mp4", [PICTURE] * 60)


def test_what_fits_is_taken(two_seconds):
    limits = Limits(max_seconds=2)
    probe(two_seconds, limits)
    with LimitedReader(two_seconds, limits) as reader:
        assert len(list(reader)) == 60


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        (Limits(max_seconds=1), r"two.mp4 lasts about 2 seconds, and this page takes up to 1 seconds"),
        (Limits(max_seconds=2, max_frames_a_second=20), "more than 41 frames"),
        (Limits(max_side=63), "64 x 48 pixels"),
        (Limits(max_megabytes=0), "MB, and this page takes up to 0"),
    ],
)
def test_what_does_not_fit_is_refused(two_seconds, limits, words):
    with pytest.raises(InputError, match=words):
        probe(two_seconds, limits)


def test_a_bad_file_gets_the_sentence_of_the_command_line(tmp_path):
    path = tmp_path / "text.mp4"
    path.write_bytes(b"this is not a video\n" * 50)
    with pytest.raises(InputError) as expected:
        VideoReader(path)
    with pytest.raises(InputError) as told:
        probe(path, Limits())
    assert str(told.value) == str(expected.value)


def test_a_file_that_hides_its_length_ends_at_the_limit(two_seconds):
    """Recordings of a browser have no length in their headers."""
    frames = []
    with pytest.raises(InputError, match=r"lasts more, and this page takes up to 1"):
        frames.extend(frame.timestamp for frame in LimitedReader(two_seconds, Limits(max_seconds=1)))
    assert len(frames) > 30
    assert max(frames) <= 1.5
    with pytest.raises(InputError, match="more than 41 frames"):
        list(LimitedReader(two_seconds, Limits(max_seconds=2, max_frames_a_second=20)))


def test_hostile_files_are_refused_in_one_sentence(tmp_path, make_video):
    """Nothing, a name that lies, a list of other people's files, and a picture that unfolds to gigabytes."""
    secret = make_video(tmp_path / "secret.ts", [PICTURE] * 60)
    playlist = f"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2.0,\n{secret}\n#EXT-X-ENDLIST\n".encode()
    files = {
        "nothing.mp4": b"",
        "zip.mp4": b"PK\x03\x04" + bytes(500),
        "list.m3u8": playlist,
        "list.mp4": playlist,
        "list.ffconcat": f"ffconcat version 1.0\nfile {secret}\n".encode(),
        "page.mp4": b"<html><script>alert(1)</script></html>" * 20,
        "huge.png": png(60000, 60000),
        "wide.png": png(5000, 2),
    }
    for name, content in files.items():
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(InputError, match=name.replace(".", r"\.")):
            probe(path, Limits())


def test_a_film_of_few_frames_that_lasts_for_ever_is_refused(tmp_path, make_video):
    slow = make_video(tmp_path / "slow.mp4", [PICTURE] * 4, timestamps=[0, 50, 100, 150])
    with pytest.raises(InputError, match="lasts about"):
        probe(slow, Limits())


def png(width: int, height: int) -> bytes:
    """Says that it is that large, and holds little."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    rows = zlib.compress(bytes((width + 1) * min(height, 2)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
