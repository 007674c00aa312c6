"""Exponential moving average of a model's parameters."""

import torch
from torch import Tensor, nn


class MovingAverage:
    """The average, with the usual warm-up of its decay."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.values = {name: value.detach().clone() for name, value in model.named_parameters()}

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """Takes in the parameters after a step, counted from 0."""
        decay = min(self.decay, (1 + step) / (10 + step))
        for name, value in model.named_parameters():
            self.values[name].lerp_(value.detach(), 1 - decay)

    @torch.no_grad()
    def load(self, values: dict[str, Tensor]) -> None:
        """Continues from saved values.

        Raises:
            KeyError, RuntimeError: they are of other parameters.
        """
        for name, value in self.values.items():
            value.copy_(values[name])

    @torch.no_grad()
    def write_to(self, model: nn.Module) -> None:
        """Makes the average the parameters of a model of the same form."""
        for name, value in model.named_parameters():
            value.copy_(self.values[name])
