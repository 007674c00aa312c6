"""`accelerate launch -m au_d3dface.training --config default`, or plain `python -m au_d3dface.training`."""

import os
import sys
from collections.abc import Sequence
from importlib.util import find_spec

from ..command_line import exit_status
from ..errors import MissingDependencyError
from .arguments import read_arguments


def main(argv: Sequence[str] | None = None) -> int:
    """Trains as a command line says; returns the exit status of the error, if there was one, after its sentence."""

    def command() -> None:
        arguments = read_arguments(argv)
        if find_spec("accelerate") is None:
            raise MissingDependencyError("training needs accelerate, which is missing; run: pip install accelerate")
        from .loop import train

        folder = train(arguments)
        if os.environ.get("RANK", "0") == "0":
            print(folder)

    return exit_status(command, "the same command continues from the last checkpoint")


def _leave_group() -> None:
    """Of the processes of this training, if there were several: else torch complains."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


if __name__ == "__main__":
    status = main()
    if not status:
        _leave_group()
    sys.exit(status)
