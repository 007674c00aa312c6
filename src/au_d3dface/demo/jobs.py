"""One video from upload to results, in a thread of its own, so that the page hears of it and can cancel it.

`Job.messages` is what the page's generator reads: the state that the player shows, whenever it has changed.
"""

import contextvars
import ctypes
import gc
import logging
import queue
import shutil
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from ..errors import AUD3DFaceError
from ..export import NEED_APPEARANCE, write_outputs
from ..export.files import BLOCK_BYTES
from ..export.formats import DEFAULT_FORMATS, FORMATS
from ..pipeline_au_d3dface import AUD3DFacePipeline, Reconstruction
from .limits import LimitedReader, Limits, probe
from .live import tapped
from .scene import pack_scene
from .zero_gpu import Lend

logger = logging.getLogger(__name__)

ONE_AT_A_TIME = threading.Lock()
"""Held by the job that computes: a cancelled one may still be ending when the queue lets the next one begin."""

ZIP_NAME = "au-d3dface.zip"

_STORED = (".mp4", ".png", ".npz")
"""Compressed already."""

_SECONDS_A_STATE = 0.2


class Cancelled(Exception):
    """Raised inside a job, at its next sign of progress, once it was cancelled."""


@dataclass
class State:
    """What the player knows of a job, sent whole whenever it changes; paths are the server's, served by name.

    Attributes:
        job: name of the job; a new name makes the player start anew.
        video: the visitor's own video.
        stage, done, total: what is being done; "done" at the end.
        live: packed scenes of the causal pass, oldest first.
        scene: the packed whole-clip result.
        overlay: the overlay video.
        downloads: name, what it holds, bytes and path of every file.
        warnings: sentences for people.
        seconds: since the job began to compute: "first" result, "whole" result, "all"; and one a stage.
    """

    job: str
    video: str
    stage: str = "waiting"
    done: int = 0
    total: int | None = None
    live: list[str] = field(default_factory=list)
    scene: str | None = None
    overlay: str | None = None
    downloads: list[dict[str, Any]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)


class Job:
    """A video and what is wanted of it. `start` it, read `states`, or `cancel` it.

    Args:
        video: a file inside `folder`.
        folder: for all files of the job; emptied where the job ends in an error or is cancelled.
        pipeline: gives the pipeline; called in the job's thread, as a checkpoint may have to be loaded.
        limits: the page's.
        faces: "largest" or "all".
        formats: beyond the default ones.
        lend: gives the network that reads the whole clip, from the pipeline's own, which the live results keep.
        finished: called at the very end, whatever came of it.
    """

    def __init__(
        self,
        video: Path,
        folder: Path,
        pipeline: Callable[[], AUD3DFacePipeline],
        limits: Limits,
        faces: str = "largest",
        formats: tuple[str, ...] = (),
        lend: Lend | None = None,
        finished: Callable[["Job"], None] = lambda job: None,
    ) -> None:
        self.video, self.folder, self.limits = video, folder, limits
        self.faces = faces
        self.formats = tuple(name for name in FORMATS if name in (*DEFAULT_FORMATS, *formats))
        self.state = State(job=folder.name, video=str(video))
        self._pipeline, self._lend, self._finished = pipeline, lend, finished
        self._queue: queue.Queue[dict[str, Any] | Exception | None] = queue.Queue()
        self._cancelled = threading.Event()
        self._began = self._told = 0.0
        # In the context of whoever asks: ZeroGPU finds out there whose request it is.
        context = contextvars.copy_context()
        self._thread = threading.Thread(target=context.run, args=(self._run,), name=f"job {folder.name}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def cancel(self) -> None:
        """Stops the job at its next sign of progress; its files are deleted then."""
        self._cancelled.set()

    @property
    def cancelled(self) -> bool:
        """Whether it was."""
        return self._cancelled.is_set()

    def join(self, timeout: float | None = None) -> bool:
        """Waits for the end; whether it has come."""
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def states(self) -> Iterator[dict[str, Any]]:
        """The states as they come, as plain values, until the job has ended.

        Raises:
            AUD3DFaceError: what the command line would say, without the server's folder in it.
            Cancelled: it was cancelled.
        """
        while (message := self._queue.get()) is not None:
            if isinstance(message, Exception):
                raise message
            while True:  # only the newest of those that wait
                try:
                    newer = self._queue.get_nowait()
                except queue.Empty:
                    break
                if not isinstance(newer, dict):
                    yield message
                    if newer is None:
                        return
                    raise newer
                message = newer
            yield message

    # ---------------------------------------------------------------------------------------------- in the job's thread

    def _run(self) -> None:
        try:
            self._tell("waiting", 0, None, force=True)
            while not ONE_AT_A_TIME.acquire(timeout=_SECONDS_A_STATE):
                self._check()
            try:
                self._check()
                self._compute()
            finally:
                ONE_AT_A_TIME.release()
            self._queue.put(None)
        except Exception as error:  # noqa: BLE001  # told to the page, whose generator raises it
            shutil.rmtree(self.folder, ignore_errors=True)
            # The folder of the visit, made anew where the visitor left while files were being written.
            with suppress(OSError):
                self.folder.parent.rmdir()
            # Whose files were deleted meanwhile may fail in any way before it notices.
            self._queue.put(Cancelled() if self.cancelled else self._told_to_people(error))
        finally:
            self._finished(self)
            _give_memory_back()

    def _compute(self) -> None:
        self._began = time.perf_counter()
        probe(self.video, self.limits)
        self._tell("loading", 0, None, force=True)
        pipeline = tapped(self._pipeline(), self._show_live)
        pipeline.reader = partial(LimitedReader, limits=self.limits)
        if self._lend is not None:
            pipeline.model = self._lend(pipeline.model)
        result = pipeline.reconstruct(
            self.video,
            faces=self.faces,
            appearance=any(name in NEED_APPEARANCE for name in self.formats),
            progress=self._tell,
        )
        self.state.warnings = [self._without_folder(text) for text in result.warnings]
        scene = self.folder / "scene.bin"
        scene.write_bytes(pack_scene(result.sequences))
        self.state.scene, self.state.live = str(scene), []
        self.state.seconds |= {**result.seconds, "whole": self._elapsed()}
        self.state.seconds.setdefault("first", self.state.seconds["whole"])
        self._tell("files", 0, None, force=True)
        self._write_files(pipeline, result)
        self.state.seconds["all"] = self._elapsed()
        self._tell("done", 1, 1, force=True)

    def _write_files(self, pipeline: AUD3DFacePipeline, result: Reconstruction) -> None:
        results = self.folder / "results"
        settings = {"video": self.video.name, "faces": self.faces, "formats": self.formats, "page": True}
        written = write_outputs(
            result.sequences,
            results,
            self.formats,
            {"settings": settings, "warnings": self.state.warnings, "seconds": result.seconds},
            result.timestamps,
            pipeline.model.config.action_units,
            progress=self._tell,
            per_face=self.faces == "all",
        )
        self._tell("zip", 0, None, force=True)
        packed = self.folder / ZIP_NAME
        self._pack(packed, results)
        told = [packed, *(path for path in written if path.is_file())]  # folders of meshes are in the zip alone
        self.state.downloads = [
            {
                "name": str(path.relative_to(results)) if path != packed else ZIP_NAME,
                "what": "all files together" if path == packed else described(path.name),
                "bytes": path.stat().st_size,
                "path": str(path),
            }
            for path in told
        ]
        self.state.overlay = str(results / "overlay.mp4")

    def _pack(self, packed: Path, results: Path) -> None:
        """All files of a folder into a zip, by blocks: `ZipFile.write` would not hear that the job was cancelled."""
        with zipfile.ZipFile(packed, "w") as archive:
            for path in sorted(path for path in results.rglob("*") if path.is_file()):
                entry = zipfile.ZipInfo.from_file(path, path.relative_to(results))
                entry.compress_type = zipfile.ZIP_STORED if path.suffix in _STORED else zipfile.ZIP_DEFLATED
                with path.open("rb") as source, archive.open(entry, "w") as target:
                    while block := source.read(BLOCK_BYTES):
                        target.write(block)
                        self._tell("zip", 0, None)

    def _show_live(self, scene: bytes) -> None:
        path = self.folder / f"live{len(self.state.live):04d}.bin"
        path.write_bytes(scene)
        self.state.live = [*self.state.live, str(path)]
        self.state.seconds.setdefault("first", self._elapsed())
        self._tell(self.state.stage, self.state.done, self.state.total, force=True)

    def _tell(self, stage: str, done: int, total: int | None, force: bool = False) -> None:
        """Progress of the pipeline and of the exports; where a job finds out that it was cancelled."""
        self._check()
        now = time.monotonic()
        changed = stage != self.state.stage
        self.state.stage, self.state.done, self.state.total = stage, done, total
        if force or changed or now - self._told > _SECONDS_A_STATE:
            self._told = now
            self._queue.put(dict(vars(self.state), seconds=dict(self.state.seconds)))

    def _check(self) -> None:
        if self.cancelled:
            raise Cancelled

    def _elapsed(self) -> float:
        return time.perf_counter() - self._began

    def _told_to_people(self, error: Exception) -> Exception:
        if isinstance(error, AUD3DFaceError):
            return type(error)(self._without_folder(str(error)))
        logger.exception("a job of the page failed")
        return error

    def _without_folder(self, text: str) -> str:
        """People know their file by its name; the server's folder is nobody's business."""
        return text.replace(f"{self.folder}/", "")


def _give_memory_back() -> None:
    """Collects what hangs together in circles (figures, trackers), and gives the free pages back to the system.

    A job's arrays come and go in many threads (MediaPipe's, torch's, its own), and glibc keeps what they free: nothing
    is held, but a server's memory would creep up from video to video, by holes that no later array fits into.
    """
    gc.collect()
    with suppress(OSError, AttributeError):  # another C library
        ctypes.CDLL("libc.so.6").malloc_trim(0)


def described(name: str) -> str:
    """What the command line's list of formats says of a file."""
    stem = name.split(".")[0].split("_00")[0]
    for text in FORMATS.values():
        file, _, what = text.partition(": ")
        if file == name or (stem == "sequence" and file == "sequence.npz"):
            return what.split("; always")[0]
    return ""
