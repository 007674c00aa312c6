"""Clips of L frames for the network, sampled uniformly in time at its rate from sequences of any rate.

A sequence is first divided into runs, at cuts and where frame numbers leave a gap. On every run lies a grid, one entry
every 1 / rate seconds, and the frame nearest to an entry in time stands for it (`video.sample_frames`, as in use).
A grid shows only some frames of a faster video, so that it is laid several times, shifted: its phases, as many as it
takes to show every frame. Scoring decodes all of them and counts every frame once; training takes one at random.
"""

import hashlib
import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import UsageError
from ..facs import label
from ..losses import balanced_class_weights
from ..video import sample_frames


@dataclass
class Clip:
    """Which frames a clip is made of.

    Attributes:
        rows: (L,) int64, rows of the sequence; -1 where the clip goes on beyond the run, or no frame is near an entry.
        scored: (L,) bool, the entries that are counted in scoring: each frame in one clip of all those of its sequence,
            the one that shows the most of what came before.
        run: number of the run within the sequence.
        phase, phases: number of the phase within the run, and how many there are.
    """

    rows: np.ndarray
    scored: np.ndarray
    run: int
    phase: int
    phases: int


def runs(frames: np.ndarray, step: int = 1, cuts: Sequence[int] = ()) -> list[slice]:
    """Where a sequence goes on without interruption.

    Args:
        frames: (T,) frame numbers, increasing.
        step: from one frame number to the next.
        cuts: frame numbers with which something new begins.

    Returns:
        Slices that divide the T frames.
    """
    begins = np.flatnonzero(np.diff(frames) != step) + 1
    begins = np.union1d(begins, np.searchsorted(frames, np.asarray(cuts, np.int64)))
    bounds = [0, *(int(begin) for begin in begins if 0 < begin < len(frames)), len(frames)]
    return [slice(start, end) for start, end in itertools.pairwise(bounds) if start < end]


def grids(timestamps: np.ndarray, frame_rate: float) -> list[np.ndarray]:
    """The phases of a run: the frames on a grid, for every shift of it that is needed to show all.

    The first grid begins with the first frame; each further one is laid through the first frame that none has shown.

    Args:
        timestamps: (T,) seconds, strictly increasing.
        frame_rate: entries a second.

    Returns:
        For every phase, (K,) indices of frames, -1 where none is near; the first entry holds one.

    Raises:
        ValueError: timestamps that do not increase, or by less than a hundred-thousandth of an entry.
    """
    times = np.asarray(timestamps, np.float64) - timestamps[0]
    if len(times) > 1 and not (np.diff(times) * frame_rate > 1e-5).all():
        raise ValueError("timestamps must increase, by more than a hundred-thousandth of the time between samples")
    shown = np.zeros(len(times), bool)
    phases: list[np.ndarray] = []
    while not shown.all():
        through = times[np.argmin(shown)]
        # Counted from one entry before the run, so that no time is negative.
        shift = 0.0 if not phases else 1.0 / frame_rate - through % (1.0 / frame_rate)
        grid = sample_frames(times + shift, np.ones(len(times), bool), frame_rate)
        # The entry before the run, and one that lies beyond its end by more than half a frame, would show a frame that
        # is not the nearest to them in time, only the nearest there is.
        late = (len(grid) - 1) / frame_rate - shift - times[-1]
        grid = grid[bool(phases) : -1 if len(times) > 1 and late > (times[-1] - times[-2]) / 2 + 1e-7 else None]
        grid = grid[np.argmax(grid >= 0) :]
        shown[grid[grid >= 0]] = True
        phases.append(grid)
    return phases


def clips_of(
    frames: np.ndarray,
    timestamps: np.ndarray,
    length: int | None,
    frame_rate: float,
    stride: int | None = None,
    step: int = 1,
    cuts: Sequence[int] = (),
) -> list[Clip]:
    """All clips of a sequence: run by run, phase by phase, in order of time.

    Args:
        frames: (T,) frame numbers, increasing. timestamps: (T,) seconds, strictly increasing.
        length: L, entries of a clip; None gives every phase of a run as one clip, as long as it is.
        frame_rate: entries a second, the model's.
        stride: entries from the start of a clip to that of the next; None for L. The last clip of a run reaches its
            end, and may be padded.
        step, cuts: of `runs`.

    Raises:
        ValueError: a stride that would leave frames out, or timestamps that `grids` does not take.
    """
    stride = stride or length
    if length is not None and stride is not None and not 1 <= stride <= length:
        raise ValueError(f"the stride must be from 1 to the clip's length, {length}, not {stride}")
    clips = []
    counted = np.zeros(len(frames), bool)
    for number, run in enumerate(runs(frames, step, cuts)):
        phases = grids(timestamps[run], frame_rate)
        for phase, grid in enumerate(phases):
            entries = np.where(grid >= 0, grid + run.start, -1)
            size, step_on = length or len(entries), stride or len(entries)
            for start in range(0, max(len(entries) - size, 0) + step_on, step_on):
                rows = entries[start : start + size]
                rows = np.concatenate([rows, np.full(size - len(rows), -1, np.int64)])
                scored = rows >= 0
                scored[scored] = ~counted[rows[scored]]
                counted[rows[scored]] = True
                clips.append(Clip(rows, scored, number, phase, len(phases)))
    return clips


def drawn_phase(sequence: str, run: int, phases: int, epoch: int, seed: int = 0) -> int:
    """The phase that training takes of a run in an epoch; the same in every process.

    rows.filter(lambda row: row["phase"] == drawn_phase(row["sequence"], row["run"], row["phases"], epoch))
    """
    digest = hashlib.sha256(f"{seed}/{epoch}/{sequence}/{run}".encode()).digest()
    return int.from_bytes(digest[:8], "big") % phases


def positive_rates(labels: Iterable[np.ndarray], action_units: Sequence[int]) -> list[float]:
    """The share of known labels that are positive, for each of N action units: `config.au_positive_rates`.

    Args:
        labels: (T, N) arrays of 0, 1 and -1 for unknown, of training people only.
        action_units: their numbers.

    Raises:
        UsageError: an action unit that has no known label, or never occurs.
    """
    positive, known = np.zeros(len(action_units)), np.zeros(len(action_units))
    for rows in labels:
        positive += (rows == 1).sum(0)
        known += (rows >= 0).sum(0)
    for number, occurs, seen in zip(action_units, positive, known, strict=True):
        if not occurs:
            why = "never occurs" if seen else "has no known label"
            raise UsageError(f"{label(number)} {why} in the training parts; leave it out of the action units")
    return [float(rate) for rate in positive / known]


def class_weights(labels: Iterable[np.ndarray], action_units: Sequence[int]) -> list[float]:
    """w_k of `losses.balanced_class_weights` from the labels of training people; mean 1, larger for rarer units."""
    return balanced_class_weights(positive_rates(labels, action_units)).tolist()
