"""Robust alignment of tracked faces: undoes a similarity whatever a part of the face does."""

import numpy as np
import pytest
import torch

from au_d3dface.data.synthetic.scenes import euler_rotation
from au_d3dface.face_models import FaceMesh
from au_d3dface.training.learn_tracker_response import euler_angles, ridge
from au_d3dface.training.render_alignment import align_renders, mean_face, mirrored, robust_alignment


@pytest.fixture(scope="module")
def template() -> torch.Tensor:
    return FaceMesh().template


def turned(points: torch.Tensor, yaw: float = 0.4) -> torch.Tensor:
    rotation = torch.from_numpy(euler_rotation(yaw, 0.1, -0.2)).float()
    return 1500 * points @ rotation.T + torch.tensor([130.0, -90.0, 5.0])


def test_undoes_a_similarity_although_the_jaw_drops(template: torch.Tensor) -> None:
    face = template.clone()
    jaw = face[:, 1] < -0.06
    face[jaw, 1] -= 0.02
    moved = robust_alignment(turned(face)[None], template)[0]
    assert (moved - face).norm(dim=-1).max() < 1e-4


def test_irises_are_moved_along(template: torch.Tensor) -> None:
    face = torch.cat([template, torch.rand(10, 3) * 0.1])
    torch.testing.assert_close(robust_alignment(turned(face)[None], template)[0], face, atol=1e-5, rtol=0)


def test_mirror_twice_is_nothing(template: torch.Tensor) -> None:
    face = template + 0.01 * torch.rand(468, 3)
    torch.testing.assert_close(mirrored(mirrored(face)), face)


def test_mean_face_lies_on_the_true_ones(template: torch.Tensor) -> None:
    faces = template + 0.002 * torch.randn(30, 468, 3, generator=torch.Generator().manual_seed(0))
    mean = mean_face(torch.stack([turned(f) for f in faces]), faces)
    assert (mean - template).norm(dim=-1).mean() < 0.001
    torch.testing.assert_close(mirrored(mean), mean)


def test_faces_are_compared_with_their_own_rest(template: torch.Tensor) -> None:
    person = template + 0.003 * torch.randn(468, 3, generator=torch.Generator().manual_seed(1))
    smile = torch.zeros(468, 3)
    smile[template[:, 1] < -0.05, 1] = 0.004
    points = torch.cat([torch.stack([person, person + smile]), torch.zeros(2, 10, 3)], 1)
    tracked = turned(points, yaw=0.2) * torch.tensor([1.0, -1.0, -1.0])
    renders = {
        "person": np.array([7, 7]),
        "pose": np.array([0, 0]),
        "at_rest": np.array([True, False]),
        "found": np.array([True, True]),
        "tracked": tracked.numpy(),
    }
    aligned = align_renders(renders, template)
    assert aligned.rest.tolist() == [0, 0]
    # The rest face is aligned to the template up to what a similarity can do, so only the size may differ a little.
    assert (aligned.motion(np.array([1]))[0, :468] - smile).norm(dim=-1).max() < 4e-4
    lost = align_renders({**renders, "found": np.array([False, True])}, template)
    assert lost.usable.tolist() == [False, False]


def test_euler_angles_invert_the_scene() -> None:
    rotations = torch.stack([torch.from_numpy(euler_rotation(*a)) for a in ((0.5, 0.3, -0.2), (-0.6, -0.1, 0.3))])
    expected = torch.tensor([[0.5, 0.3, -0.2], [-0.6, -0.1, 0.3]], dtype=torch.float64)
    torch.testing.assert_close(euler_angles(rotations), expected)


def test_ridge_recovers_a_linear_map() -> None:
    features = torch.randn(200, 5, generator=torch.Generator().manual_seed(0))
    weights = torch.randn(5, 4, 3, generator=torch.Generator().manual_seed(1))
    targets = torch.tensordot(features, weights, dims=1)
    torch.testing.assert_close(ridge(features, targets, 1e-6), weights, atol=1e-4, rtol=1e-4)
