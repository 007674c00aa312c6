"""Prepared faces of made copies of BP4D and DISFA, without tracking: coefficients that show the labels of their frames.

The coefficient of the k-th action unit is `size` where it is present; all coefficients tremble. Labels of the copies
are drawn for every frame alone, so that faces that are joined to the labels of a neighbouring frame show nothing.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from benchmark_layouts import Written
from torch import Tensor

from au_d3dface.coarse import CoarseSequence
from au_d3dface.data.prepared import write_prepared
from au_d3dface.data.sources import Source
from au_d3dface.face_models import FLAME, FaceModel
from au_d3dface.geometry import axis_angle_to_matrix
from au_d3dface.modeling_au_d3dface import face_model_checksum


def prepare_copy(
    folder: Path,
    written: dict[str, Written],
    face_model: FaceModel,
    action_units: Sequence[int],
    *,
    coarse: str = "landmarks",
    size: float = 3.0,
    shift: int = 0,
    lost: Sequence[int] = (),
    seed: int = 0,
) -> None:
    """What `au-d3dface prepare` would write of BP4D's pictures at 25 and DISFA's left videos at 20 frames a second.

    Args:
        written: of `make_bp4d` or `make_disfa`.
        action_units: whose labels the coefficients show.
        coarse: "deca" gives FLAME's jaw too.
        shift: frames by which the faces are late.
        lost: frame numbers in which no face is found.
    """
    for number, (name, truth) in enumerate(written.items()):
        random = torch.Generator().manual_seed(1000 * seed + number)
        frames = sorted(truth.codes)
        subject, _, task = name.partition("_")
        present = {1} if task else {2, 3, 4, 5}
        codes = [[truth.codes[frame][unit] in present for unit in action_units] for frame in frames]
        shown = torch.tensor(codes).float()
        expression = 0.1 * torch.randn(len(frames), 40, generator=random)
        expression[:, : len(action_units)] += size * shown.roll(shift, 0)
        valid = torch.tensor([frame not in lost for frame in frames])
        pose = torch.zeros(len(frames), 15) if coarse == "deca" else None
        if pose is not None:
            pose[:, 6] = 0.1 + 0.1 * shown.roll(shift, 0)[:, 0]
        sequence = _sequence(face_model, 0.3 * torch.randn(10, generator=random), expression, pose, valid)
        settings = {
            "coarse": coarse,
            "face_model": face_model.name,
            "face_model_checksum": face_model_checksum(face_model.template, face_model.faces),
            "faces": "largest",
        }
        path = folder / (f"{subject}/{task}.npz" if task else f"LeftVideo{subject}_comp.avi.npz")
        path.parent.mkdir(parents=True, exist_ok=True)
        source = Source(tuple(f"{frame:04d}.jpg" for frame in frames) if task else None, "")
        times = np.arange(len(frames)) / (25 if task else 20)
        write_prepared(path, times, (48, 48), {0: sequence}, settings, source)


def _sequence(
    face_model: FaceModel, shape: Tensor, expression: Tensor, pose: Tensor | None, valid: Tensor
) -> CoarseSequence:
    length = len(expression)
    expression = torch.where(valid[:, None], expression, 0.0)
    with_joints = isinstance(face_model, FLAME)
    neutral = face_model(shape, expression.new_zeros(40)) if with_joints else face_model.template.clone()
    return CoarseSequence(
        shape=shape,
        expression=expression,
        vertices=neutral.expand(length, -1, -1),
        neutral_vertices=neutral,
        rotation=axis_angle_to_matrix(torch.zeros(length, 3)),
        scale=torch.ones(length),
        translation=torch.zeros(length, 2),
        valid=valid,
        residual=torch.zeros(length),
        pose=None if pose is None else torch.where(valid[:, None], pose, 0.0),
    )
