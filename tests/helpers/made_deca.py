"""Made-up checkpoints of DECA and EMOCA of the true layout, for tests: no line and no number of theirs."""

from pathlib import Path

import torch
from torch import Tensor

from au_d3dface.coarse.deca_encoder import COEFFICIENT_SIZES, CoefficientEncoder

CAMERA = (9.0, 0.002, -0.03)
"""s, tx, ty that a made-up encoder says of every crop, more or less."""


def hollow_state(outputs: int = 236) -> dict[str, Tensor]:
    """A state dict of an encoder with the true keys and shapes, whose tensors take no space: every number is one."""
    with torch.device("meta"):
        shapes = CoefficientEncoder(outputs).state_dict()
    return {key: torch.ones((), dtype=value.dtype).expand(value.shape) for key, value in shapes.items()}


def random_state(outputs: int, seed: int) -> dict[str, Tensor]:
    """A state dict of a random encoder that moves its coefficients a little from crop to crop."""
    torch.manual_seed(seed)
    encoder = CoefficientEncoder(outputs)
    with torch.no_grad():
        encoder.layers[2].weight.mul_(0.3)
        encoder.layers[2].bias.zero_()
        if outputs == sum(COEFFICIENT_SIZES.values()):
            encoder.layers[2].weight[206:209] *= 0.1
            encoder.layers[2].bias[206:209] = torch.tensor(CAMERA)
    return encoder.state_dict()


def deca_checkpoint(state: dict[str, Tensor]) -> dict:
    """What `deca_model.tar` holds."""
    return {"E_flame": state, "E_detail": {"layers.0.bias": torch.zeros(3)}, "D_detail": {}}


def emoca_checkpoint(state: dict[str, Tensor], expression: dict[str, Tensor]) -> dict:
    """What EMOCA's `.ckpt` holds, without the classes of the training framework."""
    stored = {f"deca.E_flame.{key}": value for key, value in state.items()}
    stored |= {f"deca.E_expression.{key}": value for key, value in expression.items()}
    stored["deca.flame.shapedirs"] = torch.zeros(2)
    return {"epoch": 10, "global_step": 5, "state_dict": stored, "optimizer_states": [{"state": {}}]}


def save(checkpoint: object, path: Path, **how: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(checkpoint, path, **how)
    return path
