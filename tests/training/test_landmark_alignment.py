"""Rest and cameras corrected by landmarks of which everything is known."""

from dataclasses import replace

import pytest
import torch

from au_d3dface import facs
from au_d3dface.data.synthetic.picture_pool import PicturePool
from au_d3dface.data.synthetic.pool import SequencePool
from au_d3dface.face_models import load_face_model
from au_d3dface.face_models.ibug68 import IBUG_68_OF_468
from au_d3dface.geometry import axis_angle_to_matrix, weak_perspective
from au_d3dface.training.landmark_alignment import align_to_landmarks

FRAMES = 40
ROWS = {68: list(IBUG_68_OF_468), 468: list(range(468))}


@pytest.fixture(scope="module")
def model():
    return load_face_model("facemesh")


def filmed(model, identity, labelled=True):
    """A person whom the coarse model takes for the mean face: at rest through half of the frames, then moving.

    Returns the sequence pool, the picture pool with the true cameras, and the true offset at rest.
    """
    generator = torch.Generator().manual_seed(0)
    expression = torch.randn(1, FRAMES, 50, generator=generator)
    expression[:, : FRAMES // 2] = 0
    offset = torch.tensordot(identity, model.shape_basis[: len(identity)], dims=1)
    intensity = torch.zeros(1, FRAMES, len(facs.ALL), 2)
    intensity[:, FRAMES // 2 if labelled else 0 :, 3] = 3.0
    pool = SequencePool(
        neutral=model.template[None],
        expression=expression,
        valid=torch.ones(1, FRAMES, dtype=torch.bool),
        intensity=intensity.half(),
        true_neutral=model.template[None],
        alignment=torch.eye(3)[None],
        weights=torch.zeros(1, FRAMES, 57).half(),
        expression_basis=model.expression_basis,
        geometry=torch.zeros(57, 468, 3),
        frame_rate=10.0,
        provenance=[],
    )
    rotation = axis_angle_to_matrix(0.3 * torch.randn(1, FRAMES, 3, generator=generator))
    scale, translation = torch.full((1, FRAMES), 700.0), 64 + torch.randn(1, FRAMES, 2, generator=generator)
    points = weak_perspective(pool.vertices(0) + offset, rotation[0], scale[0], translation[0])[None, ..., :2]
    pictures = PicturePool(
        pictures=torch.zeros(1, FRAMES, 1, 1, 3, dtype=torch.uint8),
        skin=torch.zeros(1, FRAMES, 1, 1, dtype=torch.bool),
        rotation=rotation,
        scale=scale,
        translation=translation,
        landmarks=points,
        tracked_landmarks=points,
        visible=torch.ones(1, FRAMES, 468, dtype=torch.bool),
        texture=torch.zeros(1, 1, 1, 3),
        lighting=torch.zeros(1, FRAMES, 9, 3),
    )
    return pool, pictures, offset


def align(model, pool, pictures, points):
    embedding = model.landmarks_68 if points == 68 else model.landmarks_468
    return align_to_landmarks(pool, pictures, model, pictures.landmarks, embedding, ROWS[points])


@pytest.mark.parametrize("points", [68, 468])
def test_another_face_at_rest_is_found(model, points):
    pool, pictures, offset = filmed(model, torch.tensor([1.5, -1.0, 1.0]))
    found, _ = align(model, pool, pictures, points)
    wanted = offset[ROWS[points]]
    assert wanted.norm(dim=-1).mean() > 1.5e-3
    error = (found[0] - wanted).norm(dim=-1).mean()
    assert error < 0.25 * wanted.norm(dim=-1).mean()


def test_other_cameras_are_found_and_a_right_one_stays(model):
    pool, pictures, _ = filmed(model, torch.zeros(1))
    found, same = align(model, pool, pictures, 468)
    assert found.abs().max() < 2e-5
    torch.testing.assert_close(same.rotation, pictures.rotation, atol=1e-4, rtol=0)
    generator = torch.Generator().manual_seed(1)  # each frame's camera is off by itself, as when a jaw drops
    turn = axis_angle_to_matrix(0.03 * torch.randn(1, FRAMES, 3, generator=generator))
    size = 1 + 0.03 * torch.randn(1, FRAMES, generator=generator)
    wrong = replace(pictures, rotation=turn @ pictures.rotation, scale=size * pictures.scale)
    wrong = replace(wrong, translation=pictures.translation + 2 * torch.randn(1, FRAMES, 2, generator=generator))
    _, better = align(model, pool, wrong, 468)
    before, after = (projected_error(pool, pictures, camera) for camera in (wrong, better))
    assert after < 0.2 * before
    assert torch.equal(better.pictures, pictures.pictures)


def projected_error(pool, pictures, camera):
    points = weak_perspective(pool.vertices(0), camera.rotation[0], camera.scale[0], camera.translation[0])[..., :2]
    return float((points - pictures.landmarks[0]).norm(dim=-1).mean())


def test_frames_with_action_units_say_little_of_rest(model):
    """The coarse model misses half of a motion: at rest nothing is missing, and nothing is added."""
    pool, pictures, _ = filmed(model, torch.zeros(1))
    half = replace(pool, expression=pool.expression / 2)
    found, _ = align(model, half, pictures, 68)
    missed = half.vertices(0)[FRAMES // 2 :] - half.neutral[0]
    assert found[0].norm(dim=-1).mean() < 0.1 * missed.norm(dim=-1).mean()


def test_nothing_visible_changes_nothing(model):
    pool, pictures, _ = filmed(model, torch.tensor([2.0]))
    blind = replace(pictures, visible=torch.zeros_like(pictures.visible))
    found, same = align(model, pool, blind, 68)
    assert not found.any()
    torch.testing.assert_close(same.rotation, pictures.rotation)
    assert torch.equal(same.scale, pictures.scale)
