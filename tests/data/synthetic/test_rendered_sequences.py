"""Rendered sequences: the same from the seed with any number of workers, whole shards or none, truth beside the answer.

The bookkeeping is tested on a made-up head and tracker, what is seen and true on the real ones.
"""

import io
import json
from dataclasses import fields

import numpy as np
import pytest
import torch

from au_d3dface.coarse import load_coarse
from au_d3dface.data.synthetic import rendered_sequences
from au_d3dface.data.synthetic.filming import RenderSettings, load_head, random_take
from au_d3dface.data.synthetic.pool import build_pool
from au_d3dface.data.synthetic.rendered_sequences import (
    PER_SHARD,
    RenderedSequenceSampler,
    StoredSequences,
    main,
    render_sequences,
)
from au_d3dface.data.synthetic.sequences import TrackedSequence
from au_d3dface.errors import CheckpointError, InputError, OutputError
from au_d3dface.face_models import load_face_model

SETTINGS = RenderSettings(seconds=0.3, size=64)


def equal(a: TrackedSequence, b: TrackedSequence) -> None:
    for field in fields(a):
        if field.name != "face":
            np.testing.assert_array_equal(getattr(a, field.name), getattr(b, field.name), err_msg=field.name)
    np.testing.assert_array_equal(a.face.landmarks, b.face.landmarks)
    np.testing.assert_array_equal(a.face.valid, b.face.valid)


@pytest.fixture
def sampler(full_kit_path, template_tracker) -> RenderedSequenceSampler:
    return RenderedSequenceSampler(full_kit_path, SETTINGS, seed=4)


@pytest.fixture
def folder(sampler, tmp_path):
    assert render_sequences(sampler, tmp_path / "made", count=5) == 0
    return tmp_path / "made"


def test_stored_sequences_are_the_samplers(sampler, folder):
    assert sorted(path.name for path in folder.iterdir()) == [
        "provenance.json",
        "sequences_00000.npz",
        "sequences_00001.npz",
    ]
    stored = StoredSequences(folder)
    assert len(stored) == 2 * PER_SHARD  # five, rounded up to whole shards
    for index in (0, 3, 4, 0):
        equal(stored(index), sampler(index))
    assert stored.provenance == json.loads(json.dumps(sampler.provenance))
    assert stored.provenance["seed"] == 4


def test_shapes(sampler):
    sequence = sampler(0)
    assert sequence.face.landmarks.shape == (3, 478, 3)
    assert sequence.face.landmarks.dtype == np.float32
    assert sequence.face.valid.all()
    assert sequence.times.shape == (3,)
    assert sequence.intensity.shape == (3, 19, 2)
    assert sequence.weights.shape == (3, 57)
    assert sequence.neutral.shape == (468, 3)
    assert sequence.identity.shape == (100,)
    assert sequence.rest.shape == (57,)


def test_another_seed_is_another_person(sampler):
    other = RenderedSequenceSampler(sampler.kit, SETTINGS, seed=5)
    assert np.abs(sampler(0).identity - other(0).identity).max() > 0.1
    assert np.abs(sampler(0).identity - sampler(1).identity).max() > 0.1


def test_work_goes_on_where_it_stopped(sampler, folder, template_tracker):
    first, second = sorted(folder.glob("*.npz"))
    kept, removed = first.read_bytes(), second.read_bytes()
    stamp = first.stat().st_mtime_ns
    second.unlink()
    template_tracker.pictures = 0
    render_sequences(sampler, folder, count=8)
    assert template_tracker.pictures == PER_SHARD * (3 + 1 + 2 * 3)  # one shard: frames, the first twice, rest poses
    assert first.read_bytes() == kept
    assert first.stat().st_mtime_ns == stamp
    with np.load(second) as again, np.load(io.BytesIO(removed)) as before:
        for name in before:
            np.testing.assert_array_equal(again[name], before[name])


@pytest.mark.parametrize("change", [{"seed": 5}, {"settings": RenderSettings(seconds=0.4, size=64)}])
def test_a_folder_of_other_sequences_is_refused(sampler, folder, change):
    before = {path: path.read_bytes() for path in folder.iterdir()}
    other = RenderedSequenceSampler(**{"kit": sampler.kit, "settings": SETTINGS, "seed": 4} | change)
    with pytest.raises(InputError, match="another seed"):
        render_sequences(other, folder, count=12)
    (folder / "provenance.json").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="another seed"):
        render_sequences(sampler, folder, count=12)
    before.pop(folder / "provenance.json")
    assert all(path.read_bytes() == content for path, content in before.items())
    assert len(list(folder.glob("*.npz"))) == 2


def test_a_failure_leaves_no_half_shard(sampler, tmp_path, monkeypatch):
    def fail(file, **arrays):
        file.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(rendered_sequences.np, "savez", fail)
    with pytest.raises(OutputError, match=r"sequences_00000\.npz: the disk is full"):
        render_sequences(sampler, tmp_path, count=1)
    assert [path.name for path in tmp_path.iterdir()] == ["provenance.json"]


def cut(path):
    path.write_bytes(path.read_bytes()[:-200])


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)


def drop(path):
    with np.load(path) as npz:
        arrays = {name: npz[name] for name in npz if name != "rest"}
    np.savez(path, **arrays)


def add(path):
    with np.load(path) as npz:
        arrays = {name: npz[name] for name in npz}
    np.savez(path, **arrays, more=np.zeros(PER_SHARD))


def shorten(path):
    with np.load(path) as npz:
        arrays = {name: npz[name][:2] for name in npz}
    np.savez(path, **arrays)


def replace_by_one_array(path):
    with open(path, "wb") as file:
        np.save(file, np.zeros(3))


@pytest.mark.parametrize("damage", [cut, flip, replace_by_one_array, lambda path: path.write_bytes(b"")])
def test_a_damaged_shard_is_one_sentence(folder, damage):
    damage(folder / "sequences_00001.npz")
    stored = StoredSequences(folder)
    assert stored(PER_SHARD - 1).face.valid.all()
    with pytest.raises(InputError, match=r"sequences_00001\.npz is damaged .*delete it and render it again"):
        stored(PER_SHARD)


@pytest.mark.parametrize(("change", "name"), [(drop, "rest"), (add, "more"), (shorten, "times")])
def test_other_arrays_are_no_shard(folder, change, name):
    change(folder / "sequences_00001.npz")
    with pytest.raises(InputError, match=rf"sequences_00001\.npz is not a shard of sequences \('{name}'"):
        StoredSequences(folder)(PER_SHARD)


def test_folders_without_sequences(folder, tmp_path):
    for empty in (tmp_path, tmp_path / "missing"):
        with pytest.raises(InputError, match="holds no sequences_"):
            StoredSequences(empty)
    (folder / "provenance.json").write_text("{")
    with pytest.raises(InputError, match=r"provenance\.json cannot be read"):
        StoredSequences(folder)


def test_where_no_face_is_seen_nothing_is_valid(full_kit_path, template_tracker, monkeypatch):
    monkeypatch.setattr(template_tracker, "__call__", lambda self, picture: None)
    sequence = RenderedSequenceSampler(full_kit_path, SETTINGS, seed=4)(0)
    assert not sequence.face.valid.any()
    assert np.isnan(sequence.face.landmarks).all()
    assert np.isfinite(sequence.neutral).all()


def test_a_kit_that_is_not_whole(kit_path):
    """The made-up kit of other tests has two identities and lacks shapes."""
    with pytest.raises(CheckpointError, match=r"kit\.npz lacks the shape"):
        load_head(kit_path)


def test_the_command(full_kit_path, template_tracker, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(rendered_sequences, "RenderSettings", lambda style: SETTINGS)
    command = ["--ict-facekit", str(full_kit_path), "--output", str(tmp_path / "a"), "--count", "1", "--workers", "1"]
    assert main(command) == 0
    assert "no face found in 0 new frames" in capsys.readouterr().out
    (tmp_path / "file").write_text("")
    refused = (
        ([*command, "--seed", "9"], InputError.exit_status, "another seed"),
        ([*command, "--seed", "-1"], 2, "--seed"),
        ([*command, "--count", "0"], 2, "--count"),
        ([*command, "--output", str(tmp_path / "file" / "b")], OutputError.exit_status, "cannot write"),
        ([*command, "--ict-facekit", str(tmp_path / "none.npz")], CheckpointError.exit_status, "none.npz"),
    )
    for arguments, status, words in refused:
        assert main(arguments) == status
        error = capsys.readouterr().err
        assert words in error
        assert error.count("\n") == 1
    with pytest.raises(SystemExit):
        main([*command, "--style", "singing"])


@pytest.mark.shared_data
@pytest.mark.slow  # two processes that load everything
def test_real_renders_do_not_depend_on_the_number_of_workers(ict_facekit, tmp_path):
    sampler = RenderedSequenceSampler(ict_facekit, RenderSettings(seconds=0.1, size=128), seed=2)
    lost = [render_sequences(sampler, tmp_path / str(workers), 2 * PER_SHARD, workers) for workers in (1, 2)]
    assert lost[0] == lost[1] < 3  # of eight frames
    one, two = (StoredSequences(tmp_path / str(workers)) for workers in (1, 2))
    for index in range(2 * PER_SHARD):
        equal(one(index), two(index))


@pytest.mark.shared_data
def test_the_tracked_face_at_rest_lies_near_the_true_one(ict_facekit):
    """In the head frame, metres: what the tracker says of the person at rest against the surface that was rendered."""
    settings = RenderSettings(seconds=0.1, size=192)
    head, _ = load_head(ict_facekit)
    for index in range(3):
        sequence = RenderedSequenceSampler(ict_facekit, settings, seed=2)(index)
        assert sequence.face.valid.all()
        take = random_take(np.random.default_rng([2, index]), head, settings)
        np.testing.assert_array_equal(take.person.identity, sequence.identity)
        vertices = head(torch.from_numpy(sequence.identity), torch.from_numpy(sequence.rest))
        true = head.landmarks_468(vertices, head.faces)
        distance = (torch.from_numpy(sequence.neutral) - true).norm(dim=-1)
        assert distance.square().mean().sqrt() < 0.006  # 2 to 4 mm; in another frame it would be centimetres
        assert distance.median() < 0.005


@pytest.mark.shared_data
def test_true_meshes_of_a_pool_of_renders(ict_facekit, tmp_path):
    """The pool's truth moves as the kit's own surface does, in the frame of the fit."""
    sampler = RenderedSequenceSampler(ict_facekit, RenderSettings(seconds=1.0, size=160, style="posing"), seed=6)
    render_sequences(sampler, tmp_path, PER_SHARD)
    stored = StoredSequences(tmp_path)
    pool = build_pool(stored, load_coarse("landmarks", load_face_model("facemesh")), len(stored))
    head, _ = load_head(ict_facekit)
    moved = 0.0
    for index in range(len(stored)):
        sequence = stored(index)
        identity, rest = torch.from_numpy(sequence.identity), torch.from_numpy(sequence.rest)
        expression = torch.from_numpy(sequence.weights) + rest
        true = head.landmarks_468(head(identity, expression), head.faces)
        displacement = true - head.landmarks_468(head(identity, rest), head.faces)
        expected = displacement @ pool.alignment[index].mT
        found = pool.true_vertices(index) - pool.true_neutral[index]
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)
        moved = max(moved, float(expected.norm(dim=-1).max()))
    assert moved > 0.003
