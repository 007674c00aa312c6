"""A training of seconds, end to end: the loss falls, the checkpoint loads, a stopped run goes on as if it had not."""

import json

import pytest
import torch
import yaml

from au_d3dface.errors import CheckpointError, OutputError, UsageError
from au_d3dface.modeling_au_d3dface import AUD3DFaceForReconstruction
from au_d3dface.training.__main__ import main
from au_d3dface.training.arguments import parse
from au_d3dface.training.checkpointing import load_checkpoint, save_checkpoint
from au_d3dface.training.loop import train

pytest.importorskip("accelerate")


def tiny(output, pool, **training) -> dict:
    return {
        "model": {
            "hidden_size": 16,
            "intermediate_size": 32,
            "num_attention_heads": 2,
            "num_temporal_layers": 1,
            "num_spatial_layers": 1,
            "attention_window": 10,
            "action_units": [12, 25, 45],
        },
        "data": {"sequences": 8, "held_out": 2, "seconds": 3.0, "clip_length": 20, "pool": str(pool)},
        "training": {
            "output": str(output),
            "epochs": 4,
            "batch_size": 4,
            "learning_rate": 0.003,
            "ema_decay": 0.5,
            "scheduled_sampling": 0.5,
            "label_flip": 0.1,
            "label_unknown": 0.1,
            "evaluate_every": 0,
            "calibrate": 4,
        }
        | training,
    }


@pytest.fixture(scope="module")
def pool(tmp_path_factory):
    return tmp_path_factory.mktemp("pool")


@pytest.fixture(scope="module")
def trained(tmp_path_factory, pool):
    output = tmp_path_factory.mktemp("run")
    return output, train(parse(tiny(output, pool, epochs=12)))


def records(output) -> list[dict]:
    return [json.loads(line) for line in (output / "log.jsonl").read_text().splitlines()]


def test_the_loss_falls(trained):
    output, _ = trained
    losses = [record["loss"] for record in records(output) if "loss" in record]
    assert len(losses) == 24
    assert sum(losses[-4:]) < 0.85 * sum(losses[:4])  # the heads start at the positive rates already
    assert {"smooth", "au", "intensity", "vertices", "gradient_norm"} <= set(records(output)[0])


def test_the_checkpoint_loads_and_decodes(trained):
    _, folder = trained
    assert {path.name for path in folder.iterdir()} == {
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "training.json",
    }
    model = AUD3DFaceForReconstruction.from_pretrained(folder)
    assert model.config.action_units == (12, 25, 45)
    assert model.model.au_masks.any(1).all()
    assert min(model.config.au_positive_rates) > 0
    output = model.generate(vertices=torch.zeros(1, 5, 468, 3), neutral_vertices=torch.zeros(1, 468, 3))
    assert output.au_probabilities.shape == (1, 5, 3)


def test_the_record_says_what_was_done(trained):
    output, folder = trained
    record = json.loads((folder / "training.json").read_text())
    assert record["steps"] == 24
    assert record["arguments"]["training"]["learning_rate"] == 0.003
    assert str(output) not in json.dumps(record)
    scores = record["held_out"]
    assert set(scores["by_au"]) == {"AU12", "AU25", "AU45"}
    assert scores["refined_error_mm"] > 0
    assert scores["coarse_error_mm"] > 0


def test_a_stopped_run_continues_to_the_same_weights(tmp_path, pool, monkeypatch):
    """Stopped in the middle of an epoch and started again by the same arguments: equal to the run that was not."""
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    settings = {"save_every": 1, "epochs": 3}
    expected = train(parse(tiny(whole, pool, **settings)))

    import au_d3dface.training.loop as loop

    real = loop.save_checkpoint

    def stop_after_three(folder, step, state):
        real(folder, step, state)
        if step == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(loop, "save_checkpoint", stop_after_three)
    with pytest.raises(KeyboardInterrupt):
        train(parse(tiny(parts, pool, **settings)))
    monkeypatch.setattr(loop, "save_checkpoint", real)
    resumed = train(parse(tiny(parts, pool, **settings)))
    a, b = (AUD3DFaceForReconstruction.from_pretrained(folder).state_dict() for folder in (expected, resumed))
    for name in a:
        assert torch.equal(a[name], b[name]), name
    assert len(list(parts.glob("step-*"))) == 1


def test_errors_are_sentences(tmp_path, capsys):
    config = tmp_path / "wrong.yaml"
    config.write_text(yaml.safe_dump({"training": {"lerning_rate": 1}}))
    import sys

    argv, sys.argv = sys.argv, ["training", "--config", str(config)]
    try:
        assert main() == UsageError.exit_status
    finally:
        sys.argv = argv
    assert "did you mean 'learning_rate'" in capsys.readouterr().err


def test_an_output_that_is_a_file(tmp_path, pool):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        train(parse(tiny(tmp_path / "file", pool)))


def test_checkpoints_are_whole_or_not_there(tmp_path):
    assert load_checkpoint(tmp_path) is None
    save_checkpoint(tmp_path, 1, {"step": 1})
    (tmp_path / ".step-00000009.123.tmp").mkdir()  # left by a run that was killed
    (tmp_path / "step-00000009").mkdir()  # without its file it does not count
    save_checkpoint(tmp_path, 2, {"step": 2, "tensor": torch.ones(2)})
    assert load_checkpoint(tmp_path)["step"] == 2
    assert not (tmp_path / "step-00000001").exists()
    (tmp_path / "step-00000002" / "state.pt").write_bytes(b"damaged")
    with pytest.raises(CheckpointError, match="delete"):
        load_checkpoint(tmp_path)
