"""Synthetic sequences and pools: determinism, held-out people, truth in the frame of the fit, files."""

import numpy as np
import pytest
import torch

from au_d3dface import facs
from au_d3dface.coarse import load_coarse
from au_d3dface.data import collate_clips
from au_d3dface.data.synthetic.pool import SequencePool, SyntheticClips, build_pool
from au_d3dface.data.synthetic.responses import left_side_weight, read_pyfeat_map, smooth_fields
from au_d3dface.data.synthetic.sequences import SequenceSampler, SequenceSettings
from au_d3dface.data.synthetic.tracker_response import load_tracker_response
from au_d3dface.errors import InputError
from au_d3dface.face_models import load_face_model

SETTINGS = SequenceSettings(seconds=4.0)


@pytest.fixture(scope="module")
def sampler() -> SequenceSampler:
    return SequenceSampler(load_tracker_response(), settings=SETTINGS, seed=7)


@pytest.fixture(scope="module")
def coarse():
    return load_coarse("landmarks", load_face_model("facemesh"))


@pytest.fixture(scope="module")
def pool(sampler, coarse) -> SequencePool:
    return build_pool(sampler, coarse, 6)


def test_a_sequence_is_the_same_each_time(sampler):
    again = SequenceSampler(load_tracker_response(), settings=SETTINGS, seed=7)
    for index in (0, 3):
        a, b = sampler(index), again(index)
        np.testing.assert_array_equal(a.face.landmarks, b.face.landmarks)
        np.testing.assert_array_equal(a.intensity, b.intensity)


def test_sequences_look_like_tracked_faces(sampler):
    for index in range(4):
        sequence = sampler(index)
        face = sequence.face
        assert face.landmarks.shape == (40, 478, 3)
        assert face.landmarks.dtype == np.float32
        assert np.isfinite(face.landmarks[face.valid]).all()
        assert np.isnan(face.landmarks[~face.valid]).all()
        width = np.ptp(face.landmarks[face.valid][..., 0], axis=1)
        assert width.min() > 20
        assert width.max() < 700
        # Subject's left is on the right of the picture, the chin below the forehead, as the tracker has it.
        assert (face.landmarks[face.valid][:, 263, 0] > face.landmarks[face.valid][:, 33, 0]).mean() > 0.95
        assert (face.landmarks[face.valid][:, 152, 1] > face.landmarks[face.valid][:, 10, 1]).all()


def test_held_out_people_are_others(sampler):
    other = SequenceSampler(load_tracker_response(), settings=SETTINGS, seed=8)
    for index in range(3):
        distance = np.abs(sampler(index).neutral[None] - np.stack([other(k).neutral for k in range(3)])).max((1, 2))
        assert distance.min() > 5e-4


def test_the_pool_does_not_depend_on_the_number_of_workers(sampler, coarse, pool):
    parallel = build_pool(sampler, coarse, 3, workers=2)
    for name in ("neutral", "expression", "true_neutral"):
        torch.testing.assert_close(getattr(parallel, name), getattr(pool, name)[:3], atol=2e-5, rtol=1e-4)


def test_coarse_meshes_are_those_of_the_reconstructor(sampler, coarse, pool):
    for index in range(2):
        fitted = coarse(sampler(index).face)
        valid = fitted.valid
        torch.testing.assert_close(pool.vertices(index)[valid], fitted.vertices[valid], atol=1e-6, rtol=0)
        torch.testing.assert_close(pool.neutral[index], fitted.neutral_vertices)


def test_the_truth_lies_on_the_fit(pool):
    """At rest truth and coarse differ by what fitting and noise leave; an AU moves truth along its true geometry."""
    for index in range(len(pool)):
        rest = (pool.true_neutral[index] - pool.neutral[index]).norm(dim=-1).mean()
        assert rest < 0.003
    index = 0
    pool.intensity[index] = 0
    torch.testing.assert_close(pool.true_vertices(index), pool.true_neutral[index].expand(40, -1, -1))
    pool.intensity[index, 5, facs.ALL.index(12)] = 5
    moved = pool.true_vertices(index)[5] - pool.true_neutral[index]
    corners, forehead = [61, 291], [10, 151]
    assert moved[corners].norm(dim=-1).min() > 0.005
    assert moved[forehead].norm(dim=-1).max() < 0.002
    assert moved[corners, 1].min() > 0  # up
    assert moved[291, 0] > 0 > moved[61, 0]  # outwards


def test_clips_are_deterministic_and_change_with_the_epoch(pool):
    clips = SyntheticClips(pool, facs.DISFA, clip_length=15, neutral_error=0.5, seed=3)
    first = [clips[i] for i in range(len(clips))]
    again = [SyntheticClips(pool, facs.DISFA, clip_length=15, neutral_error=0.5, seed=3)[i] for i in range(len(clips))]
    for a, b in zip(first, again, strict=True):
        for name in a:
            assert torch.equal(a[name], b[name])
    clips.begin_epoch(1)
    assert any(not torch.equal(clips[i]["vertices"], first[i]["vertices"]) for i in range(len(clips)))
    clip = first[0]
    assert clip["vertices"].shape == clip["true_vertices"].shape == (15, 468, 3)
    assert clip["au_labels"].shape == (15, 8)
    assert torch.equal(clip["au_labels"] == 1, clip["au_intensity_labels"] >= 1)


def test_whole_sequences_without_a_clip_length(pool):
    clip = SyntheticClips(pool)[1]
    torch.testing.assert_close(clip["vertices"], pool.vertices(1))
    torch.testing.assert_close(clip["neutral_vertices"], pool.neutral[1])


def test_collation_pads_with_unknown(pool):
    short = SyntheticClips(pool, clip_length=10)[0]
    batch = collate_clips([short, SyntheticClips(pool)[1]])
    assert batch["vertices"].shape == (2, 40, 468, 3)
    assert batch["neutral_vertices"].shape == (2, 468, 3)
    assert not batch["frame_mask"][0, 10:].any()
    assert (batch["au_labels"][0, 10:] == -1).all()
    assert (batch["au_intensity_labels"][0, 10:] == -1).all()
    assert torch.equal(batch["vertices"][0, 10:], short["vertices"][-1].expand(30, -1, -1))


def test_pool_files(pool, tmp_path):
    path = tmp_path / "pool.safetensors"
    pool.save(path)
    assert [p.name for p in tmp_path.iterdir()] == ["pool.safetensors"]
    loaded = SequencePool.load(path)
    assert torch.equal(loaded.vertices(2), pool.vertices(2))
    assert loaded.frame_rate == pool.frame_rate
    assert loaded.provenance == pool.provenance
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(InputError, match=r"pool\.safetensors"):
        SequencePool.load(path)
    with pytest.raises(InputError):
        SequencePool.load(tmp_path / "missing.safetensors")


def test_positive_rates_count_valid_frames(pool):
    rates = pool.positive_rates((12, 25))
    present = pool.intensity[..., facs.ALL.index(12), :].amax(-1) >= 1
    assert rates[0] == pytest.approx(float(present[pool.valid].float().mean()))


def test_left_side_weights_add_up():
    points = np.array([[-0.05, 0, 0], [-0.002, 0, 0], [0, 0, 0], [0.002, 0, 0], [0.05, 0, 0]])
    weight = left_side_weight(points)
    np.testing.assert_allclose(weight + weight[::-1], 1, atol=1e-6)
    assert weight[0] == 0
    assert weight[-1] == 1


def test_smooth_fields_have_unit_variance_and_are_smooth():
    points = np.random.default_rng(0).normal(0, 0.04, (200, 3))
    fields = smooth_fields(points, 10, 0.03)
    assert (fields**2).sum(0).mean() == pytest.approx(1, abs=1e-5)


def test_a_map_of_real_people(shared_data):
    source = read_pyfeat_map(shared_data / "pyfeat" / "au_to_mesh_pls_v4.npz")
    assert source.displacement.shape == (19, 2, 478, 3)
    assert source.known.all()
    smile = source.displacement[facs.ALL.index(12)].sum(0)
    assert smile[291, 0] > 0 > smile[61, 0]


def test_not_a_map(tmp_path):
    np.savez(tmp_path / "other.npz", coef=np.zeros(3))
    for path in (tmp_path / "other.npz", tmp_path / "missing.npz"):
        with pytest.raises(InputError, match="AU-to-mesh"):
            read_pyfeat_map(path)
