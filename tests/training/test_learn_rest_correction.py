"""Errors in depth that were put into made-up people are found again; what is no folder of people is one sentence."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from au_d3dface.coarse.rest_correction import RestCorrection
from au_d3dface.data.synthetic.rendered_sequences import PER_SHARD, PROVENANCE, write_shard
from au_d3dface.data.synthetic.sequences import SequenceSampler, SequenceSettings
from au_d3dface.data.synthetic.tracker_response import load_tracker_response
from au_d3dface.errors import CheckpointError, InputError
from au_d3dface.face_models import FaceMesh
from au_d3dface.training.learn_rest_correction import learn, main, mirrored_depth, report, without_plane, write
from au_d3dface.training.render_alignment import mirrored

PEOPLE = 80


@pytest.fixture(scope="module")
def people() -> tuple[torch.Tensor, torch.Tensor]:
    """(80, 468, 3) fitted faces of ten modes, and true points: deeper where a mode is strong, noses always shorter."""
    model, generator = FaceMesh(), torch.Generator().manual_seed(0)
    modes = model.shape_basis[:10]
    weights = torch.randn(PEOPLE, 10, generator=generator)
    fitted = model.template + torch.tensordot(weights, modes, dims=1)
    nose = -0.004 * torch.exp(-((model.template - model.template[4]).norm(dim=-1) / 0.02).square())
    error = without_plane(nose + 0.6 * torch.tensordot(weights, modes[..., 2], dims=1), model.template)
    true = fitted.clone()
    true[..., 2] += error
    return fitted, true


def test_errors_that_were_put_in_are_found(people):
    fitted, true = people
    correction = learn(fitted[:60], true[:60])
    moved = torch.stack([correction(face) for face in fitted[60:]])[..., 2]
    wanted = (true - fitted)[60:, :, 2]
    assert (moved - wanted).square().mean().sqrt() < 0.25 * wanted.square().mean().sqrt()
    plain, better = (float(line.split(" mm")[0].split()[-1]) for line in report(correction, *people).splitlines()[:2])
    assert better < 0.4 * plain


def test_what_is_learned_is_symmetric_and_the_same_each_time(people, tmp_path):
    corrections = [learn(*people) for _ in range(2)]
    paths = [tmp_path / f"{k}.safetensors" for k in range(2)]
    for correction, path in zip(corrections, paths, strict=True):
        write(correction, path)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    stored = RestCorrection.load(paths[0])
    assert torch.equal(mirrored_depth(stored.mean_depth), stored.mean_depth)
    for trait, depth in zip(stored.traits, stored.depth, strict=True):
        sign = 1.0 if torch.equal(mirrored(trait), trait) else -1.0
        assert torch.equal(mirrored(trait), sign * trait)
        assert torch.equal(mirrored_depth(depth), sign * depth)
    face = people[0][0]
    torch.testing.assert_close(stored(mirrored(face)), mirrored(stored(face)), atol=1e-6, rtol=0)


@pytest.fixture(scope="module")
def whole_kit(kit_arrays, tmp_path_factory):
    """The made-up kit, with all the names of the real one."""
    names = list(load_tracker_response().expression_names)
    known = list(kit_arrays["expression_names"])
    moved = kit_arrays["expression_delta"]
    deltas = np.stack([moved[known.index(name)] if name in known else 0 * moved[0] for name in names])
    path = tmp_path_factory.mktemp("kit") / "kit.npz"
    np.savez(path, **kit_arrays | {"expression_delta": deltas, "expression_names": np.array(names)})
    return path


def folder(path, known: bool):
    """A shard of people of the made-up kit, or of nobody."""
    sampler = SequenceSampler(load_tracker_response(), settings=SequenceSettings(seconds=2.5, missing=0.0), seed=1)
    identities = np.random.default_rng(0).standard_normal((PER_SHARD, 2)).astype(np.float32)
    if not known:
        identities[:] = 0
    path.mkdir()
    (path / PROVENANCE).write_text(json.dumps({"quality": "rendered"}))
    made = [replace(sampler(k), identity=identity) for k, identity in enumerate(identities)]
    write_shard(made, path / "sequences_00000.npz")
    return path


def test_the_command_writes_a_correction(whole_kit, tmp_path, capsys):
    output = tmp_path / "correction.safetensors"
    known = str(folder(tmp_path / "known", known=True))
    options = ["--rendered-held-out", known, "--ict-facekit", str(whole_kit), "--output", str(output)]
    assert main(["--rendered", known, *options]) == 0
    printed = capsys.readouterr().out
    assert f"learned from {PER_SHARD} people" in printed
    assert "landmarks alone: " in printed
    assert "corrected: " in printed
    assert 1 <= len(RestCorrection.load(output).traits) < 2 * PER_SHARD
    output.unlink()
    unknown = folder(tmp_path / "unknown", known=False)
    for people, kit, status, said in (
        (unknown, whole_kit, InputError.exit_status, "unknown holds people who were not rendered"),
        (tmp_path, whole_kit, InputError.exit_status, "holds no sequences_"),
        (known, tmp_path / "none.npz", CheckpointError.exit_status, "none.npz"),
    ):
        command = ["--rendered", str(people), "--rendered-held-out", known, "--ict-facekit", str(kit)]
        assert main([*command, "--output", str(output)]) == status
        error = capsys.readouterr().err
        assert said in error
        assert sum(said in line for line in error.splitlines()) == 1
    assert not output.exists()
