"""Landmark fitting on a made-up FLAME: what its owner has without DECA's weights."""

import numpy as np
import pytest
import torch
from made_flame import made_flame

from au_d3dface import facs
from au_d3dface.coarse import LandmarkFitting, load_coarse
from au_d3dface.face_models import FLAME
from au_d3dface.face_models.linear_flame import JAW_OPEN, JAW_TURN, NUM_EXPRESSION, NUM_SHAPE
from au_d3dface.geometry import matrix_to_axis_angle


@pytest.fixture(scope="module")
def flame(tmp_path_factory: pytest.TempPathFactory) -> FLAME:
    return FLAME(made_flame(tmp_path_factory.mktemp("flame")))


@pytest.fixture(scope="module")
def fitting(flame: FLAME) -> LandmarkFitting:
    return load_coarse("landmarks", flame)


def test_the_linear_model_is_flame_where_the_jaw_is_at_rest_or_open(flame: FLAME, fitting: LandmarkFitting) -> None:
    linear = fitting.face_model
    random = torch.Generator().manual_seed(0)
    shape, expression = torch.randn(NUM_SHAPE, generator=random), torch.zeros(NUM_EXPRESSION + 3)
    expression[:NUM_EXPRESSION] = torch.randn(NUM_EXPRESSION, generator=random)
    torch.testing.assert_close(linear(shape, expression), flame(shape, expression[:NUM_EXPRESSION]), atol=1e-6, rtol=0)
    expression[:] = 0
    expression[NUM_EXPRESSION] = JAW_OPEN / JAW_TURN[0]
    none, pose = torch.zeros(0), torch.zeros(15)
    pose[6] = JAW_OPEN
    torch.testing.assert_close(linear(none, expression), flame(none, none, pose), atol=1e-6, rtol=0)
    pose[6], expression[NUM_EXPRESSION] = JAW_OPEN / 2, JAW_OPEN / JAW_TURN[0] / 2
    between = (linear(none, expression) - flame(none, none, pose)).norm(dim=-1)
    assert 1e-4 < between.max() < 1.5e-3
    assert linear.licensed
    assert torch.equal(linear.au_masks(facs.ALL), flame.au_masks(facs.ALL))


def test_a_jaw_that_opens_is_followed(flame: FLAME, fitting: LandmarkFitting, make_film_of) -> None:
    expression = torch.zeros(40, NUM_EXPRESSION + 3)
    opening = torch.linspace(0, 1, 24).sin()  # radians over JAW_TURN[0]
    expression[16:, NUM_EXPRESSION] = opening
    truth = make_film_of(fitting.face_model, expression, noise=0.1)
    found = fitting(truth.face())
    assert found.vertices.shape == (40, 5023, 3)
    turned = matrix_to_axis_angle(found.rotation.mT @ truth.rotation).norm(dim=-1)
    assert turned.max() < np.deg2rad(5)
    assert (turned - turned.mean()).abs().max() < np.deg2rad(0.7)  # the rest is how the neutral looks, not a motion
    motion, true_motion = found.vertices - found.neutral_vertices, truth.vertices - truth.neutral
    jaw = flame.skinning_weights[:, 2] > 0.5
    assert true_motion[-1, jaw].norm(dim=-1).mean() > 0.005
    # The landmarks are on one side of the head; behind, identity and expression are the prior's guess.
    assert (motion - true_motion)[-1, jaw].norm(dim=-1).mean() < 0.2 * true_motion[-1, jaw].norm(dim=-1).mean()
