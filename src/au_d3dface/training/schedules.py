"""What changes in the course of a training: the learning rate and the share of clips fed with own decisions."""

import math

from .arguments import TrainingArguments


def own_share(training: TrainingArguments, done: float) -> float:
    """The share of clips fed with the network's decisions when a share `done` of the training is done."""
    return training.scheduled_sampling * min(1.0, done / max(training.scheduled_sampling_ramp, 1e-9))


def rate_factor(training: TrainingArguments, step: int, total: int) -> float:
    """Of the learning rate at a step: linear warm-up, then constant or half a cosine down to a hundredth."""
    if step < training.warmup_steps:
        return (step + 1) / training.warmup_steps
    if training.schedule == "constant":
        return 1.0
    done = (step - training.warmup_steps) / max(1, total - training.warmup_steps)
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done))
