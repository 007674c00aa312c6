"""Measuring the sequences of Table 1 one by one, each result kept in a file of its own, in one process or several.

A result is tied to a checksum of everything that it depends on: the settings, the checkpoint's weights, and names,
sizes and times of the files that are read. What is there already with the same checksum is not measured again, so the
same command goes on where it was stopped, and measures anew what has changed.
"""

import hashlib
import json
import multiprocessing
import re
import signal
import zipfile
import zlib
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ... import __version__
from ...errors import AUD3DFaceError, InputError
from ...export.files import atomic_path, output_errors
from ...geometry import ICPSettings, TriangleSurface, icp
from .aligning import AlignedMeshes, Measuring, align
from .methods import Method
from .multirex import MultiREX
from .tables import SequenceDistances
from .truths import Truth

PARTS = "sequences"
"""The folder of the results, below the output."""

Report = Callable[[int, int], object]
"""Called as report(done, total) with numbers of sequences and methods."""


@dataclass(frozen=True)
class Job:
    """One method on one sequence, and the file of its result."""

    truth: Truth
    method: Method
    measuring: Measuring
    path: Path
    checksum: str


@dataclass(frozen=True)
class Measured:
    """What is kept of a job.

    Attributes:
        frames: (T,) numbers. unseen: how many wanted frames showed the method no face.
        distances: of the T frames. regions: name to places among the vertices measured.
        region_wise: name to (T,) millimetres, each region aligned by itself; empty where not asked for.
        multirex: name to (T,) millimetres; empty where not asked for, or where the protocol does not take the meshes.
        unit, true_unit: what files of meshes, and of true ones, were in.
    """

    frames: np.ndarray
    unseen: int
    distances: SequenceDistances
    regions: dict[str, np.ndarray]
    region_wise: dict[str, np.ndarray]
    multirex: dict[str, np.ndarray]
    unit: str
    true_unit: str

    def at(self, frames: np.ndarray) -> "Measured":
        """The same of some of its frames."""
        rows = np.flatnonzero(np.isin(self.frames, frames))
        part = self.distances
        return Measured(
            self.frames[rows],
            self.unseen,
            SequenceDistances(
                part.distances[rows], part.iterations[rows], part.converged[rows], part.settings, part.aligned_vertices
            ),
            self.regions,
            {name: values[rows] for name, values in self.region_wise.items()},
            {name: values[rows] for name, values in self.multirex.items()},
            self.unit,
            self.true_unit,
        )


def plan(truths: Sequence[Truth], methods: Sequence[Method], measuring: Measuring, output: Path) -> list[Job]:
    """The jobs of a table, by sequence and method.

    Raises:
        InputError: a method has no files of a sequence.
    """
    jobs = []
    for truth in truths:
        of_truth = _states(truth.files())
        for method in methods:
            depends = {
                "version": __version__,
                "measuring": measuring.numbers(),
                "frames": list(truth.frames),
                "truth": of_truth,
                "method": method.settings(),
                "files": _states(method.files(truth)),
                "regions": _states([] if method.regions is None else [method.regions]),
                "multirex": [] if measuring.multirex is None else _states(MultiREX(measuring.multirex).files()),
            }
            checksum = hashlib.sha256(json.dumps(depends, sort_keys=True).encode()).hexdigest()
            name = f"{truth.name}--{method.name}"
            short = hashlib.sha256(name.encode()).hexdigest()[:8]
            path = output / PARTS / f"{re.sub(r'[^A-Za-z0-9_.-]+', '-', name)[:120]}-{short}.npz"
            jobs.append(Job(truth, method, measuring, path, checksum))
    return jobs


def run(jobs: Sequence[Job], processes: int = 1, report: Report = lambda done, total: None) -> int:
    """Measures what is not measured yet; an interrupt leaves what is done. Returns how many were there before.

    Raises:
        InputError: of the first job that fails; the others that are done stay. OutputError: a result cannot be written.
    """
    todo = [job for job in jobs if not _is_done(job)]
    before = len(jobs) - len(todo)
    report(before, len(jobs))
    if processes <= 1 or len(todo) <= 1:
        for number, job in enumerate(todo):
            _measure_and_write(job)
            report(before + number + 1, len(jobs))
        return before
    context = multiprocessing.get_context("spawn")
    others = multiprocessing.active_children()
    pool = ProcessPoolExecutor(min(processes, len(todo)), context, _start_worker)
    try:
        futures = [pool.submit(_measure_and_write, job) for job in todo]
        for number, future in enumerate(as_completed(futures)):
            future.result()
            report(before + number + 1, len(jobs))
        pool.shutdown()
    except BaseException as error:
        # Nobody waits for what the workers are at: a result is written whole or not at all.
        pool.shutdown(wait=False, cancel_futures=True)
        for child in multiprocessing.active_children():
            if child not in others:
                child.terminate()
        if isinstance(error, BrokenProcessPool):
            raise AUD3DFaceError(
                "a process that measured meshes was ended from outside, perhaps for want of memory; what was measured "
                "is kept: give the same command again, with fewer --processes"
            ) from error
        raise
    return before


def measure(truth: Truth, method: Method, measuring: Measuring) -> Measured:
    """One method on one sequence.

    Raises:
        InputError: files that are missing or damaged, frames that differ, regions that do not fit.
        UsageError: a region to align that the method's meshes do not have.
    """
    meshes = method.meshes(truth)
    aligned = align(truth, method, meshes, measuring)
    regions = aligned.part.within(aligned.rows)
    region_wise = _region_wise(aligned, regions) if measuring.region_wise else {}
    multirex = {}
    if measuring.multirex is not None:
        name = f"{truth.name}, {method.name}"
        multirex = MultiREX(measuring.multirex).errors(truth, meshes, aligned.true, aligned.frames, name)
    unseen = len(meshes.unseen.intersection(truth.frames))
    units = meshes.unit, aligned.true.unit
    return Measured(np.array(aligned.frames), unseen, aligned.distances, regions, region_wise, multirex, *units)


def read_result(job: Job) -> Measured:
    """What `run` has kept of a job.

    Raises:
        InputError: the file has gone or is damaged.
    """
    try:
        with np.load(job.path, allow_pickle=False) as npz:
            header = json.loads(str(npz["header"]))
            arrays = {name: npz[name] for name in npz.files}
        settings = header["icp"]
        distances = SequenceDistances(
            arrays["distances"],
            arrays["iterations"],
            arrays["converged"],
            None if settings is None else ICPSettings(**settings),
            header["aligned_vertices"],
        )

        def named(kind: str) -> dict[str, np.ndarray]:
            return {name: arrays[f"{kind} {name}"] for name in header[kind]}

        parts = (named(kind) for kind in ("regions", "region_wise", "multirex"))
        return Measured(arrays["frames"], header["unseen"], distances, *parts, header["unit"], header["true_unit"])
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(f"{job.path} has gone or is damaged ({error}); give the same command again") from error


def _region_wise(aligned: AlignedMeshes, regions: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Each region rigidly aligned by itself, from where the whole has come to lie: (T,) mean millimetres by name."""
    errors = {name: np.empty(len(aligned.frames)) for name in regions}
    for frame, true in enumerate(aligned.true.vertices):
        mesh, surface = aligned.placed(frame)[aligned.rows], TriangleSurface(true, aligned.true.faces)
        for name, rows in regions.items():
            if len(rows) < 3:
                raise InputError(f"the region {name!r} has {len(rows)} vertices, and three are aligned at least")
            errors[name][frame] = 1000 * icp(mesh[rows], surface).residual
    return errors


def _measure_and_write(job: Job) -> None:
    result = measure(job.truth, job.method, job.measuring)
    settings = result.distances.settings
    header = {
        "checksum": job.checksum,
        "sequence": job.truth.name,
        "method": job.method.name,
        "icp": None if settings is None else asdict(settings),
        "aligned_vertices": result.distances.aligned_vertices,
        "unseen": result.unseen,
        "unit": result.unit,
        "true_unit": result.true_unit,
        **{kind: list(getattr(result, kind)) for kind in ("regions", "region_wise", "multirex")},
    }
    arrays = {name: getattr(result.distances, name) for name in ("distances", "iterations", "converged")}
    for kind in ("regions", "region_wise", "multirex"):
        arrays |= {f"{kind} {name}": values for name, values in getattr(result, kind).items()}
    with output_errors(job.path):
        job.path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(job.path) as temporary:
        np.savez(temporary, header=np.array(json.dumps(header)), frames=result.frames, **arrays)


def _is_done(job: Job) -> bool:
    try:
        with np.load(job.path, allow_pickle=False) as npz:
            return json.loads(str(npz["header"]))["checksum"] == job.checksum
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, zlib.error):
        return False  # not there, or cut off by another program: measured anew


def _states(paths: Iterable[Path]) -> list[list[Any]]:
    """Name, size and time of change of each file, which is what a result is tied to."""
    try:
        return [[str(path.absolute()), (status := path.stat()).st_size, status.st_mtime_ns] for path in paths]
    except OSError as error:
        raise InputError(f"{error.filename} cannot be read ({error.strerror or error}); check its name") from error


def _start_worker() -> None:
    """In a worker: the parent alone answers Ctrl-C, and each has one thread."""
    import torch

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
