"""What the figure of errors compares, from where the user has it: true meshes in a folder, Multiface, or ICT-FaceKit.

Each function gives an `ErrorCase`: frames of one person, ours where there is a video to reconstruct or a tracked face,
and the meshes of other methods.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from ...data.multiface.copy import PICTURE_NAMES, numbered_files
from ...data.multiface.selection import select_clips
from ...data.multiface.truth import read_truth
from ...data.synthetic.rendered_sequences import StoredSequences
from ...errors import InputError, UsageError
from ...export.strip import crop_picture, inside_video, picture_windows, read_pictures
from ...face_models import FaceMesh
from ...face_sequence import FaceSequence
from ...video import spread_samples
from ..meshes.frame_meshes import mesh_frames, read_mesh_folder
from ..synthetic_people.calibration import decode
from ..synthetic_people.evaluation import SyntheticEvaluation, is_rendered, read_sequence
from .errors import CELL, ErrorCase
from .frames import chosen_frames, frames_of_folders, read_folders

OURS = ("coarse", "refined")
TAKEN = ("input", "truth", *OURS)
"""Names of rows that no other method can have."""


def folder_case(
    truth: Path,
    folders: Mapping[str, Path],
    video: Path | None,
    reconstruct: Callable[[Path], FaceSequence],
    wanted: list[int] | None,
    columns: int,
    first_frame: int = 1,
) -> ErrorCase:
    """True meshes in a folder, as `frame_meshes` reads them.

    Args:
        truth: the folder. folders: of other methods, by name; their frames have the truth's numbers.
        video: of the same frames, or None for the folders alone.
        reconstruct: gives the person of a video.
        wanted, columns: which frames, or how many.
        first_frame: the number that the meshes' files give to the first frame of the video.

    Raises:
        InputError: a folder cannot be read, or there is no frame that all have.
        UsageError: neither a video nor another folder.
    """
    if video is None and not folders:
        raise UsageError("there is nothing to compare with the truth: give a video, or --meshes NAME=DIR")
    there = {f"{truth} (the truth)": mesh_frames(truth)} | frames_of_folders(folders)
    sequence = None
    if video is not None:
        sequence = reconstruct(video)
        there |= {_in_frames(video): (np.flatnonzero(sequence.valid) + first_frame).tolist()}
    frames = chosen_frames(there, wanted, columns)
    true = read_mesh_folder(truth, "truth", frames)
    rows = [frame - first_frame for frame in frames]
    return ErrorCase(
        truth=true.at(frames),
        faces=true.faces,
        truth_is=f"{truth.name}, {true.vertices.shape[1]:,} vertices",
        heads=[f"frame {frame}" for frame in frames],
        others=_others(folders, frames),
        frames=frames,
        **_ours(sequence, rows),
    )


def multiface_case(
    data_dir: Path,
    subject: str | None,
    expression: str | None,
    camera: str | None,
    folders: Mapping[str, Path],
    reconstruct: Callable[[Path], FaceSequence],
    wanted: list[int] | None,
    columns: int,
) -> ErrorCase:
    """One expression of one subject of the user's copy of Multiface, its pictures as the video.

    Args:
        data_dir: the copy. subject, expression, camera: None for the first, and the most frontal camera.
        others: as in `folder_case`; frames have Multiface's numbers.

    Raises:
        UsageError: no such subject or expression.
        InputError: no copy, files that are damaged or missing, or no frame that all have.
    """
    clips, missing = select_clips(
        str(data_dir),
        None if subject is None else [subject],
        None if expression is None else [expression],
        None if camera is None else [camera],
    )
    if not clips:
        raise InputError(
            f"{data_dir} has no complete frame of what was asked for: {missing[0] if missing else 'empty'}"
        )
    clip = clips[0]
    pictures = sorted(numbered_files(clip.picture_folder, *PICTURE_NAMES))
    there = {f"{clip.mesh_folder}": list(clip.numbers)} | frames_of_folders(folders)
    sequence = reconstruct(clip.picture_folder)
    if len(sequence) != len(pictures):
        raise InputError(
            f"{clip.picture_folder} holds {len(sequence)} pictures, {len(pictures)} of them named after a frame; leave "
            "those alone in it"
        )
    there |= {_in_frames(clip.picture_folder): [pictures[row] for row in np.flatnonzero(sequence.valid)]}
    frames = chosen_frames(there, wanted, columns)
    meshes = clip.files()[1]
    rest = {"neutral_mesh": str(clip.neutral_mesh), "topology": str(clip.topology)}
    read = [read_truth(rest | {"mesh": str(meshes[frame])}) for frame in frames]
    return ErrorCase(
        truth=np.stack([vertices.numpy() for vertices, _ in read]),
        faces=read[0][1].numpy(),
        truth_is=f"Multiface {clip.subject}, {clip.expression}",
        heads=[f"frame {frame}" for frame in frames],
        others=_others(folders, frames),
        frames=frames,
        **_ours(sequence, [pictures.index(frame) for frame in frames]),
    )


def synthetic_case(
    folder: Path,
    person: int,
    evaluation: SyntheticEvaluation,
    folders: Mapping[str, Path],
    wanted: list[int] | None,
    columns: int,
) -> ErrorCase:
    """One held-out synthetic person, against the person's own surface of ICT-FaceKit; frames count from 1.

    Raises:
        UsageError: no such person, or an evaluation without the kit.
        InputError: the folder is damaged, its people are not of the kit, no face was found, or no frame that all have.
    """
    if evaluation.kit is None:
        raise UsageError("the surfaces of synthetic people are ICT-FaceKit's; give it with --ict-facekit")
    stored = StoredSequences(folder)
    if not is_rendered(stored):
        raise InputError(f"{folder} was not rendered, so its people have no surface of ICT-FaceKit; render others")
    if not 0 <= person < len(stored):
        raise UsageError(f"{folder} has no person {person}; it has {len(stored)}, from 0")
    sequence = read_sequence(stored, person)
    if not sequence.face.valid.any():
        raise InputError(f"no face was found in sequence {person} of {folder}; choose another person")
    coarse = evaluation.fitting(sequence.face)
    decoded = decode(evaluation.model, coarse, sequence.times)
    refined = _every_frame(decoded.vertices.numpy(), decoded.frames, sequence.times, sequence.face.valid)
    seen = np.flatnonzero(np.isfinite(refined).all((1, 2)))
    there = {f"sequence {person} of {folder}": (seen + 1).tolist()} | frames_of_folders(folders)
    frames = chosen_frames(there, wanted, columns)
    rows = np.array(frames) - 1
    surface = evaluation.kit.surface(sequence, decoded.neutral, rows)
    size = evaluation.kit(sequence, decoded.neutral).size
    ours = {"coarse": coarse.vertices.numpy()[rows], "refined": refined[rows]}
    return ErrorCase(
        truth=surface.numpy() / size,  # the person's own size: `surface` is in that of the fit
        faces=evaluation.kit.kit.faces.numpy(),
        truth_is=f"synthetic person {person} of {folder.name}",
        heads=[f"{sequence.times[row]:.2f} s" for row in rows],
        ours=ours,
        reference=ours["refined"],
        reference_faces=FaceMesh().faces.numpy(),
        others=_others(folders, frames),
        frames=frames,
    )


def _ours(sequence: FaceSequence | None, rows: Sequence[int]) -> dict:
    """The fields of an ErrorCase that say what is ours, in these rows."""
    if sequence is None:
        model = FaceMesh()
        return {"ours": {}, "reference": model.template.numpy(), "reference_faces": model.faces.numpy()}
    rows = list(rows)
    windows = inside_video(sequence, picture_windows([sequence], rows))
    pictures = read_pictures(sequence, sorted(rows))
    return {
        "ours": {"coarse": sequence.coarse_vertices[rows], "refined": sequence.vertices[rows]},
        "reference": sequence.vertices[rows],
        "reference_faces": sequence.faces,
        "pictures": [crop_picture(pictures[row], window, CELL) for row, window in zip(rows, windows, strict=True)],
    }


def _others(folders: Mapping[str, Path], frames: list[int]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    return {name: (meshes.at(frames), meshes.faces) for name, meshes in read_folders(folders, frames).items()}


def _every_frame(samples: np.ndarray, frames: np.ndarray, times: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """(T, V, 3): linear in time between the network's samples, NaN where the person is not seen."""
    return spread_samples(np.where((frames >= 0)[:, None, None], samples, np.nan), frames, times, valid)[0]


def _in_frames(video: Path) -> str:
    return f"{video}, in frames with the face,"
