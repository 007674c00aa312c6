"""L_img and L_lmk on BP4D and DISFA: what training sequences are seen like, and what meshes are painted with."""

from collections.abc import Sequence
from copy import deepcopy
from typing import Any

import torch

from ..data.benchmark_clips import CoefficientSequence, expression_basis
from ..data.benchmark_rows import LabelledSequence
from ..data.benchmark_views import SequenceViews, Viewer
from ..data.clip_meshes import ClipMeshes, FLAMEClipMeshes
from ..errors import UsageError
from ..face_models import FLAME, FaceModel
from ..face_models.flame import find_flame
from ..face_models.flame_albedo import FLAMEAlbedo
from .weak_supervision import WeakSupervision


def benchmark_supervision(
    sequences: Sequence[tuple[CoefficientSequence, LabelledSequence]],
    face_model: FaceModel,
    coarse: str,
    weights: dict[str, float],
    size: int,
    device: torch.device | str = "cpu",
) -> tuple[WeakSupervision, dict[str, Any]]:
    """Gives the sequences to train on their `views`.

    Meshes are painted with DECA's own texture and light where DECA or EMOCA prepared them and its albedo model was
    converted beside FLAME, else with the person's colours from the person's own frames.

    Args:
        sequences: each with the files that it was read from.
        face_model: that was prepared with.
        coarse: the reconstructor's name.
        weights: of the losses by name.
        size: pixels a side of the pictures.
        device: of the network.

    Returns:
        What the losses take of a batch; and, for the record of the training, what was compared.

    Raises:
        InputError: prepared files or pictures lack what is compared.
        UsageError: the face model has no landmarks to compare.
    """
    if weights["landmarks"] and face_model.landmarks_68 is None:
        raise UsageError(
            f"the face model {face_model.name} has no 68 landmarks, which L_lmk compares: convert it again with them, "
            "or set training.weight_landmarks to 0"
        )
    here = deepcopy(face_model).cpu()  # clips are made on the CPU, perhaps by several processes
    meshes: ClipMeshes | FLAMEClipMeshes | None = None
    albedo = None
    if weights["image"]:
        known = [one for one, _ in sequences]
        linear = known[0].pose is None
        meshes = ClipMeshes(expression_basis(here, coarse, known)) if linear else FLAMEClipMeshes(here)
        albedo = deca_albedo(face_model, coarse)
    viewer = Viewer(here, size, meshes, albedo is not None)
    for one, files in sequences:
        if one.usable.any():
            one.views = SequenceViews(files, viewer)
    compared: dict[str, Any] = {"landmarks": "68 tracked"} if weights["landmarks"] else {}
    if weights["image"]:
        compared |= {"picture_size": size, "texture": "the persons' own frames" if albedo is None else "deca"}
    weak = WeakSupervision(face_model, weights, size, batched=68, tracked=True, albedo=albedo, device=device)
    return weak, compared


def deca_albedo(face_model: FaceModel, coarse: str) -> FLAMEAlbedo | None:
    """DECA's albedo model, where the user has it and the faces are DECA's."""
    if not isinstance(face_model, FLAME) or coarse == "landmarks" or face_model.texture_coordinates is None:
        return None
    folder = find_flame().parent
    return FLAMEAlbedo(folder) if (folder / "flame_albedo_bfm.safetensors").is_file() else None
