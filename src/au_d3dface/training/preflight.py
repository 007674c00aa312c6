"""What is checked before a training does any work, so that none is lost: processes, folder, disk, model, checkpoint."""

import os
import shutil
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedType

from ..configuration_au_d3dface import AUD3DFaceConfig
from ..data import collate_clips
from ..errors import OutputError, UsageError
from ..mlp_baseline import AUD3DFaceMLP, AUD3DFaceMLPConfig
from ..modeling_au_d3dface import AUD3DFaceForReconstruction
from .arguments import Arguments, TrainingArguments
from .run_record import plain_arguments
from .sampling import to_device
from .sharding import shard_on_cpu, sharding_plugin
from .training_data import TrainingData

_FREE = {
    "data": {"pool", "workers"},
    "training": {
        "output",
        "epochs",
        "max_steps",
        "batch_size",
        "gradient_accumulation",
        "evaluate_every",
        "best_metric",
        "patience",
        "save_every",
        "trackers",
        "gradient_checkpointing",
        "loader_workers",
        "threads",
    },
}
"""Arguments with which a checkpoint is continued whatever they are: none changes what has been computed so far."""


def start_accelerator(training: TrainingArguments, output: Path) -> Accelerator:
    """The processes, precision and device that the launcher chose.

    Raises:
        UsageError: what the launcher asked for cannot be trained here.
    """
    # Without this, accelerate takes several processes without a GPU for several runs.
    many_on_cpu = int(os.environ.get("WORLD_SIZE", "1")) > 1 and not torch.accelerator.is_available()
    try:
        plugin = sharding_plugin()
        accelerator = Accelerator(
            cpu=many_on_cpu, log_with=list(training.trackers) or None, project_dir=output, fsdp_plugin=plugin
        )
    except (ValueError, ImportError) as error:
        raise UsageError(f"accelerate cannot start: {error}") from error
    kind = accelerator.distributed_type
    if kind in (DistributedType.DEEPSPEED, DistributedType.MEGATRON_LM):
        raise UsageError(
            f"{kind.value} is not supported; give each process the whole model (DDP) or shards of it (FSDP2), as "
            "training/configs/accelerate/ddp.yaml and fsdp2.yaml of this package do"
        )
    if plugin:
        shard_on_cpu(accelerator, plugin)
    return accelerator


def writable_folder(name: str) -> Path:
    """Makes the output folder.

    Raises:
        OutputError: it cannot be made or written.
    """
    folder = Path(name)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".write-test-{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise OutputError(f"the output folder {folder} cannot be written: {error}; give another as --output") from error
    return folder


def deciding_arguments(arguments: Arguments, processes: int) -> dict[str, Any]:
    """The arguments that decide what is computed, flat, as JSON values: a checkpoint is continued with the same only.

    How a step's clips are shared out among processes and batches does not count, only how many they are.
    """
    training = arguments.training
    flat = {
        f"{section}.{name}": value
        for section, values in plain_arguments(arguments).items()
        for name, value in values.items()
        if name not in _FREE.get(section, ())
    }
    flat["clips a step"] = training.batch_size * training.gradient_accumulation * processes
    return flat


def check_model(config: AUD3DFaceConfig | AUD3DFaceMLPConfig, training: TrainingArguments, output: Path) -> None:
    """Whether the network can be trained as told, and saved.

    Raises:
        UsageError: it has no gradient checkpointing.
        OutputError: the disk of the output folder has no room for checkpoints.
    """
    with torch.device("meta"):
        network = AUD3DFaceMLP(config) if isinstance(config, AUD3DFaceMLPConfig) else AUD3DFaceForReconstruction(config)
    if training.gradient_checkpointing and not network.supports_gradient_checkpointing:
        raise UsageError("this model cannot compute activations anew: leave training.gradient_checkpointing false")
    size = 4 * sum(value.numel() for value in network.state_dict().values())
    # Weights, two moments of Adam and the average, while the checkpoint before is still there; the last and best model.
    needed = size * (2 * (4 if training.ema_decay else 3) + 3)
    free = shutil.disk_usage(output).free
    if free < needed:
        raise OutputError(
            f"the disk of {output} has {free / 1e6:.0f} MB left, but checkpoints and models will need some "
            f"{needed / 1e6:.0f} MB; free some space or give another folder as --output"
        )


def check_best_metric(name: str, data: TrainingData, device: torch.device) -> None:
    """Raises UsageError where held-out people have no true meshes, by which the best model is to be chosen."""
    if name == "refined_error_mm":
        batch = data.meshes(to_device(collate_clips([data.held_out[0]]), device))
        if "true_vertices" not in batch:
            raise UsageError(
                f"training.best_metric is {name}, but {data.name} have no true meshes; choose another, such as f1_mean"
            )
