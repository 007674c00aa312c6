"""Reading action unit labels that a user has (coded data, what-if) for `--au-labels`.

The file is a csv with one row a frame: a column `frame` (from 1, as in action_units.csv) and one column per action
unit, named `AU12`, `AU12_c` or `12`, holding 0, 1, or nothing or -1 where unknown. An optional column `face_id` says
whom a row is about; without it, rows are about every face. Other columns are ignored, so an action_units.csv written
by this package, or by OpenFace, can be corrected by hand and given back.
"""

import csv
from collections.abc import Sequence
from os import PathLike
from pathlib import Path

import numpy as np

from .errors import InputError, UsageError
from .facs import label, parse


class AULabels:
    """Known labels by face and frame.

    Attributes:
        action_units: the columns, in the model's order.
        num_known: how many labels the file gives.
    """

    def __init__(self, action_units: Sequence[int], rows: list[tuple[int | None, int, np.ndarray]]):
        self.action_units = tuple(action_units)
        self._rows = rows
        self.num_known = int(sum((values >= 0).sum() for _, _, values in rows))

    def for_face(self, face_id: int, num_frames: int) -> np.ndarray:
        """(T, N) int64 labels of one person: 0, 1, or -1 where the file says nothing.

        Raises:
            UsageError: the file speaks of frames that the video does not have.
        """
        labels = np.full((num_frames, len(self.action_units)), -1, np.int64)
        for face, frame, values in self._rows:
            if face is not None and face != face_id:
                continue
            if not 1 <= frame <= num_frames:
                raise UsageError(
                    f"the AU labels speak of frame {frame}, but the video's frames run from 1 to {num_frames}"
                )
            labels[frame - 1] = np.where(values >= 0, values, labels[frame - 1])
        return labels


def read_au_labels(path: str | PathLike[str], action_units: Sequence[int]) -> AULabels:
    """Reads a label file.

    Args:
        path: the csv file.
        action_units: those of the model; columns of other AUs are ignored, but at least one must be the model's.

    Raises:
        InputError: the file is missing or not such a csv; the sentence names the line.
    """
    path = Path(path)
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            return _read(path, csv.DictReader(file, skipinitialspace=True), tuple(action_units))
    except FileNotFoundError as error:
        raise InputError(f"the AU label file {path} does not exist") from error
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"the AU label file {path} cannot be read as a csv file: {error}") from error


def _read(path: Path, reader: csv.DictReader, action_units: tuple[int, ...]) -> AULabels:
    columns: dict[int, str] = {}
    for name in reader.fieldnames or ():
        stem = (name or "").strip().removesuffix("_c")
        if "_" in stem or not stem:
            continue  # AU12_r and AU12_p are not labels
        try:
            columns[parse(stem)] = name
        except ValueError:
            continue  # frame, confidence, success, ...
    known = [number for number in action_units if number in columns]
    if "frame" not in (reader.fieldnames or ()) or not known:
        wanted = ", ".join(label(number) for number in action_units)
        raise InputError(f"the AU label file {path} needs a column 'frame' and at least one of {wanted}")
    rows = []
    for row in reader:
        values = np.full(len(action_units), -1, np.int64)
        try:
            frame = int(float(row["frame"]))
            face = int(float(row["face_id"])) if row.get("face_id") else None
            for number in known:
                text = (row[columns[number]] or "").strip()
                value = float(text) if text else -1.0
                if value not in (-1.0, 0.0, 1.0):
                    raise ValueError(f"{label(number)} is {text}, not 0, 1 or -1")
                values[action_units.index(number)] = int(value)
        except (ValueError, TypeError) as error:
            raise InputError(
                f"line {reader.line_num} of the AU label file {path} is not a label row: {error}"
            ) from error
        rows.append((face, frame, values))
    return AULabels(action_units, rows)
