"""A network in training: what one step does to it, and what it is between two of them, whole, to be kept or used."""

import copy
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs
from torch import Tensor, nn

from ..configuration_au_d3dface import AUD3DFaceConfig
from ..data import collate_clips
from ..face_models import FaceModel
from ..losses import ReconstructionLoss
from ..mlp_baseline import AUD3DFaceMLPConfig
from .arguments import TrainingArguments
from .clock import StepClock
from .feedback import corrupt_labels
from .moving_average import MovingAverage
from .sampling import EpochClips, mixed_seed, to_device
from .schedules import own_share, rate_factor
from .sharding import gathered, load_optimizer, load_weights, prepare
from .trainees import Trainee, make_trainee
from .training_data import Batch, TrainingData
from .whitening import fold


class Learner:
    """A fresh network with its losses, its optimizer and, where one is wanted, the average of its weights.

    Args:
        config: of the network; it has its AUs' positive rates.
        face_model: that the network's meshes are of.
        data: what it learns from, and how it starts.
        training: how it learns.
        accelerator: the processes, precision and device.

    Attributes:
        model: the module that is called in training, as `accelerator` wraps it.

    Raises:
        UsageError: the network does not fit the face model.
    """

    def __init__(
        self,
        config: AUD3DFaceConfig | AUD3DFaceMLPConfig,
        face_model: FaceModel,
        data: TrainingData,
        training: TrainingArguments,
        accelerator: Accelerator,
    ) -> None:
        self.data, self.training, self.accelerator = data, training, accelerator
        torch.manual_seed(training.seed)
        self.trainee = make_trainee(config, face_model, data)
        self.network = self.trainee.network
        data.initialise(self.network)
        if training.gradient_checkpointing:
            self.network.activation_checkpointing_enable({"use_reentrant": False})
        learned = [value for value in self.network.parameters() if value.requires_grad]
        optimizer = torch.optim.AdamW(
            learned, lr=training.learning_rate, betas=(0.9, 0.999), weight_decay=training.weight_decay
        )
        self.criterion = ReconstructionLoss(config, **training.loss_weights)
        self._blank = copy.deepcopy(self.trainee)  # stays whole where the trained one is sharded
        self.model: nn.Module = self.trainee.module.to(accelerator.device)
        # DDP must be told where a loss of weight zero leaves a head without gradient.
        if accelerator.num_processes > 1 and not accelerator.is_fsdp2:
            unused = self._has_unused_parameters()
            accelerator.ddp_handler = DistributedDataParallelKwargs(find_unused_parameters=unused)
        self.model, self.optimizer = prepare(accelerator, self.model, optimizer)
        self.average = MovingAverage(self.network, training.ema_decay) if training.ema_decay else None

    def step(
        self, batches: Iterator[Batch], number: int, total: int, clock: StepClock
    ) -> tuple[dict[str, float], float, int]:
        """One step of the optimizer, on the next `gradient_accumulation` batches of this process.

        Args:
            number: of the step, from 0. total: steps of the training, on which rate and scheduled sampling depend.
            clock: that times what the network takes.

        Returns:
            The terms of the loss and the loss, means over all processes; the norm of the gradient; and how many frames
            all processes have learned from.
        """
        training, accelerator = self.training, self.accelerator
        for group in self.optimizer.param_groups:
            group["lr"] = training.learning_rate * rate_factor(training, number, total)
        frames = 0
        sums: dict[str, Any] = {}
        for part in range(training.gradient_accumulation):
            place = number * training.gradient_accumulation + part
            torch.manual_seed(mixed_seed(training.seed, 1 + place, accelerator.process_index))
            batch = self._whole(next(batches))
            frames += batch["frame_mask"].numel() * accelerator.num_processes
            last = part + 1 == training.gradient_accumulation
            with clock.network(), nullcontext() if last else accelerator.no_sync(self.model):
                terms = self._losses(batch, number / total)
                accelerator.backward(terms["loss"] / training.gradient_accumulation)
            for name, term in terms.items():
                sums[name] = sums.get(name, 0) + term.detach().float() / training.gradient_accumulation
        with clock.network():
            norm = gathered(accelerator.clip_grad_norm_(self.model.parameters(), training.max_grad_norm))
            self.optimizer.step()
            self.optimizer.zero_grad()
        if self.average:
            self.average.update(self.network, number)
        means = accelerator.reduce(torch.stack(list(sums.values())), "mean").tolist()
        return dict(zip(sums, means, strict=True)), float(norm), frames

    def finished(self) -> Trainee:
        """A copy as it is used and saved, whole in each process: with averaged weights where they are, plain layers."""
        finished = copy.deepcopy(self._blank)
        load_weights(finished.network, gathered(self.network.state_dict()))
        if self.average:
            self.average.write_to(finished.network)
        fold(finished.network)
        finished.network.to(self.accelerator.device).eval()
        return finished

    def state(self) -> dict[str, Any]:
        """Whole tensors, from which `load` continues; all processes must call it."""
        saved = gathered({"model": self.network.state_dict(), "optimizer": self.optimizer.state_dict()})
        if self.average:
            saved["average"] = gathered(self.average.values)
        if self.accelerator.scaler is not None:
            saved["scaler"] = self.accelerator.scaler.state_dict()
        return saved

    def load(self, saved: dict[str, Any]) -> None:
        """Continues from what `state` gave.

        Raises:
            RuntimeError, ValueError, KeyError, TypeError: it is of another network.
        """
        load_weights(self.network, saved["model"])
        load_optimizer(self.optimizer, saved["optimizer"])
        if self.average:
            self.average.load(saved["average"])
        if self.accelerator.scaler is not None and "scaler" in saved:
            self.accelerator.scaler.load_state_dict(saved["scaler"])

    def _whole(self, batch: Batch) -> Batch:
        """The batch on the device, with meshes and targets."""
        return self.data.teach(self.data.meshes(to_device(batch, self.accelerator.device)))

    def _losses(self, batch: Batch, done: float) -> dict[str, Tensor]:
        return batch_losses(self.model, self.trainee, self.criterion, self.data, self.training, batch, done)

    def _has_unused_parameters(self) -> bool:
        clips = EpochClips(self.data.clips)
        self._losses(self._whole(collate_clips([clips[0, 0]])), 0.0)["loss"].backward()
        unused = any(value.requires_grad and value.grad is None for value in self.model.parameters())
        self.model.zero_grad()
        return unused


def batch_losses(
    model: nn.Module,
    trainee: Trainee,
    criterion: ReconstructionLoss,
    data: TrainingData,
    training: TrainingArguments,
    batch: Batch,
    done: float,
) -> dict[str, Tensor]:
    """The terms of Eq. 11 and their weighted sum of a batch with meshes, when a share `done` of the training is."""
    labels = corrupt_labels(batch["au_labels"], training.label_flip, training.label_unknown)
    own = torch.rand(len(labels), device=labels.device) < own_share(training, done)
    prediction = model(**trainee.inputs(batch, labels, own))
    return criterion(
        prediction,
        batch.get("au_targets", batch["au_labels"]),
        batch["au_intensity_labels"],
        batch["frame_mask"],
        batch.get("true_vertices"),
        **data.supervise(prediction, batch),
    )
