"""How fast a training goes, and what share of its time is spent outside the network."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch


class StepClock:
    """Times steps, on a GPU what it has done and not what it was asked for.

    Inside the network are its forward and backward pass, the losses and the optimizer; outside are data loading,
    meshes, logging and writing checkpoints.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.seconds, self.inside, self.frames = 0.0, 0.0, 0
        self._last = self._now()

    @contextmanager
    def network(self) -> Iterator[None]:
        """What happens in the block is the network's."""
        started = self._now()
        yield
        self.inside += self._now() - started

    def step(self, frames: int) -> float:
        """Ends a step, of so many frames of all processes; returns its frames a second."""
        now = self._now()
        spent, self._last = now - self._last, now
        self.seconds += spent
        self.frames += frames
        return frames / max(spent, 1e-9)

    def epoch(self) -> dict[str, float]:
        """`frames_per_second` and `outside_share` of the steps since the last call, or since `resume`."""
        numbers = {
            "frames_per_second": round(self.frames / max(self.seconds, 1e-9), 1),
            "outside_share": round(1 - self.inside / max(self.seconds, 1e-9), 4),
        }
        self.seconds, self.inside, self.frames = 0.0, 0.0, 0
        return numbers

    def resume(self) -> None:
        """Time since the last step (an evaluation) is not counted."""
        self._last = self._now()

    def _now(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()
