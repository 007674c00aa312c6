"""A user's copy of Multiface on disk: which subjects, expressions, cameras and frames are there, and what is missing.

    m--20180227--0000--6795937--GHS/        one folder a subject ("entity")
        KRT  frame_list.txt  vert_mean.bin
        images/<expression>/<camera>/000102.png
        tracked_mesh/<expression>/000102.bin, .obj, _transform.txt

Most copies hold a part: the whole is 65 TB. What the frame list names and the copy lacks altogether (an expression, a
camera) was not fetched; what lacks single files is damaged, and told.
"""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ...errors import InputError
from ...video.pictures import PICTURE_SUFFIXES
from .files import MESH_BYTES, Camera, read_frame_list, read_krt, read_topology, read_transform

NUM_SUBJECTS = 13
NEUTRALS = ("E001_Neutral_Eyes_Open", "EXP_neutral_peak")
"""The face at rest in the two scripts."""

PICTURE_NAMES = tuple(sorted(PICTURE_SUFFIXES))
"""Endings of pictures; png as published."""

_ENTITY = re.compile(r"m--\d+--\d+--([0-9A-Za-z]+)--GHS")
_PEAK = re.compile(r"E\d{3}_")
_OTHERS = (
    ("BP4D", ("AUCoding", "AU_OCC")),
    ("DISFA", ("ActionUnit_Labels", "Videos_LeftCamera", "Video_RightCamera", "Videos_RightCamera")),
)
"""Folders by which other data sets are known."""


@dataclass(frozen=True)
class Subject:
    """One subject's folder, its frame list and cameras read.

    Attributes:
        frames: the frame numbers of every expression, from frame_list.txt.
        cameras: those of KRT, by name.
    """

    folder: Path
    frames: dict[str, list[int]]
    cameras: dict[str, Camera]

    @classmethod
    def read(cls, folder: Path) -> "Subject":
        """Raises InputError where the frame list or KRT is missing or damaged."""
        return cls(folder, read_frame_list(folder / "frame_list.txt"), read_krt(folder / "KRT"))

    @property
    def id(self) -> str:
        """Such as 6795937; the folder's name where that is not of the published form."""
        return subject_id(self.folder)

    @property
    def version(self) -> int:
        """Of the script: 1 has the 65 peak expressions E001 to E065, 2 only EXP_ ranges of motion (version 1 too)."""
        return 1 if any(_PEAK.match(name) for name in self.frames) else 2

    def expressions(self) -> list[str]:
        """Those of the frame list that have a folder of tracked meshes or of pictures here, by name."""
        present = set(_folders(self.folder / "tracked_mesh")) | set(_folders(self.folder / "images"))
        return sorted(present.intersection(self.frames))

    def cameras_of(self, expression: str) -> list[str]:
        """The cameras with a folder of pictures of this expression."""
        return _folders(self.folder / "images" / expression)

    def meshes(self, expression: str) -> dict[int, Path]:
        """The `.bin` files by frame number; numbers may be padded or not."""
        return numbered_files(self.folder / "tracked_mesh" / expression, ".bin")

    def transforms(self, expression: str) -> dict[int, Path]:
        """The `_transform.txt` files by frame number."""
        return numbered_files(self.folder / "tracked_mesh" / expression, "_transform.txt")

    def objs(self, expression: str) -> dict[int, Path]:
        """The `.obj` files by frame number."""
        return numbered_files(self.folder / "tracked_mesh" / expression, ".obj")

    def pictures(self, expression: str, camera: str) -> dict[int, Path]:
        """The pictures by frame number."""
        return numbered_files(self.folder / "images" / expression / camera, *PICTURE_NAMES)


@dataclass
class SubjectReport:
    """What `check_multiface` found of one subject.

    Attributes:
        name, id: the folder, and the number in it.
        version: of the script, 1 or 2; None where the frame list cannot be read.
        listed, tracked, pictured: expressions that the frame list names, that have meshes, that have pictures.
        cameras, pictured_cameras: cameras in KRT, and those that have pictures of some expression.
        frames, meshes, pictures: frames that the list has of the expressions here, and files of them.
        problems: sentences.
    """

    name: str
    id: str
    version: int | None = None
    listed: int = 0
    tracked: int = 0
    pictured: int = 0
    cameras: int = 0
    pictured_cameras: int = 0
    frames: int = 0
    meshes: int = 0
    pictures: int = 0
    problems: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class MultifaceReport:
    """What `check_multiface` found."""

    folder: Path
    subjects: list[SubjectReport]

    @property
    def problems(self) -> list[str]:
        """Every subject's, with its name in front."""
        return [f"{subject.name}: {problem}" for subject in self.subjects for problem in subject.problems]

    def found(self) -> list[str]:
        """What is there, for people."""
        lines = [f"Multiface in {self.folder}: {len(self.subjects)} of the {NUM_SUBJECTS} published subjects."]
        for subject in self.subjects:
            if subject.version is not None:
                lines.append(
                    f"{subject.name}: script version {subject.version}; of {subject.listed} expressions in its frame "
                    f"list {subject.tracked} have tracked meshes and {subject.pictured} have pictures; "
                    f"{subject.pictured_cameras} of {subject.cameras} cameras have pictures; {subject.frames:,} frames "
                    f"of the expressions here, {subject.meshes:,} meshes, {subject.pictures:,} pictures."
                )
        return lines


def find_subjects(data_dir: str | os.PathLike[str]) -> list[Path]:
    """The subjects' folders in a copy, by name; the path of one of them is a copy with that subject.

    Raises:
        InputError: there is no such folder, or none in it.
    """
    root = Path(data_dir)
    if not root.is_dir():
        raise InputError(f"{root} is not a folder; give the one that holds Multiface's m--...--GHS folders.")
    try:
        found = [root] if _is_subject(root) else sorted(path for path in root.iterdir() if _is_subject(path))
        if found:
            return found
        names = {path.name for path in root.iterdir()}
    except OSError as error:
        raise InputError(f"{root} cannot be read: {error.strerror or error}.") from error
    hint = "it is empty" if not names else "it holds other things"
    hint = next((f"it looks like {other}" for other, signs in _OTHERS if names & set(signs)), hint)
    if any(name.endswith(".tar") for name in names):
        hint = "it holds archives: unpack them first"
    raise InputError(f"{root} holds no subject of Multiface (folders m--...--GHS with KRT and frame_list.txt); {hint}.")


def check_multiface(data_dir: str | os.PathLike[str]) -> MultifaceReport:
    """What a copy of Multiface holds, and what is missing or damaged. Pictures are counted, not opened.

    Raises:
        InputError: no subject is found.
    """
    return MultifaceReport(Path(data_dir), [_check_subject(folder) for folder in find_subjects(data_dir)])


def subject_id(folder: Path) -> str:
    """Such as 6795937, of a folder m--20180227--0000--6795937--GHS; else its name."""
    matched = _ENTITY.fullmatch(folder.name)
    return matched[1] if matched else folder.name


def missing_files(wanted: list[int], there: dict[int, Path], folder: Path, suffix: str, noun: str) -> list[str]:
    """A sentence for the frames that have no file, or nothing."""
    missing = [number for number in wanted if number not in there]
    if not missing:
        return []
    first = folder / f"{missing[0]:06d}{suffix}"
    return [f"{len(missing)} of {len(wanted)} frames of {folder} have no {noun} (the first is {first.name})"]


def numbered_files(folder: Path, *suffixes: str) -> dict[int, Path]:
    """Files whose name is a number, padded or not, and one of the suffixes; of two with one number the first by name.

    Raises:
        InputError: the folder cannot be read; one that does not exist holds no files.
    """
    found: dict[int, Path] = {}
    for name in sorted(entry.name for entry in _entries(folder)):
        stem = next((name.removesuffix(suffix) for suffix in suffixes if name.endswith(suffix)), "")
        if stem.isascii() and stem.isdigit() and len(stem) <= 9:
            found.setdefault(int(stem), folder / name)
    return found


def _check_subject(folder: Path) -> SubjectReport:
    report = SubjectReport(folder.name, subject_id(folder))
    try:
        subject = Subject.read(folder)
    except InputError as error:
        report.problems.append(str(error))
        return report
    report.version, report.listed, report.cameras = subject.version, len(subject.frames), len(subject.cameras)
    pictured_cameras: set[str] = set()
    for expression in subject.expressions():
        wanted = subject.frames[expression]
        report.frames += len(wanted)
        report.problems += _check_meshes(subject, expression, report)
        cameras = subject.cameras_of(expression)
        report.pictured += bool(cameras)
        pictured_cameras.update(cameras)
        lacking = 0
        for camera in cameras:
            pictures = subject.pictures(expression, camera)
            report.pictures += len(pictures)
            lacking += sum(number not in pictures for number in wanted)
        if lacking:
            report.problems.append(f"{lacking} pictures of {expression} are missing ({len(cameras)} cameras)")
    unknown = sorted(pictured_cameras - set(subject.cameras))
    report.pictured_cameras = len(pictured_cameras) - len(unknown)
    if unknown:
        report.problems.append(f"KRT says nothing of {len(unknown)} cameras with pictures (the first is {unknown[0]})")
    distorted = [name for name, camera in subject.cameras.items() if camera.distortion.any()]
    if distorted:
        report.problems.append(f"{len(distorted)} cameras have lens distortion (the first is {distorted[0]})")
    report.problems += _check_topology(subject)
    return report


def _check_meshes(subject: Subject, expression: str, report: SubjectReport) -> Iterator[str]:
    folder, wanted = subject.folder / "tracked_mesh" / expression, subject.frames[expression]
    meshes, transforms = subject.meshes(expression), subject.transforms(expression)
    report.tracked += bool(meshes)
    report.meshes += len(meshes)
    if not folder.is_dir():
        yield f"{expression} has pictures, but no tracked meshes"
        return
    yield from missing_files(wanted, meshes, folder, ".bin", "mesh")
    yield from missing_files(wanted, transforms, folder, "_transform.txt", "head pose")
    extra = sorted(set(meshes) - set(wanted))
    if extra:
        yield f"{len(extra)} meshes of {expression} are of frames that the frame list lacks (the first is {extra[0]})"
    wrong = [path for path in meshes.values() if path.stat().st_size != MESH_BYTES]
    if wrong:
        yield f"{len(wrong)} meshes of {expression} have not {MESH_BYTES:,} bytes (the first is {wrong[0].name})"
    for path in transforms.values():
        try:
            read_transform(path)
        except InputError as error:
            yield str(error)


def _check_topology(subject: Subject) -> Iterator[str]:
    path = next((path for name in subject.expressions() for path in subject.objs(name).values()), None)
    if path is None:
        yield "no expression has an obj, so nothing says what the triangles are"
        return
    try:
        read_topology(path)
    except InputError as error:
        yield str(error)


def _is_subject(path: Path) -> bool:
    if not path.is_dir():
        return False
    parts = [(path / name).exists() for name in ("KRT", "frame_list.txt", "tracked_mesh", "images")]
    return bool(_ENTITY.fullmatch(path.name)) or (any(parts[:2]) and any(parts[2:]))


def _folders(path: Path) -> list[str]:
    return sorted(entry.name for entry in _entries(path) if entry.is_dir() and not entry.name.startswith("."))


def _entries(folder: Path) -> list[os.DirEntry]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise InputError(f"{folder} cannot be read: {error.strerror or error}.") from error
