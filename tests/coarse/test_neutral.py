"""The neutral face: rest found in a clip, people who never relax or never move, pictures, metric size."""

import numpy as np
import pytest
import torch

from au_d3dface.coarse.landmark_basis import LandmarkBasis
from au_d3dface.coarse.metric_scale import IRIS_DIAMETER, size_factor
from au_d3dface.coarse.neutral import REST_ENERGY, frontal_weights, rest_limit


def error(found, truth):
    return float((found - truth.neutral).norm(dim=-1).mean())


@pytest.mark.parametrize("rest", [0.15, 0.5, 0.8])
def test_rest_is_found_though_most_of_the_clip_is_an_expression(fitting, make_film, make_act, rest):
    truth = make_film(make_act(80, rest=rest, strength=3.0), noise=0.2)
    found = fitting(truth.face())
    median = truth.vertices.median(0).values
    assert error(found.neutral_vertices, truth) < 4e-4
    if rest < 0.5:
        assert error(median, truth) > 2e-3  # the clip's median would have been the expression
    at_rest = truth.expression.norm(dim=1) == 0
    assert found.expression[at_rest].norm(dim=1).max() < 0.6
    assert found.expression[-4:].norm(dim=1).min() > 3


def test_rest_at_the_end(fitting, make_film, make_act):
    truth = make_film(make_act(80, rest=0.2, strength=3.0).flip(0), noise=0.2)
    assert error(fitting(truth.face()).neutral_vertices, truth) < 4e-4


def test_a_person_who_never_relaxes_is_seen_to_express(fitting, make_film, make_act):
    always = make_act(60, rest=-0.2, strength=3.0)
    assert always.norm(dim=1).min() > 3
    truth = make_film(always, noise=0.2)
    found = fitting(truth.face())
    assert found.expression.norm(dim=1).min() > 0.6 * always.norm(dim=1).min()
    assert torch.cosine_similarity(found.expression, always).min() > 0.9


def test_a_person_who_never_moves_is_at_rest(fitting, make_film):
    found = fitting(make_film(torch.full((50, 8), 0.2), noise=0.2).face())
    assert found.expression.abs().max() < 0.3
    assert found.expression.norm(dim=1).mean() < 0.3  # of 0.57: most of a slight resting expression is the person's own


def test_a_picture_at_rest_gives_the_neutral(fitting, make_film, make_act):
    picture = make_film(torch.zeros(1, 8), pixels_per_metre=3000.0)
    truth = make_film(make_act(40, rest=-0.2, strength=2.0), noise=0.2)
    found = fitting(truth.face(), neutral_landmarks=picture.landmarks[0])
    assert error(found.neutral_vertices, truth) < 4e-4
    assert (found.expression - truth.expression).abs().mean() < 0.15


def test_what_a_picture_at_rest_shows_is_the_persons_own(fitting, make_film, make_act):
    resting = torch.tensor([0.0, 2.0, -2.0, 1.5, 0.0, 2.0, 1.0, -2.0]).expand(30, 8)  # far from the population's rest
    truth = make_film(resting)
    told = fitting(truth.face(), neutral_landmarks=truth.landmarks[0])
    assert told.expression.abs().max() < 0.2
    assert fitting(truth.face()).expression.norm(dim=1).min() > 1  # nobody said so: it is an expression


def test_detail_beyond_the_bases_is_in_neutral_and_in_every_frame(fitting, small_face, make_film, make_act):
    truth = make_film(make_act(40))
    x, y, _ = small_face.landmarks_468(small_face.template, small_face.faces).T
    bump = 0.002 * torch.exp(-((x - 0.02) ** 2 + (y + 0.01) ** 2) / (2 * 0.015**2))  # metres, out of the face
    head = torch.stack([bump * 0, bump * 0, bump], -1)
    moved = (head @ truth.rotation.mT) * truth.scale[:, None, None] * torch.tensor([1.0, -1.0, -1.0])
    face = truth.face()
    face.landmarks[:, :468] += moved.numpy()
    found = fitting(face)
    carried = small_face.landmarks_468(found.neutral_vertices - truth.neutral, small_face.faces)
    assert carried[bump.argmax(), 2] > 0.6 * bump.max()
    torch.testing.assert_close(found.vertices[3] - found.neutral_vertices, found.vertices[3] * 0, atol=6e-4, rtol=0)


def test_irises_give_metric_size_where_they_can_be_seen(fitting, make_film):
    def eyes(size, pixels_per_metre):
        still = make_film(torch.zeros(20, 8), size=size, pixels_per_metre=pixels_per_metre)
        right, left = fitting(still.face()).neutral_vertices[[3 * 33, 3 * 263]]
        return float((right - left).norm())

    def gain(size, pixels_per_metre):
        return eyes(size, pixels_per_metre) / eyes(1.0, pixels_per_metre)

    assert 1.045 < gain(1.1, 6000.0) < 1.1  # about half way: irises vary over people nearly as faces do
    assert 0.9 < gain(0.9, 6000.0) < 0.955
    assert 1 < gain(1.1, 450.0) < 1 + 0.75 * (gain(1.1, 6000.0) - 1)  # an iris of 5 pixels says less


def test_size_factor_of_an_average_person_is_one_and_a_bad_frame_does_not_matter():
    landmarks = torch.zeros(9, 478, 3)
    landmarks[:, [469, 474], 0] = IRIS_DIAMETER * 3000
    landmarks[4] *= 5
    rotation, scale = torch.eye(3).expand(9, 3, 3), torch.full((9,), 3000.0)
    assert size_factor(landmarks, rotation, scale, torch.ones(9)) == pytest.approx(1.0, abs=1e-5)
    assert size_factor(landmarks * np.nan, rotation, scale, torch.ones(9)) == 1.0


def test_rest_limit_falls_from_one_to_none():
    low, high = REST_ENERGY
    limits = [rest_limit(energy) for energy in (0.0, low, (low + high) / 2, high, 10 * high)]
    assert limits == [1.0, 1.0, 0.5, 0.0, 0.0]


def test_frontal_frames_count_most():
    from au_d3dface.geometry import axis_angle_to_matrix

    yaw = torch.deg2rad(torch.tensor([0.0, 20.0, 45.0, 60.0, 80.0]))
    weights = frontal_weights(axis_angle_to_matrix(torch.stack([yaw * 0, yaw, yaw * 0], -1)))
    assert weights[:2].tolist() == [1.0, 1.0]
    assert weights[2] < 0.6
    assert weights[3:].tolist() == pytest.approx([0.01, 0.01])


def test_landmarks_that_expression_moves_weigh_less(small_face):
    basis = LandmarkBasis(small_face)
    mobility = basis.expression.square().sum((0, 2))
    assert (basis.weights[mobility.argsort()].diff() <= 1e-6).all()
    assert basis.weights.max() <= 1
    assert basis.weights.min() > 0
