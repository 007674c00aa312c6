"""Landmark fitting on faces whose truth is known."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from au_d3dface.coarse import COARSE_RECONSTRUCTORS, LandmarkFitting, load_coarse
from au_d3dface.coarse.landmark_fitting import LEAST_NOISE, NOISE_PIXELS, landmark_noise
from au_d3dface.errors import NoFaceError, UsageError
from au_d3dface.face_models import load_face_model
from au_d3dface.geometry import matrix_to_axis_angle, weak_perspective
from au_d3dface.tracking import TrackedFace


def angles(a, b):
    return matrix_to_axis_angle(a.mT @ b).norm(dim=-1)


def test_recovers_a_noiseless_face(fitting, make_film, make_act):
    truth = make_film(make_act(60))
    found = fitting(truth.face())
    assert angles(found.rotation, truth.rotation).max() < np.deg2rad(0.5)
    assert (found.scale / truth.scale - 1).abs().max() < 0.01
    assert (found.neutral_vertices - truth.neutral).norm(dim=-1).mean() < 3e-4
    motion = found.vertices - found.neutral_vertices - (truth.vertices - truth.neutral)
    assert motion.norm(dim=-1).mean() < 1e-4
    assert (found.expression - truth.expression).abs().mean() < 0.1
    assert found.residual.max() < 0.003
    assert (found.confidence > 0.9).all()


@pytest.mark.parametrize(("pixels_per_metre", "noise"), [(5000.0, 0.5), (450.0, 0.15)], ids=["large", "65 pixels"])
def test_recovers_a_noisy_face(fitting, make_film, make_act, pixels_per_metre, noise):
    truth = make_film(make_act(90), pixels_per_metre=pixels_per_metre, noise=noise)
    found = fitting(truth.face())
    assert angles(found.rotation, truth.rotation).mean() < np.deg2rad(0.7)
    assert (found.neutral_vertices - truth.neutral).norm(dim=-1).mean() < 5e-4
    motion = found.vertices - found.neutral_vertices - (truth.vertices - truth.neutral)
    assert motion.norm(dim=-1).mean() < 2e-4


@pytest.mark.parametrize("seed", range(3))
def test_recovers_faces_of_the_bundled_model(make_film_of, seed):
    model = load_face_model("facemesh")
    random = torch.Generator().manual_seed(seed)
    expression = torch.zeros(60, model.expression_basis.shape[0])
    expression[25:] = torch.randn(len(expression[0]), generator=random)
    truth = make_film_of(model, expression, noise=0.15)
    # These landmarks are where the face is, depth and all: what a tracker gets wrong is not among them.
    found = LandmarkFitting(model, correct_rest=False)(truth.face())
    assert angles(found.rotation, truth.rotation).max() < np.deg2rad(2)
    motion = found.vertices - found.neutral_vertices - (truth.vertices - truth.neutral)
    assert motion.norm(dim=-1).mean() < 4e-4
    # Identity is known up to the size that irises and prior leave open.
    size = (truth.neutral.square().sum() / found.neutral_vertices.square().sum()).sqrt()
    assert (size * found.neutral_vertices - truth.neutral).norm(dim=-1).mean() < 8e-4


def test_camera_puts_the_vertices_on_the_landmarks(fitting, small_face, make_film, make_act):
    truth = make_film(make_act(20))
    found = fitting(truth.face())
    image = weak_perspective(found.vertices, found.rotation, found.scale, found.translation)
    landmarks = small_face.landmarks_468(image, small_face.faces)
    assert (landmarks - truth.landmarks[:, :468])[..., :2].norm(dim=-1).mean() < 0.5


def test_one_identity_and_motion_is_expression_alone(fitting, small_face, make_film, make_act):
    found = fitting(make_film(make_act(30), noise=0.3).face())
    assert found.shape.shape == (6,)
    motion = torch.tensordot(found.expression, small_face.expression_basis, dims=1)
    torch.testing.assert_close(found.vertices - found.neutral_vertices, motion, atol=1e-6, rtol=0)


def test_head_pose_is_not_moved_by_expression(fitting, make_film, make_act):
    still, acting = make_film(torch.zeros(40, 8)), make_film(make_act(40, strength=3.0))
    turn = angles(fitting(still.face()).rotation, fitting(acting.face()).rotation)
    assert turn.max() < np.deg2rad(0.5)


@pytest.fixture(scope="module")
def upright(fitting, make_film, make_act):
    truth = make_film(make_act(12), noise=0.2)
    return truth, fitting(truth.face())


@settings(max_examples=15, deadline=None)
@given(angle=st.floats(-3.1, 3.1), x=st.floats(-500, 500), y=st.floats(-500, 500))
def test_turning_and_moving_the_picture_turns_the_pose_alone(fitting, upright, angle, x, y):
    truth, before = upright
    cosine, sine = np.cos(angle), np.sin(angle)
    turn = np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]], np.float32)
    landmarks = truth.landmarks.numpy() @ turn.T + np.array([x, y, 0], np.float32)
    after = fitting(TrackedFace(0, landmarks, np.ones(len(landmarks), bool)))
    torch.testing.assert_close(after.expression, before.expression, atol=0.02, rtol=0)
    torch.testing.assert_close(after.vertices, before.vertices, atol=5e-5, rtol=0)
    torch.testing.assert_close(after.scale, before.scale, atol=0, rtol=1e-3)
    # Image y points down, so the head turns the other way in the camera frame.
    expected = torch.from_numpy(turn).T @ before.rotation
    assert angles(after.rotation, expected).max() < 2e-3


def test_a_hand_before_the_face_moves_only_what_it_hides(fitting, make_film, make_act):
    truth = make_film(make_act(40), noise=0.2)
    clean = fitting(truth.face())
    face = truth.face()
    hidden = np.flatnonzero((truth.landmarks[0, :468, 0] > 430).numpy())
    assert 20 < len(hidden) < 120
    face.landmarks[25:30, hidden] += np.array([40.0, 25.0, 0.0], np.float32)
    found = fitting(face)
    assert angles(found.rotation, clean.rotation)[25:30].max() < np.deg2rad(4)
    assert angles(found.rotation, clean.rotation)[:24].max() < np.deg2rad(0.3)
    assert (found.neutral_vertices - clean.neutral_vertices).norm(dim=-1).max() < 3e-4
    assert found.residual[25:30].min() > 3 * found.residual[:24].max()
    assert (found.confidence[25:30] < found.confidence[:24].min()).all()


@pytest.mark.parametrize("frame", [0, -1])
def test_one_frame(fitting, make_film, make_act, frame):
    truth = make_film(make_act(10))
    valid = np.zeros(10, bool)
    valid[frame] = True
    found = fitting(truth.face(valid))
    assert found.valid.sum() == 1
    assert torch.isfinite(found.vertices).all()
    assert found.residual[frame] < 0.02
    assert angles(found.rotation[frame], truth.rotation[frame]) < np.deg2rad(3)


def test_frames_without_a_face_hold_the_neutral_and_leak_nothing(fitting, make_film, make_act):
    truth = make_film(make_act(30))
    valid = np.ones(30, bool)
    valid[5:9] = valid[20] = False
    found = fitting(truth.face(valid))
    assert found.valid.tolist() == valid.tolist()
    gone = torch.from_numpy(~valid)
    assert torch.equal(found.vertices[gone], found.neutral_vertices.expand(5, -1, -1))
    assert torch.equal(found.rotation[gone], torch.eye(3).expand(5, 3, 3))
    assert (found.scale[gone] == 1).all()
    assert (found.translation[gone] == 0).all()
    assert (found.expression[gone] == 0).all()
    assert found.residual[gone].isnan().all()
    assert (found.confidence[gone] == 0).all()
    for values in (found.vertices, found.rotation, found.scale, found.translation, found.expression, found.shape):
        assert torch.isfinite(values).all()
    # The frames that remain are fitted as if the others had never been.
    alone = fitting(TrackedFace(0, truth.landmarks.numpy()[valid], np.ones(25, bool)))
    torch.testing.assert_close(alone.vertices, found.vertices[~gone], atol=2e-4, rtol=0)


def test_not_finite_landmarks_are_no_face(fitting, make_film, make_act):
    face = make_film(make_act(10)).face()
    face.landmarks[4, 100, 1] = np.nan
    found = fitting(face)
    assert found.valid.tolist() == [index != 4 for index in range(10)]
    assert torch.isfinite(found.vertices).all()


def test_chunks_do_not_show(fitting, make_film, make_act):
    truth = make_film(make_act(300))
    whole = fitting(truth.face())
    fitter = fitting.fitter(fitting.estimate_neutral(truth.landmarks), truth.landmarks)
    for frame in (0, 127, 128, 299):
        alone, _ = fitting.fit_frames(truth.landmarks[frame : frame + 1], fitter)
        torch.testing.assert_close(alone.expression[0], whole.expression[frame], atol=2e-3, rtol=0)


def test_a_blink_is_followed_without_lag(fitting, make_film):
    expression = torch.zeros(40, 8)
    expression[20:23, 3] = torch.tensor([1.0, 2.5, 1.0])
    found = fitting(make_film(expression, noise=0.2).face())
    assert found.expression[:, 3].argmax() == 21
    assert found.expression[21, 3] > 2.0
    assert found.expression[[18, 24], 3].abs().max() < 0.3


def test_no_valid_frame_is_no_face(fitting, make_film):
    face = make_film(torch.zeros(3, 8)).face(np.zeros(3, bool))
    with pytest.raises(NoFaceError, match="Face 0 was found in no frame"):
        fitting(face)


@pytest.mark.parametrize("shape", [(468, 3), (478, 2)])
def test_neutral_landmarks_of_another_shape(fitting, make_film, shape):
    with pytest.raises(ValueError, match="478"):
        fitting(make_film(torch.zeros(3, 8)).face(), neutral_landmarks=torch.zeros(shape))


def test_a_face_model_without_the_embedding(small_face):
    class Bare(type(small_face)):
        def __init__(self):
            super().__init__()
            self.landmarks_468 = None

    with pytest.raises(UsageError, match="468 landmarks"):
        LandmarkFitting(Bare())


def test_load_coarse(small_face):
    assert load_coarse("landmarks", small_face).name == "landmarks"
    with pytest.raises(UsageError, match="'magic'; choose one of " + ", ".join(COARSE_RECONSTRUCTORS)):
        load_coarse("magic", small_face)


def test_the_noise_follows_from_the_size_of_the_face_and_not_from_the_frame_rate(make_film, make_act):
    act = make_act(120, strength=3.0)
    film = make_film(act, noise=0.3).landmarks
    assert landmark_noise(film) == pytest.approx(landmark_noise(film[::6]), rel=0.02)
    small, large = make_film(act, pixels_per_metre=400.0).landmarks, make_film(act, pixels_per_metre=4000.0).landmarks
    assert landmark_noise(small) == pytest.approx(NOISE_PIXELS / 400, rel=0.1)
    assert landmark_noise(large) == LEAST_NOISE


def test_fewer_frames_give_the_same_expressions(fitting, make_film, make_act):
    truth = make_film(make_act(240, rest=0.3, strength=2.0), noise=0.1)
    whole, thinned = fitting(truth.face()), fitting(TrackedFace(0, truth.landmarks[::4].numpy(), np.ones(60, bool)))
    difference = (whole.vertices[::4] - thinned.vertices).norm(dim=-1)
    assert 1e3 * difference.mean() < 0.1  # millimetres
