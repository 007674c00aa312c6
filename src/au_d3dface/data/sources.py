"""What a video was when it was prepared: the names of its pictures and a checksum.

Files of coefficients hold it, so that labels find the frames that they are about by name, and a video or a folder that
has changed since is noticed rather than joined with a shift.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from ..errors import InputError
from ..video.pictures import pictures_of_folder

_SAMPLE = 2**20


@dataclass(frozen=True)
class Source:
    """What was prepared.

    Attributes:
        pictures: the names of the pictures of a folder, in the order of the frames; None for a video or one picture.
        checksum: SHA-256: of the names and sizes of the pictures of a folder; of the size, the first and the last
            megabyte of a file. Quick enough to be checked at every use; a picture that was changed without changing its
            size by a byte is not noticed.
    """

    pictures: tuple[str, ...] | None
    checksum: str


def source_of(path: Path) -> Source:
    """Describes a video, a picture, or a folder of pictures, as `VideoReader` takes them.

    Raises:
        InputError: it is missing or cannot be read.
    """
    digest = hashlib.sha256()
    try:
        if path.is_dir():
            pictures = pictures_of_folder(path)
            for picture in pictures:
                digest.update(f"{picture.name}\0{picture.stat().st_size}\n".encode())
            return Source(tuple(picture.name for picture in pictures), digest.hexdigest())
        size = path.stat().st_size
        digest.update(f"{size}\n".encode())
        with path.open("rb") as file:
            digest.update(file.read(_SAMPLE))
            file.seek(max(0, size - _SAMPLE))
            digest.update(file.read(_SAMPLE))
        return Source(None, digest.hexdigest())
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"{path} cannot be read ({reason}); check its name and its permissions") from error
