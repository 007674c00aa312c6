"""Action units of one face frame by frame, whoever found them: read from a csv, or taken from a `FaceSequence`.

`read_au_table` reads what OpenFace writes, our action_units.csv, which has the same names, and what py-feat writes.
"""

import re
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import numpy as np
import pandas as pd

from ..errors import InputError, UsageError
from ..face_sequence import FaceSequence

_AU_COLUMN = re.compile(r"AU(\d{1,3})_([rcp])")
_PYFEAT_COLUMN = re.compile(r"AU(\d{1,3})")
_PYFEAT_FACE = re.compile(r"(?:Person_)?(\d+)(?:\.0+)?")
_LAST_FRAME = 1e9


@dataclass(frozen=True)
class AUTable:
    """One face through a video.

    Attributes:
        frames: (T,) int64 numbers of the frames, from 1, increasing; frames may be missing.
        valid: (T,) bool, whether the face was found in the frame.
        intensities: by AU number, (T,) float64 0-5; NaN where not known.
        presence: by AU number, (T,) 0 or 1; NaN where not known.
        probabilities: by AU number, (T,) 0-1; NaN where not known.
        timestamps: (T,) float64 seconds, NaN where not known; None where the table has none.
        tool: whose format it was in: "OpenFace" (ours too) or "py-feat".
    """

    frames: np.ndarray
    valid: np.ndarray
    intensities: dict[int, np.ndarray]
    presence: dict[int, np.ndarray]
    probabilities: dict[int, np.ndarray]
    timestamps: np.ndarray | None = None
    tool: str = "OpenFace"


def table_of(sequence: FaceSequence) -> AUTable:
    """The action units of a sequence."""

    def by_unit(values: np.ndarray) -> dict[int, np.ndarray]:
        return dict(zip(sequence.action_units, values.T.astype(np.float64), strict=True))

    return AUTable(
        frames=np.arange(1, len(sequence) + 1),
        valid=sequence.valid,
        intensities={} if sequence.au_intensities is None else by_unit(sequence.au_intensities),
        presence=by_unit(sequence.au_decisions),
        probabilities=by_unit(sequence.au_probabilities),
        timestamps=sequence.timestamps,
    )


def read_au_table(path: str | PathLike[str], face: int | None = None) -> AUTable:
    """Reads a csv of OpenFace or of py-feat, or an action_units.csv of this package.

    It has one row a frame (and face). Blanks around names are ignored, and so are all other columns:

    - OpenFace and ours: `frame` (from 1) and `success`, `AU12_r` (intensity), `AU12_c` (presence) and `AU12_p`
      (probability) for any AUs, and perhaps `face_id` and `timestamp`.
    - py-feat: `frame` (from 0), `FaceScore` (nothing or 0 without a face), `AU12` (0-1, a probability: present from
      0.5), and perhaps `Identity` (`Person_0`). It has no intensities, and AU43 where others have AU45.

    Args:
        path: the csv file.
        face: the `face_id`, or number of the `Identity`, wanted; None for the one that is found in most frames, the
            lowest of equals.

    Raises:
        InputError: the file is missing, or not such a csv.
        UsageError: there is no such face.
    """
    path = Path(path)
    cells, tool = _cells(path), "OpenFace"
    if "FaceScore" in cells and "success" not in cells:
        cells, tool = _from_pyfeat(path, cells), "py-feat"
    if missing := [name for name in ("frame", "success") if name not in cells]:
        raise InputError(
            f"{path} has no column {missing[0]!r}; give a csv of OpenFace or py-feat, or an action_units.csv"
        )
    columns = {name: match for name in cells if (match := _AU_COLUMN.fullmatch(name))}
    if not columns:
        raise InputError(f"{path} has no columns of action units, such as AU12_r or AU12_c")
    if cells.empty:
        raise InputError(f"{path} has columns of action units but no row")
    table = pd.DataFrame({name: _numbers(path, name, cells[name]) for name in cells})
    frames = table["frame"]
    wrong = ~((frames >= 1) & (frames <= _LAST_FRAME) & (frames == np.floor(frames)))
    if wrong.any():
        line = int(np.argmax(wrong)) + 2
        raise InputError(f"line {line} of {path} has no frame number; frames are whole numbers from 1")
    table = _rows_of_face(path, table, face).sort_values("frame", kind="stable")
    twice = table["frame"].duplicated()
    if twice.any():
        raise InputError(f"{path} has several rows for frame {int(table['frame'][twice].iloc[0])} of one face")
    kinds: dict[str, dict[int, np.ndarray]] = {"r": {}, "c": {}, "p": {}}
    for name, match in columns.items():
        kinds[match[2]][int(match[1])] = table[name].to_numpy()
    return AUTable(
        frames=table["frame"].to_numpy().astype(np.int64),
        valid=table["success"].to_numpy() > 0,
        intensities=kinds["r"],
        presence=kinds["c"],
        probabilities=kinds["p"],
        timestamps=table["timestamp"].to_numpy() if "timestamp" in table else None,
        tool=tool,
    )


def _cells(path: Path) -> pd.DataFrame:
    """The columns that are read, as text, their names without blanks."""

    named = {"frame", "face_id", "success", "timestamp", "FaceScore", "Identity"}

    def wanted(name: str) -> bool:
        name = name.strip()
        return name in named or bool(_AU_COLUMN.fullmatch(name) or _PYFEAT_COLUMN.fullmatch(name))

    try:
        cells = pd.read_csv(
            path, usecols=wanted, dtype=str, keep_default_na=False, index_col=False, encoding="utf-8-sig"
        )
    except FileNotFoundError as error:
        raise InputError(f"{path} does not exist; check the name of the csv file") from error
    except pd.errors.EmptyDataError as error:
        raise InputError(f"{path} is empty; it may not have been copied to its end") from error
    except (OSError, ValueError) as error:  # pandas' ParserError and UnicodeDecodeError are ValueErrors
        reason = " ".join(str(error).split())
        raise InputError(f"{path} cannot be read as a csv file: {reason}") from error
    cells.columns = cells.columns.str.strip()
    if cells.columns.has_duplicates:
        raise InputError(f"{path} has two columns {cells.columns[cells.columns.duplicated()][0]!r}")
    return cells


def _from_pyfeat(path: Path, cells: pd.DataFrame) -> pd.DataFrame:
    """The cells of py-feat as OpenFace would name and count them."""
    if "frame" not in cells:
        raise InputError(f"{path}, of py-feat, has no column 'frame'; give the csv as py-feat wrote it")
    units = {name: int(match[1]) for name in cells if (match := _PYFEAT_COLUMN.fullmatch(name))}
    numbers = {name: _numbers(path, name, cells[name]) for name in ("frame", "FaceScore", *units)}
    known = np.isfinite([numbers[name] for name in units]).any(0) if units else False
    table = {"frame": numbers["frame"] + 1, "success": ((numbers["FaceScore"] > 0) & known).astype(np.int64)}
    for name, unit in units.items():
        if (wrong := (numbers[name] < 0) | (numbers[name] > 1)).any():
            line = int(np.argmax(wrong)) + 2
            raise InputError(
                f"line {line} of {path} has {numbers[name][wrong][0]:g} as {name}; py-feat's are from 0 to 1"
            )
        present = np.where(np.isnan(numbers[name]), np.nan, numbers[name] >= 0.5)
        table |= {f"AU{unit:02d}_p": numbers[name], f"AU{unit:02d}_c": present}
    faces = [_PYFEAT_FACE.fullmatch(text.strip()) for text in cells.get("Identity", [])]
    if any(faces):  # py-feat leaves it empty where it did not compare the faces
        table["face_id"] = [int(face[1]) if face else np.nan for face in faces]
    return pd.DataFrame(table).astype(str)


def _numbers(path: Path, name: str, cells: pd.Series) -> np.ndarray:
    """(T,) float64; NaN for an empty cell and for what programs write for "not a number"."""
    text = cells.fillna("").str.strip()
    unknown = (text == "") | text.str.contains("nan", case=False)
    numbers = pd.to_numeric(text.where(~unknown), errors="coerce").to_numpy(np.float64)
    wrong = ~unknown.to_numpy() & ~np.isfinite(numbers)
    if wrong.any():
        line = int(np.argmax(wrong))
        raise InputError(f"line {line + 2} of {path} has {text.iloc[line]!r} as {name}, which is not a number")
    return numbers


def _rows_of_face(path: Path, table: pd.DataFrame, face: int | None) -> pd.DataFrame:
    if "face_id" not in table:
        if face is not None:
            raise UsageError(f"{path} has no column face_id, so there is no face {face} to choose; leave the face out")
        return table
    found = (table["success"] > 0).groupby(table["face_id"]).sum()  # frames by face, faces in order
    if face is None and not found.empty:
        face = found.idxmax()
    if face not in found.index:
        faces = ", ".join(f"{number:g}" for number in found.index) or "none"
        raise UsageError(f"{path} has no face {face}; its faces are: {faces}")
    return table[table["face_id"] == face]
