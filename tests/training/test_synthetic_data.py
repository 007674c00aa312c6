"""Pools of a run: fast and rendered sequences together, fitted once and kept, held-out people apart."""

from dataclasses import replace

import pytest
import torch

from au_d3dface.coarse import LandmarkFitting, load_coarse
from au_d3dface.data.synthetic.rendered_sequences import PER_SHARD
from au_d3dface.data.synthetic.sequences import HELD_OUT_SEED
from au_d3dface.errors import CheckpointError, InputError, OutputError
from au_d3dface.face_models import load_face_model
from au_d3dface.training import synthetic_data
from au_d3dface.training.arguments import DataArguments
from au_d3dface.training.synthetic_data import SyntheticPools, synthetic_pools, training_clips

ARGUMENTS = DataArguments(sequences=3, held_out=2, seconds=2.0, seed=5)


@pytest.fixture(scope="module")
def coarse():
    return load_coarse("landmarks", load_face_model("facemesh"))


def pools(arguments, coarse, folder, frame_rate=10.0):
    return synthetic_pools(arguments, coarse, frame_rate, folder, show_progress=False)


def test_held_out_people_come_from_another_seed(coarse, tmp_path):
    found = pools(ARGUMENTS, coarse, tmp_path)
    assert found.rendered is None
    assert found.train == [found.fast]
    assert (len(found.fast), len(found.held_out)) == (3, 2)
    assert found.fast.frame_rate == found.held_out.frame_rate == 10
    assert found.fast.num_frames == 20
    assert [part["seed"] for part in found.fast.provenance + found.held_out.provenance] == [5, 5 + HELD_OUT_SEED]
    distance = (found.fast.true_neutral[:, None] - found.held_out.true_neutral[None]).norm(dim=-1).amax(-1)
    assert distance.min() > 5e-4


def test_rendered_sequences_stand_beside_fast_ones_and_in_the_place_of_held_out_ones(coarse, stored, tmp_path):
    found = pools(replace(ARGUMENTS, rendered=str(stored), rendered_held_out=str(stored)), coarse, tmp_path)
    assert [len(pool) for pool in (found.rendered, found.fast, found.held_out)] == [PER_SHARD, 3, PER_SHARD]
    assert [pool.provenance[0]["seed"] for pool in (*found.train, found.held_out)] == [77, 5, 77]
    for index in range(PER_SHARD):
        assert torch.equal(found.rendered.vertices(index), found.held_out.vertices(index))
        assert torch.equal(found.rendered.true_vertices(index), found.held_out.true_vertices(index))


def test_the_clips_of_an_epoch(coarse, stored, tmp_path):
    """Rendered sequences several times at other phases and hardly bent, fast ones once, marked for the teacher."""
    arguments = replace(ARGUMENTS, rendered=str(stored), clip_length=8, rendered_repeats=3, neutral_error=0.0)
    arguments = replace(arguments, rendered_bending=0.0, offset=1.0)
    found = pools(arguments, coarse, tmp_path)
    clips = training_clips(found, arguments, (12, 25), seed=1)
    assert len(clips) == 3 * PER_SHARD + 3
    first = [clips[index] for index in range(len(clips))]
    assert [bool(clip["taught"]) for clip in first] == 3 * PER_SHARD * [False] + 3 * [True]
    clips.begin_epoch(1)
    repeats = [clips[index]["expression"] for index in (0, PER_SHARD, 2 * PER_SHARD)]
    assert any(not torch.equal(repeats[0], other) for other in repeats[1:])
    for clip in repeats:  # each is a stretch of the sequence, as it was fitted
        whole = found.rendered.expression[0]
        assert min((whole[start : start + 8] - clip).abs().max() for start in range(13)) < 1e-6
    clip = clips[3 * PER_SHARD]["expression"]
    assert min((found.fast.expression[0][start : start + 8] - clip).abs().max() for start in range(13)) > 1e-5


def test_pools_are_made_once(coarse, tmp_path, monkeypatch):
    first = pools(ARGUMENTS, coarse, tmp_path)
    files = sorted(tmp_path.iterdir())
    assert [path.name.rsplit("-", 1)[0] for path in files] == ["fast", "fast-held-out"]

    def never(*arguments):
        raise AssertionError("a pool was made again")

    with monkeypatch.context() as patch:
        patch.setattr(synthetic_data, "build_pool", never)
        again = pools(ARGUMENTS, coarse, tmp_path)
    for a, b in ((first.fast, again.fast), (first.held_out, again.held_out)):
        assert torch.equal(a.expression, b.expression)
        assert torch.equal(a.weights, b.weights)
    for change in ({"seed": 6}, {"sequences": 2}):
        before = set(tmp_path.iterdir())
        pools(replace(ARGUMENTS, **change), coarse, tmp_path)
        assert len(set(tmp_path.iterdir()) - before) >= 1, change


def test_another_correction_of_faces_at_rest_makes_other_pools(coarse, tmp_path):
    pools(ARGUMENTS, coarse, tmp_path)
    pools(ARGUMENTS, LandmarkFitting(coarse.face_model, correct_rest=False), tmp_path)
    assert len(list(tmp_path.iterdir())) == 4


def test_a_folder_for_pools_may_be_named(coarse, tmp_path):
    pools(replace(ARGUMENTS, pool=str(tmp_path / "kept")), coarse, tmp_path / "run")
    assert len(list((tmp_path / "kept").iterdir())) == 2
    assert not (tmp_path / "run").exists()


def test_what_cannot_be_used_is_one_sentence(coarse, stored, tmp_path):
    with pytest.raises(InputError, match="holds sequences of 10 frames a second, but the network takes 15"):
        pools(replace(ARGUMENTS, rendered=str(stored)), coarse, tmp_path, frame_rate=15.0)
    with pytest.raises(InputError, match="holds no sequences"):
        pools(replace(ARGUMENTS, rendered=str(tmp_path / "none")), coarse, tmp_path)
    with pytest.raises(CheckpointError, match="does not exist"):
        pools(replace(ARGUMENTS, tracker_response=str(tmp_path / "none")), coarse, tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"cannot write .*pools"):
        pools(replace(ARGUMENTS, pool=str(tmp_path / "file" / "pools")), coarse, tmp_path)
    pools(ARGUMENTS, coarse, tmp_path / "kept")
    kept = next((tmp_path / "kept").glob("fast-[!h]*"))
    kept.write_bytes(b"damaged")
    with pytest.raises(InputError, match=r"fast-.* is not a pool .*delete it"):
        pools(ARGUMENTS, coarse, tmp_path / "kept")


def phases(mixture, index):
    """Where clip `index` of each part starts, for pools whose intensities count the frames."""
    return [float(part[index]["au_intensity_labels"][0, 0]) for part in mixture.datasets]


def counting_pools(make_pool):
    intensity = (torch.arange(64) / 16).expand(6, 64)[..., None].expand(-1, -1, 19)
    still = torch.zeros(6, 64, 2)
    rendered, fast, held_out = (make_pool(still, intensity, (0.01, 0.01)) for _ in range(3))
    return SyntheticPools(rendered, fast, held_out)


def test_phases_differ_between_repeats_and_epochs_and_follow_from_the_seed(make_pool):
    arguments = replace(ARGUMENTS, clip_length=8, rendered_repeats=3)
    first, second, other = (training_clips(counting_pools(make_pool), arguments, (12,), seed) for seed in (1, 1, 2))
    assert [len(part) for part in first.datasets] == [6, 6, 6, 6]
    numbers, seen = set(), {}
    for epoch in range(4):
        for mixture in (first, second, other):
            mixture.begin_epoch(epoch)
        numbers |= {part.epoch for part in first.datasets}
        for index in range(6):
            seen[epoch, index] = phases(first, index)
            assert seen[epoch, index] == phases(second, index)
        assert any(seen[epoch, index] != phases(other, index) for index in range(6))
    assert len(numbers) == 16  # every repeat of every epoch draws for itself
    for index in range(6):
        drawn = [phase for epoch in range(4) for phase in seen[epoch, index]]
        assert len(set(drawn)) > 8  # of 57 places, by chance 14 or so
    first.begin_epoch(1)  # as a resumed training does
    assert [phases(first, index) for index in range(6)] == [seen[1, index] for index in range(6)]


@pytest.mark.parametrize("absent", ["rendered", "fast"])
def test_one_kind_of_sequence_is_enough(make_pool, absent):
    pools = replace(counting_pools(make_pool), **{absent: None})
    clips = training_clips(pools, replace(ARGUMENTS, clip_length=8, rendered_repeats=2), (12,), seed=0)
    assert len(pools.train) == 1
    assert len(clips) == (12 if absent == "fast" else 6)
    assert {bool(clips[index]["taught"]) for index in range(len(clips))} == {absent == "rendered"}
