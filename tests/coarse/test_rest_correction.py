"""The correction of depth at rest: what it may move, how far, and that fits know nothing of it."""

import pytest
import torch
from safetensors.torch import load_file, save_file

from au_d3dface.coarse import LandmarkFitting, LandmarkStream
from au_d3dface.coarse.rest_correction import LIMIT, RestCorrection
from au_d3dface.errors import CheckpointError
from au_d3dface.face_models import FaceMesh
from au_d3dface.geometry import axis_angle_to_matrix, similarity_alignment
from au_d3dface.training.render_alignment import mirrored


@pytest.fixture(scope="module")
def correction() -> RestCorrection:
    return RestCorrection.load()


@pytest.fixture(scope="module")
def model() -> FaceMesh:
    return FaceMesh()


@pytest.fixture(scope="module")
def faces(model) -> torch.Tensor:
    """(6, 468, 3): people at rest."""
    shapes = torch.randn(6, len(model.shape_basis), generator=torch.Generator().manual_seed(4))
    return model.template + torch.tensordot(shapes, model.shape_basis, dims=1)


@pytest.fixture(scope="module")
def fittings(model) -> tuple[LandmarkFitting, LandmarkFitting]:
    """With the correction, and without."""
    return LandmarkFitting(model), LandmarkFitting(model, correct_rest=False)


@pytest.fixture(scope="module")
def truth(model, make_film_of):
    """Two seconds of a person who smiles, or does something like it, in the end."""
    expression = torch.zeros(50, len(model.expression_basis))
    expression[25:] = torch.randn(len(model.expression_basis), generator=torch.Generator().manual_seed(0))
    return make_film_of(model, expression, noise=0.15)


def test_depth_alone_is_corrected_without_shift_or_tilt(correction, faces):
    for face in faces:
        moved = correction(face)
        assert not moved[:, :2].any()
        assert 5e-4 < moved[:, 2].abs().mean() < 5e-3
        plane = torch.stack([torch.ones(468), face[:, 0] / 0.1, face[:, 1] / 0.1], 1)
        assert (torch.linalg.lstsq(plane, moved[:, 2:]).solution.abs() < 4e-4).all()  # metres, metres at 0.1 m


def test_a_mirrored_face_has_the_mirrored_correction(correction, faces):
    for face in faces:
        torch.testing.assert_close(correction(mirrored(face)), mirrored(correction(face)), atol=1e-6, rtol=0)


def test_a_larger_face_elsewhere_is_corrected_likewise(correction, faces):
    """As much more as it is larger; a small turn of the face in its frame hardly matters."""
    face = faces[0]
    larger = 1.2 * face + torch.tensor([0.01, -0.02, 0.03])
    torch.testing.assert_close(correction(larger), 1.2 * correction(face), atol=2e-6, rtol=0)
    turned = face @ axis_angle_to_matrix(torch.tensor([0.02, 0.01, -0.01])).mT
    torch.testing.assert_close(correction(turned), correction(face), atol=2e-6, rtol=0)


def test_a_face_unlike_all_others_is_not_thrown_far_off(correction, faces):
    most = correction.mean_depth.abs() + LIMIT * correction.depth.abs().sum(0)
    strange = correction.mean + 30 * (faces[1] - correction.mean)
    rotation, scale, translation = similarity_alignment(strange, correction.mean)
    traits = torch.tensordot(correction.traits, scale * strange @ rotation.mT + translation - correction.mean, dims=2)
    assert (traits.abs() > LIMIT).any()
    assert ((scale * correction(strange)[:, 2]).abs() <= most + 1e-6).all()


def test_camera_motion_and_confidence_are_those_of_the_landmarks(fittings, truth):
    with_it, without = (fitting(truth.face()) for fitting in fittings)
    for name in ("shape", "expression", "rotation", "scale", "translation", "residual", "valid"):
        assert torch.equal(getattr(with_it, name), getattr(without, name)), name
    assert without.rest_correction is None
    assert with_it.rest_correction[:, 2].abs().mean() > 5e-4
    torch.testing.assert_close(with_it.neutral_vertices, without.neutral_vertices + with_it.rest_correction)
    motion = [found.vertices - found.neutral_vertices for found in (with_it, without)]
    torch.testing.assert_close(*motion, atol=1e-7, rtol=0)


def test_a_picture_at_rest_and_a_stream_are_corrected_too(fittings, truth):
    picture = truth.landmarks[0]
    told = [fitting(truth.face(), neutral_landmarks=picture) for fitting in fittings]
    expected = fittings[0].rest_correction(told[1].neutral_vertices)
    torch.testing.assert_close(told[0].neutral_vertices - told[1].neutral_vertices, expected, atol=1e-7, rtol=0)
    for landmarks in (None, picture):
        with_it, without = (LandmarkStream(fitting, landmarks) for fitting in fittings)
        for frame in (0, 30, 49):
            ours, plain = (stream(truth.landmarks[frame], frame / 25) for stream in (with_it, without))
            correction = fittings[0].rest_correction(plain.neutral_vertices)
            torch.testing.assert_close(ours.neutral_vertices, plain.neutral_vertices + correction, atol=1e-7, rtol=0)
            torch.testing.assert_close(ours.vertices, plain.vertices + correction, atol=1e-7, rtol=0)


def test_other_face_models_are_left_as_they_are(fitting, make_film):
    assert fitting.rest_correction is None
    assert fitting(make_film(torch.zeros(3, 8)).face()).rest_correction is None


def test_a_damaged_file_is_one_sentence(correction, tmp_path):
    path = tmp_path / "correction.safetensors"
    with pytest.raises(CheckpointError, match=r"correction\.safetensors does not exist"):
        RestCorrection.load(path)
    path.write_bytes(b"not tensors")
    with pytest.raises(CheckpointError, match="not a readable safetensors file"):
        RestCorrection.load(path)
    whole = {name: getattr(correction, name).clone() for name in ("mean", "traits", "mean_depth", "depth")}
    save_file(whole, path)
    assert all(torch.equal(load_file(path)[name], getattr(RestCorrection.load(path), name)) for name in whole)
    for name, tensors in (
        ("traits", {key: value for key, value in whole.items() if key != "traits"}),
        ("mean_depth", whole | {"mean_depth": torch.zeros(3)}),
    ):
        save_file(tensors, path)
        with pytest.raises(CheckpointError, match=f"its tensor '{name}' is"):
            RestCorrection.load(path)
    save_file(whole | {"depth": whole["depth"][:-1].contiguous()}, path)
    with pytest.raises(CheckpointError, match="differ in number"):
        RestCorrection.load(path)
