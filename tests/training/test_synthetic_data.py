"""Pools of a run: fast and rendered sequences together, fitted once and kept, held-out people apart."""

from dataclasses import replace

import pytest
import torch

from au_d3dface.coarse import load_coarse
from au_d3dface.data.synthetic.rendered_sequences import PER_SHARD, render_sequences
from au_d3dface.data.synthetic.sequences import HELD_OUT_SEED, SequenceSampler, SequenceSettings
from au_d3dface.data.synthetic.tracker_response import load_tracker_response
from au_d3dface.errors import CheckpointError, InputError
from au_d3dface.face_models import load_face_model
from au_d3dface.training import synthetic_data
from au_d3dface.training.arguments import DataArguments
from au_d3dface.training.synthetic_data import synthetic_pools

ARGUMENTS = DataArguments(sequences=3, held_out=2, seconds=2.0, seed=5)


@pytest.fixture(scope="module")
def coarse():
    return load_coarse("landmarks", load_face_model("facemesh"))


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """A folder of shards, of fast sequences in the place of rendered ones."""
    folder = tmp_path_factory.mktemp("stored")
    sampler = SequenceSampler(load_tracker_response(), settings=SequenceSettings(seconds=2.0), seed=77)
    render_sequences(sampler, folder, PER_SHARD)
    return folder


def pools(arguments, coarse, folder):
    return synthetic_pools(arguments, coarse, 10.0, folder, show_progress=False)


def test_held_out_people_come_from_another_seed(coarse, tmp_path):
    train, held_out = pools(ARGUMENTS, coarse, tmp_path)
    assert (len(train), len(held_out)) == (3, 2)
    assert train.frame_rate == held_out.frame_rate == 10
    assert train.num_frames == 20
    assert [part["seed"] for part in train.provenance + held_out.provenance] == [5, 5 + HELD_OUT_SEED]
    distance = (train.true_neutral[:, None] - held_out.true_neutral[None]).norm(dim=-1).amax(-1)
    assert distance.min() > 5e-4


def test_rendered_sequences_come_first_and_take_the_place_of_held_out_ones(coarse, stored, tmp_path):
    arguments = replace(ARGUMENTS, rendered=str(stored), rendered_held_out=str(stored))
    train, held_out = pools(arguments, coarse, tmp_path)
    assert (len(train), len(held_out)) == (PER_SHARD + 3, PER_SHARD)
    assert [(part["seed"], part["sequences"]) for part in train.provenance] == [(77, PER_SHARD), (5, 3)]
    assert [part["seed"] for part in held_out.provenance] == [77]
    for index in range(PER_SHARD):
        assert torch.equal(train.vertices(index), held_out.vertices(index))
        assert torch.equal(train.true_vertices(index), held_out.true_vertices(index))
    assert len(list(tmp_path.glob("rendered-*.safetensors"))) == 2  # one of them held out


def test_pools_are_made_once(coarse, tmp_path, monkeypatch):
    first = pools(ARGUMENTS, coarse, tmp_path)
    files = sorted(tmp_path.iterdir())
    assert [path.name.rsplit("-", 1)[0] for path in files] == ["held-out", "train"]

    def never(*arguments):
        raise AssertionError("a pool was made again")

    with monkeypatch.context() as patch:
        patch.setattr(synthetic_data, "build_pool", never)
        again = pools(ARGUMENTS, coarse, tmp_path)
    for a, b in zip(first, again, strict=True):
        assert torch.equal(a.expression, b.expression)
        assert torch.equal(a.weights, b.weights)
    for change in ({"seed": 6}, {"sequences": 2}):
        before = set(tmp_path.iterdir())
        pools(replace(ARGUMENTS, **change), coarse, tmp_path)
        assert len(set(tmp_path.iterdir()) - before) >= 1, change


def test_a_folder_for_pools_may_be_named(coarse, tmp_path):
    pools(replace(ARGUMENTS, pool=str(tmp_path / "kept")), coarse, tmp_path / "run")
    assert len(list((tmp_path / "kept").iterdir())) == 2
    assert not (tmp_path / "run").exists()


def test_what_cannot_be_used_is_one_sentence(coarse, stored, tmp_path):
    with pytest.raises(InputError, match=r"30 frames at 10 .* those of 20 at 10"):
        pools(replace(ARGUMENTS, seconds=3.0, rendered=str(stored)), coarse, tmp_path)
    with pytest.raises(InputError, match="holds no sequences"):
        pools(replace(ARGUMENTS, rendered=str(tmp_path / "none")), coarse, tmp_path)
    with pytest.raises(CheckpointError, match="does not exist"):
        pools(replace(ARGUMENTS, tracker_response=str(tmp_path / "none")), coarse, tmp_path)
    pools(ARGUMENTS, coarse, tmp_path / "kept")
    kept = next((tmp_path / "kept").glob("train-*"))
    kept.write_bytes(b"damaged")
    with pytest.raises(InputError, match=r"train-.* is not a pool .*delete it"):
        pools(ARGUMENTS, coarse, tmp_path / "kept")
