"""Who is trained on and who is tested: the three subject-exclusive parts of BP4D and DISFA, or parts of your own.

A fold is named after the part that it tests ("P3"), never by a number: projects number the same three folds
differently, so that a bare "fold 1" is P1 in one paper and P3 in the next. Training takes the other parts.
"""

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ..errors import InputError, UsageError
from .benchmark_files import subject_name


def _people(text: str) -> tuple[str, ...]:
    return tuple(text.split())


PARTS: dict[str, dict[str, tuple[str, ...]]] = {
    "bp4d": {
        "P1": _people("F001 M007 F018 F008 F002 M004 F010 F009 M012 M001 F016 M014 F023 M008"),
        "P2": _people("M011 F003 M010 M002 F005 F022 M018 M017 F013 M016 F020 F011 M013 M005"),
        "P3": _people("F007 F015 F006 F019 M006 M009 F012 M003 F004 F021 F017 M015 F014"),
    },
    "disfa": {
        "P1": _people("SN002 SN010 SN001 SN026 SN027 SN032 SN030 SN009 SN016"),
        "P2": _people("SN013 SN018 SN011 SN028 SN012 SN006 SN031 SN021 SN024"),
        "P3": _people("SN003 SN029 SN023 SN025 SN008 SN005 SN007 SN017 SN004"),
    },
}
"""The parts that most papers share, by benchmark."""

LABELLED_FRAMES: dict[str, dict[str, int]] = {
    "bp4d": {"P1": 50_631, "P2": 50_182, "P3": 46_034},
    "disfa": {"P1": 43_604, "P2": 43_605, "P3": 43_605},
}
"""The published number of labelled frames of every part: 146,847 and 130,814 in all."""

ALL = "all"
"""In place of a part: everyone is tested and nobody trained on, for models that were trained elsewhere."""


@dataclass(frozen=True)
class Fold:
    """One way to divide the people.

    Attributes:
        tested: the name of the part that is tested.
        parts: every part by name, the subjects in order.
    """

    tested: str
    parts: Mapping[str, tuple[str, ...]]

    @property
    def test(self) -> tuple[str, ...]:
        """Who is tested."""
        if self.tested == ALL:
            return tuple(subject for part in self.parts.values() for subject in part)
        return self.parts[self.tested]

    @property
    def train(self) -> tuple[str, ...]:
        """Everyone else."""
        if self.tested == ALL:
            return ()
        return tuple(subject for name, part in self.parts.items() if name != self.tested for subject in part)


def fold_of(benchmark: str, tested: object, file: str | Path | None = None) -> Fold:
    """The fold that tests a part.

    Args:
        benchmark: of `PARTS`.
        tested: a part's name, or "all".
        file: parts of your own, see `read_parts`; None for the published ones.

    Raises:
        UsageError: no such part, or a number in place of a name.
        InputError: the file is missing or makes no parts.
    """
    parts = PARTS[benchmark] if file is None else read_parts(file, benchmark)
    names = ", ".join(parts)
    if not isinstance(tested, str) or tested.strip().isdigit():
        raise UsageError(
            f"fold {tested!r} means other people in every project (fold 1 tests P1 in JAA-Net and P3 in ME-GraphAU): "
            f"name the part that is tested, one of {names}, or {ALL!r}"
        )
    if tested != ALL and tested not in parts:
        where = f"{benchmark} has" if file is None else f"{file} has"
        raise UsageError(f"{where} no part {tested!r}; name the part that is tested, one of {names}, or {ALL!r}")
    return Fold(tested, parts)


def read_parts(path: str | Path, benchmark: str) -> dict[str, tuple[str, ...]]:
    """Reads parts of your own.

    Args:
        path: yaml or json with a list of subjects for every part (`A: [F001, F002]`), or csv with the columns
            `subject` and `part`.
        benchmark: of `PARTS`, whose subjects they are.

    Raises:
        InputError: the file is missing, is no such file, or names somebody twice or somebody unknown; one sentence.
    """
    path = Path(path)
    known = {subject for part in PARTS[benchmark].values() for subject in part}
    parts: dict[str, tuple[str, ...]] = {}
    part_of: dict[str, str] = {}
    for name, subjects in _listed(path).items():
        if name.isdigit() or name == ALL or not name:
            raise InputError(f"{path} calls a part {name!r}; give it a name that is no number and not {ALL!r}")
        found = []
        for text in subjects:
            subject = subject_name(benchmark, text)
            if subject not in known:
                raise InputError(f"{path} puts {text!r} into part {name!r}, but {benchmark} has nobody of that name")
            if subject in part_of:
                other = "twice" if part_of[subject] == name else f"and into part {part_of[subject]!r} too"
                raise InputError(
                    f"{path} puts {subject} into part {name!r} {other}; a person belongs to one part, once"
                )
            part_of[subject] = name
            found.append(subject)
        if not found:
            raise InputError(f"{path} has nobody in part {name!r}; name its subjects or leave it out")
        parts[name] = tuple(found)
    if len(parts) < 2:
        raise InputError(f"{path} has {len(parts)} part(s); at least two are needed, one to test and one to train on")
    return parts


def _listed(path: Path) -> dict[str, list[str]]:
    suffix = path.suffix.lower()
    if suffix not in (".yaml", ".yml", ".json", ".csv"):
        raise InputError(f"{path} is no file of parts: give a yaml, json or csv file")
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            if suffix == ".csv":
                return _from_csv(path, csv.DictReader(file, skipinitialspace=True))
            content = json.load(file) if suffix == ".json" else yaml.safe_load(file)
    except FileNotFoundError as error:
        raise InputError(f"the file of parts {path} does not exist") from error
    except (OSError, UnicodeDecodeError, csv.Error, ValueError, RecursionError, yaml.YAMLError) as error:
        said = " ".join(str(error).split())
        raise InputError(f"the file of parts {path} cannot be read as {suffix[1:]}: {said}") from error
    if not isinstance(content, dict) or not all(_is_names(subjects) for subjects in content.values()):
        raise InputError(f"{path} must hold a list of subjects for every part, such as  A: [F001, F002]")
    return {str(name): list(subjects) for name, subjects in content.items()}


def _is_names(subjects: Any) -> bool:
    return (
        isinstance(subjects, Sequence) and not isinstance(subjects, str) and all(isinstance(s, str) for s in subjects)
    )


def _from_csv(path: Path, reader: csv.DictReader) -> dict[str, list[str]]:
    parts: dict[str, list[str]] = {}
    for row in reader:
        subject, part = (row.get("subject") or "").strip(), (row.get("part") or "").strip()
        if not subject or not part:
            raise InputError(
                f"line {reader.line_num} of {path} lacks a subject or a part; its columns must be those two"
            )
        parts.setdefault(part, []).append(subject)
    return parts
