"""What is measured of the tracker is what was put in: answers to AUs and other shapes, poses, noise of frames."""

import numpy as np
import pytest
import torch

from au_d3dface import facs
from au_d3dface.data.synthetic.tracker_response import load_tracker_response
from au_d3dface.errors import InputError
from au_d3dface.face_models import FaceMesh
from au_d3dface.training import learn_facemesh, learn_tracker_response
from au_d3dface.training.learn_tracker_response import (
    PAIRS,
    measure_expressions,
    measure_jitter,
    measure_rest,
    mirrored_shapes,
    person_means,
    read_landmarks,
    rms,
)
from au_d3dface.training.render_alignment import mirrored

COUNT = len(facs.ALL)


@pytest.fixture(scope="module")
def face() -> torch.Tensor:
    """(478, 3): the facemesh template, with irises."""
    return load_tracker_response().tracked_mean


def test_mirrored_shapes_change_sides():
    names = load_tracker_response().expression_names
    swap = mirrored_shapes(names)
    for name, mirror in (("mouthSmile_L", "mouthSmile_R"), ("jawLeft", "jawRight"), ("mouthRight", "mouthLeft")):
        assert names[swap[names.index(name)]] == mirror
    assert names[swap[names.index("jawOpen")]] == "jawOpen"
    assert torch.equal(swap[swap], torch.arange(len(names)))


def test_person_means():
    points = torch.arange(12.0).reshape(4, 1, 3)
    means = person_means(points, np.array([3, 7, 3, 7]), np.array([True, True, True, False]))
    torch.testing.assert_close(means, torch.stack([(points[0] + points[2]) / 2, points[1]]))


@pytest.fixture(scope="module")
def measured(face):
    """Answers of 3,000 made-up faces, one or two AUs or one other shape each, and the fields that made them."""
    rng = torch.Generator().manual_seed(0)
    rows = 3000
    linear = 0.003 * torch.randn(COUNT, 2, 478, 3, generator=rng)
    strange = 0.003 * torch.randn(478, 3, generator=rng)
    units, other = torch.zeros(rows, COUNT, 2), torch.zeros(rows, 57)
    chosen = torch.randint(COUNT, (rows,), generator=rng)
    alone = torch.arange(rows) % 5 > 1
    strength = torch.rand(rows, 2, generator=rng)
    units[torch.arange(rows), chosen] = strength
    more = torch.randint(COUNT, (rows,), generator=rng)
    units[torch.arange(rows)[~alone], more[~alone]] = strength.flip(-1)[~alone]
    other[::10, 30] = torch.rand(rows // 10, generator=rng)
    units[::10] = 0
    motion = torch.tensordot(units, linear, dims=2) + other[:, 30, None, None] * strange
    motion = motion + 1e-4 * torch.randn(motion.shape, generator=rng)
    tensors = measure_expressions(motion, units, other, torch.sigmoid(face[:, 0] / 0.003))
    return tensors, linear, strange


def test_linear_answers_are_found_again(measured):
    tensors, linear, strange = measured
    assert set(tensors) == {
        *("tracked_linear", "tracked_quadratic", "tracked_pair", "tracked_other", "tracked_variation"),
        "expression_noise",
    }
    at_half = tensors["tracked_linear"] / 2 + tensors["tracked_quadratic"] / 4
    assert rms(at_half - linear / 2) < 0.25 * rms(linear / 2)
    assert rms(tensors["tracked_other"][30] - strange) < 0.25 * rms(strange)
    assert not tensors["tracked_other"][torch.arange(57) != 30].any()
    assert tensors["tracked_pair"].shape == (len(PAIRS), 478, 3)


def test_too_few_renders_are_one_sentence(face):
    units = torch.zeros(30, COUNT, 2)
    units[:, 0] = torch.rand(30, 1)
    with pytest.raises(InputError, match="too few renders show AU02"):
        measure_expressions(1e-3 * torch.randn(30, 478, 3), units, torch.zeros(30, 57), torch.ones(478))


def test_variation_between_people_is_split_into_sides(measured, face):
    """Factors of the left half have no say on the right."""
    variation = measured[0]["tracked_variation"]
    left, right = variation[:, 0][..., face[:, 0] < -0.03, :], variation[:, 1][..., face[:, 0] > 0.03, :]
    assert left.abs().max() < 1e-6
    assert right.abs().max() < 1e-6


def test_jitter_is_the_noise_of_single_frames(face):
    """Slow motion does not count; noise of four fields comes back at about its size."""
    rng = torch.Generator().manual_seed(1)
    fields = 0.0003 * torch.randn(4, 478, 3, generator=rng)
    noise = torch.tensordot(torch.randn(200, 4, generator=rng), fields, dims=1)
    slow = 0.004 * torch.linspace(0, 1, 200)[:, None, None] * torch.randn(478, 3, generator=rng)
    clip = 1200 * (face + noise + slow) * torch.tensor([1.0, -1.0, -1.0])
    clip[17] = torch.nan  # a lost frame
    jitter = measure_jitter([clip.numpy()], FaceMesh().template)
    ratio = float((jitter.square().sum() / (2 * fields.square().sum())).sqrt())  # every sample is taken mirrored too
    assert 0.4 < ratio < 1.1
    still = measure_jitter([(1200 * (face + slow) * torch.tensor([1.0, -1.0, -1.0])).numpy()], FaceMesh().template)
    assert still.square().sum() < 0.01 * jitter.square().sum()


def test_rest_and_pose(face):
    """The error of a pose that was put in is found, and the mean face is what people look like from the front."""
    rng = np.random.default_rng(2)
    generator = torch.Generator().manual_seed(3)
    people = np.repeat(np.arange(80), 3)
    own = 0.002 * torch.randn(80, 478, 3, generator=generator)
    symmetric = (face + mirrored(face)) / 2
    angles = torch.from_numpy(rng.uniform(-0.5, 0.5, (240, 3))).float()
    by_pitch = 0.004 * torch.randn(478, 3, generator=generator)
    by_pitch = (by_pitch + mirrored(by_pitch)) / 2
    points = symmetric + own[people] + angles[:, 1, None, None] * by_pitch
    true = (symmetric + own[people])[:, :468] * 1.1
    tensors = measure_rest(points, true, angles, people, FaceMesh().template)
    assert rms(tensors["pose_error"][1] - by_pitch) < 0.15 * rms(by_pitch)
    assert rms(tensors["pose_error"][0]) < 0.1 * rms(by_pitch)
    assert rms(tensors["tracked_mean"] - symmetric) < 0.3  # mm: 80 people and their mirror images
    assert rms(tensors["true_mean"] - symmetric[:468]) < 0.5
    assert tensors["size_deviation"] < 0.02


def test_renders_that_are_not_there_are_one_sentence(tmp_path, capsys):
    options = ["--renders", str(tmp_path), "--ict-facekit", "none.npz", "--output", str(tmp_path / "out")]
    damaged = tmp_path / "renders_00000.npz"
    for words in ("holds no renders_", "renders_00000.npz is damaged"):
        assert learn_tracker_response.main([*options, "--jitter-landmarks", "none.npy"]) == InputError.exit_status
        error = capsys.readouterr().err
        assert words in error
        assert error.count("\n") == 1
        assert learn_facemesh.main(options) == InputError.exit_status
        assert words in capsys.readouterr().err
        damaged.write_bytes(b"not an npz")
    assert not (tmp_path / "out").exists()


def test_clips_without_landmarks_are_one_sentence(tmp_path):
    np.save(tmp_path / "wrong.npy", np.zeros((3, 4)))
    np.save(tmp_path / "short.npy", np.zeros((2, 478, 3), np.float32))
    for name in ("wrong.npy", "short.npy", "missing.npy"):
        with pytest.raises(InputError, match=name):
            read_landmarks(tmp_path / name)
