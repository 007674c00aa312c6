"""Files of coefficients: what comes back, how small they are, and what is said of damaged ones."""

from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import torch
from made_meshes import random_rotations

from au_d3dface.coarse import Appearance, CoarseSequence
from au_d3dface.data.prepared import read_prepared, write_prepared
from au_d3dface.data.prepared_views import SeenFace
from au_d3dface.errors import InputError
from au_d3dface.face_models import FLAME, FaceMesh, FaceModel, LinearFLAME
from au_d3dface.modeling_au_d3dface import face_model_checksum
from au_d3dface.tracking import TrackedFace


def settings_of(face_model: FaceModel, coarse: str) -> dict[str, str]:
    checksum = face_model_checksum(face_model.template, face_model.faces)
    return {"coarse": coarse, "face_model": face_model.name, "face_model_checksum": checksum, "faces": "largest"}


def sequence(length: int, vertices: torch.Tensor, neutral: torch.Tensor, **given: torch.Tensor) -> CoarseSequence:
    random = torch.Generator().manual_seed(0)
    valid = torch.ones(length, dtype=torch.bool)
    return CoarseSequence(
        vertices=vertices,
        neutral_vertices=neutral,
        rotation=random_rotations(length, seed=1),
        scale=1000 + torch.rand(length, generator=random),
        translation=torch.rand(length, 2, generator=random),
        valid=given.pop("valid", valid),
        residual=torch.rand(length, generator=random),
        **given,
    )


@pytest.fixture(scope="module")
def flame(flame_folder: Path) -> FLAME:
    return FLAME(flame_folder)


def deca_like(flame: FLAME, length: int) -> CoarseSequence:
    """Random coefficients of the kinds and numbers that DECA gives; the second frame is not valid."""
    random = torch.Generator().manual_seed(2)
    shape, expression = torch.randn(100, generator=random), torch.randn(length, 50, generator=random)
    pose = torch.zeros(length, 15)
    pose[:, 6:9] = 0.2 * torch.randn(length, 3, generator=random)
    neutral = flame(shape, torch.zeros(50))
    valid = torch.ones(length, dtype=torch.bool)
    valid[1] = False
    pose[1], expression[1] = 0, 0
    vertices = flame(shape, expression[:10], pose[:10]) if length <= 10 else neutral.expand(length, -1, -1)
    return sequence(
        length,
        vertices,
        neutral,
        shape=shape,
        expression=expression,
        pose=pose,
        valid=valid,
        texture=torch.randn(50, generator=random),
        lighting=torch.randn(length, 9, 3, generator=random),
        frame_shape=torch.randn(length, 100, generator=random),
    )


def check(path: Path, written: CoarseSequence, face_model: FaceModel) -> None:
    video = read_prepared(path, face_model)
    assert (video.height, video.width, list(video.faces)) == (720, 1280, [4])
    np.testing.assert_array_equal(video.timestamps, np.arange(len(written.valid)) / 30)
    for field in fields(CoarseSequence):
        before, after = getattr(written, field.name), getattr(video.faces[4], field.name)
        if before is None:
            assert after is None
        else:
            torch.testing.assert_close(after, before, atol=2e-6, rtol=1e-5)


def test_flame_with_a_jaw_comes_back(flame, tmp_path):
    written = deca_like(flame, 6)
    path = tmp_path / "clip.npz"
    write_prepared(path, np.arange(6) / 30, (720, 1280), {4: written}, settings_of(flame, "deca"))
    check(path, written, flame)


@pytest.mark.parametrize("model", ["facemesh", "flame"])
def test_linear_faces_come_back_with_a_neutral_beyond_the_basis(model, flame, tmp_path):
    given = FaceMesh() if model == "facemesh" else flame
    face_model = given if model == "facemesh" else LinearFLAME(flame)
    size = len(face_model.expression_basis)
    random = torch.Generator().manual_seed(2)
    shape, expression = torch.randn(10, generator=random), torch.randn(5, size, generator=random)
    neutral = face_model(shape, torch.zeros(size)) + 1e-3 * torch.rand(face_model.template.shape, generator=random)
    vertices = neutral + torch.tensordot(expression, face_model.expression_basis, dims=1)
    written = sequence(5, vertices, neutral, shape=shape, expression=expression)
    path = tmp_path / "clip.npz"
    write_prepared(path, np.arange(5) / 30, (720, 1280), {4: written}, settings_of(given, "landmarks"))
    check(
        path, written, given
    )  # what the user has is FLAME; that it was fitted as a linear model is known from the file


def seen(length: int) -> SeenFace:
    """Landmarks and colours of the sizes that prepare writes for FLAME."""
    colors = torch.rand(5023, 5)
    appearance = Appearance(colors[:, :3], torch.rand(length, 9, 3), colors[:, 3], colors[:, 4])
    landmarks = np.random.default_rng(0).random((length, 478, 3), np.float32)
    return SeenFace.of(TrackedFace(0, landmarks, np.ones(length, bool)), appearance)


def test_140_000_frames_take_less_than_300_megabytes(flame, tmp_path):
    sizes = []
    for length in (100, 300):
        write_prepared(
            tmp_path / "clip.npz",
            np.arange(length) / 30,
            (9, 9),
            {0: deca_like(flame, length)},
            settings_of(flame, "deca"),
            seen={0: seen(length).to_arrays()},
        )
        sizes.append((tmp_path / "clip.npz").stat().st_size)
    per_frame = (sizes[1] - sizes[0]) / 200
    per_video = sizes[0] - 100 * per_frame
    assert 140_000 * per_frame + 350 * per_video < 300e6  # DISFA's and BP4D's size, in BP4D's number of videos


def test_a_video_without_a_face_is_a_file_too(tmp_path):
    path = tmp_path / "empty.npz"
    write_prepared(path, np.arange(3) / 25, (480, 640), {}, settings_of(FaceMesh(), "landmarks"))
    video = read_prepared(path, FaceMesh())
    assert video.faces == {}
    assert len(video.timestamps) == 3


def test_damaged_and_foreign_files_are_one_sentence(flame, tmp_path):
    path, facemesh = tmp_path / "clip.npz", FaceMesh()
    write_prepared(path, np.arange(6) / 30, (720, 1280), {4: deca_like(flame, 6)}, settings_of(flame, "deca"))
    with pytest.raises(InputError, match="prepared with the face model 'flame'; it cannot be read with 'facemesh'"):
        read_prepared(path, facemesh)
    content = path.read_bytes()
    with np.load(path) as npz:
        arrays = dict(npz)

    def refused(sentence: str, model: FaceModel = flame) -> None:
        with pytest.raises(InputError, match=sentence) as error:
            read_prepared(path, model)
        assert "clip.npz" in str(error.value)

    path.write_bytes(content[: len(content) // 2])
    refused("no file of `au-d3dface prepare`")
    np.savez(path, **(arrays | {"face_4_scale": np.array([{"a": 1}], object)}))
    refused("no file of `au-d3dface prepare`")  # pickled objects are not read
    np.savez(path, **(arrays | {"face_4_scale": np.ones(5, np.float32)}))
    refused("'scale' of face 4 is missing or of another length")
    np.savez(path, **{name: array for name, array in arrays.items() if name != "face_4_expression"})
    refused("'expression' of face 4 is missing")
    np.savez(path, **(arrays | {"face_4_neutral_vertices": np.zeros((468, 3), np.float32)}))
    refused("faces of 468 vertices, not 5023")
    np.savez(path, **(arrays | {"face_4_pose": np.zeros((6, 7), np.float32)}))
    refused("coefficients that this face model does not take")
    np.savez(path, **arrays)
    other = FLAME.__new__(FLAME)
    other.__dict__ = flame.__dict__ | {"_buffers": flame._buffers | {"template": flame.template + 1}}
    refused("another mesh of 'flame'", other)
    path.unlink()
    refused("is missing")
