"""Several real processes, and processes that are killed: the same training as one that nobody disturbs."""

import shutil
import subprocess
import sys

import pytest
import torch
from processes import kill_when, run, start, wait
from small_trainings import assert_equal, losses, records, seen_pool, settings, steps, weights

from au_d3dface import AUD3DFaceForReconstruction

pytest.importorskip("accelerate")


@pytest.fixture(scope="module")
def pool(tmp_path_factory):
    return seen_pool(tmp_path_factory.mktemp("pool"))


def test_two_processes_learn_like_one(tmp_path, pool):
    """The same clips a step, 2 x 4 or 1 x 8 or 2 x 2 x 2 batches: the same losses and weights but for rounding."""
    one = run(settings(tmp_path / "one", pool, batch_size=8))
    two = run(settings(tmp_path / "two", pool, batch_size=4), 2)
    parts = run(settings(tmp_path / "parts", pool, batch_size=2, gradient_accumulation=2), 2)
    assert len(losses(one)) == 6
    for other in (two, parts):
        assert losses(other) == pytest.approx(losses(one), rel=2e-4)
        for name, value in weights(other).items():
            if name.endswith("key.bias"):  # softmax does not see it: its gradient is rounding, which Adam makes large
                continue
            torch.testing.assert_close(value, weights(one)[name], atol=2e-4, rtol=1e-3, msg=name)


def test_two_processes_score_like_one(tmp_path, pool):
    """Five held-out sequences in batches of two: an uneven last one, and an uneven number of batches."""
    one = run(settings(tmp_path / "one", pool, batch_size=2, max_steps=1, calibrate=5, learning_rate=1e-12))
    shutil.copytree(one, tmp_path / "two")
    two = run(settings(tmp_path / "two", pool, batch_size=1, max_steps=1, calibrate=5, learning_rate=1e-12), 2)
    same, other = ([r["evaluation"] for r in records(output) if "evaluation" in r] for output in (one, two))
    assert same[-1]["frames"] == other[-1]["frames"] == 5 * 20
    assert other[-1]["refined_error_mm"] == pytest.approx(same[-1]["refined_error_mm"], rel=1e-6)
    assert other[-1]["by_au"] == same[-1]["by_au"]
    first, second = (AUD3DFaceForReconstruction.from_pretrained(output / "model") for output in (one, two))
    assert first.generation_config.au_thresholds == second.generation_config.au_thresholds
    assert_equal(first.state_dict(), second.state_dict())


@pytest.mark.parametrize("processes", [1, 2])
def test_killed_at_any_moment_and_started_again(tmp_path, pool, processes):
    """Bit for bit the weights of the run that was not killed; every step is in the log once."""
    common = {"save_every": 3, "epochs": 8, "batch_size": 4 // processes, "label_flip": 0.1, "scheduled_sampling": 0.5}
    whole = run(settings(tmp_path / "whole", pool, {"hidden_dropout": 0.1}, **common), processes)
    output = tmp_path / "parts"
    content = settings(output, pool, {"hidden_dropout": 0.1}, **common)
    for moment in (2, 6, 17, 31):  # before there is a checkpoint, in an epoch, at its end, in the last
        started = start(content, processes)
        kill_when(started, lambda moment=moment: steps(output) >= moment)
        assert len(list(output.glob("step-*"))) <= 1
        with (output / "log.jsonl").open("a") as file:
            file.write('{"step": 99')  # half a line
    wait(start(content, processes))
    assert_equal(weights(output), weights(whole))
    assert_equal(weights(output, "best"), weights(whole, "best"))
    assert losses(output) == losses(whole)
    assert [r["step"] for r in records(output) if "loss" in r] == list(range(1, 33))
    assert [r["evaluation"] for r in records(output) if "evaluation" in r] == [
        r["evaluation"] for r in records(whole) if "evaluation" in r
    ]
    assert sorted(path.name for path in output.iterdir()) == ["best", "log.jsonl", "model", "step-00000032"]


def test_killed_while_models_are_written(tmp_path, pool):
    """Whatever a kill leaves beside the folders is put in order by the next start."""
    content = settings(tmp_path / "run", pool, epochs=1)
    output = run(content)
    expected = weights(output, "best")
    (output / "best").rename(output / ".best.old")  # moved away, and the new one is not there yet
    (output / ".best.new").mkdir()
    (output / ".step-00000009.1.tmp").mkdir()
    run(content)
    assert_equal(weights(output, "best"), expected)
    assert sorted(path.name for path in output.iterdir()) == ["best", "log.jsonl", "model", "step-00000004"]


def test_workers_draw_the_same_clips(tmp_path, pool):
    """In every epoch others, so the epoch reaches the workers, which live through all of them."""
    data = {"neutral_error": 0.5, "noise": 0.3}
    without = run(settings(tmp_path / "without", pool, data=data))
    workers = run(settings(tmp_path / "with", pool, data=data, loader_workers=2))
    assert losses(workers) == losses(without)
    assert_equal(weights(workers), weights(without))


@pytest.mark.slow
def test_torchrun_starts_two_processes(tmp_path, pool):
    """The command of the page on training, and one sentence for a config that makes no sense."""
    import yaml

    config = tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump(settings(tmp_path / "run", pool, epochs=1)))
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*launch, "-m", "au_d3dface.training", "--config", str(config)], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.split() == [str(tmp_path / "run" / "model")]
    assert len(losses(tmp_path / "run")) == 2
    assert "destroy_process_group" not in done.stderr


@pytest.mark.parametrize("precision", ["bf16"])
def test_half_precision_follows_full(tmp_path, pool, precision):
    full = run(settings(tmp_path / "full", pool, epochs=8))
    half = run(settings(tmp_path / "half", pool, epochs=8), ACCELERATE_MIXED_PRECISION=precision)
    assert losses(half) != losses(full)
    assert losses(half) == pytest.approx(losses(full), rel=0.05)
    assert all(value.isfinite().all() for value in weights(half).values())
