"""Made-up DECA, EMOCA and FLAME of the true layout, for tests: no line and no number of theirs."""

from pathlib import Path

import numpy as np
import torch
from made_meshes import head_of_flame_size
from torch import Tensor

from au_d3dface import facs
from au_d3dface.assets.converted import write_converted
from au_d3dface.coarse.deca_encoder import COEFFICIENT_SIZES, CoefficientEncoder

NUM_VERTICES = 5023
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


def write_flame(folder: Path, version: str = "2020", landmarks: bool = True) -> Path:
    """A converted FLAME: a bumpy head with smooth random bases, a jaw, and landmarks where a face has them, roughly."""
    random = np.random.default_rng(5)
    head, faces = head_of_flame_size()
    template = torch.cat([head, head[: NUM_VERTICES - len(head)] * 0.5]).numpy()  # the rest lies inside, on no face

    def modes(count: int, size: float) -> np.ndarray:
        waves = random.normal(size=(count, 3)) * 25
        phase = np.sin(template @ waves.T + random.uniform(0, 6, count))  # (V, count)
        return (size * phase.T[..., None] * random.normal(size=(count, 1, 3))).astype(np.float32)

    below = 1 / (1 + np.exp((template[:, 1] + 0.04) / 0.01)) * (template[:, 2] > 0)
    weights = np.zeros((NUM_VERTICES, 5))
    weights[:, 2], weights[:, 1] = below, 1 - below
    regressor = np.zeros((5, NUM_VERTICES))
    for joint, place in enumerate([(0, -0.1, -0.02), (0, -0.07, -0.02), (0, -0.01, 0.01), (0.03, 0.02, 0.05)]):
        near = np.argsort(np.linalg.norm(template - place, axis=1))[:20]
        regressor[joint, near] = 1 / 20
    regressor[4] = regressor[3]
    x, y = (0.075 * np.sin(np.linspace(-1.4, 1.4, 17)), np.linspace(0.03, -0.09, 17))
    points = np.concatenate([np.stack([x, y], 1), random.uniform((-0.045, -0.05), (0.045, 0.05), (51, 2))])
    points[36], points[45] = (-0.045, 0.03), (0.045, 0.03)
    centres = template[faces.numpy()].mean(1)
    cost = np.linalg.norm(points[:, None] - centres[None, :, :2], axis=-1) + 9.0 * (centres[:, 2] < 0)
    tensors = {
        "template": torch.from_numpy(template).float(),
        "shape_basis": torch.from_numpy(modes(300, 8e-4)),
        "expression_basis": torch.from_numpy(modes(100, 8e-4)),
        "pose_basis": torch.from_numpy(modes(36, 2e-4)),
        "joint_regressor": torch.from_numpy(regressor).float(),
        "skinning_weights": torch.from_numpy(weights).float(),
        "parents": torch.tensor([-1, 0, 1, 1, 1]),
        "faces": faces,
    }
    if landmarks:
        tensors |= {
            "landmarks_68_triangles": torch.from_numpy(cost.argmin(1)),
            "landmarks_68_barycentric": torch.full((68, 3), 1 / 3),
            "au_regions": torch.ones(len(facs.ALL), NUM_VERTICES, dtype=torch.uint8),
        }
    write_converted(folder / "flame.safetensors", "flame", tensors, {"version": version}, [])
    return folder
