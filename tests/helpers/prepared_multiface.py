"""Prepared faces of a made copy of Multiface, without tracking: of facemesh, the very people that the copy shows."""

from collections.abc import Sequence
from pathlib import Path

import torch
from multiface_layout import FOLDERS, Layout

from au_d3dface.coarse import CoarseSequence
from au_d3dface.data.prepared import write_prepared
from au_d3dface.data.sources import source_of
from au_d3dface.face_models import FaceMesh, FaceModel
from au_d3dface.modeling_au_d3dface import face_model_checksum
from au_d3dface.preparation import begin


def prepare_layout(
    folder: Path,
    layout: Layout,
    face_model: FaceModel | None = None,
    *,
    coarse: str = "landmarks",
    lost: Sequence[int] = (),
    wrong: float = 0.0,
) -> Path:
    """What `au-d3dface prepare LAYOUT --output FOLDER` would write, for every expression and camera.

    Args:
        face_model: the facemesh if None. FLAME's faces are made-up ones; with "deca", each frame has an identity too.
        lost: rows of the frames in which no face is found.
        wrong: of the first shape, by which the identity is wrong.
    """
    model = face_model or FaceMesh()
    settings = {
        "coarse": coarse,
        "face_model": model.name,
        "face_model_checksum": face_model_checksum(model.template, model.faces),
        "faces": "largest",
        "version": "test",
    }
    begin(folder, settings)
    for place, subject in enumerate(layout.subjects):
        for row, expression in enumerate(layout.expressions(subject)):
            for camera in layout.cameras:
                pictures = layout.root / FOLDERS[subject] / "images" / expression / camera
                path = folder / FOLDERS[subject] / "images" / expression / f"{camera}.npz"
                path.parent.mkdir(parents=True, exist_ok=True)
                sequence = _sequence(model, place, row, layout.frames, coarse, wrong)
                sequence.valid[list(lost)] = False
                times = torch.arange(layout.frames).double().numpy() / 25
                size = (layout.height, layout.width)
                write_prepared(path, times, size, {0: sequence}, settings, source_of(pictures))
    return folder


def _sequence(model: FaceModel, seed: int, row: int, frames: int, coarse: str, wrong: float) -> CoarseSequence:
    generator = torch.Generator().manual_seed(seed)
    shape = torch.randn(10, generator=generator) * 0.6  # as `multiface_layout.made_head`
    shape[0] += wrong
    strength = torch.zeros(frames) if row == 0 else (torch.arange(frames) + 1) / frames
    expression = torch.zeros(frames, len(model.expression_basis))
    expression[:, :3] = strength[:, None] * torch.tensor([1.5, -1.0, 1.0])
    neutral = model(shape, torch.zeros(expression.shape[1]))
    pose = frame_shape = None
    if coarse == "deca":
        pose = torch.zeros(frames, 6)
        pose[:, 3] = 0.1 * strength
        frame_shape = shape + 0.3 * torch.randn(frames, 10, generator=generator)
    return CoarseSequence(
        shape=shape,
        expression=expression,
        vertices=neutral.expand(frames, -1, -1).clone(),  # made again from the coefficients when read
        neutral_vertices=neutral,
        rotation=torch.eye(3).repeat(frames, 1, 1),
        scale=torch.full((frames,), 1500.0),
        translation=torch.full((frames, 2), 128.0),
        valid=torch.ones(frames, dtype=torch.bool),
        residual=torch.full((frames,), 0.01),
        pose=pose,
        frame_shape=frame_shape,
    )
