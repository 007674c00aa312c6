"""Where the numbers of a run go besides `log.jsonl`: tensorboard, wandb or trackio, through accelerate."""

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from accelerate import Accelerator

from ..errors import MissingDependencyError


def check_trackers(names: Sequence[str]) -> None:
    """Raises MissingDependencyError where the package of a tracker is not installed."""
    for name in names:
        if find_spec(name) is None:
            raise MissingDependencyError(
                f"training.trackers names {name}, which is not installed; run: pip install {name}, or leave it out"
            )


def start_trackers(accelerator: Accelerator, folder: Path, arguments: dict[str, dict[str, Any]], step: int) -> None:
    """Begins, or continues from a step, the run that is named as its folder.

    Args:
        arguments: by section, for the trackers' tables of settings.
    """
    if not accelerator.log_with:
        return
    flat = {f"{section}.{name}": value for section, values in arguments.items() for name, value in values.items()}
    flat = {name: v if isinstance(v, bool | int | float | str) else str(v) for name, v in flat.items()}
    own = {"tensorboard": {"purge_step": step + 1}, "wandb": {"name": folder.name}, "trackio": {"name": folder.name}}
    accelerator.init_trackers("au-d3dface", config=flat, init_kwargs=own)


def flat_numbers(record: dict[str, Any], prefix: str = "") -> dict[str, float]:
    """The numbers of a log record under names with slashes, as trackers take them."""
    numbers: dict[str, float] = {}
    for name, value in record.items():
        if isinstance(value, dict):
            numbers |= flat_numbers(value, f"{prefix}{name}/")
        elif isinstance(value, int | float):
            numbers[prefix + name] = value
    return numbers
