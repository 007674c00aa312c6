"""The bundled face model on a real clip: neutral for half a second, then a smile that falls in the last frames."""

import av
import numpy as np
import pytest
import torch

from au_d3dface.coarse import LandmarkFitting
from au_d3dface.face_models import load_face_model
from au_d3dface.tracking import TrackedFace

LIP_CORNERS = (61, 291)


@pytest.fixture(scope="module")
def smile(clips):
    """pyfeat_single_face.mp4, tracked."""
    face_mesh = pytest.importorskip("mediapipe").solutions.face_mesh
    landmarks = []
    with (
        av.open(str(clips / "pyfeat_single_face.mp4")) as video,
        face_mesh.FaceMesh(refine_landmarks=True, max_num_faces=1) as tracker,
    ):
        for frame in video.decode(video=0):
            image = frame.to_ndarray(format="rgb24")
            found = tracker.process(image).multi_face_landmarks[0].landmark
            height, width = image.shape[:2]
            landmarks.append([(p.x * width, p.y * height, p.z * width) for p in found])
    return TrackedFace(0, np.array(landmarks, np.float32), np.ones(len(landmarks), bool))


@pytest.fixture(scope="module")
def fitting():
    return LandmarkFitting(load_face_model("facemesh"))


def mouth_width(vertices):
    right, left = LIP_CORNERS
    return (vertices[..., left, :] - vertices[..., right, :]).norm(dim=-1)


def test_a_smile_is_an_expression_and_the_face_before_it_the_neutral(fitting, smile):
    found = fitting(smile)
    assert found.valid.all()
    assert found.residual.max() < 0.01
    wider = (mouth_width(found.vertices) - mouth_width(found.neutral_vertices)) * 1e3  # mm
    assert wider[:14].abs().max() < 3
    assert wider[24:66].min() > 15
    assert wider[-1] < 0.6 * wider[24:66].median()
    # The clip's median face is the smile: the neutral must not be.
    assert mouth_width(found.vertices.median(0).values) - mouth_width(found.neutral_vertices) > 0.015


def test_a_clip_that_is_all_smile_still_shows_one(fitting, smile):
    part = TrackedFace(0, smile.landmarks[26:62], smile.valid[26:62])
    found = fitting(part)
    assert (mouth_width(found.vertices) - mouth_width(found.neutral_vertices)).min() > 0.008


def test_a_picture_at_rest_corrects_that(fitting, smile):
    part = TrackedFace(0, smile.landmarks[26:62], smile.valid[26:62])
    found = fitting(part, neutral_landmarks=torch.from_numpy(smile.landmarks[8]))
    assert (mouth_width(found.vertices) - mouth_width(found.neutral_vertices)).min() > 0.015


def test_metric_size_is_a_persons(fitting, smile):
    right, left = fitting(smile).neutral_vertices[[33, 263]]
    assert 0.08 < (left - right).norm() < 0.1
