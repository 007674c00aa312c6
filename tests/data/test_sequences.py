"""Synthetic sequences and pools: determinism, held-out people, truth in the frame of the fit, files."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from au_d3dface import facs
from au_d3dface.coarse import LandmarkFitting, load_coarse
from au_d3dface.data import collate_clips
from au_d3dface.data.synthetic.pool import SequencePool, SyntheticClips, build_pool
from au_d3dface.data.synthetic.responses import left_side_weight, read_pyfeat_map, smooth_fields
from au_d3dface.data.synthetic.sequences import (
    MOST,
    SequenceSampler,
    SequenceSettings,
    moderated,
    other_weights,
)
from au_d3dface.data.synthetic.tracker_response import load_tracker_response
from au_d3dface.data.synthetic.trajectories import Performance, labels, sample_performance
from au_d3dface.errors import InputError
from au_d3dface.face_models import load_face_model
from au_d3dface.geometry import similarity_alignment

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
    response = load_tracker_response()
    smiling = replace(pool, weights=torch.zeros_like(pool.weights))
    index = 0
    torch.testing.assert_close(smiling.true_vertices(index), smiling.true_neutral[index].expand(40, -1, -1))
    smiling.weights[index, 5] = response.au_weights[facs.ALL.index(12)].sum(0)
    moved = smiling.true_vertices(index)[5] - smiling.true_neutral[index]
    corners, forehead = [61, 291], [10, 151]
    assert moved[corners].norm(dim=-1).min() > 0.005
    assert moved[forehead].norm(dim=-1).max() < 0.002
    assert moved[corners, 1].min() > 0  # up
    assert moved[291, 0] > 0 > moved[61, 0]  # outwards


def test_true_vertices_are_the_weights_geometry_in_the_frame_of_the_fit(sampler, coarse, pool):
    """One similarity a sequence takes the tracker's face at rest to S̄, and the true displacement with it."""
    geometry = load_tracker_response().true_expression
    for index in range(2):
        sequence = sampler(index)
        displacement = torch.tensordot(torch.from_numpy(sequence.weights), geometry, dims=1)  # (T, 468, 3)
        neutral = torch.from_numpy(sequence.neutral)
        correction = coarse(sequence.face).rest_correction  # not the tracker's: truth has it as S̄ has it
        rotation, scale, translation = similarity_alignment(neutral, pool.neutral[index] - correction)
        torch.testing.assert_close(pool.alignment[index], scale * rotation)
        expected = scale * (neutral + displacement) @ rotation.mT + translation + correction
        torch.testing.assert_close(pool.true_vertices(index), expected, atol=2e-5, rtol=0)  # weights are kept as half
        torch.testing.assert_close(pool.true_vertices(index, slice(3, 8)), pool.true_vertices(index)[3:8])
        # A turn of the whole by one rotation: distances within the truth are those of the displacement, scaled.
        moved = (pool.true_vertices(index) - pool.true_neutral[index]).norm(dim=-1)
        torch.testing.assert_close(moved, scale * displacement.norm(dim=-1), atol=2e-5, rtol=0)


def test_training_sees_the_same_whether_faces_are_corrected_at_rest_or_not(sampler, pool):
    """Of what the network reads, and of what it must add, the correction is no part: checkpoints stay valid."""
    plain = build_pool(sampler, LandmarkFitting(load_face_model("facemesh"), correct_rest=False), 2)
    assert (pool.neutral[:2] - plain.neutral)[..., 2].abs().mean() > 5e-4
    assert torch.equal(pool.expression[:2], plain.expression)
    for index in range(2):
        for meshes in (SequencePool.vertices, SequencePool.true_vertices):
            ours, theirs = (meshes(made, index) - made.neutral[index] for made in (pool, plain))
            torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=0)


def test_the_truth_holds_action_units_and_distractors(sampler):
    """weights = what the AUs do, to a gain of this person, plus speech, a mouth aside and looks, as they are."""
    response = load_tracker_response()
    names, au_weights = response.expression_names, response.au_weights.numpy()
    touched = au_weights.any((0, 1))
    distracted = set()
    for index in range(12):
        sequence, low, high = sampler(index), *SETTINGS.true_gain
        act = sample_performance(np.random.default_rng([7, index]), sequence.times)
        np.testing.assert_array_equal(sequence.intensity, act.action_units)
        other = other_weights(act, names)
        np.testing.assert_allclose(sequence.weights[:, ~touched], other[:, ~touched], atol=1e-6)
        whole = np.tensordot(sequence.intensity / 5, au_weights, axes=2)
        moved = sequence.weights - other
        assert (moved >= 0.7 * low * whole - 1e-5).all()
        assert (moved <= 1.4 * high * whole + 1e-5).all()
        distracted |= {names[column] for column in np.flatnonzero((other > 0.05).any(0))}
    assert {"mouthFunnel", "mouthPucker", "eyeLookUp_L", "eyeLookIn_R"} <= distracted


def test_eyes_that_look_to_the_left_move_both_lids(sampler):
    act = Performance(
        action_units=np.zeros((2, 19, 2), np.float32),
        other=np.zeros((2, 12), np.float32),
        gaze=np.array([[0.6, 0.0], [0.0, -0.3]], np.float32),
        pose=np.zeros((2, 3), np.float32),
    )
    weights = other_weights(act, sampler.names)
    shown = [{sampler.names[i]: round(float(row[i]), 3) for i in np.flatnonzero(row)} for row in weights]
    assert shown == [{"eyeLookOut_L": 1.0, "eyeLookIn_R": 1.0}, {"eyeLookDown_L": 0.5, "eyeLookDown_R": 0.5}]


def test_a_distractor_moves_the_tracked_points(sampler):
    """The answer to a shape that is no AU is there without any AU."""
    other = np.zeros((1, len(sampler.names)), np.float32)
    other[0, sampler.names.index("mouthLeft")] = 1
    still = sampler._motion(np.random.default_rng(0), np.zeros((1, 19, 2), np.float32), 0 * other, np.ones((19, 2)))
    moved = sampler._motion(np.random.default_rng(0), np.zeros((1, 19, 2), np.float32), other, np.ones((19, 2)))
    assert np.abs(still).max() == 0
    assert moved[0, [0, 13, 17], 0].min() > 0.002  # the lips, to the subject's left
    assert np.abs(moved[0, [10, 151]]).max() < 0.002


def test_a_style_is_kept(sampler):
    """All sequences of a settings' style are that style's; a calm one has fewer action units."""
    present = {}
    for style in ("conversation", "watching"):
        own = SequenceSampler(load_tracker_response(), settings=replace(SETTINGS, style=style), seed=7)
        present[style] = np.mean([labels(own(index).intensity)[0].mean() for index in range(12)])
    assert present["conversation"] > 1.5 * present["watching"]


def test_a_person_whom_the_tracker_never_found_counts_for_nothing(sampler, coarse, pool):
    class Lost:
        provenance = sampler.provenance

        def __call__(self, index):
            sequence = sampler(index)
            if index == 1:
                sequence.face.valid[:] = False
                sequence.face.landmarks[:] = np.nan
            return sequence

    with_lost = build_pool(Lost(), coarse, 3)
    assert not with_lost.valid[1].any()
    torch.testing.assert_close(with_lost.neutral[2], pool.neutral[2])
    clip = SyntheticClips(with_lost)[1]
    assert not clip["frame_mask"].any()
    meshes = with_lost.meshes(collate_clips([clip]))
    assert all(torch.isfinite(meshes[name]).all() for name in ("vertices", "neutral_vertices", "true_vertices"))


def test_pools_one_after_the_other(sampler, coarse, pool):
    other = build_pool(SequenceSampler(load_tracker_response(), settings=SETTINGS, seed=9), coarse, 2)
    both = SequencePool.cat([pool, other])
    assert len(both) == 8
    for index in range(2):
        assert torch.equal(both.vertices(6 + index), other.vertices(index))
        assert torch.equal(both.true_vertices(6 + index), other.true_vertices(index))
        assert torch.equal(both.valid[6 + index], other.valid[index])
    assert [part["seed"] for part in both.provenance] == [7, 9]
    assert [part["sequences"] for part in both.provenance] == [6, 2]
    head = both.head(7)
    assert len(head) == len(head.weights) == 7
    assert torch.equal(head.true_vertices(6), other.true_vertices(0))


def test_unequal_pools_are_not_joined(pool):
    shorter = replace(pool, expression=pool.expression[:, :30])
    faster = replace(pool, frame_rate=30.0)
    other_face = replace(pool, expression_basis=pool.expression_basis + 1e-3)
    for unequal, sentence in ((shorter, "30 frames at 10"), (faster, "at 30 a second"), (other_face, "face model")):
        with pytest.raises(InputError, match=sentence):
            SequencePool.cat([pool, unequal])


def test_clips_are_deterministic_and_change_with_the_epoch(pool):
    clips = SyntheticClips(pool, facs.DISFA, clip_length=15, neutral_error=0.5, seed=3)
    first = [clips[i] for i in range(len(clips))]
    again = [SyntheticClips(pool, facs.DISFA, clip_length=15, neutral_error=0.5, seed=3)[i] for i in range(len(clips))]
    for a, b in zip(first, again, strict=True):
        for name in a:
            assert torch.equal(a[name], b[name])
    clips.begin_epoch(1)
    assert any(not torch.equal(clips[i]["expression"], first[i]["expression"]) for i in range(len(clips)))
    clip = first[0]
    meshes = pool.meshes(collate_clips([clip]))
    assert meshes["vertices"].shape == meshes["true_vertices"].shape == (1, 15, 468, 3)
    assert sum(value.nbytes for value in clip.values()) < 0.15 * 2 * meshes["vertices"].nbytes  # what travels
    assert clip["au_labels"].shape == (15, 8)
    assert torch.equal(clip["au_labels"] == 1, clip["au_intensity_labels"] >= 1)


@pytest.mark.parametrize("bend", [{"mixing": 0.5}, {"noise": 0.5}, {"offset": 0.5}])
def test_bending_changes_the_fit_and_not_the_truth(pool, bend):
    clean, bent = SyntheticClips(pool, seed=3)[0], SyntheticClips(pool, seed=3, **bend)[0]
    for name in clean:
        assert torch.equal(clean[name], bent[name]) == (name != "expression"), name
    vertices = [pool.meshes(collate_clips([clip]))["vertices"][0] for clip in (clean, bent)]
    moved = vertices[1] - vertices[0]
    assert moved.norm(dim=-1).max() > 1e-5
    assert torch.equal(bent["expression"], SyntheticClips(pool, seed=3, **bend)[0]["expression"])
    if "offset" in bend:  # the same in every frame
        torch.testing.assert_close(moved, moved[:1].expand_as(moved), atol=1e-6, rtol=0)


def test_whole_sequences_without_a_clip_length(pool):
    clip = pool.meshes(collate_clips([SyntheticClips(pool)[1]]))
    torch.testing.assert_close(clip["vertices"][0], pool.vertices(1))
    torch.testing.assert_close(clip["true_vertices"][0], pool.true_vertices(1))
    torch.testing.assert_close(clip["neutral_vertices"][0], pool.neutral[1])


def test_collation_pads_with_unknown(pool):
    short = SyntheticClips(pool, clip_length=10)[0]
    batch = collate_clips([short, SyntheticClips(pool)[1]])
    assert batch["expression"].shape[:2] == (2, 40)
    assert batch["neutral_vertices"].shape == (2, 468, 3)
    assert not batch["frame_mask"][0, 10:].any()
    assert (batch["au_labels"][0, 10:] == -1).all()
    assert (batch["au_intensity_labels"][0, 10:] == -1).all()
    assert torch.equal(batch["expression"][0, 10:], short["expression"][-1].expand(30, -1))


def test_pool_files(pool, tmp_path):
    path = tmp_path / "pool.safetensors"
    pool.save(path)
    assert [p.name for p in tmp_path.iterdir()] == ["pool.safetensors"]
    loaded = SequencePool.load(path)
    assert torch.equal(loaded.vertices(2), pool.vertices(2))
    assert loaded.frame_rate == pool.frame_rate
    assert loaded.provenance == json.loads(json.dumps(pool.provenance))
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


def test_a_foreign_source_is_moderated():
    """Neither head motion nor answers far beyond the rendered ones come in; the rest stays as it was."""
    rng = np.random.default_rng(0)
    mean = load_tracker_response().tracked_mean.numpy().astype(np.float64)
    answer = load_tracker_response().tracked_linear.numpy().astype(np.float64)
    turned = np.cross([0.0, 0.1, 0.0], mean) + [0.01, 0.0, 0.0] + 0.05 * mean
    clean = moderated(answer, answer, mean)
    np.testing.assert_allclose(moderated(answer + turned / 2, answer, mean), clean, atol=1e-6)
    np.testing.assert_allclose(moderated(2 * answer, answer, mean), 2 * clean, atol=1e-6)
    np.testing.assert_allclose(moderated(20 * answer, answer, mean), MOST * clean, atol=1e-5)
    assert np.abs(clean.sum(1).sum(1)).max() < 1e-4  # no shift is left
    noise = rng.normal(0, 0.001, answer.shape)
    assert moderated(noise, answer, mean).shape == answer.shape


@pytest.mark.shared_data
def test_a_map_of_real_people(shared_data):
    source = read_pyfeat_map(shared_data / "pyfeat" / "au_to_mesh_pls_v4.npz")
    assert source.displacement.shape == (19, 2, 478, 3)
    assert source.known.all()
    smile = source.displacement[facs.ALL.index(12)].sum(0)
    assert smile[291, 0] > 0 > smile[61, 0]
    mixed = SequenceSampler(load_tracker_response(), source, SETTINGS, seed=7)
    assert mixed.provenance["sources"][1] == source.name
    assert np.isfinite(mixed(0).face.landmarks[mixed(0).face.valid]).all()
    alone = SequenceSampler(load_tracker_response(), settings=SETTINGS, seed=7)
    np.testing.assert_array_equal(mixed(0).weights, alone(0).weights)  # the truth does not hang on the tracker


def test_not_a_map(tmp_path):
    np.savez(tmp_path / "other.npz", coef=np.zeros(3))
    (tmp_path / "cut.npz").write_bytes((tmp_path / "other.npz").read_bytes()[:-60])
    np.save(tmp_path / "array.npy", np.zeros(3))
    for name in ("other.npz", "missing.npz", "cut.npz", "array.npy"):
        path = tmp_path / name
        with pytest.raises(InputError, match="AU-to-mesh"):
            read_pyfeat_map(path)
