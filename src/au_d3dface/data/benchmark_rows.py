"""Rows of BP4D and DISFA, by frame or by clip, from the files of a sequence; no `datasets` library needed.

A row names pictures and videos by path: what is licensed stays where it is.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError, UsageError
from ..video import VideoReader
from .benchmark_files import UNKNOWN, Labels, Layout, SequenceFiles, picture_frames, read_labels
from .clips import clips_of
from .joining import PreparedFrames, prepared_frames

COUNTED = ("labelled", "pictures", "prepared")
"""Which frames count: all that are labelled, those with a picture too, or those with a reconstructed face."""


@dataclass(frozen=True)
class RowSettings:
    """What rows are made of; the fields of `benchmark_builder.BenchmarkConfig` of the same names."""

    action_units: tuple[int, ...]
    frames: str
    clip_length: int | None
    clip_stride: int | None
    clip_rate: float
    frame_rate: float | None
    reported_rate: float
    present_from: int


@dataclass
class LabelledSequence:
    """One sequence, T labelled frames.

    Attributes:
        files: where it lies.
        labels: its labels.
        timestamps: (T,) seconds from frame 1, strictly increasing.
        times_from: where the times come from: "prepared" or "video", which carry them, "reported" for the rate that is
            commonly reported, "given" by the user.
        pictures: paths, None where a frame has none.
        prepared: path of the coefficients, or None.
        prepared_rows: (T,) int64, the row of each frame there; -1 where it has none.
        usable: (T,) bool: there is something to see of the frame: a reconstructed face where coefficients are joined,
            else a picture where the sequence has pictures.
        counted: (T,) bool, the frames that count: with a known label, and as the settings say.
    """

    files: SequenceFiles
    labels: Labels
    timestamps: np.ndarray
    times_from: str
    pictures: list[str | None]
    prepared: str | None
    prepared_rows: np.ndarray
    usable: np.ndarray
    counted: np.ndarray

    def to_arrays(self) -> dict[str, np.ndarray]:
        """What was read of the files, without where these lie."""
        return {
            **{"frames": self.labels.frames, "au_labels": self.labels.au_labels},
            **{"au_intensity": self.labels.au_intensity, "timestamps": self.timestamps},
            **{"times_from": np.array(self.times_from), "prepared_rows": self.prepared_rows},
            **{"usable": self.usable, "counted": self.counted},
            "pictures": np.array(["" if path is None else Path(path).name for path in self.pictures]),
        }

    @staticmethod
    def from_arrays(files: SequenceFiles, prepared: Path | None, arrays: dict[str, np.ndarray]) -> "LabelledSequence":
        """The sequence that `to_arrays` was called on."""
        return LabelledSequence(
            files,
            Labels(arrays["frames"], arrays["au_labels"], arrays["au_intensity"]),
            arrays["timestamps"],
            str(arrays["times_from"]),
            [str(files.pictures / name) if name else None for name in arrays["pictures"].tolist()],
            None if prepared is None else str(prepared),
            *(arrays[name] for name in ("prepared_rows", "usable", "counted")),
        )


def read_sequence(files: SequenceFiles, settings: RowSettings, prepared: Path | None = None) -> LabelledSequence:
    """Reads a sequence.

    Args:
        files: of a `Layout`.
        settings: what is wanted.
        prepared: the file of its coefficients, see `joining.find_prepared`.

    Raises:
        InputError: a file is missing or damaged, was made from other frames, or labels nothing that there is.
    """
    labels = read_labels(files, settings.action_units, settings.present_from)
    frames, length = labels.frames, len(labels.frames)
    named = picture_frames(files)
    names = [named.get(int(frame)) for frame in frames]
    if named and not any(names):
        raise InputError(
            f"the label files of {files.name} are about frames {frames[0]} to {frames[-1]}, but {files.pictures} holds "
            f"frames {min(named)} to {max(named)}: they are not of one sequence; copy both again"
        )
    joined = None if prepared is None else prepared_frames(prepared, files)
    pictured = np.array([name is not None for name in names])
    rows, usable = np.full(length, -1, np.int64), pictured if named and files.video is None else np.ones(length, bool)
    if joined is not None:
        rows = _rows_of(frames, joined)
        usable = (rows >= 0) & joined.valid[rows]
        if not (rows >= 0).any():
            raise InputError(f"{prepared} holds none of the labelled frames of {files.name}; prepare it again")
    counted = (labels.au_labels != UNKNOWN).any(1)
    if settings.frames == "pictures":
        counted &= pictured
    elif settings.frames == "prepared":
        counted &= usable
    timestamps, times_from = _times(files, frames, joined, rows, settings)
    return LabelledSequence(
        files,
        labels,
        timestamps,
        times_from,
        [None if name is None else str(files.pictures / name) for name in names],  # type: ignore[operator]
        None if prepared is None else str(prepared),
        rows,
        usable,
        counted,
    )


def _rows_of(frames: np.ndarray, joined: PreparedFrames) -> np.ndarray:
    at = np.searchsorted(joined.frames, frames).clip(max=len(joined.frames) - 1)
    return np.where(joined.frames[at] == frames, at, -1)


def _times(
    files: SequenceFiles, frames: np.ndarray, joined: PreparedFrames | None, rows: np.ndarray, settings: RowSettings
) -> tuple[np.ndarray, str]:
    if settings.frame_rate is not None:
        return (frames - 1) / settings.frame_rate, "given"
    if joined is not None and joined.timestamps is not None:
        times = joined.timestamps[rows]
        beyond = rows < 0  # labels that go on after the video has ended
        period = joined.timestamps[-1] / max(len(joined.timestamps) - 1, 1) or 1 / settings.reported_rate
        times[beyond] = joined.timestamps[-1] + (frames[beyond] - joined.frames[-1]) * period
        return times, "prepared"
    if files.video is not None:
        rate = _video_rate(files.video)
        if rate is not None:
            return (frames - 1) / rate, "video"
    return (frames - 1) / settings.reported_rate, "reported"


@lru_cache(maxsize=64)
def _video_rate(path: Path) -> float | None:
    with VideoReader(path) as reader:
        return reader.frame_rate


def frame_rows(sequence: LabelledSequence) -> Iterator[tuple[str, dict[str, Any]]]:
    """Key and row of every frame that counts, in order."""
    labels = sequence.labels
    video = None if sequence.files.video is None else str(sequence.files.video)
    for row in np.flatnonzero(sequence.counted):
        frame = int(labels.frames[row])
        yield (
            f"{sequence.files.name}/{frame}",
            {
                **_head(sequence),
                "frame": frame,
                "timestamp": float(sequence.timestamps[row]),
                "picture": sequence.pictures[row],
                "video": video,
                "video_frame": frame - 1 if video else -1,
                "au_labels": labels.au_labels[row],
                "au_intensity": labels.au_intensity[row],
                "prepared": sequence.prepared,
                "prepared_row": int(sequence.prepared_rows[row]),
            },
        )


def clip_rows(sequence: LabelledSequence, settings: RowSettings) -> Iterator[tuple[str, dict[str, Any]]]:
    """Key and row of every clip, in order; labels of frames that do not count are shown but not scored.

    Raises:
        InputError: times that are no good for clips.
    """
    labels, name = sequence.labels, sequence.files.name
    video = None if sequence.files.video is None else str(sequence.files.video)
    length = settings.clip_length or 1
    try:
        clips = clips_of(labels.frames, sequence.timestamps, length, settings.clip_rate, settings.clip_stride)
    except ValueError as error:
        raise InputError(f"{name} cannot be cut into clips: {error}") from error
    for number, clip in enumerate(clips):
        empty = clip.rows < 0
        frames = np.where(empty, -1, labels.frames[clip.rows])
        yield (
            f"{name}/{number}",
            {
                **_head(sequence),
                "run": clip.run,
                "phase": clip.phase,
                "phases": clip.phases,
                "frames": frames,
                "timestamps": np.where(empty, np.nan, sequence.timestamps[clip.rows]),
                "frame_mask": ~empty & sequence.usable[clip.rows],
                "scored": clip.scored & sequence.counted[clip.rows],
                "pictures": [None if row < 0 else sequence.pictures[row] for row in clip.rows],
                "video": video,
                "video_frames": np.where(empty, -1, frames - 1) if video else np.full(length, -1),
                "au_labels": np.where(empty[:, None], UNKNOWN, labels.au_labels[clip.rows]).astype(np.int8),
                "au_intensity": np.where(empty[:, None], UNKNOWN, labels.au_intensity[clip.rows]).astype(np.float32),
                "prepared": sequence.prepared,
                "prepared_rows": np.where(empty, -1, sequence.prepared_rows[clip.rows]),
            },
        )


def _head(sequence: LabelledSequence) -> dict[str, str]:
    files = sequence.files
    return {
        "sequence": files.name,
        "subject": files.subject,
        "task": files.task,
        "times_from": sequence.times_from,
    }


def missing_of(
    layout: Layout, subjects: tuple[str, ...], tasks: tuple[str, ...], prepared: dict[str, Path] | None, pictures: bool
) -> dict[str, str]:
    """The sequences of some people that cannot be had, by name, and what each lacks."""
    missing = {}
    for subject in subjects:
        for task in tasks:
            name = SequenceFiles(subject, task).name
            files = layout.sequences.get(name)
            if files is None or not files.is_labelled:
                missing[name] = "labels"
            elif pictures and files.pictures is None:
                missing[name] = "pictures"
            elif prepared is not None and name not in prepared:
                missing[name] = "prepared faces"
    return missing


def said_of_missing(benchmark: str, missing: dict[str, str], expected: int) -> str:
    """One sentence that names and counts them."""
    kinds = []
    for kind in dict.fromkeys(missing.values()):
        names = [name for name, lacks in missing.items() if lacks == kind]
        shown = ", ".join(names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "")
        kinds.append(f"{kind} of {shown}")
    return f"{len(missing)} of {expected} sequences of {benchmark} are missing: {'; '.join(kinds)}"


def check_rows(settings: RowSettings) -> None:
    """Raises UsageError where a setting makes no sense."""
    units = settings.action_units
    if not units or len(set(units)) < len(units) or not all(isinstance(n, int) and 0 < n < 100 for n in units):
        raise UsageError(f"action_units must be different numbers from 1 to 99, not {list(units)}")
    if settings.frames not in COUNTED:
        raise UsageError(f"frames must be one of {', '.join(COUNTED)}, not {settings.frames!r}")
    for name in ("clip_rate", "frame_rate"):
        rate = getattr(settings, name)
        if rate is not None and not (np.isfinite(rate) and rate > 0):
            raise UsageError(f"{name} must be a positive number of frames a second, not {rate}")
    if settings.clip_length is not None and settings.clip_length < 1:
        raise UsageError(f"clip_length must be at least 1, not {settings.clip_length}")
    if settings.clip_stride is not None and not 1 <= settings.clip_stride <= (settings.clip_length or 0):
        raise UsageError("clip_stride goes with clip_length, and must be from 1 to that")
    if not 1 <= settings.present_from <= 5:
        raise UsageError(f"present_from must be an intensity from 1 to 5, not {settings.present_from}")
