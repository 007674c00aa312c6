"""render.mp4: the video, and beside it the same with every face rendered: albedo · light on the refined mesh."""

from collections.abc import Callable, Iterator, Sequence
from os import PathLike
from pathlib import Path

import numpy as np
import torch

from ..coarse.face_view import FaceView
from ..errors import UsageError
from ..face_sequence import FaceSequence
from ..rendering import MeshRenderer
from .source_video import source_frames, write_frames

LARGEST = 640
"""Pixels at which a face is rendered at most; larger ones are stretched."""


def render_frames(sequences: Sequence[FaceSequence]) -> Iterator[np.ndarray]:
    """The frames of the sequences' video with the faces rendered over them: (H, W, 3) uint8 RGB each.

    Args:
        sequences: people of one video, at least one.

    Raises:
        UsageError: there is no sequence, the sequences are of several videos, they name no video, or the appearance was
            not estimated.
        InputError: the video cannot be read any more, or is not of the size that it was.
    """
    return (rendered for _, rendered in _pairs(sequences))


def write_render(
    path: str | PathLike[str],
    sequences: Sequence[FaceSequence],
    progress: Callable[[str, int, int | None], None] | None = None,
) -> Path:
    """Writes the video (left) and `render_frames` (right) as one mp4 that browsers play, each frame at its own time.

    Args:
        path: the .mp4 file.
        sequences: people of one video, at least one.
        progress: called as progress("render", frames done, frames in all).

    Raises:
        UsageError, InputError: as `render_frames` says.
        OutputError: the file cannot be written.
    """
    frames = (np.concatenate(pair, 1) for pair in _pairs(sequences))
    return write_frames(path, frames, sequences[0], "render", progress, beside=2)


def _pairs(sequences: Sequence[FaceSequence]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Each frame, and the same with the faces rendered."""
    video = source_frames(sequences, "a render")  # at once, not when the first frame is asked for
    if any(sequence.texture is None for sequence in sequences):
        raise UsageError(
            "a render needs the person's appearance, which was not estimated; reconstruct with appearance=True"
        )

    def pairs() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for row, image in video:
            present = [sequence for sequence in sequences if row < len(sequence) and sequence.valid[row]]
            rendered = image.copy()
            for sequence in sorted(present, key=lambda sequence: sequence.scale[row]):  # the nearest last
                _paint(rendered, sequence, row)
            yield image, rendered

    return pairs()


@torch.no_grad()
def _paint(image: np.ndarray, sequence: FaceSequence, row: int) -> None:
    """Renders one face into the picture."""
    assert sequence.texture is not None
    assert sequence.lighting is not None
    camera = (sequence.vertices[row], sequence.rotation[row], sequence.scale[row], sequence.translation[row])
    faces = torch.from_numpy(sequence.faces)
    view = FaceView.of(*(torch.tensor(value) for value in camera), faces, *image.shape[:2], LARGEST)
    if view is None:
        return
    uv = None if sequence.uv is None else torch.from_numpy(sequence.uv)
    window, albedo = view.window, torch.from_numpy(sequence.texture)
    shown = MeshRenderer(faces, uv)(
        view.points[None],
        view.normals[None],
        *window.size,
        **{"colors" if uv is None else "texture": albedo},
        lighting=torch.from_numpy(sequence.lighting[row]),
    )
    layer = window.stretch(torch.cat([shown.image[0].clamp(0, 1), shown.alpha[0, ..., None]], -1))
    part = torch.from_numpy(image)[window.top : window.bottom, window.left : window.right]
    part.copy_((layer[..., :3] * 255 + part * (1 - layer[..., 3:])).round_().clamp_(0, 255))
