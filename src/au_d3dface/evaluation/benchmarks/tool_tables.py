"""Another tool's csv files of a benchmark's sequences, as OpenFace or py-feat writes them, beside the labels."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...data import bp4d_files, disfa_files
from ...data.benchmark_files import SequenceFiles, only, picture_frames
from ...data.benchmark_rows import LabelledSequence
from ...errors import InputError
from ..au_tables import AUTable, read_au_table
from ..decoding import Columns

PRESENT_FROM = 1.0
"""Intensity from which an action unit counts as present where a csv says nothing of presence (`_c`, `_p`)."""


@dataclass(frozen=True)
class Said:
    """What a csv says of the T labelled frames of a sequence.

    Attributes:
        columns: `decisions`, `probabilities` (or what else rises with them) and, where the csv has intensities of all
            known action units, `estimates`; (T, N), 0 where no face was found.
        known: positions among the N action units that the csv has.
        seen: (T,) bool, frames in which the face was found.
    """

    columns: Columns
    known: set[int]
    seen: np.ndarray


def table_files(folder: Path, benchmark: str, camera: str = "left") -> dict[str, Path]:
    """The csv files below a folder by sequence: `F001_T1.csv` or `F001/T1.csv`; `SN001.csv` or the video's own name.

    Raises:
        InputError: there is none, or two are about one sequence.
    """
    found: dict[str, Path] = {}
    for path in sorted(folder.expanduser().rglob("*.csv")):
        if benchmark == "bp4d":
            alone = Path(path.stem.replace("_", "/", 1)) if "_" in path.stem else path.relative_to(folder.expanduser())
            key = bp4d_files.sequence_of(alone)
        else:
            key = disfa_files.sequence_of(path, camera)
        if key is not None:
            only(found, SequenceFiles(*key).name, path)
    if not found:
        example = "F001_T1.csv" if benchmark == "bp4d" else "SN001.csv"
        raise InputError(f"{folder} holds no csv file of a sequence of {benchmark.upper()}, such as {example}")
    return found


def said_of_frames(path: Path, sequence: LabelledSequence, action_units: Sequence[int]) -> Said:
    """What a csv says of the labelled frames.

    Its frames count from 1 (py-feat's from 0) through what the tool read: the pictures of the sequence in order of
    their numbers where the copy has pictures, else the frames of the video, whose labels count from 1 too.

    Raises:
        InputError: the csv cannot be read, goes on beyond the pictures, or has none of the labelled frames.
    """
    table = read_au_table(path)
    numbers = table.frames
    pictures = sorted(picture_frames(sequence.files))
    if pictures:
        if numbers[-1] > len(pictures):
            raise InputError(
                f"{path} has a frame {numbers[-1]}, but {sequence.files.name} has {len(pictures)} pictures; it must "
                "count what the tool read from 1"
            )
        numbers = np.array(pictures)[numbers - 1]
    frames = sequence.labels.frames
    at = np.searchsorted(numbers, frames).clip(max=len(numbers) - 1)
    there = numbers[at] == frames
    if not there.any():
        raise InputError(
            f"{path} has none of the labelled frames of {sequence.files.name} ({frames[0]} to {frames[-1]})"
        )
    seen = there & table.valid[at]
    return Said(*_columns(table, at, seen, action_units), seen)


def _columns(table: AUTable, at: np.ndarray, seen: np.ndarray, action_units: Sequence[int]) -> tuple[Columns, set[int]]:
    known = {
        k
        for k, unit in enumerate(action_units)
        if unit in table.presence or unit in table.probabilities or unit in table.intensities
    }
    shape = len(at), len(action_units)
    columns: Columns = {"decisions": np.zeros(shape), "probabilities": np.zeros(shape)}
    with_intensity = all(action_units[k] in table.intensities for k in known)
    if with_intensity:
        columns["estimates"] = np.zeros(shape)

    def values(source: dict[int, np.ndarray], unit: int) -> np.ndarray:
        return np.where(seen, np.nan_to_num(source[unit][at]), 0.0)

    for k in known:
        unit = action_units[k]
        if unit in table.presence:
            columns["decisions"][:, k] = values(table.presence, unit) > 0.5
        elif unit in table.probabilities:
            columns["decisions"][:, k] = values(table.probabilities, unit) >= 0.5
        else:
            columns["decisions"][:, k] = values(table.intensities, unit) >= PRESENT_FROM
        # What rises with the chance that it is present: the finest that there is.
        for source in (table.probabilities, table.intensities, table.presence):
            if unit in source:
                columns["probabilities"][:, k] = values(source, unit)
                break
        if with_intensity:
            columns["estimates"][:, k] = values(table.intensities, unit)
    return columns, known
