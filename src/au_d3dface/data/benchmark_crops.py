"""Face crops of a benchmark, read from the pictures of the user's own copy when a clip is taken."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..coarse import CoarseSequence
from ..errors import InputError
from ..face_models import FaceModel
from ..geometry.cameras import weak_perspective
from ..video.pictures import read_picture
from ..video_processing_au_d3dface import crop_face
from .benchmark_rows import LabelledSequence
from .prepared import fitted_face_model, read_prepared
from .prepared_views import read_prepared_view


class SequenceCrops:
    """The crops of a sequence of T labelled frames.

    The crop is that of the pipeline, around the tracked points; around the landmarks of the coarse mesh where the data
    were prepared by an earlier version, which kept nothing of those.

    Args:
        sequence: joined with prepared faces.
        face_model: that was prepared with.
        size: pixels a side, `config.image_size`.

    Raises:
        InputError: a frame with a face has no picture, or the prepared file cannot be read.
    """

    def __init__(self, sequence: LabelledSequence, face_model: FaceModel, size: int) -> None:
        self.pictures, self.size = sequence.pictures, size
        check_pictures(sequence, "which a network with video reads", "model.use_video to false")
        self.corners = _corners(sequence, face_model)

    def __call__(self, frames: Tensor, mask: Tensor, read: Callable[[Path], np.ndarray] = read_picture) -> Tensor:
        """(L, 3, S, S) uint8 RGB of some of the T frames, (L,); black where the mask (L,) is false.

        Raises:
            InputError: a picture cannot be read.
        """
        crops = torch.zeros(len(frames), 3, self.size, self.size, dtype=torch.uint8)
        for entry in mask.nonzero()[:, 0].tolist():
            frame = int(frames[entry])
            picture = read(Path(str(self.pictures[frame])))
            crops[entry] = crop_face(picture, self.corners[frame].numpy(), self.size)
        return crops


def check_pictures(sequence: LabelledSequence, wanted: str, otherwise: str) -> None:
    """Raises InputError where a frame with a face has no picture.

    Args:
        wanted, otherwise: what pictures are for, and what to set where there are none, for the sentence.
    """
    lacking = [frame for frame, path in enumerate(sequence.pictures) if path is None and sequence.usable[frame]]
    if lacking:
        raise InputError(
            f"{sequence.files.name}: {len(lacking)} frames with a face have no picture, {wanted} (the first is frame "
            f"{sequence.labels.frames[lacking[0]]}); write the frames of the video as pictures and prepare these, or "
            f"set {otherwise}"
        )


def _corners(sequence: LabelledSequence, face_model: FaceModel) -> Tensor:
    """(T, 2, 2) pixels: top left and bottom right of the landmarks, whose box is theirs; 0 in frames without a face."""
    corners = torch.zeros(len(sequence.pictures), 2, 2)
    view = read_prepared_view(str(sequence.prepared), face_model)
    if view is None:
        return corners
    usable = torch.from_numpy(sequence.usable)
    at = torch.from_numpy(sequence.prepared_rows)[usable]
    if view.corners is not None:
        corners[usable] = view.corners[at]
        return corners
    video = read_prepared(str(sequence.prepared), face_model)
    coarse = next(iter(video.faces.values()))
    corners[usable] = face_corners(coarse, at, fitted_face_model(face_model, str(video.settings["coarse"])))
    return corners


def face_corners(coarse: CoarseSequence, rows: Tensor, face_model: FaceModel) -> Tensor:
    """(n, 2, 2) pixels: top left and bottom right of the landmarks of a coarse face in some of its frames, (n,).

    Args:
        face_model: of the coarse face's own coefficients, see `fitted_face_model`.

    Raises:
        InputError: the face model has no landmarks.
    """
    landmarks = face_model.landmarks_468 or face_model.landmarks_68
    if landmarks is None:
        raise InputError(f"the face model {face_model.name} has no landmarks to cut faces out by; convert them too")
    points = landmarks(coarse.vertices[rows], face_model.faces.cpu())
    pixels = weak_perspective(points, coarse.rotation[rows], coarse.scale[rows], coarse.translation[rows])[..., :2]
    return torch.stack([pixels.amin(1), pixels.amax(1)], 1)
