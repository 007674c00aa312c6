"""The bundled statistics of the tracker: documented shapes, mirror symmetry, anatomy, and damaged files."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from au_d3dface import facs
from au_d3dface.data.synthetic.tracker_response import TrackerResponse, load_tracker_response, pose_features
from au_d3dface.data.synthetic.trajectories import OTHER_SHAPES
from au_d3dface.errors import CheckpointError
from au_d3dface.training.learn_tracker_response import mirrored_shapes
from au_d3dface.training.render_alignment import mirrored


@pytest.fixture(scope="module")
def response() -> TrackerResponse:
    return load_tracker_response()


@pytest.fixture(scope="module")
def true_response(response: TrackerResponse) -> torch.Tensor:
    """(19, 2, 468, 3) metres: the geometry of each AU and side at activation 1."""
    return torch.tensordot(response.au_weights, response.true_expression, dims=1)


def test_shapes(response: TrackerResponse) -> None:
    r = response
    assert tuple(r.action_units.tolist()) == facs.ALL
    assert r.tracked_mean.shape == (478, 3)
    assert r.true_mean.shape == (468, 3)
    assert r.tracked_identity.shape[1:] == (478, 3)
    assert r.true_identity.shape == (len(r.tracked_identity), 468, 3)
    assert r.au_weights.shape == (19, 2, 57)
    assert r.true_expression.shape == (57, 468, 3)
    assert r.tracked_other.shape == (57, 478, 3)
    assert len(r.expression_names) == len(set(r.expression_names)) == 57
    assert r.tracked_linear.shape == r.tracked_quadratic.shape == (19, 2, 478, 3)
    assert r.tracked_variation.shape[:2] == (19, 2)
    assert r.tracked_pair.shape == (len(r.pairs), 478, 3)
    assert r.pose_error.shape == (7, 478, 3)
    assert set(r.pairs.flatten().tolist()) <= set(facs.ALL)
    for name, tensor in vars(r).items():
        if name == "expression_names":
            continue
        assert tensor.isfinite().all(), name
        if tensor.is_floating_point():
            assert tensor.dtype == torch.float32


def test_left_and_right_mirror_each_other(response: TrackerResponse, true_response: torch.Tensor) -> None:
    for field in (response.tracked_linear, true_response):
        left, right = field.unbind(1)
        assert (mirrored(left) - right).norm() < 0.05 * right.norm()
    swap = mirrored_shapes(response.expression_names)
    other = response.tracked_other
    assert (mirrored(other) - other[swap]).norm() < 0.05 * other.norm()


def test_shapes_of_no_action_unit_have_an_answer_of_their_own(response: TrackerResponse) -> None:
    """What AUs do is not in it; speech, a mouth aside and looks are, and move what they should."""
    answer = dict(zip(response.expression_names, response.tracked_other, strict=True))
    for name in OTHER_SHAPES:
        assert answer[name].norm(dim=-1).max() > 0.001, name
    for name in ("eyeLookUp_L", "eyeLookDown_R", "eyeLookIn_L", "eyeLookOut_R"):  # lids that go along a little
        assert 0.0001 < answer[name].norm(dim=-1).max() < 0.005, name
    for name in ("mouthSmile_L", "browDown_R", "noseSneer_L"):
        assert not answer[name].any(), name
    assert answer["mouthLeft"][13, 0] > 0.002  # to the subject's left
    assert answer["jawRight"][152, 0] < -0.001
    assert answer["mouthPucker"][61, 0] > 0.002 > -0.002 > answer["mouthPucker"][291, 0]  # corners inwards


def test_anatomy(response: TrackerResponse) -> None:
    answer = (response.tracked_linear + response.tracked_quadratic).sum(1)
    au = {number: answer[row] for row, number in enumerate(facs.ALL)}
    assert au[12][[61, 291], 1].min() > 0.002  # lip corners up
    assert au[26][152, 1] < -0.005  # chin down
    assert au[45][159, 1] < -0.002  # upper lid down
    assert au[2][[105, 334], 1].min() > 0.001  # brows up
    assert au[4][[66, 296], 1].max() < -0.0005  # brows down
    assert au[25][14, 1] - au[25][13, 1] < -0.003  # lips apart


def test_the_tracker_answers_less_than_the_geometry(response: TrackerResponse, true_response: torch.Tensor) -> None:
    tracked = (response.tracked_linear + response.tracked_quadratic).sum(1)[:, :468].flatten(1).norm(dim=1)
    ratio = tracked / true_response.sum(1).flatten(1).norm(dim=1)
    assert (ratio > 0.15).all()
    assert (ratio < 1.3).all()


def test_pose_features() -> None:
    features = pose_features(torch.tensor([0.2]), torch.tensor([-0.1]), torch.tensor([0.3]))
    torch.testing.assert_close(features, torch.tensor([[0.2, -0.1, 0.3, 0.04, 0.01, 0.09, -0.02]]))


def test_a_file_without_the_names_of_the_shapes(tmp_path: Path, response: TrackerResponse) -> None:
    path = tmp_path / "nameless.safetensors"
    save_file({name: value for name, value in vars(response).items() if name != "expression_names"}, path)
    with pytest.raises(CheckpointError, match="lacks 'expression_names'"):
        load_tracker_response(path)


def test_files_that_are_not_it(tmp_path: Path) -> None:
    other = tmp_path / "other.safetensors"
    save_file({"x": torch.zeros(1)}, other)
    text = tmp_path / "text.safetensors"
    text.write_text("text")
    for path, words in ((other, "lacks"), (text, "not a readable"), (tmp_path / "none", "does not exist")):
        with pytest.raises(CheckpointError, match=words):
            load_tracker_response(path)
