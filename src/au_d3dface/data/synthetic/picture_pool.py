"""What Eq. 12-13 compare the refined mesh with, for fitted sequences whose pictures were kept.

A `PicturePool` goes with a `SequencePool` of the same sequences in the same order. It holds pictures made smaller, the
skin in them, and what the frozen coarse reconstructor says of camera, texture and light; and the 2D landmarks. Nothing
of it knows the true shape.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from ...coarse import CoarseReconstructor, CoarseSequence
from ...coarse.appearance import estimate_appearance
from ...coarse.skin_mask import SkinMasker
from ...face_models import FaceModel
from .rendered_sequences import StoredSequences
from .stored_pictures import StoredPictures
from .tensor_file import TensorFile

TEXTURE_SIZE = 128
"""Texels a side of a person's albedo map: the face covers about as many pixels of a picture."""


@dataclass
class PicturePool(TensorFile):
    """n sequences of T frames, pictures of S x S pixels. The camera is that of the coarse fit, Eq. 12, in these pixels.

    Attributes:
        pictures: (n, T, S, S, 3) uint8 RGB.
        skin: (n, T, S, S) bool, A_j of Eq. 13.
        rotation: (n, T, 3, 3). scale: (n, T) pixels per metre. translation: (n, T, 2) pixels.
        landmarks: (n, T, 468, 2) pixels: true places of the points in the picture.
        tracked_landmarks: (n, T, 468, 2) pixels: where the tracker found them; 0 where it found no face.
        visible: (n, T, 468) bool, which points can be seen.
        texture: (n, R, R, 3) albedo over the face model's uv. lighting: (n, T, 9, 3).
    """

    pictures: Tensor
    skin: Tensor
    rotation: Tensor
    scale: Tensor
    translation: Tensor
    landmarks: Tensor
    tracked_landmarks: Tensor
    visible: Tensor
    texture: Tensor
    lighting: Tensor

    def __len__(self) -> int:
        return len(self.pictures)

    def clip(self, index: int, frames: slice) -> dict[str, Tensor]:
        """These tensors for some frames of one sequence (`texture` has no frames), and `sequence` (), its index."""
        clip = {name: value[index] for name, value in vars(self).items()}
        clip = {name: value if name == "texture" else value[frames] for name, value in clip.items()}
        return clip | {"sequence": torch.tensor(index)}

    def seen_by(self, rotation: Tensor, scale: Tensor, translation: Tensor) -> "PicturePool":
        """The same pictures with other cameras."""
        return replace(self, rotation=rotation, scale=scale, translation=translation)


def build_picture_pool(
    folder: str | Path,
    reconstructor: CoarseReconstructor,
    size: int,
    progress: Callable[[int], object] = lambda done: None,
) -> PicturePool:
    """Fits every sequence of a folder and its appearance.

    Args:
        folder: as `rendered_sequences --pictures` writes it.
        size: S, pixels a side.
        progress: called with 1 for every sequence done.

    Raises:
        InputError: the folder holds no pictures or a damaged shard.
    """
    sequences, stored = StoredSequences(folder), StoredPictures(folder)
    rows = []
    for index in range(len(sequences)):
        face = sequences(index).face
        pictures = stored.pictures(index)
        tracked = torch.from_numpy(np.nan_to_num(face.landmarks[:, : stored.landmarks(index).shape[1], :2]))
        seen = torch.from_numpy(stored.visible(index)) & torch.from_numpy(face.valid)[:, None]
        row = {"landmarks": torch.from_numpy(stored.landmarks(index)), "tracked_landmarks": tracked, "visible": seen}
        seen_at_all = face.valid.any()
        row |= _fitted(reconstructor.face_model, reconstructor(face), pictures) if seen_at_all else _unseen(pictures)
        rows.append(_resized(row, torch.from_numpy(pictures), size))
        progress(1)
    return PicturePool(**{name: torch.stack([row[name] for row in rows]) for name in rows[0]})


def _fitted(face_model: FaceModel, coarse: CoarseSequence, pictures: np.ndarray) -> dict[str, Tensor]:
    """Camera, texture, light and skin of a sequence, in the pixels of its pictures."""
    appearance = estimate_appearance(coarse, face_model, enumerate(pictures), TEXTURE_SIZE)
    masker = SkinMasker(face_model, appearance)
    return {
        "rotation": coarse.rotation,
        "scale": coarse.scale,
        "translation": coarse.translation,
        "texture": appearance.albedo,
        "lighting": appearance.lighting,
        "skin": torch.stack([masker(picture, coarse, frame) for frame, picture in enumerate(pictures)]),
    }


def _unseen(pictures: np.ndarray) -> dict[str, Tensor]:
    """The same of a person whom the tracker never found: no frame of it counts."""
    frames, height, width = pictures.shape[:3]
    return {
        "rotation": torch.eye(3).repeat(frames, 1, 1),
        "scale": torch.ones(frames),
        "translation": torch.zeros(frames, 2),
        "texture": torch.zeros(TEXTURE_SIZE, TEXTURE_SIZE, 3),
        "lighting": torch.zeros(frames, 9, 3),
        "skin": torch.zeros(frames, height, width, dtype=torch.bool),
    }


def _resized(row: dict[str, Tensor], pictures: Tensor, size: int) -> dict[str, Tensor]:
    """The row for pictures of another size: everything in pixels goes with them."""
    ratio = size / pictures.shape[1]
    small = interpolate(pictures.permute(0, 3, 1, 2).float(), (size, size), mode="bilinear", antialias=True)
    skin = interpolate(row["skin"][:, None].float(), (size, size), mode="area")[:, 0]
    scaled = {name: row[name] * ratio for name in ("scale", "translation", "landmarks", "tracked_landmarks")}
    return row | scaled | {"pictures": small.round().clamp(0, 255).byte().permute(0, 2, 3, 1), "skin": skin > 0.99}
