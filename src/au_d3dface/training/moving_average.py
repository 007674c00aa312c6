"""Exponential moving average of a model's parameters."""

import torch
from torch import Tensor, nn

from .sharding import gathered, shard_like


class MovingAverage:
    """The average, with the usual warm-up of its decay. Of a sharded model, each process has its shards' average."""

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
        """Continues from saved values, whole ones.

        Raises:
            KeyError, RuntimeError: they are of other parameters.
        """
        for name, value in self.values.items():
            value.copy_(shard_like(values[name], value))

    @torch.no_grad()
    def write_to(self, model: nn.Module) -> None:
        """Makes the average the parameters of a whole model of the same form; all processes must call it."""
        for name, value in model.named_parameters():
            value.copy_(gathered(self.values[name]))
