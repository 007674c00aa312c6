"""Notes which files this process and those that it forks open, and kills them all at one of these."""

import os
import re
import signal
import sys
from pathlib import Path

_watched: dict = {}


def watch(log: str | Path | None, pattern: str = "", last: int = 0) -> None:
    """From now on notes in `log` every file that the pattern is found in; kills the process group at the `last`-th."""
    if not _watched:
        sys.addaudithook(_opened)  # for good: there is no way to take it away
    _watched.update(log=log, pattern=re.compile(pattern), last=last)
    if log is not None:
        Path(log).touch()


def _opened(event: str, details: tuple) -> None:
    if event == "open" and _watched["log"] is not None and _watched["pattern"].search(str(details[0])):
        with open(_watched["log"], "a+b", buffering=0) as log:
            log.write(f"{details[0]}\n".encode())  # in one piece, wherever others have written to
            log.seek(0)
            if 0 < _watched["last"] <= log.read().count(b"\n"):
                os.killpg(0, signal.SIGKILL)
