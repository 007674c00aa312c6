"""Reading BP4D and DISFA as people have them on disk: folders found by what is in them, label files line by line.

`bp4d_files.find_bp4d` and `disfa_files.find_disfa` say which file belongs to which sequence (a `Layout`); what is read
from such files is here. A damaged line is an error that names the file, the line and what to do.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..errors import InputError
from ..facs import label
from ..video.pictures import PICTURE_SUFFIXES

UNKNOWN = -1
_SUBJECTS = {"bp4d": re.compile(r"([FM])0*(\d{1,3})", re.I), "disfa": re.compile(r"(SN)0*(\d{1,3})", re.I)}
_OCCURRENCE = {"0": 0, "1": 1, "9": UNKNOWN}
_INTENSITY = {str(level): level for level in range(6)} | {"9": UNKNOWN}


@dataclass(frozen=True)
class SequenceFiles:
    """The files of one sequence.

    Attributes:
        subject: `F001`, `SN001`.
        task: `T1`; empty for DISFA, which has one video a person.
        occurrence: csv of all action units (BP4D); None where presence follows from intensity (DISFA).
        intensities: a file of intensities for each action unit that has one.
        pictures: a folder of pictures, one a frame, named after the frame; None where there is none.
        first_picture: the number of the picture of frame 1; None where frames are named by their own numbers.
        video: None where there is none; its first frame is frame 1.
    """

    subject: str
    task: str
    occurrence: Path | None = None
    intensities: Mapping[int, Path] = field(default_factory=dict)
    pictures: Path | None = None
    first_picture: int | None = None
    video: Path | None = None

    @property
    def name(self) -> str:
        """`F001_T1`, `SN001`."""
        return f"{self.subject}_{self.task}" if self.task else self.subject

    @property
    def is_labelled(self) -> bool:
        """Whether there is any label file."""
        return self.occurrence is not None or (not self.task and bool(self.intensities))


@dataclass
class Layout:
    """What was found in a folder.

    Attributes:
        benchmark: of `folds.PARTS`.
        root: the folder.
        sequences: by name, in order of subject and task; those of which only pictures were found too.
        variant: which of the known layouts it is, sentences for people.
    """

    benchmark: str
    root: Path
    sequences: dict[str, SequenceFiles]
    variant: list[str]

    def digest(self) -> str:
        """Changes whenever a label file, a folder of pictures or a video does; nothing is read for it.

        Raises:
            InputError: a file is a link to nothing, or has gone since.
        """
        digest = hashlib.sha256()
        for files in self.sequences.values():
            paths = [files.occurrence, *files.intensities.values(), files.pictures, files.video]
            for path in paths:
                if path is not None:
                    try:
                        status = path.stat()
                    except OSError as error:
                        raise InputError(f"{path} cannot be read ({error.strerror}); copy it again") from error
                    size = 0 if path.is_dir() else status.st_size
                    digest.update(f"{path}\0{size}\0{status.st_mtime_ns}\n".encode())
        return digest.hexdigest()[:16]


@dataclass
class Labels:
    """The labels of one sequence, T labelled frames.

    Attributes:
        frames: (T,) int64 frame numbers, increasing.
        au_labels: (T, N) int8, 0, 1 or -1 where unknown.
        au_intensity: (T, N) float32, 0-5 or -1 where unknown.
    """

    frames: np.ndarray
    au_labels: np.ndarray
    au_intensity: np.ndarray


def subject_name(benchmark: str, text: str) -> str | None:
    """`F001` for `f1`, `SN002` for `sn2`; None where the text is no subject's name."""
    match = _SUBJECTS[benchmark].fullmatch(text.strip())
    return None if match is None else f"{match[1].upper()}{int(match[2]):03d}"


def plain(name: str) -> str:
    """A name without case, spaces and punctuation: `auintensitycodes30` for `AU Intensity Codes3.0`."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def folders_below(root: Path, depth: int = 2) -> Iterator[Path]:
    """The folder itself and those below it, the nearest first.

    Raises:
        InputError: the folder is missing or cannot be read.
    """
    if not root.is_dir():
        raise InputError(f"{root} is not a folder; give the folder that the benchmark was unpacked into")
    level = [root]
    for remaining in range(depth, -1, -1):
        yield from level
        if remaining:
            level = [below for folder in level for below in entries(folder) if below.is_dir()]


def entries(folder: Path) -> list[Path]:
    """What lies in a folder, in order of names, without hidden files."""
    try:
        return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError as error:
        raise InputError(f"the folder {folder} cannot be read ({error.strerror})") from error


def only(found: dict, key: object, path: Path) -> None:
    """Notes a file, once.

    Raises:
        InputError: another file has been noted for the same thing.
    """
    if key in found:
        raise InputError(f"{found[key]} and {path} are about the same sequence; remove the one that is wrong")
    found[key] = path


def picture_numbers(folder: Path) -> dict[int, str]:
    """The names of a folder's pictures by the numbers in them, in order: `2440.jpg` and `0001.jpg` alike.

    Raises:
        InputError: a picture without a number, or two with one number.
    """
    found: dict[int, str] = {}
    for path in entries(folder):
        if path.suffix.lower() not in PICTURE_SUFFIXES:
            continue
        number = picture_number(folder, path.name)
        if number in found:
            raise InputError(f"{found[number]} and {path.name} in {folder} have one frame number; remove one of them")
        found[number] = path.name
    return dict(sorted(found.items()))


def picture_number(folder: Path, name: str) -> int:
    """The number at the end of a picture's name; `folder` is for the error.

    Raises:
        InputError: there is none.
    """
    match = re.search(r"(\d{1,9})$", name.rpartition(".")[0])
    if match is None:
        raise InputError(f"{name} in {folder} has no frame number in its name; remove it, or name it after its frame")
    return int(match[1])


def picture_frames(files: SequenceFiles) -> dict[int, str]:
    """The names of a sequence's pictures by frame number; empty where it has none."""
    if files.pictures is None:
        return {}
    shift = 0 if files.first_picture is None else 1 - files.first_picture
    return {number + shift: name for number, name in picture_numbers(files.pictures).items()}


def read_labels(files: SequenceFiles, action_units: Sequence[int], present_from: int = 2) -> Labels:
    """The labels of a sequence; action units that its files do not have are unknown.

    Args:
        files: of the sequence.
        action_units: N numbers, the columns wanted.
        present_from: the intensity from which on an action unit counts as present where only intensities are labelled.

    Raises:
        InputError: a file is missing or damaged, or labels no frame.
    """
    columns = {
        number: read_intensity(files.intensities[number]) for number in action_units if number in files.intensities
    }
    if files.occurrence is not None:
        frames, au_labels = read_occurrence(files.occurrence, action_units)
    elif columns:
        frames, au_labels = np.unique(np.concatenate([frames for frames, _ in columns.values()])), None
    else:
        raise InputError(f"{files.name} has no labels of {', '.join(map(label, action_units))}; choose other ones")
    au_intensity = np.full((len(frames), len(action_units)), UNKNOWN, np.float32)
    for column, number in enumerate(action_units):
        if number in columns:
            numbers, values = columns[number]
            at = np.searchsorted(frames, numbers).clip(max=len(frames) - 1)
            same = frames[at] == numbers
            au_intensity[at[same], column] = values[same]
    if au_labels is None:
        au_labels = np.where(au_intensity < 0, UNKNOWN, au_intensity >= present_from).astype(np.int8)
    return Labels(frames, au_labels, au_intensity)


def read_occurrence(path: Path, action_units: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Reads a csv of BP4D: the first line holds 0 and the numbers of the action units, then one line a frame.

    Returns:
        (T,) frame numbers, increasing, and (T, N) int8 labels, -1 for code 9 and for columns that are not there.

    Raises:
        InputError: the file is missing or damaged; the sentence names the line.
    """
    lines = _cells(path)
    line, header = next(lines, (1, []))
    try:
        numbers = [int(cell) for cell in header]
    except ValueError:
        numbers = []
    if len(numbers) < 2 or numbers[0] != 0 or len(set(numbers)) < len(numbers) or min(numbers) < 0:
        raise InputError(
            f"line {line} of {path} must hold 0 and then the numbers of the action units, once each; "
            "copy the label file again"
        )
    columns = [(place, numbers.index(number)) for place, number in enumerate(action_units) if number in numbers[1:]]
    frames, rows = [], []
    for line, cells in lines:
        if len(cells) != len(header):
            raise InputError(
                f"line {line} of {path} has {len(cells)} cells where the first line has {len(header)}; the file may be "
                "cut off: copy it again"
            )
        row = [UNKNOWN] * len(action_units)
        for place, column in columns:
            row[place] = _code(_OCCURRENCE, cells[column], path, line, "0, 1 or 9")
        frames.append(_frame_number(cells[0], path, line))
        rows.append(row)
    order = _order(frames, path)
    return np.array(frames, np.int64)[order], np.array(rows, np.int8)[order]


def read_intensity(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Reads a file of one action unit's intensities, a frame number and 0-5 (or 9 for unknown) in every line.

    Returns:
        (T,) frame numbers, increasing, and (T,) float32, -1 where unknown.

    Raises:
        InputError: the file is missing or damaged; the sentence names the line.
    """
    frames, values = [], []
    for line, cells in _cells(path):
        if len(cells) != 2:
            raise InputError(
                f"line {line} of {path} must hold a frame number and an intensity, separated by a comma; the file may "
                "be cut off: copy it again"
            )
        frames.append(_frame_number(cells[0], path, line))
        values.append(_code(_INTENSITY, cells[1], path, line, "0 to 5, or 9"))
    order = _order(frames, path)
    return np.array(frames, np.int64)[order], np.array(values, np.float32)[order]


def _cells(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Number and cells of every line that is not empty."""
    try:
        with open(path, encoding="utf-8-sig") as file:
            for line, text in enumerate(file, 1):
                if text.strip():
                    yield line, text.strip().split(",")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise InputError(f"the label file {path} cannot be read ({reason}); copy it again") from error


def _frame_number(text: str, path: Path, line: int) -> int:
    try:
        value = float(text)
        number = int(value)
    except (ValueError, OverflowError):
        value, number = 0.5, 0
    if value != number or not 1 <= number < 2**31:
        raise InputError(f"line {line} of {path} has {text.strip()!r} for a frame number; copy the label file again")
    return number


def _code(codes: Mapping[str, int], text: str, path: Path, line: int, allowed: str) -> int:
    code = codes.get(text)
    if code is None:  # "1.0" and " 1" say the same
        code = codes.get(re.sub(r"\.0*$", "", text.strip()))
    if code is None:
        raise InputError(
            f"line {line} of {path} has the label {text.strip()!r}, which is not {allowed}; copy the label file again"
        )
    return code


def _order(frames: list[int], path: Path) -> np.ndarray:
    if not frames:
        raise InputError(f"{path} labels no frame; copy the label file again")
    numbers = np.array(frames)
    order = np.argsort(numbers, kind="stable")
    twice = np.flatnonzero(np.diff(numbers[order]) == 0)
    if len(twice):
        raise InputError(f"{path} labels frame {numbers[order][twice[0]]} twice; copy the label file again")
    return order
