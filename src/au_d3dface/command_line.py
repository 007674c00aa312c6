"""What the commands of the command line share: the input named `sample`, options of the model, progress bars."""

import argparse
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from .errors import AUD3DFaceError, UsageError
from .process_errors import ended_by_another, tell

SAMPLE = "sample"
"""What stands for the clip that ships in the package."""


def input_path(video: str) -> Path:
    """The path of the input; `sample` is the packaged clip unless a file of that name lies here."""
    if video == SAMPLE and not Path(SAMPLE).exists():
        from .assets import sample_video

        return sample_video()
    return Path(video)


def add_model_options(command: argparse.ArgumentParser) -> None:
    """--model, --device and --quiet."""
    command.add_argument("--model", metavar="NAME", help="a folder or Hub id (default: the bundled checkpoint)")
    command.add_argument("--device", default="auto", help="cpu, cuda, ... (default: cuda where there is one, else cpu)")
    command.add_argument("--quiet", action="store_true", help="no progress bar and no list of what was written")


def add_landmarker_option(command: argparse.ArgumentParser) -> None:
    """--face-landmarker, for commands that read video."""
    command.add_argument(
        "--face-landmarker", metavar="FILE", help="a face_landmarker.task file, for a MediaPipe without bundled models"
    )


def named_values(pairs: Sequence[str], option: str, taken: Sequence[str] = ()) -> dict[str, str]:
    """What NAME=PATH pairs name, in their order.

    Args:
        option: that they were given to, for errors.
        taken: names that mean something else already.

    Raises:
        UsageError: a pair is none, or a name comes twice or is taken.
    """
    found: dict[str, str] = {}
    for pair in pairs:
        name, equals, value = (part.strip() for part in pair.partition("="))
        if not (name and equals and value):
            raise UsageError(f"{option} takes NAME=PATH, such as {option} ours=some/folder, not {pair!r}")
        if name in found or name in taken:
            raise UsageError(f"{option} names {name!r} twice; give two names")
        found[name] = value
    return found


def named_paths(pairs: Sequence[str], option: str, taken: Sequence[str] = ()) -> dict[str, Path]:
    """The same with paths."""
    return {name: Path(value).expanduser() for name, value in named_values(pairs, option, taken).items()}


def exit_status(command: Callable[[], object], interrupted: str) -> int:
    """Runs a command to its exit status: an error is one sentence on standard error, never a traceback.

    Of several processes that a launcher has started and that fail alike, one says it (`process_errors`).

    Args:
        interrupted: what Ctrl-C leaves, for people.
    """
    try:
        command()
    except AUD3DFaceError as error:
        tell(f"au-d3dface: {error}", error.exit_status)
        return error.exit_status
    except RuntimeError as error:
        status = ended_by_another(error)
        if status is None:
            raise
        return status
    except KeyboardInterrupt:
        print(f"au-d3dface: interrupted; {interrupted}", file=sys.stderr)
        return 130
    return 0


class SentenceParser(argparse.ArgumentParser):
    """Says what is wrong with a command line as an error of this package: where several processes read it, once."""

    def error(self, message: str) -> NoReturn:
        """Raises UsageError."""
        raise UsageError(f"{message}; {self.prog} --help lists the options")


class Interrupts:
    """Ctrl-C, and the polite stop of a scheduler or `kill` alike, raise KeyboardInterrupt while this is entered.

    Libraries that try an import, or tidy up as an object goes, swallow the exception at times; so it is raised again at
    the next sign of progress (`insist`). Signals belong to the process, and so does `asked`.
    """

    asked = False

    def __enter__(self) -> "Interrupts":
        Interrupts.asked = False
        self.previous = {number: signal.signal(number, self._stop) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_) -> None:
        Interrupts.asked = False
        for number, handler in self.previous.items():
            signal.signal(number, handler)  # a Python program that calls a command goes on as it was

    @staticmethod
    def _stop(number, frame) -> None:
        Interrupts.asked = True
        raise KeyboardInterrupt

    @classmethod
    def insist(cls) -> None:
        """Raises KeyboardInterrupt where it was asked for."""
        if cls.asked:
            raise KeyboardInterrupt


class ProgressBar:
    """A progress bar on standard error, one a stage; none where that is not a terminal. Interrupts are seen here."""

    def __init__(self, quiet: bool):
        self.quiet = quiet
        self.stage: str | None = None
        self.bar = None

    def __enter__(self) -> "ProgressBar":
        return self

    def __exit__(self, *_) -> None:
        self._close()

    def say(self, stage: str) -> None:
        self(stage, 0, None)

    def __call__(self, stage: str, done: int, total: int | None) -> None:
        Interrupts.insist()
        if stage != self.stage:
            from tqdm import tqdm

            self._close()
            self.stage = stage
            # disable=None is tqdm's word for: only where standard error is a terminal.
            self.bar = tqdm(desc=stage, total=total, disable=True if self.quiet else None, leave=False)
        self.bar.total = total
        self.bar.update(done - self.bar.n)

    def _close(self) -> None:
        if self.bar is not None:
            self.bar.close()
