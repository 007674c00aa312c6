"""The one command: renders, renders held-out people, trains; goes on where it was stopped, ends at the first error.

On fast sequences in the place of rendered ones, and once on the real kit.
"""

import json
from dataclasses import replace

import numpy as np
import pytest
import yaml

from au_d3dface.data.synthetic import rendered_sequences
from au_d3dface.data.synthetic.filming import RenderSettings
from au_d3dface.data.synthetic.rendered_sequences import StoredSequences
from au_d3dface.data.synthetic.sequences import HELD_OUT_SEED, SequenceSampler, SequenceSettings
from au_d3dface.data.synthetic.tracker_response import load_tracker_response
from au_d3dface.errors import CheckpointError, InputError, UsageError
from au_d3dface.modeling_au_d3dface import AUD3DFaceForReconstruction
from au_d3dface.training import reproduce
from au_d3dface.training.reproduce import main

pytest.importorskip("accelerate")

TINY = {
    "model": {
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_attention_heads": 2,
        "num_temporal_layers": 1,
        "num_spatial_layers": 1,
        "attention_window": 10,
        "action_units": [12, 25],
    },
    "data": {"sequences": 4, "seconds": 2.0, "clip_length": 12},
    "training": {"epochs": 1, "batch_size": 4, "linear_reading": 0.3, "whitening": 1e-4, "evaluate_every": 0},
}


def fast_sampler(kit, settings, seed):
    return SequenceSampler(load_tracker_response(), settings=SequenceSettings(seconds=1.5), seed=seed)


@pytest.fixture
def unrendered(monkeypatch):
    """Fast sequences take the place of rendered ones; the kit is not read."""
    monkeypatch.setattr(rendered_sequences, "load_head", lambda kit: None)
    monkeypatch.setattr(rendered_sequences, "RenderedSequenceSampler", fast_sampler)


@pytest.fixture
def command(tmp_path):
    """The options, with a tiny network and a map of made-up people who answer to AU12 alone."""
    config, people = tmp_path / "tiny.yaml", tmp_path / "map.npz"
    config.write_text(yaml.safe_dump(TINY))
    face = load_tracker_response().tracked_mean.numpy()
    smile = 0.001 * np.random.default_rng(0).standard_normal((478, 3))
    np.savez(people, coef=smile.T.reshape(1, -1), intercept=face.T.reshape(-1), input_columns=np.array(["AU12"]))
    counts = ["--people", "5", "--held-out", "2", "--workers", "1"]
    paths = ["--ict-facekit", str(tmp_path), "--pyfeat-map", str(people), "--output", str(tmp_path / "out")]
    return [*paths, "--config", str(config), *counts]


def test_three_steps_make_the_model(command, unrendered, tmp_path, capsys):
    assert main(command) == 0
    out = tmp_path / "out"
    assert {path.name for path in out.iterdir()} == {"rendered", "rendered-held-out", "pools", "tiny"}
    assert [len(StoredSequences(out / name)) for name in ("rendered", "rendered-held-out")] == [8, 4]
    assert capsys.readouterr().out.splitlines()[-1] == str(out / "tiny" / "model")
    model = AUD3DFaceForReconstruction.from_pretrained(out / "tiny" / "model")
    assert model.config.action_units == (12, 25)
    record = json.loads((out / "tiny" / "model" / "training.json").read_text())
    assert [(part["seed"], part["sequences"]) for part in record["pools"]] == [(0, 8), (0, 4), (HELD_OUT_SEED, 4)]
    assert record["pools"][1]["sources"][-1] == "py-feat AU-to-mesh map of real people"
    assert record["command"] == (
        "python -m au_d3dface.training --config tiny.yaml --rendered rendered --rendered-held-out rendered-held-out "
        "--pyfeat-map map.npz --pool pools --workers 1 --output tiny"
    )


def test_it_goes_on_where_it_was_stopped(command, unrendered, tmp_path, monkeypatch):
    """Interrupted in its second step: the first step's shards and its own are kept, the missing ones are made."""
    real, made = rendered_sequences.write_shard, []

    def stop_at_the_third(sequences, target):
        if len(made) == 2:
            raise KeyboardInterrupt
        made.append(target)
        real(sequences, target)

    with monkeypatch.context() as patch:
        patch.setattr(rendered_sequences, "write_shard", stop_at_the_third)
        assert main(command) == 130
    assert [path.parent.name for path in made] == ["rendered", "rendered"]
    stamps = [path.stat().st_mtime_ns for path in made]
    assert main(command) == 0
    assert [path.stat().st_mtime_ns for path in made] == stamps
    held_out = tmp_path / "out" / "rendered-held-out" / "sequences_00000.npz"
    stamps.append(held_out.stat().st_mtime_ns)
    assert main(command) == 0  # everything is there: nothing is rendered or trained again
    assert [path.stat().st_mtime_ns for path in (*made, held_out)] == stamps
    log = (tmp_path / "out" / "tiny" / "log.jsonl").read_text().splitlines()
    assert sum("loss" in json.loads(line) for line in log) == 3


def test_what_would_stop_the_training_is_said_before_rendering(command, unrendered, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(reproduce.rendered_sequences, "main", lambda command: pytest.fail("it began to render"))
    (tmp_path / "damaged.npz").write_bytes(b"PK\x03\x04 but nothing more")
    (tmp_path / "array.npy").write_bytes(b"")
    np.save(tmp_path / "array.npy", np.zeros(3))
    (tmp_path / "fast.yaml").write_text(yaml.safe_dump({"model": {"frame_rate": 15}}))
    (tmp_path / "wrong.yaml").write_text(yaml.safe_dump({"training": {"epochs": 0}}))
    refused = (
        (["--pyfeat-map", str(tmp_path / "none.npz")], InputError, "none.npz is not a py-feat"),
        (["--pyfeat-map", str(tmp_path / "damaged.npz")], InputError, "damaged.npz is not a py-feat"),
        (["--pyfeat-map", str(tmp_path / "array.npy")], InputError, "array.npy is not a py-feat"),
        (["--config", str(tmp_path / "fast.yaml")], UsageError, "rendered at 10 frames a second, but the network of"),
        (["--config", str(tmp_path / "wrong.yaml")], UsageError, "training.epochs"),
        (["--config", "defualt"], InputError, "defualt"),
        (["--people", "0"], UsageError, "--people and --held-out must be at least 1"),
        (["--workers", "0"], UsageError, "workers"),
    )
    for change, kind, words in refused:
        assert main([*command, *change]) == kind.exit_status
        error = capsys.readouterr().err
        assert words in error
        assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_the_first_error_ends_it(command, tmp_path, capsys):
    kit = tmp_path / "none.npz"
    assert main([*command, "--ict-facekit", str(kit)]) == CheckpointError.exit_status
    assert "none.npz" in capsys.readouterr().err
    assert not (tmp_path / "out" / "tiny").exists()


def test_by_default_it_is_the_bundled_recipe(command, unrendered, tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(reproduce.rendered_sequences, "main", lambda command: seen.append(command) or 0)
    monkeypatch.setattr(reproduce.training, "main", lambda command: seen.append(command) or 0)
    assert main(command[: command.index("--config")]) == 0
    out = str(tmp_path / "out")
    kit = ["--ict-facekit", str(tmp_path), "--workers", "2"]
    assert seen[0] == [*kit, "--output", f"{out}/rendered", "--count", "612"]
    assert seen[1] == [*kit, "--output", f"{out}/rendered-held-out", "--count", "96", "--seed", "1000003"]
    assert seen[2][:2] == ["--config", "default"]
    assert seen[2][-2:] == ["--output", f"{out}/default"]


@pytest.mark.shared_data
@pytest.mark.slow  # renders eight people, for half a second each
def test_on_the_real_kit(command, shared_data, tmp_path, monkeypatch):
    settings = RenderSettings(seconds=0.5, size=128)
    monkeypatch.setattr(rendered_sequences, "RenderSettings", lambda style: replace(settings, style=style))
    people = shared_data / "pyfeat" / "au_to_mesh_pls_v4.npz"
    real = ["--ict-facekit", str(shared_data / "ict_facekit" / "ict_facekit.npz"), "--pyfeat-map", str(people)]
    assert main([*command, *real, "--people", "4", "--held-out", "4"]) == 0
    AUD3DFaceForReconstruction.from_pretrained(tmp_path / "out" / "tiny" / "model")
