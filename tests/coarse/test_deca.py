"""The DECA reconstructor: one person out of coefficients, with a network that says what it is told."""

import copy
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from au_d3dface.coarse import DECA, EMOCA
from au_d3dface.coarse.deca import BATCH, frame_camera, robust_mean
from au_d3dface.coarse.deca_crop import CropBox, deca_box
from au_d3dface.coarse.deca_encoder import DECACoefficients
from au_d3dface.errors import CheckpointError, InputError, NoFaceError, UsageError
from au_d3dface.face_models import FLAME, FaceMesh
from au_d3dface.face_models.ibug68 import IBUG_68_OF_468
from au_d3dface.geometry import axis_angle_to_matrix, weak_perspective
from au_d3dface.tracking import TrackedFace

LENGTH = 40


class Told(nn.Module):
    """Says the coefficients of row r for a crop whose every number is r / 255."""

    def __init__(self, code: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("code", code)
        self.batches: list[int] = []

    def forward(self, crops: torch.Tensor) -> DECACoefficients:
        self.batches.append(len(crops))
        return DECACoefficients.split(self.code[(crops[:, 0, 112, 112] * 255).round().long()])


@pytest.fixture(scope="session")
def flame(flame_folder: Path) -> FLAME:
    return FLAME(flame_folder)


@pytest.fixture(scope="session")
def code() -> torch.Tensor:
    """(LENGTH, 236): one person with noise in the identity, who opens the jaw, and turns."""
    random = torch.Generator().manual_seed(3)
    code = torch.zeros(LENGTH, 236)
    code[:, :100] = torch.randn(100, generator=random) + 0.2 * torch.randn(LENGTH, 100, generator=random)
    code[:, 100:150] = torch.randn(50, generator=random) + 0.1 * torch.randn(LENGTH, 50, generator=random)
    code[:, 150:200] = torch.randn(LENGTH, 50, generator=random)
    time = torch.linspace(0, 6, LENGTH)
    code[:, 200:203] = torch.stack([0.2 * time.sin(), 0.5 * time.cos(), 0.1 * time.sin()], 1)
    code[:, 203] = 0.15 + 0.15 * time.sin()
    code[:, 206:209] = torch.stack([8 + time.sin(), 0.01 * time.cos(), 0.02 + 0.01 * time.sin()], 1)
    code[:, 209:] = torch.rand(LENGTH, 27, generator=random)
    return code


def reference_points(flame: FLAME, shape: torch.Tensor, code: torch.Tensor, box: CropBox) -> torch.Tensor:
    """(V, 2) pixels as DECA's own code goes: pose, camera, crop, and the crop's similarity backwards."""
    x, y, _ = flame(shape, code[150:200], code[200:206]).unbind(-1)
    size, tx, ty = code[206:209]
    crop = torch.stack([size * (x + tx), -size * (y + ty)], -1)  # sides at -1 and 1
    samples = (crop * 0.5 + 0.5) * 224
    index = torch.tensor([box.left, box.top]) + samples * (box.side / 223)
    return index + 0.5  # here the middle of a pixel is at 0.5


@pytest.fixture(scope="session")
def face(flame: FLAME, code: torch.Tensor) -> TrackedFace:
    """The person tracked in a picture of 200 x 300, the landmarks where the crop's own camera would see them."""
    random = np.random.default_rng(0)
    landmarks = np.zeros((LENGTH, 478, 3), np.float32)
    base = random.uniform(-40, 40, (478, 2))
    for row in range(LENGTH):
        landmarks[row, :, :2] = base * (1 + 0.1 * math.sin(row)) + (150 + row / 3, 100)
    valid = np.ones(LENGTH, bool)
    valid[[4, 5, 20]] = False
    landmarks[~valid] = np.nan
    return TrackedFace(0, landmarks, valid)


def pictures(length: int = LENGTH):
    for row in range(length):
        yield row, np.full((200, 300, 3), row, np.uint8)


@pytest.fixture(scope="session")
def sequence(flame, code, face):
    return DECA(Told(code), flame)(face, frames=pictures())


def test_every_frame_has_its_own_coefficients(sequence, code, face):
    valid = torch.from_numpy(face.valid)
    assert torch.equal(sequence.valid, valid)
    assert torch.equal(sequence.expression[valid], code[valid, 150:200])
    assert sequence.lighting.shape == (LENGTH, 9, 3)  # nine terms of three colours, as `rendering.shade` takes them
    assert torch.equal(sequence.lighting[valid].flatten(1), code[valid, 209:])
    assert torch.equal(sequence.frame_shape[valid], code[valid, :100])  # raw, for the paper's rows of plain DECA
    assert sequence.pose.shape == (LENGTH, 15)
    assert torch.equal(sequence.pose[valid, 6:9], code[valid, 203:206])  # the jaw stays in the pose
    assert not sequence.pose[:, [0, 1, 2, 3, 4, 5, *range(9, 15)]].any()
    torch.testing.assert_close(sequence.rotation[valid], axis_angle_to_matrix(code[valid, 200:203]))


def test_both_meshes_are_of_one_identity_and_differ_by_expression_and_jaw(sequence, flame, code):
    shape = sequence.shape
    assert sequence.texture.shape == (50,)
    valid = sequence.valid
    # Noise of 0.2 a frame: the mean over 37 frames is nearer to the truth than any frame.
    assert (shape - code[valid, :100].mean(0)).norm() < 0.3 * (code[valid, :100] - shape).norm(dim=1).min()
    torch.testing.assert_close(sequence.neutral_vertices, flame(shape, torch.zeros(50)))
    row = 7
    still = torch.zeros(3)
    expected = flame(shape, code[row, 150:200], torch.cat([still, code[row, 203:206]]))
    torch.testing.assert_close(sequence.vertices[row], expected, atol=1e-6, rtol=0)


def test_the_camera_of_the_frame_sees_what_decas_camera_saw_in_the_crop(sequence, flame, code, face):
    seen = weak_perspective(sequence.vertices, sequence.rotation, sequence.scale, sequence.translation)
    for row in (0, 3, 17, 39):
        expected = reference_points(flame, sequence.shape, code[row], deca_box(face.landmarks[row]))
        torch.testing.assert_close(seen[row, :, :2], expected, atol=1e-3, rtol=0)  # pixels


def test_frames_without_the_face_hold_the_neutral_one(sequence):
    for row in (4, 5, 20):
        assert torch.equal(sequence.vertices[row], sequence.neutral_vertices)
        assert torch.equal(sequence.rotation[row], torch.eye(3))
        assert (sequence.scale[row], *sequence.translation[row].tolist()) == (1, 0, 0)
        assert torch.equal(sequence.frame_shape[row], sequence.shape)
        assert not sequence.expression[row].any()
        assert sequence.residual[row].isnan()
        assert sequence.confidence[row] == 0


def test_confidence_is_high_where_landmarks_are_where_the_mesh_says(flame, code, face, sequence):
    seen = weak_perspective(sequence.vertices, sequence.rotation, sequence.scale, sequence.translation)
    landmarks = face.landmarks.copy()
    landmarks[:, list(IBUG_68_OF_468)] = flame.landmarks_68(seen, flame.faces).numpy()
    # Landmarks decide the crop too, so that only the misfit of a sequence assembled with the old crops is zero.
    deca = DECA(Told(code), flame)
    boxes = {row: deca_box(face.landmarks[row]) for row in np.flatnonzero(face.valid).tolist()}
    rows = torch.from_numpy(np.flatnonzero(face.valid))
    on_it = deca.assemble(TrackedFace(0, landmarks, face.valid), boxes, rows, DECACoefficients.split(code[rows]))
    assert on_it.residual[on_it.valid].max() < 1e-4
    assert on_it.confidence[on_it.valid].min() > 0.99
    assert sequence.residual[on_it.valid].min() > 0.05
    # One eye distance of shift is a residual of one.
    eyes = flame.landmarks_68(on_it.neutral_vertices, flame.faces)[[36, 45]]
    moved = landmarks.copy()
    moved[..., 0] += float(on_it.scale[0] * (eyes[0] - eyes[1]).norm())
    shifted = deca.assemble(TrackedFace(0, moved, face.valid), boxes, rows, DECACoefficients.split(code[rows]))
    assert shifted.residual[0] == pytest.approx(1, abs=1e-3)


def test_pictures_go_through_the_network_in_batches_and_only_where_the_face_is(flame, code, face):
    told = Told(code)
    DECA(told, flame)(face, frames=pictures())
    assert told.batches == [BATCH, 37 - BATCH]


def test_a_frame_for_which_the_network_fails_is_not_valid(flame, code, face):
    broken = code.clone()
    broken[9, 55] = torch.inf
    sequence = DECA(Told(broken), flame)(face, frames=pictures())
    assert not sequence.valid[9]
    assert int(sequence.valid.sum()) == 36
    assert sequence.shape.isfinite().all()
    with pytest.raises(NoFaceError, match="DECA gives no finite numbers"):
        DECA(Told(torch.full_like(code, torch.nan)), flame)(face, frames=pictures())


def test_a_video_that_ends_earlier_when_it_is_read_again(flame, code, face):
    with pytest.raises(InputError, match="frame 31 is not there"):
        DECA(Told(code), flame)(face, frames=pictures(30))


def test_nobody(flame, code):
    nobody = TrackedFace(3, np.full((LENGTH, 478, 3), np.nan, np.float32), np.zeros(LENGTH, bool))
    with pytest.raises(NoFaceError, match="Face 3 was found in no frame"):
        DECA(Told(code), flame)(nobody, frames=pictures())


def test_wrong_arguments(flame, code, face):
    deca = EMOCA(Told(code), flame)
    assert deca.needs_frames
    assert not deca.takes_neutral
    with pytest.raises(ValueError, match="'emoca' looks at pictures"):
        deca(face)
    with pytest.raises(UsageError, match="'emoca' takes no neutral picture"):
        deca(face, torch.zeros(478, 3), pictures())
    with pytest.raises(UsageError, match="'deca' needs the face model 'flame', not 'facemesh'"):
        DECA(Told(code), FaceMesh())


def test_another_flame_is_refused(flame, code):
    other = copy.copy(flame)
    other.version = "2023"
    with pytest.raises(CheckpointError, match=r"coefficients of EMOCA belong to FLAME 2020, and this is FLAME 2023"):
        EMOCA(Told(code), other)
    other = copy.copy(flame)
    other.landmarks_68 = None
    with pytest.raises(CheckpointError, match=r"DECA needs FLAME's landmarks.*convert it again"):
        DECA(Told(code), other)


def test_robust_mean_is_not_moved_by_a_few_that_are_far_away():
    random = torch.Generator().manual_seed(0)
    values = 1 + 0.1 * torch.randn(200, 10, generator=random)
    clean = robust_mean(values)
    assert (clean - values.mean(0)).abs().max() < 0.01
    values[::5] = 30.0  # a fifth of the frames
    assert (robust_mean(values) - 1).abs().max() < 0.03
    assert torch.equal(robust_mean(values[:1]), values[0])
    assert torch.equal(robust_mean(values[:1].repeat(5, 1)), values[0])


def test_frame_camera_of_a_known_case():
    # A crop of 223 pixels samples the picture pixel by pixel; half its side is 112 samples.
    scale, translation = frame_camera(
        torch.tensor([[10.0, 0.01, -0.02]]), torch.tensor([[0.0, 0.05, 9.0]]), [CropBox(50.0, 30.0, 223)]
    )
    assert scale.tolist() == [1120.0]
    # x: 50.5 + 112 (1 + 10 · 0.01); y: 30.5 + 112 (1 - 10 · (-0.02 + 0.05))
    torch.testing.assert_close(translation, torch.tensor([[50.5 + 112 * 1.1, 30.5 + 112 * 0.7]]))
