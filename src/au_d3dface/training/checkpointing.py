"""Checkpoints to resume a training run from: written whole or not at all, one kept."""

import os
import pickle
import re
import shutil
from pathlib import Path
from typing import Any

import torch

from ..errors import CheckpointError, OutputError

_NAME = re.compile(r"step-(\d+)$")


def save_checkpoint(folder: Path, step: int, state: dict[str, Any]) -> Path:
    """Writes `folder/step-00000042/state.pt`, then removes older checkpoints.

    Args:
        state: tensors and plain Python values in dicts and lists, which is all that is read back.

    Raises:
        OutputError: the disk is full or the folder cannot be written; the older checkpoint is still there then.
    """
    target = folder / f"step-{step:08d}"
    temporary = folder / f".step-{step:08d}.{os.getpid()}.tmp"
    remove_remains(folder)
    try:
        temporary.mkdir(parents=True)
        with (temporary / "state.pt").open("wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        if (target / "state.pt").exists():  # of the same step: one rename that leaves the one or the other
            os.replace(temporary / "state.pt", target / "state.pt")
        else:
            shutil.rmtree(target, ignore_errors=True)
            os.replace(temporary, target)
    except (OSError, RuntimeError) as error:  # torch reports a full disk as a RuntimeError
        raise OutputError(
            f"the checkpoint {target} cannot be written: {error}; what was saved before is still there, so make room "
            "and give the same command again"
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    for other in _checkpoints(folder):
        if other != target:
            shutil.rmtree(other, ignore_errors=True)
    return target


def load_checkpoint(folder: Path, arguments_only: bool = False) -> dict[str, Any] | None:
    """The state of the newest checkpoint, on the CPU, or None where there is none.

    Args:
        arguments_only: leaves tensors in the file, for what is known of a checkpoint at once, whatever its size.

    Raises:
        CheckpointError: it is damaged.
    """
    found = _checkpoints(folder)
    if not found:
        return None
    path = found[-1] / "state.pt"
    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=arguments_only)
    except (OSError, RuntimeError, EOFError, ValueError, pickle.UnpicklingError) as error:
        reason = " ".join(str(error).split())[:200]
        raise CheckpointError(f"{path} cannot be read ({reason}); delete {found[-1]} to start anew") from error


def check_same_training(folder: Path, arguments: dict[str, Any]) -> None:
    """Whether the checkpoint in the folder, if there is one, is of a training with these arguments.

    Args:
        arguments: that decide what is computed, as JSON values; what the checkpoint holds as `arguments`.

    Raises:
        CheckpointError: it is of another, with what differs.
    """
    state = load_checkpoint(folder, arguments_only=True)
    if state is None:
        return
    saved = state.get("arguments", {})
    if different := sorted(name for name in saved.keys() | arguments.keys() if saved.get(name) != arguments.get(name)):
        shown = ", ".join(f"{name} was {saved.get(name)!r} and is {arguments.get(name)!r}" for name in different[:3])
        raise CheckpointError(
            f"{folder} holds the checkpoint of a training with other arguments ({shown}"
            + (f", and {len(different) - 3} more)" if len(different) > 3 else ")")
            + "; give those again to continue it, or another folder as --output"
        )


def remove_remains(folder: Path) -> None:
    """Removes what runs that were killed while they wrote have left."""
    for path in folder.glob(".step-*.tmp"):
        shutil.rmtree(path, ignore_errors=True)


def _checkpoints(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("step-*") if _NAME.match(path.name) and (path / "state.pt").is_file())
