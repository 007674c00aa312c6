"""The errors that people see: one clear sentence each, and one documented exit status each.

The command line prints the sentence and exits with `exit_status`; Python users catch the class.
0 is success, 1 an unexpected error, 2 a usage error (as argparse), 130 an interrupt (as shells count it).
"""

from collections.abc import Sequence


class AUD3DFaceError(Exception):
    """Base of every error whose message is written for people: names the file, what is wrong and what to do."""

    exit_status = 1


class UsageError(AUD3DFaceError):
    """A wrong argument: unknown format, device, face model, action unit. Exit status 2."""

    exit_status = 2


class NoFaceError(AUD3DFaceError):
    """The input was read, and no face was found in any frame. Exit status 3.

    Attributes:
        timestamps: seconds of every frame that was looked at, where the error is about a whole video.
        warnings: what else there is to say of the input.
    """

    exit_status = 3

    def __init__(self, message: str, timestamps: Sequence[float] | None = None, warnings: Sequence[str] = ()):
        super().__init__(message)
        self.timestamps = timestamps
        self.warnings = warnings


class InputError(AUD3DFaceError):
    """The input cannot be read: missing, empty, not a video, no picture in it. Exit status 4."""

    exit_status = 4


class OutputError(AUD3DFaceError):
    """The output cannot be written: a file in the way, no permission, a full disk. Exit status 5."""

    exit_status = 5


class CheckpointError(AUD3DFaceError):
    """A checkpoint or face model is missing, of another type, or damaged. Exit status 6."""

    exit_status = 6


class MissingDependencyError(AUD3DFaceError):
    """Something outside the package is missing, such as libGL in a bare container. Exit status 7."""

    exit_status = 7
