"""Landmark fitting straight onto denser face models, for those who have these but no encoder."""

import pytest
import torch

from au_d3dface.coarse import load_coarse
from au_d3dface.face_models import load_face_model
from au_d3dface.geometry import weak_perspective
from au_d3dface.tracking import load_tracker, track_faces
from au_d3dface.video import VideoReader


@pytest.fixture(scope="module")
def face(clips):
    with VideoReader(clips / "pyfeat_single_face.mp4") as reader:
        return track_faces(reader, load_tracker()).largest


@pytest.mark.shared_data
def test_ict_facekit_is_fitted_to_a_real_clip(shared_data, face):
    kit = load_face_model("ict", shared_data / "ict_facekit" / "ict_facekit.npz")
    coarse = load_coarse("landmarks", kit)(face)
    assert coarse.vertices.shape == (len(face.valid), 9409, 3)
    assert (
        coarse.residual[coarse.valid].mean() < 0.02
    )  # of the eye distance; 0.003 on facemesh, which was learned for it
    camera = coarse.vertices, coarse.rotation, coarse.scale, coarse.translation
    points = kit.landmarks_468(weak_perspective(*camera), kit.faces)[..., :2]
    off = (points - torch.from_numpy(face.landmarks[:, :468, :2])).norm(dim=-1)[coarse.valid]
    assert off.median() < 2.0  # pixels, of a face 130 wide
    # The smile of frames 24-70 opens the mouth and widens it.
    lips = kit.landmarks_468(coarse.vertices, kit.faces)[:, [61, 291]]
    width = (lips[:, 0] - lips[:, 1]).norm(dim=-1)
    assert width[30:60].mean() > width[:12].mean() + 0.005
