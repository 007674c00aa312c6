"""Labels of a benchmark joined with the coarse faces that `au-d3dface prepare` made of it, by sequence and frame.

What was prepared is compared with what lies in the data set now, by name and checksum: frames that differ are an error
that names the first of them, never a shift.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..errors import InputError
from ..face_models import FaceModel
from . import bp4d_files, disfa_files
from .benchmark_files import SequenceFiles, only, picture_number
from .prepared import PreparedVideo, read_prepared, read_prepared_frames
from .sources import source_of


@dataclass
class PreparedFrames:
    """The rows of one file of coefficients.

    Attributes:
        frames: (P,) int64, the frame number of every row, increasing.
        timestamps: (P,) seconds; None where the source was a folder of pictures, which carry no times.
        valid: (P,) bool, whether the face was reconstructed.
    """

    frames: np.ndarray
    timestamps: np.ndarray | None
    valid: np.ndarray


def find_prepared(folder: str | Path, benchmark: str, camera: str = "left") -> dict[str, Path]:
    """The files of coefficients below a folder, by sequence.

    Args:
        folder: the output of `au-d3dface prepare`.
        benchmark: of `folds.PARTS`.
        camera: of DISFA's videos.

    Raises:
        InputError: there is none, or two are about one sequence.
    """
    folder = Path(folder).expanduser().absolute()
    found: dict[str, Path] = {}
    for path in sorted(folder.rglob("*.npz")):
        name = path.relative_to(folder)
        key = bp4d_files.sequence_of(name) if benchmark == "bp4d" else disfa_files.sequence_of(name, camera)
        if key is not None:
            only(found, SequenceFiles(*key).name, path)
    if not found:
        raise InputError(f"{folder} holds nothing that `au-d3dface prepare` made of {benchmark}; prepare the data set")
    return found


def prepared_frames(path: Path, files: SequenceFiles) -> PreparedFrames:
    """Which frames the rows of a file are about.

    Args:
        path: of `find_prepared`.
        files: of the same sequence. Where its pictures or video are no longer there, nothing can be compared, and the
            file's own list of frames holds.

    Raises:
        InputError: the file is damaged, says nothing of its source, or was made from other frames.
    """
    timestamps, valid, source = read_prepared_frames(path)
    if source is None:
        raise InputError(f"{path} does not say which frames it was made from; remove it and prepare {files.name} again")
    if source.pictures is None and len(timestamps):
        if files.task:
            raise InputError(f"{path} was made from a video, whose frames have no numbers; prepare the pictures")
        if files.video is not None and source_of(files.video).checksum != source.checksum:
            raise InputError(
                f"{path} was made from another video than {files.video}; remove it and prepare {files.name} again"
            )
        return PreparedFrames(np.arange(1, len(timestamps) + 1), timestamps, valid)
    if source.pictures is None or not len(timestamps) or len(source.pictures) != len(timestamps):
        raise InputError(f"{path} is damaged: it names another number of frames than it holds; prepare it again")
    if files.pictures is not None:
        _compare(path, files, files.pictures, source.pictures, source.checksum)
    shift = 0
    numbers = [picture_number(path, name) for name in source.pictures]
    if not files.task:  # DISFA's dumps count from 0 or from 1
        first = min(numbers) if files.first_picture is None else files.first_picture
        if first not in (0, 1):
            raise InputError(f"{path} starts with picture {first}, so that it cannot be seen which frame that is")
        shift = 1 - first
    frames = np.array(numbers, np.int64) + shift
    if (np.diff(frames) <= 0).any():
        raise InputError(f"{path} names frames out of order; remove it and prepare {files.name} again")
    return PreparedFrames(frames, None, valid)


def _compare(path: Path, files: SequenceFiles, folder: Path, prepared: tuple[str, ...], checksum: str) -> None:
    now = source_of(folder)
    if now.checksum == checksum:
        return
    again = f"remove it and prepare {files.name} again"
    names = now.pictures or ()
    for before, after in zip(prepared, names, strict=False):
        if before != after:
            raise InputError(
                f"{files.name}: {path} was made from other frames than those in {folder}: the first that differs is "
                f"{before}, where {after} lies now; {again}"
            )
    if len(prepared) != len(names):
        rest, where = (prepared, "now missing") if len(prepared) > len(names) else (names, "new since")
        first = rest[min(len(prepared), len(names))]
        raise InputError(
            f"{files.name}: {path} was made from other frames than those in {folder}: the first that differs is "
            f"{first}, {where}; {again}"
        )
    raise InputError(f"{files.name}: the pictures in {folder} have changed since {path} was made from them; {again}")


def read_clip(row: dict, face_model: FaceModel, video: PreparedVideo | None = None) -> dict[str, Tensor]:
    """A clip of a benchmark as tensors, ready for `collate_clips`.

    Args:
        row: of `load_benchmark(..., clip_length=L, prepared=DIR)`.
        face_model: the one that was prepared with.
        video: the row's file where it has been read already, as neighbouring rows share it.

    Returns:
        `vertices` (L, V, 3) and `neutral_vertices` (V, 3) metres; `frame_mask` (L,) bool; `au_labels` (L, N) int64 and
        `au_intensity_labels` (L, N), -1 where unknown. Entries without a face hold the face at rest and are masked.

    Raises:
        InputError: the row was not joined with coefficients, or their file is missing or damaged.
    """
    if row["prepared"] is None:
        raise InputError("the rows were not joined with coarse faces; load the benchmark with prepared=DIR")
    video = video or read_prepared(row["prepared"], face_model)
    rows, mask = torch.as_tensor(row["prepared_rows"]).long(), torch.as_tensor(row["frame_mask"]).bool()
    if video.faces:
        coarse = next(iter(video.faces.values()))
        neutral = coarse.neutral_vertices
        vertices = torch.where(mask[:, None, None], coarse.vertices[rows.clamp_min(0)], neutral)
    else:
        neutral = face_model.template.cpu()
        vertices = neutral.expand(len(rows), -1, -1).clone()
    return {
        "vertices": vertices,
        "neutral_vertices": neutral,
        "frame_mask": mask,
        "au_labels": torch.as_tensor(row["au_labels"]).long(),
        "au_intensity_labels": torch.as_tensor(row["au_intensity"]).float(),
    }
