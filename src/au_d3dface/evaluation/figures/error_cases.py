"""What the figure of errors compares, from where the user has it: true meshes in a folder, Multiface, or ICT-FaceKit.

Each function gives an `ErrorCase` of what Table 1 measures too: a sequence as a `Truth`, and `Method`s: ours of a video
that is reconstructed, or as the table has them, and folders of other programs' meshes.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ...data.multiface.copy import PICTURE_NAMES, numbered_files
from ...data.multiface.files import read_transform
from ...data.multiface.selection import Clip, select_clips
from ...data.multiface.truth import project_mesh, row_head_frame
from ...data.synthetic.rendered_sequences import StoredSequences
from ...errors import InputError, UsageError
from ...export.strip import (
    crop_picture,
    inside_picture,
    inside_video,
    picture_windows,
    read_pictures,
    square_windows,
)
from ...face_sequence import FaceSequence
from ...video.pictures import read_picture
from ..meshes.face_parts import FacePart
from ..meshes.folders import first_sequence, named_sequence
from ..meshes.frame_meshes import mesh_frames
from ..meshes.methods import (
    FolderMethod,
    Method,
    MethodMeshes,
    PreparedMethod,
    TrackedMethod,
    part_of_named_model,
    part_with_regions,
)
from ..meshes.truths import FolderTruth, MultifaceTruth, PersonTruth, Truth, kit_truth
from ..synthetic_people.evaluation import is_rendered, read_sequence
from .errors import CELL, ErrorCase
from .frames import chosen_frames

OURS = ("coarse", "refined")
TAKEN = ("input", "truth", *OURS)
"""Names of rows that no other method can have."""


@dataclass(frozen=True)
class Shown:
    """What the user asks for.

    Attributes:
        wanted: frames, or None for `columns` spread evenly over those that all have.
        every: takes every so many frames of the truth, as in Table 1.
        folders: of other methods, and regions: files of them, by name.
    """

    wanted: list[int] | None = None
    columns: int = 5
    every: int = 1
    folders: Mapping[str, Path] | None = None
    regions: Mapping[str, Path] | None = None

    def others(self, truth: Truth) -> list[FolderMethod]:
        """A row for each folder: sequences by name, as Table 1 has them, or the meshes of this one alone."""
        methods = []
        for name, folder in (self.folders or {}).items():
            alone = named_sequence(folder, truth.names) is None
            regions = (self.regions or {}).get(name)
            methods.append(FolderMethod(name, folder, folder if alone else first_sequence(folder), regions, alone))
        return methods

    def frames(self, truth: Truth, others: Sequence[FolderMethod], ours: Mapping[str, Iterable[int]]) -> list[int]:
        """The frames that the truth, the others and ours have, or of these the ones that are asked for.

        Raises:
            InputError: a folder cannot be read, or there is no frame that all have.
        """
        there = {f"{method.path(truth)} ({method.name})": mesh_frames(method.path(truth)) for method in others}
        return chosen_frames(
            {f"{truth.name} (the truth)": truth.frames} | there | dict(ours), self.wanted, self.columns
        )


@dataclass(frozen=True)
class ReconstructedMethod:
    """Ours of a video.

    Attributes:
        sequence: the person. vertices: (T, V, 3), its coarse meshes or its refined ones.
        numbers: (T,) of the frames. regions: a file of regions, or None for the face model's own.
    """

    name: str
    sequence: FaceSequence
    vertices: np.ndarray
    numbers: np.ndarray
    regions: Path | None = None

    def files(self, truth: Truth) -> list[Path]:
        return [] if self.sequence.source is None else [Path(self.sequence.source)]

    def settings(self) -> dict[str, Any]:
        return dict(self.sequence.provenance)

    def meshes(self, truth: Truth) -> MethodMeshes:
        valid, faces = self.sequence.valid, np.asarray(self.sequence.faces, np.int64)
        unseen = frozenset(self.numbers[~valid].tolist())
        return MethodMeshes(self.numbers[valid], unseen, self.vertices[valid], self.sequence.neutral_vertices, faces)

    def part(self, meshes: MethodMeshes, of_face: bool) -> FacePart:
        part = part_of_named_model(self.sequence.provenance["face_model"], None)
        return part_with_regions(part, self.regions, meshes, self.name)


def folder_case(
    truth: Path,
    video: Path | None,
    reconstruct: Callable[[Path], FaceSequence],
    shown: Shown,
    first_frame: int = 1,
) -> ErrorCase:
    """True meshes in a folder, as `frame_meshes` reads them.

    Args:
        truth: the folder, or an npz. The frames of other methods have its numbers.
        video: of the same frames, or None for the folders alone.
        reconstruct: gives the person of a video.
        first_frame: the number that the meshes' files give to the first frame of the video.

    Raises:
        InputError: a folder cannot be read, or there is no frame that all have.
        UsageError: neither a video nor another folder.
    """
    if video is None and not shown.folders:
        raise UsageError("there is nothing to compare with the truth: give a video, or --meshes NAME=DIR")
    true = FolderTruth.of(truth.stem if truth.suffix == ".npz" else truth.name, truth, shown.every)
    others = shown.others(true)
    for method in others:
        mesh_frames(method.path(true))  # told before a video is read
    ours: list[Method] = []
    there: dict[str, list[int]] = {}
    if video is not None:
        sequence = reconstruct(video)
        numbers = np.arange(len(sequence)) + first_frame
        ours, there = _ours(sequence, numbers, shown), _seen(video, sequence, numbers)
    frames = shown.frames(true, others, there)
    pictures = [] if video is None else _pictures(sequence, [frame - first_frame for frame in frames])
    heads = [f"frame {frame}" for frame in frames]
    return ErrorCase(true, true.name, frames, heads, [*ours, *others], pictures)


def multiface_case(
    data_dir: Path,
    subject: str | None,
    expression: str | None,
    camera: str | None,
    reconstruct: Callable[[Path], FaceSequence],
    prepared: Sequence[PreparedMethod],
    shown: Shown,
) -> ErrorCase:
    """One expression of one subject of the user's copy of Multiface.

    Args:
        data_dir: the copy. subject, expression, camera: None for the first, and the most frontal camera.
        reconstruct: gives the person of a folder of pictures.
        prepared: rows of Table 1; where there is none, the pictures are reconstructed.

    Raises:
        UsageError: no such subject or expression.
        InputError: no copy, files that are damaged or missing, or no frame that all have.
    """
    clips, missing = select_clips(
        str(data_dir),
        None if subject is None else [subject],
        None if expression is None else [expression],
        None if camera is None else [camera],
        shown.every,
    )
    if not clips:
        raise InputError(
            f"{data_dir} has no complete frame of what was asked for: {missing[0] if missing else 'empty'}"
        )
    true = MultifaceTruth(clips[0])
    others = shown.others(true)
    ours: list[Method] = list(prepared)
    there = {
        f"{method.folder} ({method.name}), in frames with the face,": method.meshes(true).frames.tolist()
        for method in prepared
        if method.checkpoint is None  # those of a checkpoint have the same
    }
    if not prepared:
        folder = true.clip.picture_folder
        sequence = reconstruct(folder)
        pictures = np.array(sorted(numbered_files(folder, *PICTURE_NAMES)))
        if len(sequence) != len(pictures):
            raise InputError(
                f"{folder} holds {len(sequence)} pictures, {len(pictures)} of them named after a frame; leave those "
                "alone in it"
            )
        ours, there = _ours(sequence, pictures, shown), _seen(folder, sequence, pictures)
    frames = shown.frames(true, others, there)
    heads = [f"frame {frame}" for frame in frames]
    truth_is = f"Multiface {true.clip.subject}, {true.clip.expression}"
    return ErrorCase(true, truth_is, frames, heads, [*ours, *others], _multiface_pictures(true.clip, frames))


def synthetic_case(folder: Path, person: int, kit: Path, methods: Sequence[TrackedMethod], shown: Shown) -> ErrorCase:
    """One held-out synthetic person, against the person's own surface of ICT-FaceKit.

    Frames count from 0, as in Table 1.

    Args:
        kit: the file of ICT-FaceKit. methods: rows of Table 1, the landmark fit first.

    Raises:
        UsageError: no such person.
        CheckpointError: the kit is missing or another.
        InputError: the folder is damaged, its people are not of the kit, no face was found, or no frame that all have.
    """
    kit_truth(kit)
    stored = StoredSequences(folder)
    if not is_rendered(stored):
        raise InputError(f"{folder} was not rendered, so its people have no surface of ICT-FaceKit; render others")
    if not 0 <= person < len(stored):
        raise UsageError(f"{folder} has no person {person}; it has {len(stored)}, from 0")
    sequence = read_sequence(stored, person)
    if not sequence.face.valid.any():
        raise InputError(f"no face was found in sequence {person} of {folder}; choose another person")
    true = PersonTruth(folder.resolve(), person, kit, tuple(range(0, len(sequence.times), shown.every)))
    ours: list[Method] = [replace(method, name=name) for method, name in zip(methods, OURS, strict=True)]
    others = shown.others(true)
    seen = np.flatnonzero(sequence.face.valid).tolist()
    frames = shown.frames(true, others, {f"sequence {person} of {folder}, in frames with the face,": seen})
    heads = [f"{sequence.times[frame]:.2f} s" for frame in frames]
    return ErrorCase(true, f"synthetic person {person} of {folder.name}", frames, heads, [*ours, *others])


def _ours(sequence: FaceSequence, numbers: np.ndarray, shown: Shown) -> list[Method]:
    regions = (shown.regions or {}).get(sequence.provenance["face_model"])
    both = zip(OURS, (sequence.coarse_vertices, sequence.vertices), strict=True)
    return [ReconstructedMethod(name, sequence, vertices, numbers, regions) for name, vertices in both]


def _seen(video: Path, sequence: FaceSequence, numbers: np.ndarray) -> dict[str, list[int]]:
    return {f"{video}, in frames with the face,": numbers[sequence.valid].tolist()}


def _pictures(sequence: FaceSequence, rows: list[int]) -> list[np.ndarray]:
    """The frames of the video around the face."""
    windows = inside_video(sequence, picture_windows([sequence], rows))
    pictures = read_pictures(sequence, sorted(rows))
    return [crop_picture(pictures[row], window, CELL) for row, window in zip(rows, windows, strict=True)]


def _multiface_pictures(clip: Clip, frames: list[int]) -> list[np.ndarray]:
    """The camera's pictures around the true face."""
    pictures, meshes, poses = clip.files()
    rest = {"neutral_mesh": str(clip.neutral_mesh), "topology": str(clip.topology)}
    face, camera = row_head_frame(rest).face, clip.camera
    seen_by = {name: getattr(camera, name) for name in ("intrinsics", "rotation", "translation")}
    rows = [seen_by | {"mesh": str(meshes[frame]), "transform": read_transform(poses[frame])} for frame in frames]
    points = np.stack([project_mesh(row)[face, :2].numpy() for row in rows])
    images = [read_picture(pictures[frame]) for frame in frames]
    height, width = images[0].shape[:2]
    windows = inside_picture(square_windows(points, height, width), height, width)
    return [crop_picture(image, window, CELL) for image, window in zip(images, windows, strict=True)]
