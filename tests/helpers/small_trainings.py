"""Trainings of a second: their settings, sequences of which every frame is seen, and what is read of their output."""

import json
from pathlib import Path

import torch

from au_d3dface import AUD3DFaceForReconstruction
from au_d3dface.data.synthetic.pool import SequencePool
from au_d3dface.training.arguments import parse
from au_d3dface.training.loop import train

SMALL = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_attention_heads": 2,
    "num_temporal_layers": 1,
    "num_spatial_layers": 1,
    "attention_window": 10,
    "action_units": [12, 25, 45],
    "hidden_dropout": 0.0,
    "attention_dropout": 0.0,
}


def settings(output, pool, model=None, data=None, **training) -> dict:
    return {
        "model": SMALL | (model or {}),
        "data": {"sequences": 16, "held_out": 5, "seconds": 2.0, "clip_length": 10, "pool": str(pool)} | (data or {}),
        "training": {
            "output": str(output),
            "epochs": 3,
            "batch_size": 4,
            "learning_rate": 0.003,
            "ema_decay": 0.5,
            "threads": 1,
        }
        | training,
    }


def seen_pool(folder: Path) -> Path:
    """Kept sequences in which every frame is seen: processes that see unlike numbers of frames average otherwise."""
    train(parse(settings(folder / "once", folder, max_steps=1)))
    for path in folder.glob("*.safetensors"):
        made = SequencePool.load(path)
        made.valid[:] = True
        made.save(path)
    return folder


def records(output) -> list[dict]:
    return [json.loads(line) for line in (output / "log.jsonl").read_text().splitlines()]


def losses(output) -> list[float]:
    return [record["loss"] for record in records(output) if "loss" in record]


def weights(output, name="model") -> dict[str, torch.Tensor]:
    return AUD3DFaceForReconstruction.from_pretrained(output / name).state_dict()


def steps(output) -> int:
    path = output / "log.jsonl"
    return path.read_text().count("gradient_norm") if path.exists() else 0


def assert_equal(a, b):
    assert a.keys() == b.keys()
    for name in a:
        assert torch.equal(a[name], b[name]), name
