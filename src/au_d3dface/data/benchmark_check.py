"""What of a benchmark lies in a folder, in sentences: layout, labels and pictures counted against what is published."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from .. import facs
from ..errors import InputError
from . import bp4d_files, disfa_files
from .benchmark_files import Layout, SequenceFiles, picture_frames, read_intensity, read_labels
from .benchmark_rows import missing_of, said_of_missing
from .folds import LABELLED_FRAMES, PARTS

TITLES: dict[str, tuple[str, tuple[int, ...], tuple[str, ...]]] = {
    "bp4d": ("BP4D", facs.BP4D, bp4d_files.TASKS),
    "disfa": ("DISFA", facs.DISFA, ("",)),
}
"""Written name, action units that papers score, and tasks of each person."""


@dataclass
class Check:
    """What there is to say of a copy.

    Attributes:
        found: sentences about what is there.
        lacking: sentences about what is not, or is not as published; the copy can be used all the same.
        problems: sentences about what has to be put right before the copy can be used.
    """

    found: list[str] = field(default_factory=list)
    lacking: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def check_benchmark(
    name: str, root: str | Path, camera: str = "left", first_picture: int | None = None, missing: str = "error"
) -> Check:
    """Looks through a copy, reading every label file and the names of all pictures.

    Args:
        name: of `TITLES`.
        root: the folder of the copy.
        camera, first_picture: of DISFA, see `disfa_files.find_disfa`.
        missing: as for `load_benchmark`: whether missing sequences make the copy unusable ("error") or not ("skip").

    Raises:
        InputError: the folder holds no such benchmark.
        UsageError: no such camera or first picture.
    """
    title, units, tasks = TITLES[name]
    if name == "bp4d":
        layout = bp4d_files.find_bp4d(root)
    else:
        layout = disfa_files.find_disfa(root, camera, first_picture)
    check = Check(list(layout.variant))
    labelled = _labels(layout, units, check)
    _count(name, labelled, check)
    _pictures(layout, labelled, check)
    _units(layout, units, check)
    _copies([layout.sequences[name] for name in labelled], check)
    everyone = tuple(subject for part in PARTS[name].values() for subject in part)
    lacking = missing_of(layout, everyone, tasks, None, False)
    if lacking:
        said = said_of_missing(title, lacking, len(everyone) * len(tasks))
        if missing == "skip":
            check.lacking.append(said)
        else:
            check.problems.append(f"{said}; complete the copy, or go on without them (missing='skip', --missing skip)")
    strangers = {files.subject for files in layout.sequences.values()} - set(everyone)
    if strangers:
        check.lacking.append(f"in no published part, so left out: {', '.join(sorted(strangers))}")
    return check


def _labels(layout: Layout, units: tuple[int, ...], check: Check) -> dict[str, np.ndarray]:
    """The labelled frame numbers of every sequence that can be read, those with a known label."""
    labelled = {}
    for name, files in layout.sequences.items():
        if not files.is_labelled:
            continue
        try:
            labels = read_labels(files, units)
        except InputError as error:
            check.problems.append(str(error))
            continue
        labelled[name] = labels.frames[(labels.au_labels >= 0).any(1)]
        if layout.benchmark == "disfa":
            _lengths(name, files, units, len(labels.frames), check)
    return labelled


def _lengths(name: str, files: SequenceFiles, units: tuple[int, ...], length: int, check: Check) -> None:
    """Says which action units are labelled in fewer frames than others, as in a file that was cut off."""
    for number in units:
        if number in files.intensities:
            count = len(read_intensity(files.intensities[number])[0])
            if count < length:
                check.lacking.append(
                    f"{facs.label(number)} of {name} is labelled in {count:,} frames where others are in "
                    f"{length:,}; the rest counts as unknown"
                )


def _count(benchmark: str, labelled: dict[str, np.ndarray], check: Check) -> None:
    published = LABELLED_FRAMES[benchmark]
    counts = dict.fromkeys(published, 0)
    for part, subjects in PARTS[benchmark].items():
        counts[part] = sum(len(frames) for name, frames in labelled.items() if name.split("_")[0] in subjects)
    parts = ", ".join(f"{part} {count:,} of {published[part]:,}" for part, count in counts.items())
    total, expected = sum(counts.values()), sum(published.values())
    check.found.append(f"{len(labelled)} labelled sequences; labelled frames: {total:,} of {expected:,} ({parts})")
    if total != expected:
        more = "more" if total > expected else "fewer"
        check.lacking.append(f"{abs(total - expected):,} {more} labelled frames than published; say so with any score")


def _pictures(layout: Layout, labelled: dict[str, np.ndarray], check: Check) -> None:
    pictures = with_picture = frames = 0
    for name, files in layout.sequences.items():
        try:
            numbers = picture_frames(files)
        except InputError as error:
            check.problems.append(str(error))
            continue
        if not numbers or name not in labelled:
            continue
        seen = int(np.isin(labelled[name], list(numbers)).sum())
        if not seen:
            check.problems.append(
                f"{name}: no labelled frame has a picture: labels are about frames {labelled[name][0]} to "
                f"{labelled[name][-1]}, pictures about {min(numbers)} to {max(numbers)}; they are not of one sequence"
            )
        pictures, with_picture, frames = pictures + len(numbers), with_picture + seen, frames + len(labelled[name])
    if pictures:
        check.found.append(
            f"{pictures:,} pictures; {with_picture:,} of {frames:,} labelled frames beside them have one"
        )
    videos = sum(files.video is not None for files in layout.sequences.values())
    if videos:
        check.found.append(f"{videos} videos")
    unseen = [n for n in labelled if layout.sequences[n].pictures is None and layout.sequences[n].video is None]
    if unseen:
        check.lacking.append(f"neither pictures nor a video of {len(unseen)} labelled sequences, the first {unseen[0]}")


def _units(layout: Layout, units: tuple[int, ...], check: Check) -> None:
    if layout.benchmark != "disfa":
        return
    for number in units:
        without = [n for n, files in layout.sequences.items() if files.is_labelled and number not in files.intensities]
        if without:
            check.lacking.append(f"{facs.label(number)} is not labelled for {', '.join(without)}; it counts as unknown")


def _copies(sequences: Sequence[SequenceFiles], check: Check) -> None:
    """Finds label files that are byte by byte those of another sequence."""
    first: dict[bytes, Path] = {}
    for files in sequences:
        if files.occurrence is not None:
            path, digest = files.occurrence, hashlib.sha256(files.occurrence.read_bytes()).digest()
            if first.setdefault(digest, path) != path:
                check.problems.append(f"{path} is a copy of {first[digest]}, another sequence's labels; copy it again")
