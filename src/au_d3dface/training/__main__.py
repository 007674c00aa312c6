"""`accelerate launch -m au_d3dface.training --config default`, or plain `python -m au_d3dface.training`."""

import sys
from collections.abc import Sequence

from ..errors import AUD3DFaceError
from .arguments import read_arguments
from .loop import train


def main(argv: Sequence[str] | None = None) -> int:
    """Trains as a command line says; returns the exit status of the error, if there was one, after its sentence."""
    try:
        folder = train(read_arguments(argv))
    except AUD3DFaceError as error:
        print(f"au-d3dface: {error}", file=sys.stderr)
        return error.exit_status
    except KeyboardInterrupt:
        print("au-d3dface: interrupted; the same command continues from the last checkpoint", file=sys.stderr)
        return 130
    print(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
