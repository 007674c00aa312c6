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
    try:
        temporary.mkdir(parents=True)
        torch.save(state, temporary / "state.pt")
        if target.exists():
            shutil.rmtree(target)
        os.replace(temporary, target)
    except (OSError, RuntimeError) as error:  # torch reports a full disk as a RuntimeError
        raise OutputError(f"the checkpoint {target} cannot be written: {error}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    for other in _checkpoints(folder):
        if other != target:
            shutil.rmtree(other, ignore_errors=True)
    return target


def load_checkpoint(folder: Path) -> dict[str, Any] | None:
    """The state of the newest checkpoint, on the CPU, or None where there is none.

    Raises:
        CheckpointError: it is damaged.
    """
    found = _checkpoints(folder)
    if not found:
        return None
    path = found[-1] / "state.pt"
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, ValueError, pickle.UnpicklingError) as error:
        reason = " ".join(str(error).split())[:200]
        raise CheckpointError(f"{path} cannot be read ({reason}); delete {found[-1]} to start anew") from error


def _checkpoints(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("step-*") if _NAME.match(path.name) and (path / "state.pt").is_file())
