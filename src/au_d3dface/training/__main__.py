"""`accelerate launch -m au_d3dface.training --config default`, or plain `python -m au_d3dface.training`."""

import os
import sys
from collections.abc import Sequence
from importlib.util import find_spec

from ..errors import AUD3DFaceError, MissingDependencyError
from .arguments import read_arguments


def main(argv: Sequence[str] | None = None) -> int:
    """Trains as a command line says; returns the exit status of the error, if there was one, after its sentence."""
    try:
        arguments = read_arguments(argv)
        if find_spec("accelerate") is None:
            raise MissingDependencyError("training needs accelerate, which is missing; run: pip install accelerate")
        from .loop import train

        folder = train(arguments)
    except AUD3DFaceError as error:
        print(f"au-d3dface: {error}", file=sys.stderr)
        return error.exit_status
    except KeyboardInterrupt:
        print("au-d3dface: interrupted; the same command continues from the last checkpoint", file=sys.stderr)
        return 130
    if os.environ.get("RANK", "0") == "0":
        print(folder)
    return 0


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
