"""One step of a training in float32 and in bfloat16, from the same weights, batch and dropout.

The control is a step in float32 whose weights were first rounded to bfloat16: what rounding alone does to a network.
"""

from pathlib import Path

import torch
from accelerate.utils import convert_outputs_to_fp32
from torch import Tensor

from au_d3dface.data import collate_clips
from au_d3dface.face_models import load_face_model
from au_d3dface.losses import ReconstructionLoss
from au_d3dface.training.arguments import Arguments
from au_d3dface.training.learner import batch_losses
from au_d3dface.training.loop import training_data
from au_d3dface.training.sampling import EpochBatches, EpochClips
from au_d3dface.training.trainees import make_trainee
from au_d3dface.training.training_data import Batch

ROUNDING = 2**-8
"""The distance of bfloat16's numbers, as a share of them."""

Step = tuple[dict[str, float], dict[str, Tensor]]
"""The terms of the loss, and the gradients by the names of the weights."""


class Stepper:
    """A network as the training loop makes it, whose steps can be taken in one precision or another.

    Args:
        arguments: of the training. folder: where synthetic sequences are kept.
    """

    def __init__(self, arguments: Arguments, folder: Path) -> None:
        self.arguments, self.training, config = arguments, arguments.training, arguments.validate()
        face_model = load_face_model(config.face_model)
        self.data = training_data(arguments, config, face_model, folder, "cpu", False)
        config.au_positive_rates = tuple(max(rate, 0.005) for rate in self.data.positive_rates)
        torch.manual_seed(self.training.seed)
        self.trainee = make_trainee(config, face_model, self.data)
        self.data.initialise(self.trainee.network)
        self.criterion = ReconstructionLoss(config, **self.training.loss_weights)
        self.order = EpochBatches(len(self.data.clips), self.training.batch_size, 1, self.training.seed)

    def batch(self, step: int = 0) -> Batch:
        """Of a step, counted through all epochs, with meshes."""
        epoch, first = divmod(step, self.order.steps)
        self.order.begin(epoch, first)
        clips = EpochClips(self.data.clips)
        return self.data.teach(self.data.meshes(collate_clips([clips[place] for place in next(iter(self.order))])))

    def step(self, batch: Batch, half: bool = False, done: float = 1.0, seed: int = 5) -> Step:
        """Computes it without moving the weights; the gradients are left in them too.

        Args:
            half: under bfloat16 autocast, as accelerate sets it up.
            done: share of the training that is over, on which scheduled sampling depends. seed: of dropout.
        """
        module, plain = self.trainee.module.train(), self.trainee.module.forward
        module.zero_grad()
        if half:
            module.forward = convert_outputs_to_fp32(torch.autocast("cpu", torch.bfloat16)(plain))
        torch.manual_seed(seed)
        terms = batch_losses(module, self.trainee, self.criterion, self.data, self.training, batch, done)
        module.forward = plain
        terms["loss"].backward()
        learned = [(name, value) for name, value in self.trainee.network.named_parameters() if value.requires_grad]
        gradients = {name: torch.zeros_like(v) if v.grad is None else v.grad.clone() for name, v in learned}
        return {name: term.item() for name, term in terms.items()}, gradients

    def control(self, batch: Batch, done: float = 1.0) -> Step:
        """A step in float32 with the weights of all products rounded, which are then put back."""
        kept = {name: value.detach().clone() for name, value in self.trainee.network.named_parameters()}
        self.round_weights()
        found = self.step(batch, done=done)
        with torch.no_grad():
            for name, value in self.trainee.network.named_parameters():
                value.copy_(kept[name])
        return found

    @torch.no_grad()
    def round_weights(self) -> None:
        """To bfloat16's numbers, but those that are whitened: their product with a matrix is what is multiplied."""
        for name, value in self.trainee.network.named_parameters():
            if value.ndim > 1 and "parametrizations" not in name:
                value.copy_(value.bfloat16())

    def learn(self, steps: int, half: bool = False) -> list[float]:
        """Steps of Adam, from the first one; returns the loss of each."""
        optimizer = torch.optim.AdamW(self.trainee.network.parameters(), lr=self.training.learning_rate)
        losses = []
        for number in range(steps):
            losses.append(self.step(self.batch(number), half, number / steps, seed=number)[0]["loss"])
            torch.nn.utils.clip_grad_norm_(self.trainee.network.parameters(), self.training.max_grad_norm)
            optimizer.step()
        return losses


def term_errors(exact: Step, other: Step) -> dict[str, float]:
    """How far each term is off, as a share of it and in roundings of bfloat16."""
    return {name: abs(other[0][name] - value) / abs(value) / ROUNDING for name, value in exact[0].items()}


def gradient_errors(exact: Step, other: Step) -> dict[str, float]:
    """How far each weight's gradient is off, as a share of it.

    Biases of keys are left out: softmax does not see them, so their gradients are rounding and nothing else.
    """
    names = [name for name, value in exact[1].items() if value.any() and not name.endswith("key.bias")]
    return {name: float((other[1][name] - exact[1][name]).norm() / exact[1][name].norm()) for name in names}


def difference(exact: Step, other: Step) -> float:
    """Of all gradients together, as a share of them."""
    gradients = [torch.cat([value.flatten() for value in step[1].values()]) for step in (exact, other)]
    return float((gradients[1] - gradients[0]).norm() / gradients[0].norm())
