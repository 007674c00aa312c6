"""The training loop: one readable path from arguments to a checkpoint that `from_pretrained` loads.

    data -> batches -> meshes -> corrupted feedback -> forward -> losses (Eq. 11) -> Adam -> evaluation by free decoding

`train` is the loop, `start_run` what comes before it, `Run` what it writes; a step itself is in learner.py.

Devices, processes and mixed precision come from accelerate's launcher. Every batch draws its randomness (dropout,
corruption) from its own seed, and its clips depend on seed, epoch and place alone, so a resumed run needs no generator
states and continues as if it had not stopped.
"""

import math
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm
from transformers import PreTrainedModel

from ..coarse import load_coarse
from ..configuration_au_d3dface import AUD3DFaceConfig
from ..errors import CheckpointError, InputError, UsageError
from ..face_models import FaceModel, load_face_model
from ..mlp_baseline import AUD3DFaceMLPConfig
from .arguments import BEST_METRICS, Arguments
from .benchmark_data import benchmark_training_data
from .checkpointing import check_same_training, load_checkpoint, remove_remains, save_checkpoint
from .clock import StepClock
from .evaluation import best_thresholds, evaluate, summary
from .learner import Learner
from .preflight import check_best_metric, check_model, deciding_arguments, start_accelerator, writable_folder
from .run_record import RunLog, plain_arguments, repair_model, save_model, training_record
from .sampling import EpochBatches, EpochClips, SharedBatches, batch_loader
from .synthetic_data import synthetic_training_data
from .trackers import check_trackers, flat_numbers, start_trackers
from .training_data import TrainingData


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
    run = start_run(arguments)
    training, state, order = arguments.training, run.state, run.order
    while True:
        # A checkpoint is written before the evaluation of its step, which a resumed run therefore does (again) first.
        epoch, first = divmod(state.step, order.steps)
        ended = state.step >= run.total_steps
        if ended or (state.step and not first and training.evaluate_every and epoch % training.evaluate_every == 0):
            network, record = run.score()
            if ended or (training.patience and state.without_gain >= training.patience):
                break
        run.learner.model.train()
        order.begin(epoch, first)
        batches = iter(run.loader)
        run.clock.resume()
        end = min((epoch + 1) * order.steps, run.total_steps)
        while state.step < end:
            terms, norm, frames = run.learner.step(batches, state.step, run.total_steps, run.clock)
            state.step += 1
            run.tell(epoch, terms, norm, frames)
            if training.save_every and state.step % training.save_every == 0 and state.step < end:
                run.save()
        run.write({"step": state.step, "epoch": epoch, **run.clock.epoch()})
        run.save()
    return run.end(network, record)


@dataclass
class RunState:
    """What a checkpoint holds beside tensors: steps done, seconds spent, bytes of the log, and the best evaluation."""

    step: int = 0
    seconds: float = 0.0
    log_size: int = 0
    best: float | None = None
    without_gain: int = 0


class Run:
    """A training between its start and its end: how far it is, and what it writes of that.

    Args:
        arguments: of it, and those of them that decide what is computed.
        learner: the network and its data; fresh, or as it was at the step of `state`.
        order: of the batches of this process.
        output: folder of everything that is written.
        started: when the command began, as `time.time()` says it.
    """

    def __init__(
        self,
        arguments: Arguments,
        deciding: dict[str, Any],
        learner: Learner,
        order: EpochBatches,
        output: Path,
        state: RunState,
        started: float,
    ) -> None:
        self.arguments, self.training, self.deciding = arguments, arguments.training, deciding
        self.learner, self.order, self.output, self.state = learner, order, output, state
        self.accelerator: Accelerator = learner.accelerator
        self.main, training = self.accelerator.is_main_process, self.training
        self.total_steps = min(training.epochs * order.steps, training.max_steps or sys.maxsize)
        self._began = started - state.seconds
        if state.step:
            self.accelerator.print(f"continuing from step {state.step} of {self.total_steps}")
        start_trackers(self.accelerator, output, plain_arguments(arguments), state.step)
        self._log = RunLog(output / "log.jsonl" if self.main else None, state.log_size)
        self._progress = tqdm(total=self.total_steps, initial=state.step, unit="step", disable=not self.main)
        self._pinned = self.accelerator.device.type == "cuda"
        self.loader = batch_loader(
            EpochClips(learner.data.clips), order, training.loader_workers, self._pinned, training.seed, persistent=True
        )
        self.clock = StepClock(self.accelerator.device)

    def write(self, record: dict[str, Any]) -> None:
        """A line of the log, and the same for trackers."""
        self._log.write(record)
        if self.training.trackers:
            self.accelerator.log(flat_numbers(record), step=self.state.step)

    def tell(self, epoch: int, terms: dict[str, float], norm: float, frames: int) -> None:
        """What the step that has just been done was like, in the log and on the progress bar.

        Args:
            terms, norm, frames: as `Learner.step` gives them.

        Raises:
            UsageError: the loss is not finite.
        """
        step, numbers = self.state.step, {name: round(value, 5) for name, value in terms.items()}
        if not math.isfinite(numbers["loss"]):
            raise UsageError(f"the loss is not finite at step {step}; lower training.learning_rate")
        speed = round(self.clock.step(frames), 1)
        known = {"step": step, "epoch": epoch, "gradient_norm": round(norm, 4)}
        self.write({**known, **numbers, "frames_per_second": speed})
        shown = {name: f"{value:.3f}" for name, value in numbers.items()}
        self._progress.set_postfix(shown | {"frames/s": f"{speed:.0f}"}, refresh=False)
        self._progress.update()

    def save(self) -> None:
        """A checkpoint to continue from; all processes must call it."""
        self.state.seconds, self.state.log_size = time.time() - self._began, self._log.size
        saved = self.learner.state() | {"arguments": self.deciding, "run": vars(self.state)}
        if self.main:
            save_checkpoint(self.output, self.state.step, saved)
        self.accelerator.wait_for_everyone()

    def score(self) -> tuple[PreTrainedModel, dict[str, Any]]:
        """The network as it would be saved now, and what training.json says of it; the best one is kept."""
        state, data, finished = self.state, self.learner.data, self.learner.finished()
        if data.calibration is not None:
            found = best_thresholds(finished, self._share(data.calibration), data.meshes, _everyone)
            finished.set_thresholds(found)
        scores = evaluate(finished, self._share(data.held_out), data.meshes, _everyone)
        if self.main:
            self._progress.write(summary(state.step, scores), file=sys.stderr)
        self.write({"step": state.step, "epoch": state.step // self.order.steps, "evaluation": scores})
        record = training_record(
            self.arguments,
            seconds=round(time.time() - self._began),
            steps=state.step,
            data=data.name,
            pools=data.provenance,
            held_out=scores,
        )
        found = scores[self.training.best_metric]
        sign = BEST_METRICS[self.training.best_metric]
        if found is not None and (state.best is None or sign * found > sign * state.best):
            state.best, state.without_gain = found, 0
            if self.main:
                save_model(finished.network, self.output / "best", record)
        else:
            state.without_gain += 1
        self.accelerator.wait_for_everyone()
        return finished.network, record

    def end(self, network: PreTrainedModel, record: dict[str, Any]) -> Path:
        """Writes the model, with what training.json says of it; returns its folder."""
        self._progress.close()
        self._log.close()
        for tracker in self.accelerator.trackers:  # accelerator.end_training would end the processes' group too
            tracker.finish()
        folder = self.output / "model"
        if self.main:
            save_model(network, folder, record)
        self.accelerator.wait_for_everyone()
        return folder

    def _share(self, clips: Dataset) -> DataLoader:
        """This process's part of the clips."""
        training, accelerator = self.training, self.accelerator
        own = SharedBatches(len(clips), training.batch_size, accelerator.process_index, accelerator.num_processes)
        return batch_loader(clips, own, training.loader_workers, self._pinned, training.seed)


def start_run(arguments: Arguments) -> Run:
    """Everything before the first step: what cannot work is told before any work is lost, then data and network are
    made and a checkpoint is read. Errors as of `train`."""
    started = time.time()
    config, training = arguments.validate(), arguments.training
    check_trackers(training.trackers)
    if training.threads:
        torch.set_num_threads(training.threads)
    output = writable_folder(training.output)
    accelerator = start_accelerator(training, output)
    device = accelerator.device
    deciding = deciding_arguments(arguments, accelerator.num_processes)
    check_same_training(output, deciding)
    check_model(config, training, output)
    if accelerator.is_main_process:
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
    learner = Learner(config, face_model, data, training, accelerator)
    return Run(arguments, deciding, learner, order, output, _resume(output, learner), started)


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


def _everyone(parts: list) -> list[list]:
    """The parts of all processes."""
    return gather_object([parts])


def _resume(output: Path, learner: Learner) -> RunState:
    """Where the newest checkpoint was, which the learner then is at too; the start where there is none."""
    saved = load_checkpoint(output)
    if saved is None:
        return RunState()
    try:
        learner.load(saved)
        return RunState(**saved["run"])
    except (RuntimeError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(
            f"{output} holds the checkpoint of another model or of another version of this package; give another "
            "folder as --output"
        ) from error
