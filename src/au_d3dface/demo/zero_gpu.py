"""A Space on ZeroGPU: the whole-clip pass of the network on a GPU that is lent for it; the CPU everywhere else.

ZeroGPU forks a process with a GPU for each call of a function that `spaces.GPU` has decorated; the server itself has
none and must not ask for one. Everything but the network runs on the CPU anyway, and visitors pay for the seconds of a
call from their quota, so that this one call is what is lent.
"""

import copy
import os
from collections.abc import Callable
from typing import Any

import torch

from ..generation_au_d3dface import AUD3DFaceGenerateOutput
from ..modeling_au_d3dface import AUD3DFaceForReconstruction

DEVICE = "cuda"
SECONDS = 20
"""What a call is announced with: a GPU's process begins in some seconds, and 30 s of video are decoded in fewer."""

Lend = Callable[[AUD3DFaceForReconstruction], AUD3DFaceForReconstruction]


def zero_gpu() -> Lend | None:
    """What gives a network whose `generate` runs on a lent GPU; None where this is not a Space on ZeroGPU.

    To be called before the page is launched: ZeroGPU looks for decorated functions then.

    Raises:
        ImportError: this is one, and `spaces`, which such Spaces have, is not installed.
    """
    if os.environ.get("SPACES_ZERO_GPU", "").lower() not in ("1", "t", "true"):
        return None
    import spaces

    generate = spaces.GPU(duration=SECONDS)(_generate)

    def lend(model: AUD3DFaceForReconstruction) -> AUD3DFaceForReconstruction:
        if model.config.use_video:  # reads crops as they come, which another process cannot
            return model
        lent = copy.copy(model)
        lent.generate = lambda **inputs: generate(model, inputs)
        return lent

    return lend


def _generate(model: AUD3DFaceForReconstruction, inputs: dict[str, Any]) -> AUD3DFaceGenerateOutput:
    """In the process with the GPU: arguments and result cross over as copies, so that the result must be on the CPU."""
    there = {name: value.to(DEVICE) if isinstance(value, torch.Tensor) else value for name, value in inputs.items()}
    output = model.to(DEVICE).generate(**there)
    return AUD3DFaceGenerateOutput(**{name: value.cpu() for name, value in output.items()})
