"""The dense fit on a face made here, whose truth is known: a bent sheet with a slit for a mouth, 468 points on it."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from au_d3dface.coarse import DenseFitting
from au_d3dface.coarse.surface_detail import SurfaceInterpolator
from au_d3dface.errors import UsageError
from au_d3dface.face_models import FaceModel, LandmarkEmbedding
from au_d3dface.geometry import axis_angle_to_matrix

COLUMNS, ROWS = 33, 41
NAMES = ("lipsApart", "smile_L", "smile_R", "browUp", "eyeLookUp_L")


class Sheet(FaceModel):
    """A sheet of 16 x 20 cm, 10 cm in front of the origin; its two halves meet in a slit 6 cm wide."""

    name = "sheet"

    def __init__(self) -> None:
        super().__init__()
        x, y = np.meshgrid(np.linspace(-0.08, 0.08, COLUMNS), np.linspace(-0.1, 0.1, ROWS))
        points = np.stack([x, y, 0.1 - 6 * x**2 - 2 * y**2], -1).reshape(-1, 3)
        index = np.arange(len(points)).reshape(ROWS, COLUMNS)
        a, b, c, d = (part.ravel() for part in (index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1]))
        faces = np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)])
        # The slit: the middle row's inner vertices are there twice, and what lies below has the second ones.
        self.upper = index[ROWS // 2][np.abs(x[0]) < 0.03]
        self.lower = len(points) + np.arange(len(self.upper))
        below = points[faces].mean(1)[:, 1] < 0
        for upper, lower in zip(self.upper, self.lower, strict=True):
            faces[below] = np.where(faces[below] == upper, lower, faces[below])
        points = np.concatenate([points, points[self.upper], [[0.0, 0.0, 0.0]]])  # the last is of no triangle
        self.register_buffer("template", torch.from_numpy(points).float())
        self.register_buffer("faces", torch.from_numpy(faces))
        x, y, _ = points.T
        side = np.where(np.isin(np.arange(len(points)), self.lower) | (y < -1e-9), -1.0, 1.0)
        bumps = {
            "lipsApart": 0.008 * side * np.exp(-(y**2) / 0.03**2 - x**4 / 0.03**4),
            "smile_L": 0.009 * np.exp(-((x - 0.035) ** 2 + y**2) / 0.02**2),
            "smile_R": 0.009 * np.exp(-((x + 0.035) ** 2 + y**2) / 0.02**2),
            "browUp": 0.008 * np.exp(-((y - 0.06) ** 2) / 0.02**2),
            "eyeLookUp_L": 0.004 * np.exp(-((x - 0.03) ** 2 + (y - 0.03) ** 2) / 0.015**2),
        }
        expression = np.zeros((len(NAMES), len(points), 3))
        expression[:, :, 1] = np.stack([bumps[name] for name in NAMES])
        expression[:, -1] = 0
        shape = np.zeros((3, len(points), 3))  # width, height, depth of the bend
        shape[0, :, 0], shape[1, :, 1], shape[2, :, 2] = 0.03 * x, 0.03 * y, 0.5 * x**2
        self.register_buffer("shape_basis", torch.from_numpy(shape).float())
        self.register_buffer("expression_basis", torch.from_numpy(expression).float())
        self.expression_names = NAMES
        self.uv = None
        rng = np.random.default_rng(0)
        rows = rng.permutation(len(faces))[:468]
        self.landmarks_468 = LandmarkEmbedding(
            torch.from_numpy(rows), torch.from_numpy(rng.dirichlet((1, 1, 1), 468)).float()
        )
        self.landmarks_68 = None

    def au_masks(self, action_units: Sequence[int]) -> Tensor:
        return torch.ones(len(action_units), self.num_vertices)


class Points(FaceModel):
    """A sparse model whose vertices are the 468 points."""

    name = "points"

    def __init__(self, points: Tensor) -> None:
        super().__init__()
        self.register_buffer("template", points)
        self.register_buffer("faces", torch.arange(468).reshape(-1, 3))
        self.shape_basis, self.expression_basis = torch.zeros(1, 468, 3), torch.zeros(1, 468, 3)
        every = torch.eye(3).repeat(156, 1)
        self.landmarks_468 = LandmarkEmbedding(torch.arange(156).repeat_interleave(3), every)

    def au_masks(self, action_units: Sequence[int]) -> Tensor:
        return torch.ones(len(action_units), 468)


SHEET = Sheet()
FITTING = DenseFitting(SHEET, Points(SHEET.landmarks_468(SHEET.template, SHEET.faces)))


def seen(vertices: Tensor) -> Tensor:
    return SHEET.landmarks_468(vertices, SHEET.faces)


def smooth_noise(seed: int, frames: int, size: float) -> Tensor:
    return size * torch.randn(frames, 468, 3, generator=torch.Generator().manual_seed(seed))


PERSON = torch.tensor([1.0, -0.8, 0.7])
REST = SHEET(PERSON, torch.zeros(5))


@settings(deadline=None, max_examples=20)
@given(st.lists(st.floats(0, 1), min_size=4, max_size=4))
def test_faces_of_the_model_come_back(weights: list[float]) -> None:
    neutral = FITTING.neutral(seen(REST))
    true = SHEET(PERSON, torch.tensor([*weights, 0.0]))
    dense, found = FITTING(seen(true)[None], neutral)
    assert (neutral.vertices - REST)[:-1].norm(dim=-1).max() < 3e-4
    assert (dense[0] - true)[:-1].norm(dim=-1).max() < 5e-4
    assert (found[0, :4] - torch.tensor(weights)).abs().max() < 0.1


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 1000), st.floats(1e-4, 2e-2))
def test_weights_stay_between_0_and_1_and_the_gaze_unused(seed: int, size: float) -> None:
    neutral = FITTING.neutral(seen(REST) + smooth_noise(seed, 1, size)[0])
    dense, weights = FITTING(seen(REST) + smooth_noise(seed + 1, 3, size), neutral)
    assert dense.isfinite().all()
    for values in (weights, neutral.rest[None]):
        assert values.min() >= 0
        assert values.max() <= 1
        assert values[:, NAMES.index("eyeLookUp_L")].abs().max() == 0


def test_the_neutral_face_gives_the_dense_neutral_face() -> None:
    points = seen(REST) + smooth_noise(0, 1, 1e-3)[0]
    neutral = FITTING.neutral(points)
    dense, weights = FITTING(points[None], neutral)
    torch.testing.assert_close(dense[0], neutral.vertices, atol=1e-6, rtol=0)
    torch.testing.assert_close(weights[0], neutral.rest, atol=1e-5, rtol=0)


def test_it_adds_no_jitter() -> None:
    neutral = FITTING.neutral(seen(REST))
    motion = torch.sin(torch.linspace(0, 6, 60))[:, None].clamp_min(0) * torch.tensor([0.2, 0.9, 0.5, 1.0, 0.0])
    points = seen(SHEET(PERSON, motion)) + smooth_noise(1, 60, 3e-4)
    dense, _ = FITTING(points, neutral)

    def jitter(frames: Tensor) -> float:
        return float((frames[2:] - 2 * frames[1:-1] + frames[:-2]).square().sum(-1).mean().sqrt())

    assert jitter(seen(dense)) < jitter(points)
    assert jitter(dense) < jitter(points)


def test_frames_do_not_know_of_one_another() -> None:
    neutral = FITTING.neutral(seen(REST))
    points = seen(SHEET(PERSON, torch.rand(300, 5) * torch.tensor([1, 1, 1, 1, 0]))) + smooth_noise(2, 300, 1e-3)
    dense, weights = FITTING(points, neutral)
    for frame in (0, 255, 256, 299):
        alone, alone_weights = FITTING(points[frame : frame + 1], neutral)
        torch.testing.assert_close(dense[frame], alone[0], atol=1e-6, rtol=0)
        torch.testing.assert_close(weights[frame], alone_weights[0], atol=1e-4, rtol=0)


def test_another_place_and_size_of_the_head_frame_changes_only_those() -> None:
    rotation = axis_angle_to_matrix(torch.tensor([0.02, -0.05, 0.03]))
    shift = torch.tensor([0.001, -0.004, 0.006])

    def moved(points: Tensor) -> Tensor:
        return 1.04 * points @ rotation.T + shift

    smiling = seen(SHEET(PERSON, torch.tensor([0.0, 0.8, 0.6, 0.3, 0.0])))
    neutral, other = FITTING.neutral(seen(REST)), FITTING.neutral(moved(seen(REST)))
    dense, weights = FITTING(smiling[None], neutral)
    dense_moved, weights_moved = FITTING(moved(smiling)[None], other)
    assert (dense_moved[0] - moved(dense[0]))[:-1].norm(dim=-1).max() < 1e-3
    assert (weights_moved - weights).abs().max() < 0.1


def test_what_the_shapes_cannot_say_is_carried() -> None:
    """A nose that grows is no shape of the sheet; the dense face grows one where the points do."""
    neutral = FITTING.neutral(seen(REST))

    def nose(points: Tensor) -> Tensor:
        bump = 0.004 * torch.exp(-((points[..., 0] ** 2 + (points[..., 1] - 0.04) ** 2) / 0.02**2))
        return bump[..., None] * torch.tensor([0.0, 0.0, 1.0])

    points = seen(REST)
    dense, _ = FITTING((points + nose(points))[None], neutral)
    grown = (dense[0] - neutral.vertices)[:-1]
    assert (grown - nose(REST)[:-1]).norm(dim=-1).max() < 1e-3
    assert (seen(dense)[0] - points - nose(points)).norm(dim=-1).mean() < 2e-4


def test_one_lip_does_not_pull_at_the_other() -> None:
    """Points of the lower half alone move; the upper edge of the slit, at the same place in space, hardly follows."""
    interpolate = SurfaceInterpolator(SHEET)
    points = seen(SHEET.template)
    below = (points[:, 1] < 0) & (points[:, :2].norm(dim=-1) < 0.04)
    displacement = torch.zeros(1, 468, 3)
    displacement[0, below, 1] = -0.005
    moved = interpolate(displacement)[0, :, 1]
    middle = len(SHEET.upper) // 2
    upper, lower = moved[SHEET.upper[middle]], moved[SHEET.lower[middle]]
    assert lower < -0.003
    assert upper.abs() < 0.001
    assert moved[-1] == 0  # of no triangle


def test_a_model_without_landmarks_is_refused() -> None:
    model = Sheet()
    model.landmarks_468 = None
    for pair in ((model, FITTING.sparse), (SHEET, model)):
        with pytest.raises(UsageError, match="468"):
            DenseFitting(*pair)
