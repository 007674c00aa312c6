"""Coarse faces that were reconstructed before: one npz a video, of coefficients rather than meshes.

A frame of DECA takes about 1,400 bytes, of which 560 are 2D landmarks; its mesh would take 60 kB. Meshes are made again
when a file is read, from the same face model. Everyone who was found in the video is in its file, under
`face_<id>_<name>`; a video without a face has a file too, so that it is not looked at again.
"""

import json
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..coarse import CoarseSequence
from ..errors import InputError
from ..export.files import atomic_path
from ..face_models import FLAME, FaceModel, LinearFLAME
from ..geometry import axis_angle_to_matrix, matrix_to_axis_angle
from ..modeling_au_d3dface import face_model_checksum
from .sources import Source

HEADER = "header"
"""The array of one string, JSON: height, width, the settings of the run, and the identities found."""

_ALWAYS = ("shape", "expression", "neutral_vertices", "rotation", "scale", "translation", "valid", "residual")
_PERHAPS = ("pose", "texture", "lighting", "frame_shape")
_FIXED = ("shape", "neutral_vertices", "texture")
"""Arrays of a person; some reconstructors leave some out; those that are no array over the frames."""


@dataclass
class PreparedVideo:
    """What is known of one video.

    Attributes:
        timestamps: (T,) seconds.
        height, width: pixels.
        faces: everyone, by `face_id`, the most prominent first.
        settings: what the run was told: reconstructor, face model, and so on.
        source: what the video was, by which rows find their frames again; None in files of version 0.1.0.
    """

    timestamps: np.ndarray
    height: int
    width: int
    faces: dict[int, CoarseSequence]
    settings: dict[str, Any]
    source: Source | None = None


def write_prepared(
    path: Path,
    timestamps: np.ndarray,
    size: tuple[int, int],
    faces: Mapping[int, CoarseSequence],
    settings: Mapping[str, Any],
    source: Source | None = None,
    seen: Mapping[int, Mapping[str, np.ndarray]] | None = None,
) -> None:
    """Writes one video, whole or not at all.

    Args:
        path: ends in `.npz`.
        timestamps: (T,) seconds.
        size: height and width, pixels.
        faces: everyone, by `face_id`, the most prominent first.
        settings: JSON.
        source: of `source_of`, what the video was.
        seen: by `face_id`, the arrays of `prepared_views.SeenFace`: how they are seen in the pictures.

    Raises:
        OutputError: the file cannot be written.
    """
    header = {"height": size[0], "width": size[1], "faces": list(faces), "settings": dict(settings)}
    if source is not None:
        header["source"] = {"pictures": source.pictures, "checksum": source.checksum}
    arrays: dict[str, np.ndarray] = {HEADER: np.array(json.dumps(header)), "timestamps": timestamps}
    for face_id, coarse in faces.items():
        for name in _ALWAYS + _PERHAPS:
            value: Tensor | None = getattr(coarse, name)
            if value is not None:
                value = matrix_to_axis_angle(value) if name == "rotation" else value
                arrays[f"face_{face_id}_{name}"] = value.cpu().numpy()
        for name, array in (seen or {}).get(face_id, {}).items():
            arrays[f"face_{face_id}_{name}"] = array
    with atomic_path(path) as temporary:
        np.savez(temporary, **arrays)


@dataclass
class PreparedCoefficients:
    """What is known of the most prominent person of one video, without meshes.

    Attributes:
        coarse: the reconstructor's name.
        valid: (T,) bool, whether the face was reconstructed.
        shape (S,), expression (T, E), pose (T, P), neutral_vertices (V, 3): as of `CoarseSequence`. All are None where
            the video shows nobody, and `pose` where the face was fitted as a linear model.
    """

    coarse: str
    valid: Tensor
    shape: Tensor | None = None
    expression: Tensor | None = None
    pose: Tensor | None = None
    neutral_vertices: Tensor | None = None


def fitted_face_model(face_model: FaceModel, coarse: str) -> FaceModel:
    """The face model whose coefficients a reconstructor gives, as `load_coarse` sees to: FLAME is fitted as linear."""
    return LinearFLAME(face_model) if isinstance(face_model, FLAME) and coarse == "landmarks" else face_model


def read_prepared(path: str | Path, face_model: FaceModel) -> PreparedVideo:
    """Reads one video and makes its meshes.

    Args:
        path: a file of `write_prepared`.
        face_model: the face model that the reconstructor was loaded on.

    Raises:
        InputError: the file is missing or damaged, or made with another face model.
    """
    path = Path(path)
    with damage(path):
        with np.load(path, allow_pickle=False) as npz:
            arrays = {name: npz[name] for name in npz.files}
        header = json.loads(str(arrays[HEADER]))
        timestamps, size = arrays["timestamps"], (int(header["height"]), int(header["width"]))
        settings, ids = header["settings"], [int(face_id) for face_id in header["faces"]]
        name, source = settings["face_model"], _source(header)
    check_face_model(path, name, settings.get("face_model_checksum"), face_model)
    face_model = fitted_face_model(face_model, settings.get("coarse"))
    faces = {face_id: _coarse_sequence(path, arrays, face_id, len(timestamps), face_model) for face_id in ids}
    return PreparedVideo(timestamps, *size, faces, settings, source)


def read_prepared_coefficients(path: str | Path, face_model: FaceModel) -> PreparedCoefficients:
    """Reads the coefficients of the most prominent person, and makes no mesh.

    Args and errors are those of `read_prepared`.
    """
    path = Path(path)
    with damage(path), np.load(path, allow_pickle=False) as npz:
        header = json.loads(str(npz[HEADER]))
        settings, ids = header["settings"], [int(face_id) for face_id in header["faces"]]
        name, coarse, length = settings["face_model"], str(settings["coarse"]), len(npz["timestamps"])
        wanted = ("shape", "expression", "neutral_vertices", "valid", "pose")
        arrays = {part: npz[f"face_{ids[0]}_{part}"] for part in wanted if ids and f"face_{ids[0]}_{part}" in npz}
    check_face_model(path, name, settings.get("face_model_checksum"), face_model)
    if not ids:
        return PreparedCoefficients(coarse, torch.zeros(length, dtype=torch.bool))
    for part in wanted:
        array = arrays.get(part)
        if array is None and part in _PERHAPS:
            continue
        if array is None or (part not in _FIXED and array.shape[:1] != (length,)):
            raise InputError(f"{path} is damaged: {part!r} of face {ids[0]} is missing or of another length")
    found = {part: torch.from_numpy(array) for part, array in arrays.items()}
    if found["neutral_vertices"].shape != face_model.template.shape:
        raise InputError(
            f"{path} holds faces of {len(found['neutral_vertices'])} vertices, not {face_model.num_vertices}"
        )
    valid = found["valid"].bool()
    for part in ("shape", "neutral_vertices", "expression", "pose"):
        values = found.get(part)
        if values is not None and not (values if part in _FIXED else values[valid]).isfinite().all():
            raise InputError(f"{path} holds numbers that are not finite in {part!r}; remove it and prepare it again")
    return PreparedCoefficients(coarse, found.pop("valid").bool(), **{part: x.float() for part, x in found.items()})


def read_prepared_frames(path: str | Path) -> tuple[np.ndarray, np.ndarray, Source | None]:
    """What a file says of its frames, without a face model and without making meshes.

    Returns:
        (T,) timestamps in seconds, (T,) bool, where the most prominent face was reconstructed, and the source.

    Raises:
        InputError: the file is missing or damaged.
    """
    path = Path(path)
    with damage(path), np.load(path, allow_pickle=False) as npz:
        header = json.loads(str(npz[HEADER]))
        timestamps, source = npz["timestamps"], _source(header)
        ids = [int(face_id) for face_id in header["faces"]]
        valid = npz[f"face_{ids[0]}_valid"] if ids else np.zeros(len(timestamps), bool)
        if timestamps.ndim != 1 or valid.shape != timestamps.shape or valid.dtype != bool:
            raise ValueError("its arrays do not go together")
        return timestamps, valid, source


def check_face_model(path: Path, name: str, checksum: str | None, face_model: FaceModel) -> None:
    """Raises InputError where a file was made with another face model than this one."""
    if name != face_model.name:
        raise InputError(
            f"{path} was prepared with the face model {name!r}; it cannot be read with {face_model.name!r}"
        )
    if checksum != face_model_checksum(face_model.template, face_model.faces):
        raise InputError(f"{path} was prepared with another mesh of {name!r}; give the files that it was prepared with")


def _source(header: dict[str, Any]) -> Source | None:
    given = header.get("source")
    if given is None:
        return None
    pictures = given["pictures"]
    return Source(None if pictures is None else tuple(str(name) for name in pictures), str(given["checksum"]))


@contextmanager
def damage(path: Path) -> Iterator[None]:
    """Turns what a damaged file raises into an InputError that names it."""
    try:
        yield
    except (
        OSError,
        ValueError,
        TypeError,
        KeyError,
        AttributeError,
        EOFError,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        raise InputError(f"{path} is missing or no file of `au-d3dface prepare` ({error}); prepare it again") from error


def _coarse_sequence(
    path: Path, arrays: Mapping[str, np.ndarray], face_id: int, length: int, face_model: FaceModel
) -> CoarseSequence:
    found = {}
    for name in _ALWAYS + _PERHAPS:
        array = arrays.get(f"face_{face_id}_{name}")
        if array is None and name in _PERHAPS:
            continue
        if array is None or (name not in _FIXED and array.shape[:1] != (length,)):
            raise InputError(f"{path} is damaged: {name!r} of face {face_id} is missing or of another length")
        found[name] = torch.from_numpy(array)
    neutral = found["neutral_vertices"]
    if neutral.shape != face_model.template.shape:
        raise InputError(f"{path} holds faces of {len(neutral)} vertices, not {face_model.num_vertices}")
    try:
        found["rotation"] = axis_angle_to_matrix(found["rotation"])
        vertices = _meshes(found, face_model)
        return CoarseSequence(vertices=vertices, **found)
    except (RuntimeError, ValueError, IndexError) as error:  # sizes that do not go together
        raise InputError(f"{path} holds coefficients that this face model does not take ({error})") from error


def _meshes(found: Mapping[str, Tensor], face_model: FaceModel) -> Tensor:
    """(T, V, 3) metres: S_j as the reconstructor made them."""
    neutral, expression = found["neutral_vertices"], found["expression"]
    if "pose" not in found:  # a linear model: S_j = S̄ + expression, whatever else makes S̄
        basis = face_model.expression_basis[: expression.shape[1]].cpu()
        return (expression @ basis.flatten(1)).view(len(expression), *neutral.shape).add_(neutral)
    device = face_model.template.device
    vertices = torch.empty(len(expression), *neutral.shape)
    for rows in torch.arange(len(expression)).split(64):
        given = (found["shape"], expression[rows], found["pose"][rows])
        vertices[rows] = face_model(*(values.to(device) for values in given)).cpu()
    vertices[~found["valid"]] = neutral
    return vertices
