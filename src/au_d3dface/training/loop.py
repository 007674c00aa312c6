"""The training loop: one readable path from arguments to a checkpoint that `from_pretrained` loads.

    data -> batches -> meshes -> corrupted feedback -> forward -> losses (Eq. 11) -> Adam -> evaluation by free decoding

Devices, processes, mixed precision and gradient accumulation come from accelerate. Every optimizer step draws its
randomness (dropout, corruption) from its own seed, so a resumed run needs no generator states and continues as if it
had not stopped.
"""

import json
import math
import os
import sys
import time
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import TextIO

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import DataLoaderConfiguration, broadcast_object_list
from torch import nn
from torch.utils.data import DataLoader, Sampler
from tqdm import tqdm
from transformers import PreTrainedModel

from .. import __version__
from ..coarse import load_coarse
from ..configuration_au_d3dface import AUD3DFaceConfig
from ..data import collate_clips
from ..errors import CheckpointError, InputError, OutputError, UsageError
from ..face_models import FaceModel, load_face_model
from ..losses import ReconstructionLoss
from .arguments import Arguments, TrainingArguments
from .checkpointing import load_checkpoint, save_checkpoint
from .evaluation import best_thresholds, evaluate
from .feedback import corrupt_labels
from .synthetic_data import synthetic_training_data
from .trainees import make_trainee
from .training_data import TrainingData
from .whitening import fold


class EpochSampler(Sampler[int]):
    """A permutation that depends on the seed and the epoch alone, so that a resumed epoch goes on in the same order.

    Its method is not called set_epoch because accelerate calls that by its own count, which starts anew on resuming.
    """

    def __init__(self, size: int, seed: int) -> None:
        self.size, self.seed, self.epoch, self.skip = size, seed, 0, 0

    def begin(self, epoch: int, skip: int) -> None:
        """The next iteration is of this epoch, without its first `skip` samples."""
        self.epoch, self.skip = epoch, skip

    def __len__(self) -> int:
        return self.size

    def __iter__(self):
        generator = torch.Generator().manual_seed(_mixed_seed(self.seed, self.epoch))
        return iter(torch.randperm(self.size, generator=generator)[self.skip :].tolist())


class MovingAverage:
    """Exponential moving average of a model's parameters, with the usual warm-up of its decay."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.values = {name: value.detach().clone() for name, value in model.named_parameters()}

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        decay = min(self.decay, (1 + step) / (10 + step))
        for name, value in model.named_parameters():
            self.values[name].lerp_(value.detach(), 1 - decay)

    def swap(self, model: nn.Module) -> None:
        """Exchanges the model's parameters with the average; twice is nothing."""
        with torch.no_grad():
            for name, value in model.named_parameters():
                kept = value.detach().clone()
                value.copy_(self.values[name])
                self.values[name] = kept


def train(arguments: Arguments) -> Path:
    """Trains as told, resuming from the newest checkpoint in the output folder.

    Returns:
        The folder of the trained model: config.json, model.safetensors, generation_config.json, training.json.

    Raises:
        UsageError, InputError, OutputError, CheckpointError: before any work is lost, each with its sentence.
        UsageError: the loss is not finite any more.
    """
    config = arguments.validate()
    training = arguments.training
    if training.threads:
        torch.set_num_threads(training.threads)
    output = _writable_folder(training.output)
    accelerator = Accelerator(
        gradient_accumulation_steps=training.gradient_accumulation,
        dataloader_config=DataLoaderConfiguration(even_batches=False),
    )
    started = time.time()

    face_model = load_face_model(config.face_model)
    with accelerator.main_process_first():  # the first makes what is kept in files, the others read it
        data = training_data(
            arguments, config, face_model, output, accelerator.device, accelerator.is_local_main_process
        )
    # A floor for AUs that a small data set happens not to show, whose class weight would be infinite.
    config.au_positive_rates = tuple(round(max(rate, 0.005), 5) for rate in data.positive_rates)
    criterion = ReconstructionLoss(config, **training.loss_weights)
    clips = data.clips
    sampler = EpochSampler(len(clips), training.seed)
    batches = DataLoader(clips, training.batch_size, sampler=sampler, collate_fn=collate_clips, drop_last=True)
    if not len(batches):
        raise InputError(f"{len(clips)} sequences do not fill one batch of {training.batch_size}; ask for more")

    torch.manual_seed(training.seed)
    trainee = make_trainee(config, face_model, data)
    network = trainee.network
    data.initialise(network)
    learned = [value for value in network.parameters() if value.requires_grad]
    optimizer = torch.optim.AdamW(
        learned, lr=training.learning_rate, betas=(0.9, 0.999), weight_decay=training.weight_decay
    )
    model, optimizer, batches = accelerator.prepare(trainee.module, optimizer, batches)
    steps_an_epoch = math.ceil(len(batches) / training.gradient_accumulation)
    total_steps = min(training.epochs * steps_an_epoch, training.max_steps or sys.maxsize)
    average = MovingAverage(network, training.ema_decay) if training.ema_decay else None

    step, spent = 0, 0.0
    if (state := load_checkpoint(output)) is not None:
        try:
            network.load_state_dict(state["model"])
            optimizer.load_state_dict(state["optimizer"])
            if average:
                average.values = {name: value.to(accelerator.device) for name, value in state["average"].items()}
        except (RuntimeError, ValueError, KeyError) as error:
            raise CheckpointError(
                f"{output} holds the checkpoint of a training with other arguments; give those again to continue it, "
                "or another folder as --output"
            ) from error
        step, spent = state["step"], state.get("seconds", 0.0)
        accelerator.print(f"continuing from step {step} of {total_steps}")

    log = (output / "log.jsonl").open("a", encoding="utf-8") if accelerator.is_main_process else None
    progress = tqdm(total=total_steps, initial=step, unit="step", disable=not accelerator.is_main_process)

    def save() -> None:
        if accelerator.is_main_process:
            state = {"model": network.state_dict(), "optimizer": optimizer.state_dict(), "step": step}
            state["seconds"] = spent + time.time() - started
            if average:
                state["average"] = average.values
            save_checkpoint(output, step, state)
        accelerator.wait_for_everyone()

    def score() -> dict:
        if average:
            average.swap(network)
        result = evaluate(trainee, held_out_batches, data.meshes) if accelerator.is_main_process else {}
        if average:
            average.swap(network)
        if result:
            progress.write(_summary(step, result))
        accelerator.wait_for_everyone()
        return result

    held_out_batches = DataLoader(data.held_out, training.batch_size, collate_fn=collate_clips)

    model.train()
    while step < total_steps:
        epoch = step // steps_an_epoch
        done = (step - epoch * steps_an_epoch) * training.gradient_accumulation
        clips.begin_epoch(epoch)
        sampler.begin(epoch, done * training.batch_size * accelerator.num_processes)
        for index, batch in enumerate(batches, start=done):
            torch.manual_seed(_mixed_seed(training.seed, 1 + epoch * len(batches) + index, accelerator.process_index))
            with accelerator.accumulate(model):
                for group in optimizer.param_groups:
                    group["lr"] = training.learning_rate * _rate_factor(training, step, total_steps)
                batch = data.teach(data.meshes(batch))
                labels = corrupt_labels(batch["au_labels"], training.label_flip, training.label_unknown)
                own = torch.rand(len(labels), device=labels.device) < _own_share(training, step / total_steps)
                prediction = model(**trainee.inputs(batch, labels, own))
                terms = criterion(
                    prediction,
                    batch.get("au_targets", batch["au_labels"]),
                    batch["au_intensity_labels"],
                    batch["frame_mask"],
                    batch.get("true_vertices"),
                    **data.supervise(prediction, batch),
                )
                accelerator.backward(terms["loss"])
                if accelerator.sync_gradients:
                    norm = accelerator.clip_grad_norm_(model.parameters(), training.max_grad_norm)
                optimizer.step()
                optimizer.zero_grad()
            if not accelerator.sync_gradients:
                continue
            if average:
                average.update(network, step)
            step += 1
            numbers = {name: round(float(value.detach()), 5) for name, value in terms.items()}
            if not math.isfinite(numbers["loss"]):
                raise UsageError(f"the loss is not finite at step {step}; lower training.learning_rate")
            progress.update()
            progress.set_postfix({name: f"{value:.3f}" for name, value in numbers.items()})
            _write(log, {"step": step, "epoch": epoch, "gradient_norm": round(float(norm), 4), **numbers})
            if training.save_every and step % training.save_every == 0:
                save()
            if step >= total_steps:
                break
        save()
        if step < total_steps and training.evaluate_every and (epoch + 1) % training.evaluate_every == 0:
            _write(log, {"step": step, "epoch": epoch, "evaluation": score()})
    if average:
        average.swap(network)
        average = None
    fold(network)
    if data.calibration is not None:
        thresholds: list = [None]
        if accelerator.is_main_process:
            loader = DataLoader(data.calibration, training.batch_size, collate_fn=collate_clips)
            thresholds = [best_thresholds(trainee, loader, data.meshes)]
        trainee.set_thresholds(broadcast_object_list(thresholds)[0])
    scores = score()
    _write(log, {"step": step, "evaluation": scores})
    progress.close()
    if log:
        log.close()
    folder = output / "model"
    if accelerator.is_main_process:
        record = {
            "command": _command(arguments.options),
            "package_version": __version__,
            "date": date.today().isoformat(),
            "seconds": round(spent + time.time() - started),
            "steps": step,
            "data": data.name,
            "pools": data.provenance,
            "arguments": {
                "model": {name: list(v) if isinstance(v, tuple) else v for name, v in arguments.model.items()},
                "data": {name: _without_folder(value) for name, value in vars(arguments.data).items()},
                "training": {name: _without_folder(value) for name, value in vars(training).items()},
            },
            "held_out": scores,
        }
        save_model(network, folder, record)
    accelerator.wait_for_everyone()
    return folder


def training_data(
    arguments: Arguments,
    config: AUD3DFaceConfig,
    face_model: FaceModel,
    folder: Path,
    device: torch.device | str,
    show_progress: bool,
) -> TrainingData:
    """The data that the arguments name.

    Args:
        folder: where what is made once is kept.
        device: of the network.
    """
    coarse = load_coarse("landmarks", face_model)
    return synthetic_training_data(arguments, config, coarse, folder, device, show_progress)


def save_model(network: PreTrainedModel, folder: Path, record: dict) -> None:
    """Writes the model and the record of its training, whole or not at all.

    Raises:
        OutputError: the folder cannot be written.
    """
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    try:
        network.save_pretrained(temporary)
        (temporary / "training.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
        folder.mkdir(parents=True, exist_ok=True)
        for path in temporary.iterdir():
            os.replace(path, folder / path.name)
        temporary.rmdir()
    except OSError as error:
        raise OutputError(f"the model cannot be written to {folder}: {error}") from error


def _own_share(training: TrainingArguments, done: float) -> float:
    """The share of clips fed with the network's decisions when a share `done` of the training is done."""
    return training.scheduled_sampling * min(1.0, done / max(training.scheduled_sampling_ramp, 1e-9))


def _rate_factor(training: TrainingArguments, step: int, total: int) -> float:
    """Of the learning rate at a step: linear warm-up, then constant or half a cosine down to a hundredth."""
    if step < training.warmup_steps:
        return (step + 1) / training.warmup_steps
    if training.schedule == "constant":
        return 1.0
    done = (step - training.warmup_steps) / max(1, total - training.warmup_steps)
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done))


def _mixed_seed(*numbers: int) -> int:
    """One seed from several numbers, without the overlaps that a sum would have."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint32)[0])


def _writable_folder(name: str) -> Path:
    folder = Path(name)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".write-test-{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise OutputError(f"the output folder {folder} cannot be written: {error}; give another as --output") from error
    return folder


def _write(log: TextIO | None, record: dict) -> None:
    if log:
        log.write(json.dumps(record) + "\n")
        log.flush()


def _summary(step: int, scores: dict) -> str:
    said = (
        f"step {step}: F1 {scores['f1_mean']} (always positive {scores['always_positive_f1_mean']}), "
        f"ROC area {scores['roc_area_mean']}"
    )
    if "refined_error_mm" in scores:
        said += f", mesh {scores['refined_error_mm']:.3f} mm (coarse {scores['coarse_error_mm']:.3f})"
    return said


def _command(options: Sequence[str]) -> str:
    """The command that reproduces the run, without this machine's folders."""
    words = []
    for option in options:
        name, equals, value = option.partition("=") if option.startswith("--") else ("", "", option)
        words.append(name + equals + _without_folder(value))
    return " ".join(["python -m au_d3dface.training", *words])


def _without_folder(value):
    """The last part of a path, anything else as it is: a record that is published names no one's folders."""
    return Path(value).name if isinstance(value, str) and ("/" in value or "\\" in value) else value
