"""Which clips make up which step: the same ones however many processes share them, and whenever a run is resumed."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from ..data import collate_clips
from .training_data import Batch, TrainingClips

Place = tuple[int, int]  # epoch, index


def mixed_seed(*numbers: int) -> int:
    """One seed from several numbers, without the overlaps that a sum would have."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint32)[0])


class EpochBatches(Sampler[list[Place]]):
    """The batches of one process in an epoch, whose order depends on the seed and the epoch alone.

    A step takes the next `clips_a_step` clips of the epoch's permutation, so its clips are the same set for two
    processes with batches of 4 as for one with a batch of 8. What does not fill a step is left out of that epoch.

    Args:
        size: clips of an epoch.
        batch_size: of a process. batches_a_step: one after the other, of each process (gradient accumulation).
        process, processes: which one this is, of how many.
    """

    def __init__(
        self, size: int, batch_size: int, batches_a_step: int, seed: int, process: int = 0, processes: int = 1
    ) -> None:
        self.size, self.batch_size, self.batches_a_step, self.seed = size, batch_size, batches_a_step, seed
        self.process, self.processes = process, processes
        self.epoch, self.step = 0, 0

    @property
    def clips_a_step(self) -> int:
        return self.batch_size * self.batches_a_step * self.processes

    @property
    def steps(self) -> int:
        """Of an epoch."""
        return self.size // self.clips_a_step

    def begin(self, epoch: int, step: int) -> None:
        """The next iteration is of this epoch, from this of its steps on."""
        self.epoch, self.step = epoch, step

    def __len__(self) -> int:
        return (self.steps - self.step) * self.batches_a_step

    def __iter__(self) -> Iterator[list[Place]]:
        generator = torch.Generator().manual_seed(mixed_seed(self.seed, self.epoch))
        order = torch.randperm(self.size, generator=generator)[: self.steps * self.clips_a_step]
        own = order.view(self.steps * self.batches_a_step, self.processes, self.batch_size)[:, self.process]
        for batch in own[self.step * self.batches_a_step :].tolist():
            yield [(self.epoch, index) for index in batch]


class EpochClips(Dataset[Batch]):
    """Clips by epoch and index. The epoch travels with every index, and so reaches workers, which have a copy each."""

    def __init__(self, clips: TrainingClips) -> None:
        self.clips, self.epoch = clips, -1

    def __getitem__(self, place: Place) -> Batch:
        epoch, index = place
        if epoch != self.epoch:
            self.clips.begin_epoch(epoch)
            self.epoch = epoch
        return self.clips[index]


class SharedBatches(Sampler[list[int]]):
    """Whole batches in order, of which each process gets every n-th: the same batches for any number of processes."""

    def __init__(self, size: int, batch_size: int, process: int = 0, processes: int = 1) -> None:
        starts = range(process * batch_size, size, processes * batch_size)
        self.batches = [list(range(start, min(start + batch_size, size))) for start in starts]

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[list[int]]:
        return iter(self.batches)


def batch_loader(
    clips: Dataset, batches: Sampler, workers: int = 0, pinned: bool = False, seed: int = 0, persistent: bool = False
) -> DataLoader:
    """Batches as `data.collate_clips` makes them.

    Args:
        workers: processes that load ahead, each seeded for itself; 0 loads in this one.
        pinned: in page-locked memory, from which a GPU copies while it computes.
        persistent: keeps the workers from one iteration to the next.
    """
    return DataLoader(
        clips,
        batch_sampler=batches,
        collate_fn=collate_clips,
        num_workers=workers,
        pin_memory=pinned,
        persistent_workers=persistent and workers > 0,
        worker_init_fn=_seed_worker,
        generator=torch.Generator().manual_seed(seed),
    )


def to_device(batch: dict[str, Any], device: torch.device | str) -> dict[str, Any]:
    """The batch's tensors on the device; copies from pinned memory do not wait."""
    return {name: value.to(device, non_blocking=True) for name, value in batch.items()}


def _seed_worker(worker: int) -> None:
    np.random.seed(torch.initial_seed() % 2**32)  # torch seeds its own generator and Python's
