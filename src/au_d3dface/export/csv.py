"""action_units.csv: one row a frame and face, with the column names that OpenFace users know."""

from collections.abc import Sequence
from os import PathLike
from pathlib import Path

import numpy as np
import pandas as pd

from .. import facs
from ..face_sequence import HEAD_COLUMNS, FaceSequence
from .files import atomic_path

DECIMALS = 6


def action_unit_table(
    sequences: Sequence[FaceSequence],
    timestamps: np.ndarray,
    action_units: Sequence[int],
    intensities: bool = False,
) -> pd.DataFrame:
    """Every frame of every face, ordered by frame, then face; columns as `FaceSequence.to_pandas` says.

    Without a face every frame has one row with `face_id` 0 and `success` and `confidence` 0, as OpenFace writes it;
    all else is a missing value.

    Args:
        sequences: the people of one video.
        timestamps: (T,) seconds, used where there is no face.
        action_units: the columns' numbers, used where there is no face.
        intensities: whether the table without a face has columns `AU01_r`.
    """
    if sequences:
        table = pd.concat([sequence.to_pandas() for sequence in sequences], ignore_index=True)
        return table.sort_values(["frame", "face_id"], kind="stable", ignore_index=True)
    frames = len(timestamps)
    known = {
        "frame": np.arange(1, frames + 1),
        "face_id": np.zeros(frames, np.int64),
        "timestamp": np.asarray(timestamps, np.float64),
        "confidence": np.zeros(frames),
        "success": np.zeros(frames, np.int64),
    }
    units = [facs.label(number) + kind for kind in ("_p", "_c") for number in action_units]
    if intensities:
        units += [facs.label(number) + "_r" for number in action_units]
    return pd.DataFrame(known).reindex(columns=[*HEAD_COLUMNS, *units])


def write_csv(
    path: str | PathLike[str],
    sequences: Sequence[FaceSequence],
    timestamps: np.ndarray,
    action_units: Sequence[int],
    intensities: bool = False,
) -> Path:
    """Writes `action_unit_table` with six decimals; missing values are empty cells.

    Raises:
        OutputError: the file cannot be written.
    """
    table = action_unit_table(sequences, timestamps, action_units, intensities)
    numbers = table.select_dtypes("float").columns
    table[numbers] = table[numbers].round(DECIMALS)
    with atomic_path(path) as temporary:
        table.to_csv(temporary, index=False, lineterminator="\n")
    return Path(path)
