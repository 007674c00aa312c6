"""Each visitor's files in a folder of their own, under a name that cannot be guessed; deleted when the visit ends.

Uploads lie in one more folder, where gradio puts them under their content's hash, so that visitors may share one. One
is deleted as soon as no open page shows it.
"""

import os
import secrets
import shutil
import tempfile
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

PATIENCE = 10.0
"""Seconds that is waited for a cancelled job: until then it may write, also where everything was deleted."""


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
        upload: the video that the page shows, None where there is none.
        used: when it was last used, seconds of the monotonic clock.
        jobs: what is under way; more than one only while a cancelled one is still ending.
    """

    folder: Path
    used: float
    upload: Path | None = None
    jobs: list[Cancellable] = field(default_factory=list)


class Visits:
    """All open pages of one server.

    Args:
        keep_seconds: what was not used for so long is gone, whether or not the page was closed.
        root: folder of all files, made here under a name of its own in the system's temporary folder if not given.

    Attributes:
        uploads: folder of uploads.
    """

    def __init__(self, keep_seconds: float, root: Path | None = None) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="au-d3dface-demo-")) if root is None else root
        self.uploads = self.root / "uploads"
        self._often = min(30.0, keep_seconds / 4)
        self._keep = keep_seconds - self._often  # what is just too young now is still there at the next look
        self._visits: dict[str, Visit] = {}
        self._lock = threading.Lock()
        self._closed = threading.Event()
        threading.Thread(target=self._sweep_for_ever, name="visits", daemon=True).start()

    def new_folder(self, session: str) -> Path:
        """An empty folder for the next video of a visitor; those of the visitor's earlier videos are deleted."""
        with self._lock:
            visit = self._used(session)
            _remove(visit.folder)
            folder = visit.folder / secrets.token_urlsafe(8)
            folder.mkdir(parents=True)
            return folder

    def show(self, session: str, upload: Path | None) -> None:
        """Notes the video that a visitor's page shows now; the one before is deleted unless another page shows it."""
        with self._lock:
            visit = self._used(session)
            before, visit.upload = visit.upload, upload
        self._forget(before)

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

    def cancel(self, session: str, patience: float = 0.0) -> bool:
        """Cancels what a visitor has under way; whether there was anything.

        Args:
            session: of the visitor.
            patience: seconds to wait for its end, when its files are deleted.
        """
        with self._lock:
            visit = self._visits.get(session)
            jobs = [] if visit is None else list(visit.jobs)
        for job in jobs:
            job.cancel()
        if patience:
            for job in jobs:
                job.join(patience)
        return bool(jobs)

    def under_way(self, session: str) -> bool:
        """Whether a visitor has anything under way, cancelled or not."""
        with self._lock:
            return session in self._visits and bool(self._visits[session].jobs)

    def leave(self, session: str) -> None:
        """The page was closed: cancels what is under way and deletes every file."""
        self.cancel(session)
        with self._lock:
            visit = self._visits.pop(session, None)
        if visit is not None:
            _remove(visit.folder)
            self._forget(visit.upload)

    def sweep(self) -> int:
        """Ends the visits that have had nothing under way for `keep_seconds`; returns how many.

        Uploads of no visit go too: those of programs, and what came in half.
        """
        now = time.monotonic()
        with self._lock:
            old = [
                session for session, visit in self._visits.items() if not visit.jobs and now - visit.used > self._keep
            ]
        for session in old:
            self.leave(session)
        oldest = time.time() - self._keep
        for folder, _, names in os.walk(self.uploads, topdown=False):  # passes over what goes meanwhile
            for path in (Path(folder) / name for name in names):
                with suppress(OSError):
                    if path.stat().st_ctime < oldest:
                        self._forget(path)
        return len(old)

    def close(self) -> None:
        """Ends every visit and deletes the root, once what was under way has noticed."""
        self._closed.set()
        with self._lock:
            jobs = [job for visit in self._visits.values() for job in visit.jobs]
        for session in list(self._visits):
            self.leave(session)
        for job in jobs:
            job.join(PATIENCE)
        _remove(self.root)

    def _sweep_for_ever(self) -> None:
        while not self._closed.wait(self._often):
            self.sweep()

    def _used(self, session: str) -> Visit:
        """The visit, which is used now; called with the lock held."""
        visit = self._visits.get(session)
        if visit is None:
            visit = self._visits[session] = Visit(self.root / secrets.token_urlsafe(24), 0.0)
        visit.used = time.monotonic()
        return visit

    def _forget(self, upload: Path | None) -> None:
        """Deletes an upload that no page shows."""
        if upload is None or not upload.is_relative_to(self.uploads):  # the sample is nobody's
            return
        with self._lock:
            if any(visit.upload == upload for visit in self._visits.values()):
                return
            with suppress(OSError):
                upload.unlink()
                upload.parent.rmdir()  # unless the same bytes came under another name too


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
