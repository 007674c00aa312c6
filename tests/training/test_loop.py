"""A training of seconds, end to end: the loss falls, the checkpoint loads, a stopped run goes on as if it had not."""

import json

import pytest
import torch
import yaml

from au_d3dface.data.synthetic.rendered_sequences import PER_SHARD
from au_d3dface.errors import CheckpointError, InputError, OutputError, UsageError
from au_d3dface.modeling_au_d3dface import AUD3DFaceForReconstruction
from au_d3dface.training.__main__ import main
from au_d3dface.training.arguments import parse
from au_d3dface.training.checkpointing import load_checkpoint, save_checkpoint
from au_d3dface.training.loop import train

pytest.importorskip("accelerate")


BOTH = {"linear_reading": 0.3, "whitening": 1e-4}


def tiny(output, pool, data=None, model=None, **training) -> dict:
    return {
        "model": {
            "hidden_size": 16,
            "intermediate_size": 32,
            "num_attention_heads": 2,
            "num_temporal_layers": 1,
            "num_spatial_layers": 1,
            "attention_window": 10,
            "action_units": [12, 25, 45],
        }
        | (model or {}),
        "data": {"sequences": 8, "held_out": 2, "seconds": 3.0, "clip_length": 20, "pool": str(pool)} | (data or {}),
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


def test_a_loss_that_is_not_finite_ends_in_a_sentence(tmp_path, pool):
    with pytest.raises(UsageError, match=r"not finite at step .*learning_rate"):
        train(parse(tiny(tmp_path / "run", pool, learning_rate=1e30)))


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


@pytest.fixture(scope="module")
def rendered(stored) -> dict:
    """Rendered sequences (of another length) beside the fast ones and in the place of held-out ones."""
    return {"rendered": str(stored), "rendered_held_out": str(stored), "rendered_repeats": 2}


def test_a_linear_reading_and_whitening_together(tmp_path, pool, rendered):
    """The saved weights are the moving average of the trained factors, folded."""
    content = tiny(tmp_path, pool, rendered, epochs=6, **BOTH)
    folder = train(parse(content))
    model = AUD3DFaceForReconstruction.from_pretrained(folder)
    record = json.loads((folder / "training.json").read_text())
    assert record["steps"] == 6 * (8 + 2 * PER_SHARD) // 4
    assert [part["seed"] for part in record["pools"]] == [77, 0, 77]
    assert [part["sequences"] for part in record["pools"]] == [PER_SHARD, 8, PER_SHARD]
    assert record["arguments"]["training"]["linear_reading"] == 0.3
    assert record["arguments"]["training"]["whitening"] == 1e-4
    assert record["arguments"]["data"]["rendered_repeats"] == 2
    assert record["arguments"]["data"]["rendered"] == record["arguments"]["data"]["rendered_held_out"] != str(tmp_path)
    losses = [line["loss"] for line in records(tmp_path) if "loss" in line]
    assert sum(losses[-4:]) < 0.85 * sum(losses[:4])

    state = load_checkpoint(tmp_path)
    average, trained = state["average"], state["model"]
    weights = model.state_dict()
    for name, right in (("model.motion_encoder", True), ("model.spatial.tokens", False)):
        factor = average[f"{name}.parametrizations.weight.original"]
        assert not torch.equal(factor, trained[f"{name}.parametrizations.weight.original"])
        root = trained[f"{name}.parametrizations.weight.0.root"]
        product = factor @ root if right else root @ factor
        torch.testing.assert_close(weights[f"{name}.weight"], product, atol=1e-6, rtol=1e-4)
    for name in weights.keys() & average.keys():
        assert torch.equal(weights[name], average[name]), name
    assert weights.keys() == AUD3DFaceForReconstruction(model.config).state_dict().keys()


def test_the_reading_teaches_fast_clips_and_no_others(tmp_path, pool, rendered, monkeypatch):
    """What the loss is given: probabilities between 0 and 1 for fast clips, true labels for rendered ones."""
    from au_d3dface.training import synthetic_data

    seen = []
    real = synthetic_data.LinearReading.teach
    monkeypatch.setattr(
        synthetic_data.LinearReading, "teach", lambda self, batch: seen.append(real(self, batch)) or seen[-1]
    )
    train(parse(tiny(tmp_path, pool, rendered, max_steps=4, **BOTH)))
    assert len(seen) == 4
    taught = torch.cat([batch["taught"] for batch in seen])
    assert taught.sum() == 8
    between = torch.cat([((b["au_targets"] > 0) & (b["au_targets"] < 1)).flatten(1).any(1) for b in seen])
    assert torch.equal(between, taught)


@pytest.mark.parametrize("training", [{"linear_reading": 0.3}, BOTH], ids=["reading", "both"])
def test_rendered_sequences_without_fast_ones(tmp_path, pool, rendered, training):
    """Then nobody is taught, and the same settings train as well."""
    none = {"sequences": 0, "held_out": 0}
    folder = train(parse(tiny(tmp_path, pool, rendered | none, epochs=2, **training)))
    record = json.loads((folder / "training.json").read_text())
    assert record["steps"] == 4
    assert [part["seed"] for part in record["pools"]] == [77, 77]
    AUD3DFaceForReconstruction.from_pretrained(folder)


def test_fast_sequences_without_rendered_ones(tmp_path, pool):
    folder = train(parse(tiny(tmp_path, pool, epochs=2, **BOTH)))
    record = json.loads((folder / "training.json").read_text())
    assert record["steps"] == 4
    assert len(record["pools"]) == 2


@pytest.mark.parametrize("model", [{"use_temporal": False}, {"use_spatial": False}], ids=["static", "temporal"])
def test_one_module_alone(tmp_path, pool, model):
    folder = train(parse(tiny(tmp_path, pool, model=model, epochs=2, **BOTH)))
    loaded = AUD3DFaceForReconstruction.from_pretrained(folder)
    assert loaded.config.use_temporal == model.get("use_temporal", True)
    assert loaded.state_dict().keys() == AUD3DFaceForReconstruction(loaded.config).state_dict().keys()


def test_rendered_sequences_of_another_rate(tmp_path, pool, rendered):
    with pytest.raises(InputError, match="holds sequences of 10 frames a second, but the network takes 15"):
        train(parse(tiny(tmp_path, pool, rendered, model={"frame_rate": 15})))


@pytest.mark.parametrize("both", [False, True], ids=["plain", "taught and whitened"])
def test_a_stopped_run_continues_to_the_same_weights(tmp_path, pool, rendered, monkeypatch, both):
    """Stopped in the middle of an epoch and started again by the same arguments: equal to the run that was not."""
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    settings = {"save_every": 1, "epochs": 3} | (BOTH if both else {})
    data, stop = (rendered, 6) if both else ({}, 3)  # of 4 steps an epoch, or 2
    expected = train(parse(tiny(whole, pool, data, **settings)))

    import au_d3dface.training.loop as loop

    real = loop.save_checkpoint

    def stop_early(folder, step, state):
        real(folder, step, state)
        if step == stop:
            raise KeyboardInterrupt

    monkeypatch.setattr(loop, "save_checkpoint", stop_early)
    with pytest.raises(KeyboardInterrupt):
        train(parse(tiny(parts, pool, data, **settings)))
    monkeypatch.setattr(loop, "save_checkpoint", real)
    resumed = train(parse(tiny(parts, pool, data, **settings)))
    a, b = (AUD3DFaceForReconstruction.from_pretrained(folder).state_dict() for folder in (expected, resumed))
    for name in a:
        assert torch.equal(a[name], b[name]), name
    assert len(list(parts.glob("step-*"))) == 1


@pytest.mark.parametrize("change", [{"training": {"whitening": 1e-4}}, {"model": {"hidden_size": 32}}])
def test_a_folder_of_another_training_is_refused(tmp_path, pool, change):
    train(parse(tiny(tmp_path, pool, max_steps=1)))
    other = parse(tiny(tmp_path, pool, model=change.get("model"), **change.get("training", {})))
    with pytest.raises(CheckpointError, match=f"{tmp_path.name} holds the checkpoint of a training with other"):
        train(other)


def test_the_record_s_command_names_no_folders():
    from au_d3dface.training.run_record import command

    options = ["--config", "default", "--rendered", "/home/someone/people", "--pool=/home/someone/pool", "--epochs=3"]
    expected = "python -m au_d3dface.training --config default --rendered people --pool=pool --epochs=3"
    assert command(options) == expected


def test_errors_are_sentences(tmp_path, capsys):
    config = tmp_path / "wrong.yaml"
    config.write_text(yaml.safe_dump({"training": {"lerning_rate": 1}}))
    assert main(["--config", str(config)]) == UsageError.exit_status
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
