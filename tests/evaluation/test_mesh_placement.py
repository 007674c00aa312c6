"""A face laid on a head of another topology, from anywhere, and back."""

import numpy as np
import pytest
import torch
from made_meshes import facemesh, head_with_the_face

from au_d3dface.evaluation.meshes.placement import place
from au_d3dface.geometry import Similarity, axis_angle_to_matrix

FACE, FACE_TRIANGLES = (array.numpy().astype(np.float64) for array in facemesh())
FACE_TRIANGLES = FACE_TRIANGLES.astype(np.int64)


HEAD, HEAD_TRIANGLES = head_with_the_face()
MOTIONS = {
    "still": ([0.0, 0, 0], [0.0, 0, 0]),
    "camera, y down and z away": ([np.pi, 0, 0], [0.0, 0.1, 0.8]),
    "turned and far": ([0.3, -0.3, 0.2], [2.0, -1.0, 5.0]),
    "z up": ([np.pi / 2, 0, 0], [0.0, 0, 0]),
}


def motion(name: str, scale: float = 1.0) -> Similarity:
    turn, shift = MOTIONS[name]
    return Similarity(axis_angle_to_matrix(torch.tensor(turn, dtype=torch.float64)).numpy(), scale, np.array(shift))


@pytest.mark.parametrize("name", MOTIONS)
@pytest.mark.parametrize("inverse", [False, True])
def test_finds_the_face_on_a_head(name, inverse):
    moved = motion(name)(HEAD)
    if inverse:
        found, residual = place(moved, HEAD_TRIANGLES, FACE, FACE_TRIANGLES)
        error = np.linalg.norm(found(moved) - HEAD, axis=1)
    else:
        found, residual = place(FACE, FACE_TRIANGLES, moved, HEAD_TRIANGLES)
        error = np.linalg.norm(found(FACE) - motion(name)(FACE), axis=1)
    assert residual < 1e-5
    assert error.max() < 1e-4


def test_size_too_where_asked():
    moved = motion("turned and far", 1.12)(HEAD)
    found, _ = place(moved, HEAD_TRIANGLES, FACE, FACE_TRIANGLES, with_scale=True)
    assert found.scale == pytest.approx(1 / 1.12, rel=1e-3)
    rigid, residual = place(moved, HEAD_TRIANGLES, FACE, FACE_TRIANGLES)
    assert rigid.scale == 1
    assert residual > 5e-4


def test_one_topology_corresponds():
    moved = motion("camera, y down and z away")(FACE)
    found, residual = place(moved, FACE_TRIANGLES, FACE, FACE_TRIANGLES)
    assert residual < 1e-9
    np.testing.assert_allclose(found(moved), FACE, atol=1e-9)


def test_the_frame_before_is_followed_and_left_where_it_is_wrong():
    found, residual = place(FACE, FACE_TRIANGLES, motion("turned and far")(HEAD), HEAD_TRIANGLES)
    other = motion("camera, y down and z away")
    after, far = place(FACE, FACE_TRIANGLES, other(HEAD), HEAD_TRIANGLES, start=found, start_residual=residual)
    assert far < 1e-5
    np.testing.assert_allclose(after(FACE), other(FACE), atol=1e-4)


def test_bad_meshes():
    with pytest.raises(ValueError, match="finite"):
        place(np.full_like(FACE, np.nan), FACE_TRIANGLES, HEAD, HEAD_TRIANGLES)
    with pytest.raises(ValueError, match="triangle"):
        place(FACE, FACE_TRIANGLES, HEAD, HEAD_TRIANGLES[:0])
