"""Pictures as frames: one picture, or the pictures of a folder in the order of their numbers."""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from ..errors import InputError

PICTURE_SUFFIXES = frozenset(
    f".{name}"
    for name in (
        *("png", "jpg", "jpeg", "jpe", "bmp", "tif", "tiff", "webp", "avif", "jp2", "tga"),
        *("ppm", "pgm", "pbm", "pnm", "heic", "heif"),
    )
)
"""File names that are taken for pictures; HEIC so that it gets a clear answer and not one tile of its mosaic."""

_EXIF_ORIENTATION = 0x0112
_TRANSPOSE = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def pictures_of_folder(folder: Path) -> list[Path]:
    """The pictures of a folder (not of its subfolders), ordered by the numbers in their names: 2.png before 10.png.

    Raises:
        InputError: there is none.
        OSError: the folder cannot be read.
    """
    pictures = [
        path
        for path in folder.iterdir()
        if path.suffix.lower() in PICTURE_SUFFIXES and not path.name.startswith(".") and path.is_file()
    ]
    if not pictures:
        raise InputError(f"{folder} holds no pictures; give a video, a picture, or a folder of png or jpg files.")
    return sorted(pictures, key=lambda path: (_natural(path.name), path.name))


def _natural(name: str) -> list[str | int]:
    # Odd places of the split are the numbers, so that only like is compared with like.
    return [int(part) if place % 2 else part.lower() for place, part in enumerate(re.split("([0-9]+)", name))]


class Pictures:
    """A source of frames (see `reading.FrameSource`): pictures of one size, upright as their EXIF orientation says.

    Args:
        paths: at least one.
        frame_rate: pictures a second, or None for a single picture.

    Raises:
        InputError: a picture cannot be opened, or has another size than the first. Only the heads of the files are read
            here; a picture that breaks off is seen when its turn comes.
    """

    def __init__(self, paths: list[Path], frame_rate: float | None) -> None:
        self._paths = paths
        self.frame_rate = frame_rate
        self.num_frames = len(paths)
        self.height, self.width = _upright_size(paths[0])
        for path in paths[1:]:
            height, width = _upright_size(path)
            if (height, width) != (self.height, self.width):
                raise InputError(
                    f"{path} is {width} x {height} pixels, but {paths[0].name} beside it is {self.width} x "
                    f"{self.height}; the pictures of a folder must all have one size."
                )

    def frames(self, warnings: list[str]) -> Iterator[tuple[float, np.ndarray]]:
        """Timestamps and images."""
        for index, path in enumerate(self._paths):
            yield index / self.frame_rate if self.frame_rate else 0.0, read_picture(path)


def _open(path: Path) -> Image.Image:
    if path.suffix.lower() in (".heic", ".heif"):
        raise InputError(f"{path} is a HEIC picture, which cannot be read; convert it to jpg or png.")
    try:
        return Image.open(path)
    except UnidentifiedImageError:
        raise InputError(f"{path} is not a picture, whatever its name says, or it is damaged.") from None
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise _unreadable(path, error) from error


def _upright_size(path: Path) -> tuple[int, int]:
    with _open(path) as picture:
        if getattr(picture, "is_animated", False) and picture.format in ("GIF", "PNG", "WEBP"):
            raise InputError(f"{path} is an animation; convert it to mp4, or to a folder of single pictures.")
        turned = _orientation(picture) in (5, 6, 7, 8)
        return (picture.width, picture.height) if turned else (picture.height, picture.width)


def _orientation(picture: Image.Image) -> int:
    # Of the base class: that of PNG decodes the whole picture in search of an entry after the pixels.
    return Image.Image.getexif(picture).get(_EXIF_ORIENTATION, 1)


def read_picture(path: Path) -> np.ndarray:
    """(H, W, 3) uint8 RGB, upright; transparency is dropped.

    Raises:
        InputError: it cannot be read as a picture.
    """
    with _open(path) as picture:
        try:
            transpose = _TRANSPOSE.get(_orientation(picture))
            upright = picture if transpose is None else picture.transpose(transpose)
            if upright.mode.startswith("I"):  # 16 bits of gray, which Pillow's own conversion would clip to white
                gray = (np.asarray(upright).astype(np.int64).clip(0, 65535) >> 8).astype(np.uint8)
                return np.repeat(gray[..., None], 3, axis=-1)
            return np.array(upright.convert("RGB"))
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> InputError:
    return InputError(f"{path} cannot be read as a picture ({error}); it may be damaged or cut off.")
