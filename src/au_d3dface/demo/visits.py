"""Each visitor's files in a folder of their own, under a name that cannot be guessed; deleted when the visit ends."""

import os
import secrets
import shutil
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

_PATIENCE = 10.0
"""Seconds that a closing server waits for a cancelled job, which would otherwise write where nothing is left."""


class Cancellable(Protocol):
    """What a visit can have under way."""

    def cancel(self) -> None:
        """Asks it to stop soon; it removes its own files then."""
        ...

    def join(self, timeout: float | None = None) -> bool:
        """Waits for its end; whether it has come."""
        ...


@dataclass
class Visit:
    """One open page.

    Attributes:
        folder: of its files.
        used: when it was last used, seconds of the monotonic clock.
        jobs: what is under way; more than one only while a cancelled one is still ending.
    """

    folder: Path
    used: float
    jobs: list[Cancellable] = field(default_factory=list)


class Visits:
    """All open pages of one server.

    Args:
        keep_seconds: how long files outlive the last use of a visit whose end was never told.
        root: folder of all files, made here under a name of its own in the system's temporary folder if not given.
    """

    def __init__(self, keep_seconds: float, root: Path | None = None) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="au-d3dface-demo-")) if root is None else root
        self.keep_seconds = keep_seconds
        self._visits: dict[str, Visit] = {}
        self._lock = threading.Lock()
        self._closed = threading.Event()
        threading.Thread(target=self._sweep_for_ever, name="visits", daemon=True).start()

    def new_folder(self, session: str) -> Path:
        """An empty folder for the next video of a visitor; those of the visitor's earlier videos are deleted."""
        with self._lock:
            visit = self._visits.get(session)
            if visit is None:
                visit = Visit(self.root / secrets.token_urlsafe(24), 0.0)
                self._visits[session] = visit
            visit.used = time.monotonic()
            _remove(visit.folder)
            folder = visit.folder / secrets.token_urlsafe(8)
            folder.mkdir(parents=True)
            return folder

    def begin(self, session: str, job: Cancellable) -> None:
        """Notes what a visitor has under way. What was under way before is cancelled."""
        with self._lock:
            before, self._visits[session].jobs = self._visits[session].jobs, [job]
        for old in before:
            old.cancel()

    def end(self, session: str, job: Cancellable) -> None:
        """Notes that it is over."""
        with self._lock:
            visit = self._visits.get(session)
            if visit is not None:
                visit.used = time.monotonic()
                if job in visit.jobs:
                    visit.jobs.remove(job)

    def cancel(self, session: str) -> bool:
        """Cancels what a visitor has under way; whether there was anything."""
        with self._lock:
            visit = self._visits.get(session)
            jobs = [] if visit is None else list(visit.jobs)
        for job in jobs:
            job.cancel()
        return bool(jobs)

    def leave(self, session: str) -> None:
        """The page was closed: cancels what is under way and deletes every file."""
        self.cancel(session)
        with self._lock:
            visit = self._visits.pop(session, None)
        if visit is not None:
            _remove(visit.folder)

    def sweep(self) -> int:
        """Ends the visits that have had nothing under way for `keep_seconds`; returns how many."""
        now = time.monotonic()
        with self._lock:
            old = [
                session
                for session, visit in self._visits.items()
                if not visit.jobs and now - visit.used > self.keep_seconds
            ]
        for session in old:
            self.leave(session)
        return len(old)

    def close(self) -> None:
        """Ends every visit and deletes the root, once what was under way has noticed."""
        self._closed.set()
        with self._lock:
            jobs = [job for visit in self._visits.values() for job in visit.jobs]
        for session in list(self._visits):
            self.leave(session)
        for job in jobs:
            job.join(_PATIENCE)
        _remove(self.root)

    def _sweep_for_ever(self) -> None:
        while not self._closed.wait(min(60.0, self.keep_seconds)):
            self.sweep()


def link_or_copy(source: str | os.PathLike[str], folder: Path) -> Path:
    """The file in the folder under its own name: a second name of the same bytes where the disk is the same.

    The page's upload folder names files by their content, so two visitors may share one; here each has their own.
    """
    target = folder / Path(source).name
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
    return target


def _remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
