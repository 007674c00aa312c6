"""FSDP2 in two real processes: what the loop learns, scores and keeps is what it is with the whole network in each."""

import subprocess
import sys
from importlib import resources
from pathlib import Path

import pytest
import torch
from processes import kill_when, run, start, wait
from small_trainings import assert_equal, losses, records, seen_pool, settings, steps, weights

from au_d3dface import AUD3DFaceConfig, AUD3DFaceForReconstruction
from au_d3dface.errors import UsageError
from au_d3dface.mlp_baseline import AUD3DFaceMLP
from au_d3dface.training.arguments import TrainingArguments
from au_d3dface.training.checkpointing import load_checkpoint
from au_d3dface.training.feedback import FeedbackForward
from au_d3dface.training.preflight import start_accelerator

pytest.importorskip("accelerate")

CONFIG = str(resources.files("au_d3dface.training") / "configs" / "accelerate" / "fsdp2.yaml")
VIDEO = {
    "use_video": True,
    "clip_length": 4,
    "predict_intensity": False,
    "image_size": 32,
    "video_embed_dim": 8,
    "video_depths": (1, 1),
    "video_num_heads": (1, 2),
    "video_window_size": (2, 2, 2),
    "video_stochastic_depth": 0.0,
}


@pytest.fixture(scope="module")
def sharded():
    """What accelerate's launcher puts into the environment for the shipped config, without its precision."""
    from accelerate.commands.launch import _validate_launch_command, launch_command_parser
    from accelerate.utils.launch import prepare_multi_gpu_env

    arguments = launch_command_parser().parse_args(["--config_file", CONFIG, "--mixed_precision", "no", "-m", "x"])
    environment = prepare_multi_gpu_env(_validate_launch_command(arguments)[0])
    return {name: value for name, value in environment.items() if name.startswith("FSDP") or name.endswith("USE_FSDP")}


@pytest.fixture(scope="module")
def pool(tmp_path_factory):
    return seen_pool(tmp_path_factory.mktemp("pool"))


@pytest.fixture(scope="module")
def whole(pool, tmp_path_factory):
    """A training with the whole network in each of two processes."""
    return run(settings(tmp_path_factory.mktemp("whole"), pool), 2)


def mlp(output, pool) -> dict:
    """A training of the baseline, two batches a step."""
    content = settings(output, pool, weight_vertices=0.0, batch_size=2, gradient_accumulation=2)
    model = {"model_type": "au_d3dface_mlp", "action_units": [12, 25, 45], "hidden_sizes": [16], "hidden_dropout": 0.0}
    return content | {"model": model}


def scores(output) -> list[dict]:
    return [record["evaluation"] for record in records(output) if "evaluation" in record]


def assert_close(found, expected, atol=2e-5):
    """Weights by name; what softmax does not see is rounding, which Adam makes large."""
    assert found.keys() == expected.keys()
    for name, value in found.items():
        if not str(name).endswith("key.bias"):
            assert type(value) is torch.Tensor, name
            torch.testing.assert_close(value, expected[name], atol=atol, rtol=1e-4, msg=str(name))


def assert_same_training(found, expected):
    assert losses(found) == pytest.approx(losses(expected), rel=2e-5)
    norms = [[r["gradient_norm"] for r in records(output) if "gradient_norm" in r] for output in (found, expected)]
    assert norms[0] == pytest.approx(norms[1], rel=1e-3)
    assert len(scores(found)) == len(scores(expected)) == 3
    for one, other in zip(scores(found), scores(expected), strict=True):
        assert one["by_au"] == other["by_au"]
        if "refined_error_mm" in other:
            assert one["refined_error_mm"] == pytest.approx(other["refined_error_mm"], rel=1e-6)


def test_shards_learn_like_whole_networks(tmp_path, pool, sharded):
    """Bit for bit where gradients are not clipped (their norm is summed in another order), with whitened layers, an
    average, and a head without gradient."""
    common = {"max_grad_norm": 1e9, "whitening": 1e-4, "weight_intensity": 0, "calibrate": 3}
    whole = run(settings(tmp_path / "whole", pool, **common), 2)
    shards = run(settings(tmp_path / "shards", pool, **common), 2, **sharded)
    assert_same_training(shards, whole)
    assert losses(shards) == losses(whole)
    for name in ("model", "best"):
        assert_equal(weights(shards, name), weights(whole, name))
    found, expected = load_checkpoint(shards), load_checkpoint(whole)
    for part in ("model", "average"):
        assert_equal(found[part], expected[part])
    assert found["optimizer"]["state"].keys() == expected["optimizer"]["state"].keys()
    for number, moments in expected["optimizer"]["state"].items():
        assert_close(found["optimizer"]["state"][number], moments, atol=1e-9)
    first, second = (AUD3DFaceForReconstruction.from_pretrained(output / "model") for output in (shards, whole))
    assert first.generation_config.au_thresholds == second.generation_config.au_thresholds is not None


def test_the_baseline_learns_in_shards_too(tmp_path, pool, sharded):
    whole, shards = run(mlp(tmp_path / "whole", pool), 2), run(mlp(tmp_path / "shards", pool), 2, **sharded)
    assert_same_training(shards, whole)
    found, expected = (AUD3DFaceMLP.from_pretrained(output / "model").state_dict() for output in (shards, whole))
    assert_close(found, expected)


def test_killed_in_an_epoch_and_started_again(tmp_path, pool, sharded):
    """Bit for bit the weights of the run that was not killed."""
    common = {"save_every": 3, "epochs": 5, "batch_size": 2, "label_flip": 0.1, "scheduled_sampling": 0.5}
    whole = run(settings(tmp_path / "whole", pool, {"hidden_dropout": 0.1}, **common), 2, **sharded)
    output = tmp_path / "parts"
    content = settings(output, pool, {"hidden_dropout": 0.1}, **common)
    kill_when(start(content, 2, **sharded), lambda: steps(output) >= 6)
    assert load_checkpoint(output)["run"]["step"] in range(4, 20)
    wait(start(content, 2, **sharded))
    assert_equal(weights(output), weights(whole))
    assert_equal(weights(output, "best"), weights(whole, "best"))
    assert losses(output) == losses(whole)
    assert scores(output) == scores(whole)


def test_either_kind_of_run_continues_the_other(tmp_path, pool, whole, sharded):
    for name, first, then in (("shards-last", {}, sharded), ("shards-first", sharded, {})):
        run(settings(tmp_path / name, pool, epochs=1), 2, **first)
        output = run(settings(tmp_path / name, pool), 2, **then)
        assert_same_training(output, whole)
        assert_close(weights(output), weights(whole))


def test_half_precision_is_that_of_whole_networks(tmp_path, pool, whole, sharded, monkeypatch):
    """Of the arithmetic only: meshes in metres are not rounded on their way into the network, or out of it."""
    from torch.distributed.fsdp import MixedPrecisionPolicy

    from au_d3dface.training.sharding import sharding_plugin

    half = {"ACCELERATE_MIXED_PRECISION": "bf16"}
    expected = run(settings(tmp_path / "whole", pool), 2, **half)
    shards = run(settings(tmp_path / "shards", pool), 2, **sharded, **half)
    assert losses(shards) == pytest.approx(losses(expected), rel=1e-3)
    assert losses(shards) != pytest.approx(losses(whole), rel=2e-5)
    for name, value in sharded.items():
        monkeypatch.setenv(name, value)
    plugin = sharding_plugin()
    plugin.set_mixed_precision("bf16")  # as accelerate does, with a GPU
    assert plugin.mixed_precision_policy == MixedPrecisionPolicy()


def learn_video(folder: str) -> None:
    """Three steps of a network whose video branch learns but for its first layer, on noise of each process's own."""
    from torch.distributed.fsdp import FSDPModule

    from au_d3dface.training.sharding import gathered, prepare

    accelerator = start_accelerator(TrainingArguments(), Path(folder))
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_attention_heads": 2, "num_spatial_layers": 1}
    config = AUD3DFaceConfig(**sizes, num_temporal_layers=1, action_units=(12, 25), **VIDEO)
    network = AUD3DFaceForReconstruction(config)
    network.model.au_masks[:, :50] = True
    torch.nn.init.normal_(network.motion_decoder.weight, std=0.1)
    network.model.video_backbone.swin.patch_embed.requires_grad_(False)
    network.activation_checkpointing_enable({"use_reentrant": False})
    learned = [value for value in network.parameters() if value.requires_grad]
    model, optimizer = prepare(accelerator, FeedbackForward(network).train(), torch.optim.Adam(learned, 1e-3))
    torch.manual_seed(1 + accelerator.process_index)
    norms = []
    for _ in range(3):
        neutral = 0.1 * torch.randn(2, config.num_vertices, 3)
        output = model(
            vertices=neutral[:, None] + 0.01 * torch.randn(2, 4, config.num_vertices, 3),
            neutral_vertices=neutral,
            au_labels=torch.randint(2, (2, 4, 2)),
            frame_mask=torch.ones(2, 4, dtype=torch.bool),
            own=torch.tensor([False, True]),
            pixel_values_videos=torch.randn(2, 4, 3, 32, 32),
        )
        moved = (output.vertices - neutral[:, None]) / config.displacement_scale
        accelerator.backward(moved.square().mean() + output.au_logits.square().mean())
        norms.append(gathered(accelerator.clip_grad_norm_(model.parameters(), 1.0)))
        optimizer.step()
        optimizer.zero_grad()
    parts = [getattr(value, "to_local", lambda value=value: value)() for value in network.parameters()]
    result = {
        "weights": gathered(network.state_dict()),
        "norms": torch.stack(norms),
        "held": sum(part.numel() for part in parts),
        "units": [name for name, part in model.named_modules() if isinstance(part, FSDPModule)],
    }
    if accelerator.is_main_process:
        torch.save(result, Path(folder) / "result.pt")
    accelerator.wait_for_everyone()


def test_blocks_of_the_video_branch_are_sharded_by_themselves(tmp_path, sharded):
    results = []
    for name, environment in (("whole", {}), ("shards", sharded)):
        (tmp_path / name).mkdir()
        wait(start(str(tmp_path / name), 2, learn_video, **environment))
        results.append(torch.load(tmp_path / name / "result.pt"))
    entire, shards = results
    blocks = [f"network.model.video_backbone.swin.features.{place}.0" for place in (0, 2)]
    assert (entire["units"], sorted(shards["units"])) == ([], ["", *blocks])
    total = sum(
        value.numel() for name, value in entire["weights"].items() if name.rsplit(".")[-1] not in ("faces", "au_masks")
    )
    assert entire["held"] > 0.95 * total
    assert 0.45 < shards["held"] / entire["held"] < 0.55
    torch.testing.assert_close(shards["norms"], entire["norms"], rtol=1e-4, atol=0)
    assert_close(shards["weights"], entire["weights"], atol=1e-4)


@pytest.mark.parametrize(
    ("environment", "sentence"),
    [
        ({"FSDP_VERSION": "1"}, "FSDP1 is not supported; give fsdp_version 2"),
        ({"FSDP_AUTO_WRAP_POLICY": "SIZE_BASED_WRAP"}, "give fsdp_auto_wrap_policy TRANSFORMER_BASED_WRAP"),
        ({"FSDP_TRANSFORMER_CLS_TO_WRAP": "AUD3DFaceTemporalLayer"}, "no fsdp_transformer_layer_cls_to_wrap"),
        ({"FSDP_ACTIVATION_CHECKPOINTING": "true"}, "give --gradient-checkpointing true"),
        ({"FSDP_IGNORED_MODULES": "network"}, "fsdp_ignored_modules would differ"),
        ({"FSDP_AUTO_WRAP_POLICY": "SOMEHOW"}, "accelerate cannot start: Invalid auto wrap policy"),
        ({"ACCELERATE_USE_PARALLELISM_CONFIG": "true"}, "a parallelism_config is not supported"),
    ],
)
def test_other_ways_of_sharding_are_refused(tmp_path, sharded, monkeypatch, environment, sentence):
    for name, value in (sharded | environment).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UsageError, match=sentence):
        start_accelerator(TrainingArguments(), tmp_path)


def test_deepspeed_is_refused(tmp_path, monkeypatch):
    from accelerate import Accelerator
    from accelerate.utils import DistributedType

    monkeypatch.setattr(Accelerator, "distributed_type", DistributedType.DEEPSPEED)
    with pytest.raises(UsageError, match=r"DEEPSPEED is not supported; .* \(DDP\) or shards of it \(FSDP2\)"):
        start_accelerator(TrainingArguments(), tmp_path)


@pytest.mark.slow
def test_accelerate_launches_the_shipped_config(tmp_path, pool):
    """The command of the page on training, here without a GPU."""
    import yaml

    config = tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump(settings(tmp_path / "run", pool, epochs=1)))
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--config_file", CONFIG, "--num_processes", "2"]
    done = subprocess.run(
        [*launch, "-m", "au_d3dface.training", "--config", str(config)], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.split() == [str(tmp_path / "run" / "model")]
    assert len(losses(tmp_path / "run")) == 2
    assert "Warning" not in done.stderr
