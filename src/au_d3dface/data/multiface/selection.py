"""Which sequences of a copy of Multiface are read: subjects, expressions, cameras, frames, and the face at rest."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ...errors import InputError, UsageError
from .copy import NEUTRALS, PICTURE_NAMES, Subject, find_subjects, missing_files, numbered_files, subject_id
from .files import Camera, frame_times, read_mesh, read_transform
from .truth import subject_head_frame

MEAN = "mean"
"""In place of an expression at rest: vert_mean.bin, the mean over all frames of the subject."""

_NEUTRAL_FRAMES = 25
"""Frames of the resting expression, spread evenly, that are compared."""


@dataclass(frozen=True)
class Clip:
    """One subject's expression in one camera.

    Attributes:
        folder: the subject's.
        subject: its number. version: of the script.
        numbers: the frames taken, increasing. times: seconds since the first frame of the expression.
        neutral_mesh: the `.bin` of the subject at rest. topology: the `.obj` with the triangles.
    """

    folder: Path
    subject: str
    version: int
    expression: str
    camera: Camera
    numbers: tuple[int, ...]
    times: tuple[float, ...]
    neutral_mesh: Path
    topology: Path

    @property
    def mesh_folder(self) -> Path:
        return self.folder / "tracked_mesh" / self.expression

    @property
    def picture_folder(self) -> Path:
        return self.folder / "images" / self.expression / self.camera.name

    def at(self, numbers: Sequence[int]) -> "Clip":
        """The same with these of its frames alone."""
        return _part(self, [self.numbers.index(number) for number in numbers])

    def files(self) -> tuple[dict[int, Path], dict[int, Path], dict[int, Path]]:
        """Pictures, meshes and head poses by frame number."""
        return (
            numbered_files(self.picture_folder, *PICTURE_NAMES),
            numbered_files(self.mesh_folder, ".bin"),
            numbered_files(self.mesh_folder, "_transform.txt"),
        )


def select_clips(
    data_dir: str,
    subjects: Sequence[str] | None = None,
    expressions: Sequence[str] | None = None,
    cameras: Sequence[str] | None = None,
    every: int = 1,
    neutral: str | None = None,
    ignore_distortion: bool = False,
) -> tuple[list[Clip], list[str]]:
    """The clips asked for, by subject, expression and camera, and sentences on what is missing of them.

    Frames that lack a file are not in the clips; arguments are as `MultifaceConfig` says.

    Raises:
        UsageError: a subject that is not in the copy, or an expression that no subject's frame list has.
        InputError: no copy; damaged frame list or KRT; no face at rest, no triangles; a camera with distortion.
    """
    chosen = [Subject.read(folder) for folder in _chosen_folders(data_dir, subjects)]
    for wanted in expressions or ():
        if not any(_named(subject, wanted) for subject in chosen):
            raise UsageError(f"No frame list of the chosen subjects in {data_dir} has an expression {wanted!r}.")
    clips: list[Clip] = []
    missing: list[str] = []
    for subject in chosen:
        names, lacking = _chosen_expressions(subject, expressions)
        missing += lacking
        if not names:
            continue
        rest, topology = _neutral_mesh(subject, neutral), _topology(subject)
        for camera in _chosen_cameras(subject, names, cameras, rest, topology):
            if camera not in subject.cameras:
                missing.append(f"{subject.folder / 'KRT'} has no camera {camera}")
                continue
            calibrated = subject.cameras[camera]
            if calibrated.distortion.any() and not ignore_distortion:
                raise InputError(
                    f"The camera {camera} of {subject.folder / 'KRT'} has lens distortion, which pictures here are not "
                    "freed of (in Multiface as published all five values are zero); undistort them and set zeros, or "
                    "give ignore_distortion=True."
                )
            for expression in names:
                clip = _clip(subject, expression, calibrated, every, rest, topology)
                present, lacking = _complete(clip)
                missing += lacking
                if present:
                    clips.append(_part(clip, present))
    clips.sort(key=lambda clip: (clip.folder.name, clip.expression, clip.camera.name))
    return clips, list(dict.fromkeys(missing))


def most_frontal_camera(subject: Subject, names: Sequence[str], rest: Path, topology: Path, pose: Path) -> str:
    """Of these cameras the one that sees the face from straight ahead, as near as may be.

    The face looks along the z axis of its head frame, from its origin; the angle between that and the way to a camera's
    centre counts.

    Args:
        names: cameras of the subject's KRT.
        rest, topology: the face at rest, as in `Clip`. pose: a `_transform.txt`.
    """
    frame, transform = subject_head_frame(str(rest), str(topology)), read_transform(pose)
    ahead = transform[:, :3] @ frame.rotation[2].numpy()
    origin = transform[:, :3] @ frame.origin.numpy() + transform[:, 3]

    def cosine(name: str) -> float:
        way = subject.cameras[name].centre - origin
        return float(way @ ahead / np.linalg.norm(way))

    return max(names, key=cosine)


def _chosen_folders(data_dir: str, subjects: Sequence[str] | None) -> list[Path]:
    folders = find_subjects(data_dir)
    if subjects is None:
        return folders
    by_name = {folder.name: folder for folder in folders}
    ids = {subject_id(folder): folder for folder in folders}
    unknown = [name for name in subjects if name not in by_name and name not in ids]
    if unknown:
        raise UsageError(f"There is no subject {unknown[0]!r} in {data_dir}; there are {', '.join(ids)}.")
    return sorted({by_name.get(name) or ids[name] for name in subjects})


def _named(subject: Subject, wanted: str) -> list[str]:
    """The expressions that `wanted` names: itself, or E008 for E008_Smile_Mouth_Closed."""
    short = re.fullmatch(r"E\d{3}", wanted)
    return [name for name in subject.frames if name == wanted or (short and name.startswith(f"{wanted}_"))]


def _chosen_expressions(subject: Subject, expressions: Sequence[str] | None) -> tuple[list[str], list[str]]:
    """Expressions to read, and sentences on those that the subject's frame list lacks."""
    if expressions is None:
        pictured = [name for name in subject.expressions() if subject.cameras_of(name)]
        lacking = [] if pictured else [f"{subject.folder} has no pictures of any expression in its frame list"]
        return pictured, lacking
    names, missing = [], []
    for wanted in expressions:
        found = _named(subject, wanted)
        names += found
        if not found:
            missing.append(f"{subject.folder / 'frame_list.txt'} has no expression {wanted}")
    return list(dict.fromkeys(names)), missing


def _chosen_cameras(
    subject: Subject, names: list[str], cameras: Sequence[str] | None, rest: Path, topology: Path
) -> list[str]:
    if cameras is not None:
        return list(dict.fromkeys(cameras))
    common = set(subject.cameras).intersection(*(subject.cameras_of(name) for name in names))
    poses = [path for name in names for path in subject.transforms(name).values()]
    if not common or not poses:
        what = "camera of KRT has pictures" if poses else "head pose is there"
        raise InputError(
            f"No {what} of all {len(names)} expressions chosen of {subject.folder}, so that no frontal camera can be "
            "told; fetch them, or name `cameras` and `expressions`."
        )
    return [most_frontal_camera(subject, sorted(common), rest, topology, poses[0])]


def _clip(subject: Subject, expression: str, camera: Camera, every: int, rest: Path, topology: Path) -> Clip:
    numbers = subject.frames[expression]
    counts, times = frame_times(numbers)
    # By time, not by place in the list, so that a gap does not shift what follows.
    taken = [index for index, count in enumerate(counts) if count % every == 0]
    whole = Clip(
        subject.folder, subject.id, subject.version, expression, camera, tuple(numbers), tuple(times), rest, topology
    )
    return _part(whole, taken)


def _complete(clip: Clip) -> tuple[list[int], list[str]]:
    """The rows of the frames that have every file, and sentences on those that have not."""
    folders = (clip.picture_folder, clip.mesh_folder, clip.mesh_folder)
    kinds = ((".png", "picture"), (".bin", "mesh"), ("_transform.txt", "head pose"))
    files, wanted = clip.files(), list(clip.numbers)
    lacking = []
    for there, folder, kind in zip(files, folders, kinds, strict=True):
        lacking += missing_files(wanted, there, folder, *kind)
    return [row for row, number in enumerate(wanted) if all(number in there for there in files)], lacking


def _part(clip: Clip, rows: list[int]) -> Clip:
    return replace(clip, numbers=tuple(clip.numbers[row] for row in rows), times=tuple(clip.times[row] for row in rows))


def _neutral_mesh(subject: Subject, neutral: str | None) -> Path:
    """The mesh at rest: of the resting expression the frame nearest to its median mesh, so that no blink is taken."""
    if neutral == MEAN:
        read_mesh(subject.folder / "vert_mean.bin")  # told now rather than when a truth is asked for
        return subject.folder / "vert_mean.bin"
    names = (neutral,) if neutral else NEUTRALS
    meshes = next((found for name in names if (found := subject.meshes(name))), None)
    if meshes is None:
        raise InputError(
            f"{subject.folder} has no tracked meshes of {' or '.join(names)}, the face at rest; fetch them, name "
            f"another expression as `neutral`, or give neutral={MEAN!r} for vert_mean.bin."
        )
    numbers = sorted(meshes)
    taken = np.unique(np.linspace(0, len(numbers) - 1, min(len(numbers), _NEUTRAL_FRAMES)).round().astype(int))
    paths = [meshes[numbers[index]] for index in taken]
    stack = np.stack([read_mesh(path) for path in paths])
    distance = np.linalg.norm(stack - np.median(stack, 0), axis=-1).mean(1)
    return paths[int(distance.argmin())]


def _topology(subject: Subject) -> Path:
    for expression in subject.expressions():
        objs = subject.objs(expression)
        if objs:
            return objs[min(objs)]
    raise InputError(
        f"{subject.folder} has no obj of a tracked mesh, which says what its triangles are; fetch one (all subjects "
        "share them)."
    )
