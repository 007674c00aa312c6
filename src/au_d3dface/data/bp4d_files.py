"""Where BP4D's files lie: label csvs, intensities and pictures, in the layouts that copies of it have.

AUCoding/AU_OCC/F001_T1.csv                      or straight in AUCoding/
AU Intensity Codes3.0/AU06/F001_T1*.csv          or AU_INT/AU06/
F001/T1/2440.jpg                                 padded to four digits or not, here or one or two folders down
"""

import re
from pathlib import Path

from ..errors import InputError
from .benchmark_files import Layout, SequenceFiles, entries, folders_below, only, picture_numbers, plain, subject_name

NAME = "bp4d"
TASKS = tuple(f"T{number}" for number in range(1, 9))
FRAME_RATE = 25.0
"""Frames a second, as commonly reported: pictures carry no times."""

_SEQUENCE = re.compile(r"([FM]0*\d{1,3})_T0*(\d+)", re.I)
_UNIT_FOLDER = re.compile(r"AU0*(\d+)", re.I)


def find_bp4d(root: str | Path) -> Layout:
    """What of BP4D lies in a folder.

    Raises:
        InputError: no label csv is found, the folder is none, or two files are about one sequence.
    """
    root = Path(root).expanduser().absolute()
    folders = list(folders_below(root))
    labels, occurrence = _occurrence(folders)
    if labels is None:
        raise InputError(
            f"{root} holds no label files of BP4D (AUCoding/AU_OCC/F001_T1.csv); give the folder that AUCoding lies in"
        )
    codes, intensities = _intensities(folders)
    pictures = _pictures(folders)
    sequences = {}
    for subject, number in sorted({*occurrence, *pictures}):
        key = subject, number
        files = SequenceFiles(subject, f"T{number}", occurrence.get(key), intensities.get(key, {}), pictures.get(key))
        sequences[files.name] = files
    variant = [f"labels in {labels.relative_to(root)}/" if labels != root else "labels in the folder itself"]
    variant.append(f"intensities in {codes.relative_to(root)}/" if codes else "no intensities")
    variant.append(_pictures_variant(root, list(pictures.values())))
    return Layout(NAME, root, sequences, variant)


def sequence_of(path: Path) -> tuple[str, str] | None:
    """Subject and task of what `au-d3dface prepare` wrote for a folder `F001/T1`; None where it is something else."""
    key = _key(f"{path.parent.name}_{path.stem}")
    return None if key is None else (key[0], f"T{key[1]}")


def _key(text: str) -> tuple[str, int] | None:
    match = _SEQUENCE.fullmatch(text)
    subject = subject_name(NAME, match[1]) if match else None
    return (subject, int(match[2])) if match and subject else None


def _occurrence(folders: list[Path]) -> tuple[Path | None, dict[tuple[str, int], Path]]:
    """The folder of the label csvs and what is in it; `AU_OCC` where several would do."""
    best: tuple[Path | None, dict[tuple[str, int], Path]] = (None, {})
    for folder in folders:
        if _UNIT_FOLDER.fullmatch(folder.name):  # intensities have the same names
            continue
        found: dict[tuple[str, int], Path] = {}
        for path in entries(folder):
            key = _key(path.stem) if path.suffix.lower() == ".csv" else None
            if key is not None:
                only(found, key, path)
        if found and (best[0] is None or plain(folder.name) == "auocc"):
            best = folder, found
    return best


def _intensities(folders: list[Path]) -> tuple[Path | None, dict[tuple[str, int], dict[int, Path]]]:
    for folder in folders:
        if plain(folder.name) != "auint" and not plain(folder.name).startswith("auintensitycodes"):
            continue
        found: dict[tuple[str, int], dict[int, Path]] = {}
        for unit in entries(folder):
            match = _UNIT_FOLDER.fullmatch(unit.name)
            if match is None or not unit.is_dir():
                continue
            for path in entries(unit):
                named = _SEQUENCE.match(path.stem) if path.suffix.lower() == ".csv" else None
                key = _key(named[0]) if named else None
                if key is not None:
                    only(found.setdefault(key, {}), int(match[1]), path)
        if found:
            return folder, found
    return None, {}


def _pictures(folders: list[Path]) -> dict[tuple[str, int], Path]:
    found: dict[tuple[str, int], Path] = {}
    for folder in folders:
        if subject_name(NAME, folder.name) is None:
            continue
        for task in entries(folder):
            key = _key(f"{folder.name}_{task.name}")
            if key is not None and task.is_dir():
                only(found, key, task)
    return found


def _pictures_variant(root: Path, folders: list[Path]) -> str:
    for folder in folders:
        names = list(picture_numbers(folder).values())
        if names:
            stems = [Path(name).stem for name in names]
            digits = len(stems[0]) if len(set(map(len, stems))) == 1 else None
            kind = f"of {digits} digits" if digits else "not padded"
            return f"pictures such as {folder.relative_to(root) / names[0]}, their numbers {kind}"
    return "no pictures"
