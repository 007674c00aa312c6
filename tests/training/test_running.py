"""Best and last, early stop, trackers, full disks, and what is refused before any work is done."""

import json
import os
import resource
import shutil
import subprocess
from importlib import resources

import pytest
import torch
from torch.utils.data import DataLoader

from au_d3dface import AUD3DFaceForReconstruction
from au_d3dface.errors import CheckpointError, MissingDependencyError, OutputError, UsageError
from au_d3dface.training import loop, preflight
from au_d3dface.training.arguments import parse
from au_d3dface.training.checkpointing import load_checkpoint, save_checkpoint
from au_d3dface.training.loop import train
from au_d3dface.training.moving_average import MovingAverage
from au_d3dface.training.run_record import RunLog
from au_d3dface.training.sampling import EpochBatches, EpochClips, batch_loader

pytest.importorskip("accelerate")


@pytest.fixture(scope="module")
def pool(tmp_path_factory):
    return tmp_path_factory.mktemp("pool")


def settings(output, pool, model=None, **training) -> dict:
    small = {"hidden_size": 16, "intermediate_size": 16, "num_attention_heads": 2, "action_units": [12, 25]}
    return {
        "model": small | {"num_temporal_layers": 1, "num_spatial_layers": 1} | (model or {}),
        "data": {"sequences": 8, "held_out": 2, "seconds": 2.0, "clip_length": 10, "pool": str(pool)},
        "training": {"output": str(output), "epochs": 5, "batch_size": 4, "learning_rate": 0.003} | training,
    }


def records(output) -> list[dict]:
    return [json.loads(line) for line in (output / "log.jsonl").read_text().splitlines()]


@pytest.fixture
def scripted(monkeypatch):
    """Evaluations that give these F1s, one after the other."""

    real = loop.evaluate

    def script(*values):
        found = iter(values)
        monkeypatch.setattr(loop, "evaluate", lambda *args: real(*args) | {"f1_mean": next(found)})

    return script


def test_the_best_is_kept_and_the_last_too(tmp_path, pool, scripted):
    scripted(0.2, 0.5, 0.5, 0.4, 0.3)
    folder = train(parse(settings(tmp_path, pool)))
    best, last = (json.loads((tmp_path / name / "training.json").read_text()) for name in ("best", "model"))
    assert folder == tmp_path / "model"
    assert (best["steps"], best["held_out"]["f1_mean"]) == (4, 0.5)  # the first of equals
    assert (last["steps"], last["held_out"]["f1_mean"]) == (10, 0.3)
    one, other = (AUD3DFaceForReconstruction.from_pretrained(tmp_path / n).state_dict() for n in ("best", "model"))
    assert any(not torch.equal(one[name], other[name]) for name in one)


def test_training_stops_when_nothing_is_gained(tmp_path, pool, scripted):
    scripted(0.2, 0.5, 0.4, None, 0.9)
    train(parse(settings(tmp_path, pool, patience=2)))
    assert json.loads((tmp_path / "model" / "training.json").read_text())["steps"] == 8
    assert json.loads((tmp_path / "best" / "training.json").read_text())["steps"] == 4


def test_patience_survives_a_stop(tmp_path, pool, scripted, monkeypatch):
    """Killed in the fourth epoch, whose evaluation is then the second without gain."""
    scripted(0.2, 0.5, 0.4)
    real = loop.save_checkpoint

    def stop(folder, step, state):
        real(folder, step, state)
        if step == 7:
            raise KeyboardInterrupt

    monkeypatch.setattr(loop, "save_checkpoint", stop)
    with pytest.raises(KeyboardInterrupt):
        train(parse(settings(tmp_path, pool, patience=2, save_every=1)))
    monkeypatch.setattr(loop, "save_checkpoint", real)
    scripted(0.45, 0.9)
    train(parse(settings(tmp_path, pool, patience=2, save_every=1)))
    assert json.loads((tmp_path / "model" / "training.json").read_text())["steps"] == 8
    assert [r["evaluation"]["f1_mean"] for r in records(tmp_path) if "evaluation" in r] == [0.2, 0.5, 0.4, 0.45]


def test_a_smaller_mesh_error_is_better(tmp_path, pool, monkeypatch):
    found = iter([2.0, 1.0, 1.5])
    real = loop.evaluate
    monkeypatch.setattr(loop, "evaluate", lambda *args: real(*args) | {"refined_error_mm": next(found)})
    train(parse(settings(tmp_path, pool, epochs=3, best_metric="refined_error_mm")))
    assert json.loads((tmp_path / "best" / "training.json").read_text())["held_out"]["refined_error_mm"] == 1.0


def test_the_best_mesh_needs_true_meshes(tmp_path, pool, monkeypatch):
    real = loop.training_data

    def untrue(*args):
        data = real(*args)
        made = data.meshes
        data.meshes = lambda batch: {name: value for name, value in made(batch).items() if name != "true_vertices"}
        return data

    monkeypatch.setattr(loop, "training_data", untrue)
    with pytest.raises(UsageError, match="have no true meshes"):
        train(parse(settings(tmp_path / "a", pool, best_metric="refined_error_mm")))
    train(parse(settings(tmp_path / "b", pool, epochs=1)))
    assert "vertices" not in records(tmp_path / "b")[0]
    assert "refined_error_mm" not in records(tmp_path / "b")[-1]["evaluation"]


def test_speed_is_in_the_log(tmp_path, pool):
    train(parse(settings(tmp_path, pool, epochs=2)))
    found = records(tmp_path)
    assert all(record["frames_per_second"] > 0 for record in found if "loss" in record)
    shares = [record["outside_share"] for record in found if "outside_share" in record]
    assert len(shares) == 2
    assert all(0 < share < 1 for share in shares)


def test_another_training_is_refused_before_its_data_are_made(tmp_path, pool, monkeypatch):
    train(parse(settings(tmp_path, pool, max_steps=1)))
    monkeypatch.setattr(loop, "training_data", lambda *args: pytest.fail("data were made"))
    with pytest.raises(CheckpointError, match=r"\(training\.learning_rate was 0\.003 and is 0\.1\)"):
        train(parse(settings(tmp_path, pool, max_steps=1, learning_rate=0.1)))
    with pytest.raises(CheckpointError, match="clips a step was 4 and is 8"):
        train(parse(settings(tmp_path, pool, max_steps=1, batch_size=8)))


def test_more_epochs_go_on_from_a_checkpoint(tmp_path, pool):
    train(parse(settings(tmp_path, pool, epochs=1)))
    train(parse(settings(tmp_path, pool, epochs=2, batch_size=2, gradient_accumulation=2)))
    assert [record["step"] for record in records(tmp_path) if "loss" in record] == [1, 2, 3, 4]


def test_tensorboard_holds_every_step_once(tmp_path, pool):
    pytest.importorskip("tensorboard", reason="the tracker is an extra")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    train(parse(settings(tmp_path, pool, epochs=1, trackers=["tensorboard"])))
    train(parse(settings(tmp_path, pool, epochs=2, trackers=["tensorboard"])))
    events = EventAccumulator(str(tmp_path / "au-d3dface"))
    events.Reload()
    shown = events.Scalars("loss")
    assert [event.step for event in shown] == [1, 2, 3, 4]
    logged = [record["loss"] for record in records(tmp_path) if "loss" in record]
    assert [event.value for event in shown] == pytest.approx(logged)
    assert "evaluation/by_au/AU12/always_positive_f1" in events.Tags()["scalars"]


def test_a_tracker_that_is_not_installed(tmp_path, pool, monkeypatch):
    monkeypatch.setattr("au_d3dface.training.trackers.find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match=r"names wandb, .* pip install wandb"):
        train(parse(settings(tmp_path / "run", pool, trackers=["wandb"])))
    assert not (tmp_path / "run").exists()


def test_gradient_checkpointing_where_the_model_has_it(tmp_path, pool, monkeypatch):
    monkeypatch.setattr(AUD3DFaceForReconstruction, "supports_gradient_checkpointing", False)
    with pytest.raises(UsageError, match="cannot compute activations anew"):
        train(parse(settings(tmp_path, pool, gradient_checkpointing=True)))
    monkeypatch.undo()
    enable, asked, weights = AUD3DFaceForReconstruction.activation_checkpointing_enable, [], []

    def enabled(network, how):
        asked.append(how)
        enable(network, how)

    monkeypatch.setattr(AUD3DFaceForReconstruction, "activation_checkpointing_enable", enabled)
    for anew in (False, True):  # dropout and all: what is computed anew is what was computed before
        folder = train(parse(settings(tmp_path / str(anew), pool, gradient_checkpointing=anew, max_steps=3)))
        weights.append(AUD3DFaceForReconstruction.from_pretrained(folder).state_dict())
    assert asked == [{"use_reentrant": False}]
    for name, value in weights[0].items():
        torch.testing.assert_close(weights[1][name], value, msg=name)


@pytest.mark.parametrize(("name", "kind"), [("ddp", "MULTI_GPU"), ("fsdp2", "FSDP")])
def test_the_shipped_launch_configs_are_accelerate_s(name, kind):
    from accelerate.commands.config.config_args import load_config_from_file

    path = resources.files("au_d3dface.training") / "configs" / "accelerate" / f"{name}.yaml"
    config = load_config_from_file(str(path))
    assert (str(config.distributed_type), config.mixed_precision) == (f"DistributedType.{kind}", "bf16")


def test_a_disk_without_room_is_told_before_any_work(tmp_path, pool, monkeypatch):
    real = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(preflight.shutil, "disk_usage", lambda path: real._replace(free=10_000))
    monkeypatch.setattr(loop, "training_data", lambda *args: pytest.fail("data were made"))
    with pytest.raises(OutputError, match="has 0 MB left, but checkpoints and models will need some"):
        train(parse(settings(tmp_path, pool)))


def test_a_disk_that_fills_up(tmp_path):
    """A real one, of 1 MB: what was saved before is still there."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(disk)], capture_output=True)
    if mounted.returncode:
        pytest.skip("no small disk can be mounted here")
    try:
        save_checkpoint(disk, 1, {"step": 1})
        with pytest.raises(OutputError, match=r"step-00000002 cannot be written: .*make room"):
            save_checkpoint(disk, 2, {"tensor": torch.zeros(1_000_000)})
        assert load_checkpoint(disk) == {"step": 1}
        assert [path.name for path in disk.iterdir()] == ["step-00000001"]
        log = RunLog(disk / "log.jsonl")
        with pytest.raises(OutputError, match=r"log\.jsonl: the disk is full"):
            log.write({"text": "x" * 2_000_000})
        log.close()
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_file_that_may_not_grow(tmp_path):
    """As on a full disk, wherever tests run: the system refuses every byte above a limit."""
    save_checkpoint(tmp_path, 1, {"step": 1})
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        with pytest.raises(OutputError, match="step-00000002 cannot be written"):
            save_checkpoint(tmp_path, 2, {"tensor": torch.zeros(1_000_000)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert load_checkpoint(tmp_path) == {"step": 1}


def test_the_log_goes_on_where_the_checkpoint_was(tmp_path):
    path = tmp_path / "log.jsonl"
    log = RunLog(path)
    log.write({"step": 1})
    size = log.size
    log.write({"step": 2})
    log.close()
    with path.open("a") as file:
        file.write('{"st')
    again = RunLog(path, size)
    again.write({"step": 2, "again": True})
    again.close()
    assert [json.loads(line) for line in path.read_text().splitlines()] == [{"step": 1}, {"step": 2, "again": True}]
    path.write_text('{"step": 1}\n{"st')  # shorter than the checkpoint says
    RunLog(path, 10**6).close()
    assert path.read_text() == '{"step": 1}\n'


@pytest.mark.parametrize(("processes", "batch_size", "parts"), [(1, 8, 1), (2, 4, 1), (2, 2, 2), (4, 1, 2)])
def test_a_step_has_the_same_clips_for_any_number_of_processes(processes, batch_size, parts):
    shares = [EpochBatches(27, batch_size, parts, 5, process, processes) for process in range(processes)]
    whole = EpochBatches(27, 8, 1, 5)
    for share in (*shares, whole):
        share.begin(3, 1)
        assert share.steps == 3
        assert len(list(share)) == len(share)
    expected = [set(batch) for batch in whole]
    found = [[batches[n * parts + part] for batches in map(list, shares) for part in range(parts)] for n in range(2)]
    assert [{place for batch in step for place in batch} for step in found] == expected
    assert {epoch for step in expected for epoch, _ in step} == {3}


class Numbered:
    """Clips that say their epoch, index, and what their process draws."""

    epoch = None

    def begin_epoch(self, epoch):
        self.epoch = epoch

    def __getitem__(self, index):
        import numpy as np

        drawn = torch.tensor([np.random.randint(10**6)])
        place = torch.tensor([[self.epoch, index, os.getpid()]])
        return {"frame_mask": torch.ones(1).bool(), "place": place, "x": drawn}


def test_workers_have_their_epoch_and_their_own_seeds():
    order = EpochBatches(8, 2, 1, seed=0)
    loader = batch_loader(EpochClips(Numbered()), order, workers=2, persistent=True)
    assert isinstance(loader, DataLoader)
    assert not loader.pin_memory
    people = set()
    for epoch in (0, 1, 2):
        order.begin(epoch, 0)
        rows = torch.cat([batch["place"][:, 0] for batch in loader])
        assert set(rows[:, 0].tolist()) == {epoch}
        assert sorted(rows[:, 1].tolist()) == list(range(8))
        people |= set(rows[:, 2].tolist())
    assert len(people) == 2  # the same two through all epochs
    order.begin(3, 0)
    first, second = [int(batch["x"][0, 0]) for batch in loader][:2]
    assert first != second


def test_an_average_is_between_what_it_has_seen():
    model = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.constant_(model.weight, 0.0)
    average = MovingAverage(model, 0.5)
    torch.nn.init.constant_(model.weight, 1.0)
    average.update(model, 0)  # at first the decay is a tenth
    assert average.values["weight"].item() == pytest.approx(0.9)
    torch.nn.init.constant_(model.weight, 0.0)
    average.update(model, 1000)
    average.write_to(model)
    assert model.weight.item() == pytest.approx(0.45)
    with pytest.raises(KeyError):
        average.load({})
