"""Several trainings in one command, each in a folder of its own, and none done twice."""

import json
from pathlib import Path
from typing import Any

from accelerate.state import AcceleratorState, GradientState

from ..errors import InputError
from .arguments import Arguments
from .loop import train
from .run_record import plain_arguments

_CHANGE_NOTHING = ("output", "trackers", "save_every", "gradient_checkpointing", "loader_workers", "threads")
"""Arguments of a training that one that is finished may differ in."""


def trained(arguments: Arguments) -> dict[str, Any]:
    """Trains, unless it has been done with these arguments, and returns the content of training.json.

    Raises:
        InputError: the record of what is finished cannot be read. Errors of `train`, which refuses a folder in which
            something else was trained.
    """
    path = Path(arguments.training.output) / "model" / "training.json"
    if path.is_file():
        record = _read(path)
        wanted, had = plain_arguments(arguments), record.get("arguments", {})
        for given in (wanted, had):
            given["training"] = {k: v for k, v in given.get("training", {}).items() if k not in _CHANGE_NOTHING}
        if json.loads(json.dumps(wanted)) == had:
            return record
    train(arguments)
    # Training ends its group of processes; the next one forms another.
    AcceleratorState._reset_state(reset_partial_state=True)
    GradientState._reset_state()
    return _read(path)


def _read(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read ({error}); delete {path.parent} to write it anew") from error
