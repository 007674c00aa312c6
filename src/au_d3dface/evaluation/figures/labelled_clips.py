"""Action units of a clip beside labels of the same frames: what figures of both are drawn from.

Ours is a video, a folder of pictures, an action_units.csv or a folder that holds one. Labels are, whichever it is:

- a csv of OpenFace, or one with its columns: `AU12_c` where `success` is 1;
- a label file as `--au-labels` takes it: `frame` and `AU12`, 0, 1 or nothing;
- a csv of BP4D, whose first line holds 0 and the numbers of the action units;
- a folder of DISFA's files `SN001_au1.txt`, of one person: present from intensity 2.
"""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ... import facs
from ...data.benchmark_files import SequenceFiles, read_labels, read_occurrence
from ...errors import InputError, UsageError
from ...face_sequence import FaceSequence
from ...label_files import read_au_labels
from ...pipeline_au_d3dface import AUD3DFacePipeline, Progress
from ..au_tables import AUTable, read_au_table, table_of

PRESENT_FROM = 2
"""The intensity from which DISFA's labels count as present, as papers do."""

_DISFA_FILE = re.compile(r".*au0*(\d{1,2})\.txt", re.I)
_MAX_SUMMARY = 2**24


@dataclass(frozen=True)
class LabelledClip:
    """One face through a video of T frames, and N action units that ours and the labels both know.

    Attributes:
        name: of the clip. label_source: the file of the labels.
        times: (T,) seconds, or NaN throughout where they are not known.
        valid: (T,) bool, whether the face was found.
        action_units: the N numbers.
        probabilities: (T, N); NaN where not known.
        decisions: (T, N) 0, 1, or -1 where not known.
        thresholds: (N,); NaN where not known.
        labels: (T, N) 0, 1, or -1 where not known.
    """

    name: str
    label_source: str
    times: np.ndarray
    valid: np.ndarray
    action_units: tuple[int, ...]
    probabilities: np.ndarray
    decisions: np.ndarray
    thresholds: np.ndarray
    labels: np.ndarray

    def only(self, action_units: Sequence[int]) -> "LabelledClip":
        """The same with these action units, in this order.

        Raises:
            UsageError: none, or one that the clip lacks.
        """
        missing = [unit for unit in action_units if unit not in self.action_units]
        if missing or not action_units:
            what = facs.label(missing[0]) if missing else "nothing"
            raise UsageError(f"{what} is asked for; clip and labels have {_names(self.action_units)}")
        columns = [self.action_units.index(unit) for unit in action_units]
        names = ("probabilities", "decisions", "labels")
        return replace(
            self,
            action_units=tuple(action_units),
            thresholds=self.thresholds[columns],
            **{name: getattr(self, name)[:, columns] for name in names},
        )


def labelled_clip(
    ours: Path,
    labels: Path,
    load_pipeline: Callable[[], AUD3DFacePipeline],
    face: int | None = None,
    label_face: int | None = None,
    first_frame: int = 1,
    progress: Progress | None = None,
) -> LabelledClip:
    """Reads, or reconstructs, one clip and its labels.

    Args:
        ours, labels: as the head of this file says.
        load_pipeline: called where `ours` is to be reconstructed.
        face: `face_id` in ours; None for the most prominent one (in a csv: the one in most frames).
        label_face: `face_id` in the labels; None for the one in most frames, or that of ours in a label file.
        first_frame: the number that the labels give to the first frame of ours.
        progress: called as work proceeds.

    Raises:
        InputError: a file cannot be read, the csv has no probabilities, or labels and clip share no action unit or no
            labelled frame.
        UsageError: there is no such face.
        NoFaceError: a video without a face.
    """
    inside = ours / "action_units.csv"
    csv = ours if ours.suffix.lower() == ".csv" else inside if inside.is_file() else None
    if csv is not None:
        table, thresholds = read_au_table(csv, face), _thresholds(csv.with_name("summary.json"))
        if not table.probabilities:
            raise InputError(f"{csv} has no probabilities such as AU12_p; give an action_units.csv of this program")
    else:
        check_labels(labels)
        sequence = reconstructed(load_pipeline(), ours, face, progress)
        table = table_of(sequence)
        thresholds = dict(zip(sequence.action_units, sequence.thresholds.astype(float).tolist(), strict=True))
    length = int(table.frames[-1])
    known = _labels(labels, tuple(table.probabilities), length, label_face, face or 0, first_frame)
    units = tuple(unit for unit in table.probabilities if unit in known)
    if not units:
        raise InputError(f"{labels} labels no action unit that {ours} has ({_names(table.probabilities)})")
    rows = table.frames - 1
    columns = [_spread(table.probabilities[unit], rows, length, np.nan) for unit in units]
    valid = _spread(table.valid, rows, length, False)
    probabilities = np.where(valid[:, None], np.stack(columns, 1), np.nan)
    if not ((probabilities >= 0) & (probabilities <= 1) | np.isnan(probabilities)).all():
        raise InputError(f"{ours} has probabilities beyond 0-1; give an action_units.csv of this program")
    marks = np.stack([known[unit] for unit in units], 1)
    if not ((marks >= 0) & ~np.isnan(probabilities)).any():
        raise InputError(f"{labels} labels none of the frames 1 to {length} in which {ours} shows a face")
    times = np.full(length, np.nan) if table.timestamps is None else _spread(table.timestamps, rows, length, np.nan)
    return LabelledClip(
        ours.name if csv is None or csv == ours else ours.resolve().name,
        str(labels),
        times,
        valid,
        units,
        probabilities,
        np.stack([_decided(table, unit, thresholds, rows, length, valid) for unit in units], 1),
        np.array([thresholds.get(unit, np.nan) for unit in units]),
        marks,
    )


def check_labels(path: Path) -> None:
    """Makes sure that labels are there, before a video is reconstructed.

    Raises:
        InputError: they are not.
    """
    if not path.exists():
        raise InputError(f"the labels {path} do not exist; check the name")


def _labels(
    path: Path, units: Sequence[int], length: int, label_face: int | None, face: int, first_frame: int
) -> dict[int, np.ndarray]:
    """By action unit (length,) 0, 1 or -1."""
    check_labels(path)
    if path.is_dir():
        files = {int(m[1]): file for file in sorted(path.iterdir()) if (m := _DISFA_FILE.fullmatch(file.name))}
        if not files:
            raise InputError(f"{path} holds no label files of DISFA, such as SN001_au12.txt")
        chosen = tuple(unit for unit in units if unit in files)
        if not chosen:
            raise InputError(f"{path} labels {_names(files)}, and none of {_names(units)}")
        found = read_labels(SequenceFiles(path.name, "", None, files), chosen, PRESENT_FROM)
        return _of_frames(found.frames, found.au_labels, chosen, length, first_frame)
    header = _header(path)
    if header[:1] == ["0"] and all(cell.isdigit() for cell in header):
        chosen = tuple(unit for unit in units if str(unit) in header[1:])
        if not chosen:
            raise InputError(f"{path} labels {_names(map(int, header[1:]))}, and none of {_names(units)}")
        return _of_frames(*read_occurrence(path, chosen), chosen, length, first_frame)
    if "success" in header:
        table = read_au_table(path, label_face)
        if not any(unit in table.presence for unit in units):
            raise InputError(f"{path} has the presence of {_names(table.presence)}, and none of {_names(units)}")
        chosen = tuple(unit for unit in units if unit in table.presence)
        values = np.stack([np.where(table.valid, table.presence[unit], np.nan) for unit in chosen], 1)
        marks = np.where(np.isnan(values), -1, values > 0.5)
        return _of_frames(table.frames, marks, chosen, length, first_frame)
    given = read_au_labels(path, units)
    whole = given.for_face(face if label_face is None else label_face, length + first_frame - 1)[first_frame - 1 :]
    return {unit: whole[:, k] for k, unit in enumerate(units) if (whole[:, k] >= 0).any()}


def _header(path: Path) -> list[str]:
    """Cells of the first line."""
    try:
        with open(path, encoding="utf-8-sig") as file:
            return [cell.strip() for cell in file.readline(100_000).strip().split(",")]
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise InputError(f"the labels {path} cannot be read ({reason})") from error


def _of_frames(
    frames: np.ndarray, marks: np.ndarray, units: Sequence[int], length: int, first_frame: int
) -> dict[int, np.ndarray]:
    """(M, N) marks of numbered frames as (length,) columns; -1 in frames that are not marked."""
    rows = frames - first_frame
    inside = (rows >= 0) & (rows < length)
    return {unit: _spread(marks[inside, k].astype(np.int64), rows[inside], length, -1) for k, unit in enumerate(units)}


def _decided(
    table: AUTable, unit: int, thresholds: dict[int, float], rows: np.ndarray, length: int, valid: np.ndarray
) -> np.ndarray:
    """(length,) 0, 1 or -1: as the table says, else from the threshold."""
    if unit in table.presence:
        values = table.presence[unit]
    else:
        threshold = thresholds.get(unit, np.nan)
        unknown = np.isnan(table.probabilities[unit]) | np.isnan(threshold)
        values = np.where(unknown, np.nan, table.probabilities[unit] >= threshold)
    values = _spread(values, rows, length, np.nan)
    return np.where(np.isnan(values) | ~valid, -1, values > 0.5).astype(np.int64)


def _spread(values: np.ndarray, rows: np.ndarray, length: int, missing: float) -> np.ndarray:
    """(length,): values in their rows, `missing` in all others."""
    result = np.full(length, missing)  # of the type of `missing`
    result[rows] = values
    return result


def _thresholds(summary: Path) -> dict[int, float]:
    """By action unit, of the summary.json beside a csv; none where there is no such file."""
    try:
        if summary.stat().st_size > _MAX_SUMMARY:
            return {}
        found = json.loads(summary.read_text(encoding="utf-8"))["thresholds"]
        return {facs.parse(name): float(value) for name, value in found.items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(f"{summary} is no summary of this program; restore it, or move the csv elsewhere") from error


def reconstructed(
    pipeline: AUD3DFacePipeline, video: Path, face: int | None = None, progress: Progress | None = None
) -> FaceSequence:
    """One person of a video: the most prominent, or the one with this `face_id`.

    Raises:
        UsageError: there is no such face.
        InputError, NoFaceError: as `AUD3DFacePipeline.reconstruct` says.
    """
    result = pipeline.reconstruct(video, faces="largest" if face is None else "all", progress=progress)
    chosen = [sequence for sequence in result.sequences if face is None or sequence.face_id == face]
    if not chosen:
        faces = ", ".join(str(number) for number in sorted(sequence.face_id for sequence in result.sequences))
        raise UsageError(f"{video} has no face {face}; its faces are: {faces}")
    return chosen[0]


def _names(units) -> str:
    return ", ".join(facs.label(unit) for unit in units) or "nothing"
