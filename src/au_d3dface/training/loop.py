"""The training loop: one readable path from arguments to a checkpoint that `from_pretrained` loads.

    data -> batches -> meshes -> corrupted feedback -> forward -> losses (Eq. 11) -> Adam -> evaluation by free decoding

Devices, processes and mixed precision come from accelerate's launcher. Every batch draws its randomness (dropout,
corruption) from its own seed, and its clips depend on seed, epoch and place alone, so a resumed run needs no generator
states and continues as if it had not stopped.
"""

import copy
import math
import sys
import time
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs, gather_object
from torch import nn
from torch.utils.data import Dataset
from tqdm import tqdm
from transformers import PreTrainedModel

from ..coarse import load_coarse
from ..configuration_au_d3dface import AUD3DFaceConfig
from ..data import collate_clips
from ..errors import CheckpointError, InputError, UsageError
from ..face_models import FaceModel, load_face_model
from ..losses import ReconstructionLoss
from ..mlp_baseline import AUD3DFaceMLPConfig
from .arguments import BEST_METRICS, Arguments, TrainingArguments
from .benchmark_data import benchmark_training_data
from .checkpointing import check_same_training, load_checkpoint, remove_remains, save_checkpoint
from .clock import StepClock
from .evaluation import best_thresholds, evaluate, summary
from .feedback import corrupt_labels
from .moving_average import MovingAverage
from .preflight import check_best_metric, check_model, deciding_arguments, start_accelerator, writable_folder
from .run_record import RunLog, plain_arguments, repair_model, save_model, training_record
from .sampling import EpochBatches, EpochClips, SharedBatches, batch_loader, mixed_seed, to_device
from .schedules import own_share, rate_factor
from .sharding import gathered, load_optimizer, load_weights, prepare
from .synthetic_data import synthetic_training_data
from .trackers import check_trackers, flat_numbers, start_trackers
from .trainees import Trainee, make_trainee
from .training_data import Batch, TrainingData
from .whitening import fold


@dataclass
class RunState:
    """What a checkpoint holds beside tensors: steps done, seconds spent, bytes of the log, and the best evaluation."""

    step: int = 0
    seconds: float = 0.0
    log_size: int = 0
    best: float | None = None
    without_gain: int = 0


def train(arguments: Arguments) -> Path:
    """Trains as told, resuming from the newest checkpoint in the output folder.

    Returns:
        The folder of the trained model: config.json, model.safetensors, generation_config.json, training.json. The one
        of the best evaluation is beside it, in `best`.

    Raises:
        UsageError, InputError, OutputError, CheckpointError, MissingDependencyError: before any work is lost, each with
            its sentence.
        UsageError: the loss is not finite any more.
    """
    started = time.time()
    config, training = arguments.validate(), arguments.training
    check_trackers(training.trackers)
    if training.threads:
        torch.set_num_threads(training.threads)
    output = writable_folder(training.output)
    accelerator = start_accelerator(training, output)
    device, main = accelerator.device, accelerator.is_main_process
    deciding = deciding_arguments(arguments, accelerator.num_processes)
    check_same_training(output, deciding)
    check_model(config, training, output)
    if main:
        remove_remains(output)
        for name in ("model", "best"):
            repair_model(output / name)

    face_model = load_face_model(config.face_model)
    with accelerator.main_process_first():  # the first makes what is kept in files, the others read it
        data = training_data(arguments, config, face_model, output, device, accelerator.is_local_main_process)
    check_best_metric(training.best_metric, data, device)
    # A floor for AUs that a small data set happens not to show, whose class weight would be infinite.
    config.au_positive_rates = tuple(round(max(rate, 0.005), 5) for rate in data.positive_rates)
    order = EpochBatches(
        len(data.clips),
        training.batch_size,
        training.gradient_accumulation,
        training.seed,
        accelerator.process_index,
        accelerator.num_processes,
    )
    if not order.steps:
        raise InputError(
            f"{len(data.clips)} sequences do not fill one step of {order.clips_a_step} (training.batch_size in each "
            "process, times training.gradient_accumulation); ask for more, or for a smaller batch"
        )

    torch.manual_seed(training.seed)
    trainee = make_trainee(config, face_model, data)
    network = trainee.network
    data.initialise(network)
    if training.gradient_checkpointing:
        network.activation_checkpointing_enable({"use_reentrant": False})
    learned = [value for value in network.parameters() if value.requires_grad]
    optimizer = torch.optim.AdamW(
        learned, lr=training.learning_rate, betas=(0.9, 0.999), weight_decay=training.weight_decay
    )
    criterion = ReconstructionLoss(config, **training.loss_weights)
    blank = copy.deepcopy(trainee)  # stays whole where the trained one is sharded
    model: nn.Module = trainee.module.to(device)
    # DDP must be told where a loss of weight zero leaves a head without gradient.
    if accelerator.num_processes > 1 and not accelerator.is_fsdp2:
        clips = EpochClips(data.clips)
        batch = data.teach(data.meshes(to_device(collate_clips([clips[0, 0]]), device)))
        unused = _has_unused_parameters(model, _losses(model, trainee, criterion, data, training, batch, 0.0)["loss"])
        accelerator.ddp_handler = DistributedDataParallelKwargs(find_unused_parameters=unused)
    model, optimizer = prepare(accelerator, model, optimizer)
    average = MovingAverage(network, training.ema_decay) if training.ema_decay else None
    total_steps = min(training.epochs * order.steps, training.max_steps or sys.maxsize)

    state = _resume(output, network, optimizer, average, accelerator) or RunState()
    if state.step:
        accelerator.print(f"continuing from step {state.step} of {total_steps}")
    spent_before = state.seconds
    start_trackers(accelerator, output, plain_arguments(arguments), state.step)
    log = RunLog(output / "log.jsonl" if main else None, state.log_size)
    progress = tqdm(total=total_steps, initial=state.step, unit="step", disable=not main)
    pinned = device.type == "cuda"
    loader = batch_loader(
        EpochClips(data.clips), order, training.loader_workers, pinned, training.seed, persistent=True
    )

    def write(record: dict[str, Any]) -> None:
        log.write(record)
        if training.trackers:
            accelerator.log(flat_numbers(record), step=state.step)

    def save() -> None:
        state.seconds, state.log_size = spent_before + time.time() - started, log.size
        saved = gathered({"model": network.state_dict(), "optimizer": optimizer.state_dict(), "arguments": deciding})
        if average:
            saved["average"] = gathered(average.values)
        if accelerator.scaler is not None:
            saved["scaler"] = accelerator.scaler.state_dict()
        if main:
            save_checkpoint(output, state.step, saved | {"run": vars(state)})
        accelerator.wait_for_everyone()

    def share(clips: Dataset):
        own = SharedBatches(len(clips), training.batch_size, accelerator.process_index, accelerator.num_processes)
        return batch_loader(clips, own, training.loader_workers, pinned, training.seed)

    def everyone(parts: list) -> list[list]:
        return gather_object([parts])

    def score() -> tuple[PreTrainedModel, dict[str, Any]]:
        """The network as it would be saved now, and what training.json says of it."""
        finished = _finished(blank, network, average, device)
        if data.calibration is not None:
            found = best_thresholds(finished, share(data.calibration), data.meshes, everyone)
            finished.set_thresholds(found)
        scores = evaluate(finished, share(data.held_out), data.meshes, everyone)
        if main:
            progress.write(summary(state.step, scores), file=sys.stderr)
        write({"step": state.step, "epoch": state.step // order.steps, "evaluation": scores})
        record = training_record(
            arguments,
            seconds=round(spent_before + time.time() - started),
            steps=state.step,
            data=data.name,
            pools=data.provenance,
            held_out=scores,
        )
        found = scores[training.best_metric]
        sign = BEST_METRICS[training.best_metric]
        if found is not None and (state.best is None or sign * found > sign * state.best):
            state.best, state.without_gain = found, 0
            if main:
                save_model(finished.network, output / "best", record)
        else:
            state.without_gain += 1
        accelerator.wait_for_everyone()
        return finished.network, record

    clock = StepClock(device)
    while True:
        # A checkpoint is written before the evaluation of its step, which a resumed run therefore does (again) first.
        epoch, first = divmod(state.step, order.steps)
        ended = state.step >= total_steps
        if ended or (state.step and not first and training.evaluate_every and epoch % training.evaluate_every == 0):
            finished, record = score()
            if ended or (training.patience and state.without_gain >= training.patience):
                break
        model.train()
        order.begin(epoch, first)
        batches = iter(loader)
        clock.resume()
        end = min((epoch + 1) * order.steps, total_steps)
        while state.step < end:
            for group in optimizer.param_groups:
                group["lr"] = training.learning_rate * rate_factor(training, state.step, total_steps)
            frames, sums = 0, {}
            for part in range(training.gradient_accumulation):
                number = state.step * training.gradient_accumulation + part
                torch.manual_seed(mixed_seed(training.seed, 1 + number, accelerator.process_index))
                batch = data.teach(data.meshes(to_device(next(batches), device)))
                frames += batch["frame_mask"].numel() * accelerator.num_processes
                last = part + 1 == training.gradient_accumulation
                with clock.network(), nullcontext() if last else accelerator.no_sync(model):
                    terms = _losses(model, trainee, criterion, data, training, batch, state.step / total_steps)
                    accelerator.backward(terms["loss"] / training.gradient_accumulation)
                for name, term in terms.items():
                    sums[name] = sums.get(name, 0) + term.detach().float() / training.gradient_accumulation
            with clock.network():
                norm = gathered(accelerator.clip_grad_norm_(model.parameters(), training.max_grad_norm))
                optimizer.step()
                optimizer.zero_grad()
            if average:
                average.update(network, state.step)
            state.step += 1
            means = accelerator.reduce(torch.stack(list(sums.values())), "mean").tolist()
            numbers = {name: round(value, 5) for name, value in zip(sums, means, strict=True)}
            if not math.isfinite(numbers["loss"]):
                raise UsageError(f"the loss is not finite at step {state.step}; lower training.learning_rate")
            speed = round(clock.step(frames), 1)
            write(
                {
                    "step": state.step,
                    "epoch": epoch,
                    "gradient_norm": round(float(norm), 4),
                    **numbers,
                    "frames_per_second": speed,
                }
            )
            shown = {name: f"{value:.3f}" for name, value in numbers.items()}
            progress.set_postfix(shown | {"frames/s": f"{speed:.0f}"}, refresh=False)
            progress.update()
            if training.save_every and state.step % training.save_every == 0 and state.step < end:
                save()
        write({"step": state.step, "epoch": epoch, **clock.epoch()})
        save()
    progress.close()
    log.close()
    for tracker in accelerator.trackers:  # accelerator.end_training would end the processes' group too
        tracker.finish()
    folder = output / "model"
    if main:
        save_model(finished, folder, record)
    accelerator.wait_for_everyone()
    return folder


def training_data(
    arguments: Arguments,
    config: AUD3DFaceConfig | AUD3DFaceMLPConfig,
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
    if arguments.data.is_benchmark:
        return benchmark_training_data(arguments, config, face_model, device, show_progress, folder)
    coarse = load_coarse("landmarks", face_model)
    return synthetic_training_data(arguments, config, coarse, folder, device, show_progress)


def _losses(
    model: nn.Module,
    trainee: Trainee,
    criterion: ReconstructionLoss,
    data: TrainingData,
    training: TrainingArguments,
    batch: Batch,
    done: float,
) -> dict[str, torch.Tensor]:
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


def _has_unused_parameters(model: nn.Module, loss: torch.Tensor) -> bool:
    loss.backward()
    unused = any(value.requires_grad and value.grad is None for value in model.parameters())
    model.zero_grad()
    return unused


def _finished(blank: Trainee, network: PreTrainedModel, average: MovingAverage | None, device: torch.device) -> Trainee:
    """A copy as it is used and saved, whole in each process: with averaged weights where they are, and plain layers.

    Args:
        blank: of the network's form, in one piece; it stays as it is.
    """
    finished = copy.deepcopy(blank)
    load_weights(finished.network, gathered(network.state_dict()))
    if average:
        average.write_to(finished.network)
    fold(finished.network)
    finished.network.to(device).eval()
    return finished


def _resume(
    output: Path,
    network: PreTrainedModel,
    optimizer: Any,
    average: MovingAverage | None,
    accelerator: Accelerator,
) -> RunState | None:
    saved = load_checkpoint(output)
    if saved is None:
        return None
    try:
        load_weights(network, saved["model"])
        load_optimizer(optimizer, saved["optimizer"])
        if average:
            average.load(saved["average"])
        if accelerator.scaler is not None and "scaler" in saved:
            accelerator.scaler.load_state_dict(saved["scaler"])
        return RunState(**saved["run"])
    except (RuntimeError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(
            f"{output} holds the checkpoint of another model or of another version of this package; give another "
            "folder as --output"
        ) from error
