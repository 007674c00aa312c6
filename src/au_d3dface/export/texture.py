"""texture.png: the person's albedo over the face model's uv, with colours as they are in the video."""

from io import BytesIO
from os import PathLike
from pathlib import Path

import numpy as np
from PIL import Image

from ..errors import UsageError
from ..face_sequence import FaceSequence
from .files import atomic_path


def texture_png(sequence: FaceSequence) -> bytes:
    """The map as a png, its first row at v = 1, the top.

    Raises:
        UsageError: the sequence has no appearance, or its face model no texture coordinates.
    """
    if sequence.texture is None:
        raise UsageError(
            "a texture needs the person's appearance, which was not estimated; reconstruct with appearance=True"
        )
    if sequence.uv is None:
        raise UsageError(
            "this face model has no texture coordinates, only colours at its vertices; leave out 'texture'"
        )
    buffer = BytesIO()
    Image.fromarray(np.round(sequence.texture * 255).astype(np.uint8)).save(buffer, "png")
    return buffer.getvalue()


def write_texture(path: str | PathLike[str], sequence: FaceSequence) -> Path:
    """Writes the map.

    Raises:
        UsageError: as `texture_png`.
        OutputError: the file cannot be written.
    """
    data = texture_png(sequence)
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)
    return Path(path)
