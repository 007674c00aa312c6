"""How prepared faces are seen in their pictures: what L_img and L_lmk (Eq. 12-13) compare meshes with.

The camera of every frame is in every prepared file. 2D landmarks and the box of the face are in all that this version
writes, the person's colours and the light of every frame in those of `au-d3dface prepare --appearance`. Pictures are in
none: they are read from the data set when they are wanted.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..coarse import Appearance
from ..errors import InputError
from ..face_models import FaceModel
from ..face_models.ibug68 import IBUG_68_OF_468
from ..geometry import axis_angle_to_matrix
from ..tracking import TrackedFace
from .prepared import HEADER, check_face_model, damage

TEXTURE_SIZE = 128
"""Texels a side of a person's albedo map: the face covers about as many pixels of the pictures of L_img."""

DECA_TEXTURE = 50
"""Coefficients of DECA's albedo model."""

_LANDMARKS, _CORNERS = "landmarks_68", "corners"
_APPEARANCE = {"albedo": "albedo", "lighting": "frame_lighting", "confidence": "confidence", "deviation": "deviation"}
"""Arrays by the fields of `Appearance`; DECA's own light is `lighting`, of another albedo."""


@dataclass
class SeenFace:
    """One person in T pictures; rows of frames in which the tracker did not find the face are 0.

    Attributes:
        landmarks: (T, 68, 2) float32 pixels, the iBUG 68 among the tracked points.
        corners: (T, 2, 2) float32 pixels, top left and bottom right of all tracked points, about which faces are cut.
        appearance: of the person, or None where it was not estimated.
    """

    landmarks: np.ndarray
    corners: np.ndarray
    appearance: Appearance | None = None

    @staticmethod
    def of(face: TrackedFace, appearance: Appearance | None = None) -> "SeenFace":
        """What is kept of tracked landmarks."""
        points = np.where(face.valid[:, None, None], face.landmarks[..., :2], 0).astype(np.float32)
        corners = np.stack([points.min(1), points.max(1)], 1)
        return SeenFace(points[:, list(IBUG_68_OF_468)], corners, appearance)

    def to_arrays(self) -> dict[str, np.ndarray]:
        """For `write_prepared`. Colours in half precision, which is finer than those of pictures."""
        arrays = {_LANDMARKS: self.landmarks, _CORNERS: self.corners}
        if self.appearance is not None:
            for field, name in _APPEARANCE.items():
                value = getattr(self.appearance, field)
                arrays[name] = (value if field == "lighting" else value.half()).numpy()
        return arrays


@dataclass
class PreparedView:
    """How the most prominent person of one video is seen, in P rows; rows without the face mean nothing.

    Attributes:
        height, width: of the pictures, pixels.
        rotation (P, 3, 3), scale (P,) pixels per metre, translation (P, 2) pixels: the camera of Eq. 12.
        landmarks, corners: see `SeenFace`; None in files of earlier versions.
        appearance: as it was stored, its colours in half precision; None where the file was prepared without.
        texture: (A,) coefficients of DECA's albedo model, and lighting: (P, 9, 3), DECA's own; None where the
            reconstructor has none.
    """

    height: int
    width: int
    rotation: Tensor
    scale: Tensor
    translation: Tensor
    landmarks: Tensor | None = None
    corners: Tensor | None = None
    appearance: Appearance | None = None
    texture: Tensor | None = None
    lighting: Tensor | None = None


def read_prepared_view(path: str | Path, face_model: FaceModel) -> PreparedView | None:
    """Reads how the most prominent person is seen, and makes no mesh; None where the video shows nobody.

    Args:
        path: a file of `write_prepared`. face_model: that the reconstructor was loaded on.

    Raises:
        InputError: the file is missing or damaged, or made with another face model.
    """
    path = Path(path)
    with damage(path), np.load(path, allow_pickle=False) as npz:
        header = json.loads(str(npz[HEADER]))
        settings, ids = header["settings"], [int(face_id) for face_id in header["faces"]]
        name, size = settings["face_model"], (int(header["height"]), int(header["width"]))
        length = len(npz["timestamps"])
        names = ("rotation", "scale", "translation", _LANDMARKS, _CORNERS, *_APPEARANCE.values(), "texture", "lighting")
        stored = {part: npz[f"face_{ids[0]}_{part}"] for part in names if ids and f"face_{ids[0]}_{part}" in npz}
    check_face_model(path, name, settings.get("face_model_checksum"), face_model)
    if not ids:
        return None
    shapes = {
        **{"rotation": (length, 3), "scale": (length,), "translation": (length, 2)},
        **{_LANDMARKS: (length, 68, 2), _CORNERS: (length, 2, 2)},
        **{"frame_lighting": (length, 9, 3), "lighting": (length, 9, 3), "texture": (DECA_TEXTURE,)},
    }
    if "albedo" in stored:
        places = (face_model.num_vertices,) if face_model.uv is None else (TEXTURE_SIZE, TEXTURE_SIZE)
        shapes |= {"albedo": (*places, 3), "confidence": places, "deviation": places}
    found = {}
    for part, array in stored.items():
        if array.shape != shapes.get(part) or array.dtype.kind != "f" or not np.isfinite(array).all():
            raise InputError(f"{path} is damaged: {part!r} of face {ids[0]} is no such array; prepare it again")
        found[part] = torch.from_numpy(array)
    if not {"rotation", "scale", "translation"} <= found.keys():
        raise InputError(f"{path} is damaged: the camera of face {ids[0]} is missing; prepare it again")
    appearance = None
    if found.keys() >= set(_APPEARANCE.values()):
        appearance = Appearance(**{field: found[part] for field, part in _APPEARANCE.items()})
    return PreparedView(
        *size,
        rotation=axis_angle_to_matrix(found["rotation"]),
        scale=found["scale"],
        translation=found["translation"],
        landmarks=found.get(_LANDMARKS),
        corners=found.get(_CORNERS),
        appearance=appearance,
        texture=found.get("texture"),
        lighting=found.get("lighting"),
    )
