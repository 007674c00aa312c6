"""Multiface as a Hugging Face dataset: `MultifaceBuilder`, a builder of the `datasets` library over the user's copy.

A row is one frame of one camera: where its picture and its tracked mesh lie, and the numbers that project the one into
the other. Nothing of the files themselves is copied. Most people want `au_d3dface.data.multiface.load_multiface`.
"""

import hashlib
import json
import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ...errors import InputError, UsageError
from ..resumable_builder import ResumableBuilder, datasets
from .copy import find_subjects
from .files import MESH_BYTES, read_transform
from .selection import Clip, select_clips

SETTINGS = ("subjects", "expressions", "cameras", "every", "neutral", "skip_missing", "ignore_distortion", "image_size")

_log = logging.getLogger(__name__)

_DESCRIPTION = """\
Frames of Multiface (Wuu et al., arXiv 2207.11243) in the user's own copy: paths of pictures and tracked meshes, head \
pose and camera, metres and pixels. No picture and no mesh is in the rows. Chosen: """

_LICENSE = "Multiface's own, CC BY-NC 4.0, for the files that rows point to; get them from their authors."


@dataclass
class MultifaceConfig(datasets.BuilderConfig):
    """What is read; `data_dir` is the folder that holds the subjects' folders, or one of these.

    The subset that the paper evaluates on, 10 expressions of 3 subjects, is not published: name one in `subjects` and
    `expressions`. `chosen` says all of it, to be recorded with a score.

    Attributes:
        subjects: numbers (6795937) or folders' names; None for all that are there.
        expressions: names, or E008 for short; None for all that have pictures.
        cameras: names; None for the one that sees each subject's face from straight ahead, told from KRT and head pose.
        every: takes one frame in so many, by frame number.
        neutral: the expression at rest; None for E001_Neutral_Eyes_Open or EXP_neutral_peak, "mean" for vert_mean.bin.
        skip_missing: leaves out, with a warning that counts them, frames that lack a file; else they are an error.
        ignore_distortion: takes cameras with lens distortion as if they had none; else they are an error.
        image_size: height and width of the pictures that KRT is for; others are an error.
    """

    subjects: list[str] | None = None
    expressions: list[str] | None = None
    cameras: list[str] | None = None
    every: int = 1
    neutral: str | None = None
    skip_missing: bool = False
    ignore_distortion: bool = False
    image_size: tuple[int, int] = (2048, 1334)

    def check(self) -> None:
        """Raises UsageError where a value makes no sense."""
        if not self.data_dir:
            raise UsageError("Multiface is read from your own copy: give its folder as data_dir.")
        if self.every < 1:
            raise UsageError(f"every must be at least 1, not {self.every}")
        for name in ("subjects", "expressions", "cameras"):
            value = getattr(self, name)
            if isinstance(value, str) or (value is not None and not value):
                raise UsageError(f"{name} must be a list of names, or None for the default, not {value!r}")
        if len(self.image_size) != 2 or min(self.image_size) < 1:
            raise UsageError(f"image_size must be a height and a width in pixels, not {self.image_size!r}")

    def chosen(self) -> dict[str, Any]:
        """The settings, for JSON."""
        return {name: getattr(self, name) for name in SETTINGS}


class MultifaceBuilder(ResumableBuilder):
    """One split, "test": Multiface is for evaluation.

        builder = MultifaceBuilder(data_dir="multiface", subjects=["6795937"], expressions=["E008", "E009"])
        builder.download_and_prepare(num_proc=2)
        rows = builder.as_dataset(split="test").with_format("numpy")

    Columns: `subject` its number; `version` of the script, 1 or 2; `expression`; `frame` its number; `timestamp`
    seconds since the first frame of the expression, at 30 frames a second; `image` the picture's path; `camera` its
    name; `intrinsics` (3, 3) K in pixels; `rotation` (3, 3) and `translation` (3,) metres, from the world to the
    camera, x right, y down, z forward; `transform` (3, 4) metres, from the mesh's own frame to the world; `mesh` the
    path of the tracked mesh, `.bin`; `neutral_mesh` the subject's at rest; `topology` the path of an `.obj` with the
    triangles. `truth.read_truth`, `row_head_frame` and `project_mesh` take rows. Rows are ordered by subject,
    expression, camera and frame.

    After preparing, `skipped` has a sentence for everything that was left out.

    Raises:
        UsageError: a setting that makes no sense, or a subject or expression that is not there.
        InputError: no Multiface in data_dir, files that are missing (unless skip_missing) or damaged.
    """

    VERSION = datasets.Version("1.0.0", "raised whenever the same files give other rows")
    BUILDER_CONFIG_CLASS = MultifaceConfig
    DEFAULT_WRITER_BATCH_SIZE = 1000

    def __init__(self, cache_dir: str | None = None, hash: str | None = None, **arguments: Any) -> None:
        arguments.setdefault("dataset_name", "multiface")
        data_dir = arguments.get("data_dir")
        super().__init__(cache_dir, hash=hash or _copy_digest(data_dir), **arguments)
        self.skipped: list[str] = []

    def _info(self) -> datasets.DatasetInfo:
        self.config.check()
        name = datasets.Value("string")
        return datasets.DatasetInfo(
            description=_DESCRIPTION + json.dumps(self.config.chosen()),
            license=_LICENSE,
            homepage="https://github.com/facebookresearch/multiface",
            features=datasets.Features(
                {
                    "subject": name,
                    "version": datasets.Value("int8"),
                    "expression": name,
                    "frame": datasets.Value("int32"),
                    "timestamp": datasets.Value("float64"),
                    "image": name,
                    "camera": name,
                    "intrinsics": datasets.Array2D((3, 3), "float64"),
                    "rotation": datasets.Array2D((3, 3), "float64"),
                    "translation": datasets.List(datasets.Value("float64"), length=3),
                    "transform": datasets.Array2D((3, 4), "float64"),
                    "mesh": name,
                    "neutral_mesh": name,
                    "topology": name,
                }
            ),
        )

    def _split_generators(self, dl_manager: Any) -> list[datasets.SplitGenerator]:
        config = self.config
        clips, missing = select_clips(
            config.data_dir,
            config.subjects,
            config.expressions,
            config.cameras,
            config.every,
            config.neutral,
            config.ignore_distortion,
        )
        if missing:
            told = "; ".join(missing[:3]) + (f"; and {len(missing) - 3} more such" if len(missing) > 3 else "")
            if not config.skip_missing:
                raise InputError(
                    f"The copy of Multiface lacks files: {told}. Fetch them, or give skip_missing=True to leave such "
                    "frames out."
                )
            _log.warning("Left out of Multiface: %s.", told)
        if not clips:
            raise InputError(f"No frame of Multiface in {config.data_dir} has all its files; nothing can be read.")
        self.skipped = missing
        # A list is what the library shares out among processes and workers: every clip may be read alone.
        return [datasets.SplitGenerator("test", {"clips": clips})]

    def _generate_examples(self, clips: list[Clip]) -> Iterator[tuple[str, dict]]:
        for clip in clips:
            camera = clip.camera
            pictures, meshes, poses = ([files[number] for number in clip.numbers] for files in clip.files())
            name = f"{clip.folder.name}/{clip.expression}/{camera.name}"
            read = partial(_read, pictures, meshes, poses, tuple(self.config.image_size))
            transforms = self.read_or_kept(name, (*pictures, *meshes, *poses), read)["transforms"]
            for row, (number, time) in enumerate(zip(clip.numbers, clip.times, strict=True)):
                yield (
                    f"{name}/{number}",
                    {
                        "subject": clip.subject,
                        "version": clip.version,
                        "expression": clip.expression,
                        "frame": number,
                        "timestamp": time,
                        "image": str(pictures[row]),
                        "camera": camera.name,
                        "intrinsics": camera.intrinsics,
                        "rotation": camera.rotation,
                        "translation": camera.translation,
                        "transform": transforms[row],
                        "mesh": str(meshes[row]),
                        "neutral_mesh": str(clip.neutral_mesh),
                        "topology": str(clip.topology),
                    },
                )


def _read(pictures: list[Path], meshes: list[Path], poses: list[Path], size: tuple[int, ...]) -> dict[str, np.ndarray]:
    """The head poses (T, 3, 4) of a clip, after a look at its other files."""
    for picture, mesh in zip(pictures, meshes, strict=True):
        _check_picture(picture, size)
        _check_mesh(mesh)
    return {"transforms": np.stack([read_transform(pose) for pose in poses])}


def _check_picture(path: Path, size: tuple[int, ...]) -> None:
    """Raises InputError where it is no picture of this height and width; its head alone is read."""
    try:
        with Image.open(path) as picture:
            height, width = picture.height, picture.width
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise InputError(f"{path} cannot be read as a picture ({error}); fetch it again.") from error
    if (height, width) != size:
        raise InputError(
            f"{path} has {height} x {width} pixels (height x width), but KRT is for pictures of {size[0]} x {size[1]}; "
            "take the originals, or scale K in KRT as the pictures were and give their size as image_size."
        )


def _check_mesh(path: Path) -> None:
    size = path.stat().st_size
    if size != MESH_BYTES:
        raise InputError(f"{path} has {size:,} bytes, where a tracked mesh has {MESH_BYTES:,}; fetch it again.")


def _copy_digest(data_dir: str | None) -> str:
    """Names the state of a copy in the cache, so that rows made before files came or went are not taken for these.

    Folders change their time when a file in them comes or goes.
    """
    digest = hashlib.sha256()
    if data_dir:
        for subject in find_subjects(data_dir):
            paths = [subject / "KRT", subject / "frame_list.txt", subject / "vert_mean.bin", subject / "tracked_mesh"]
            paths += _folders_below(subject / "tracked_mesh", 1) + _folders_below(subject / "images", 2)
            for path in paths:
                if path.exists():
                    status = path.stat()
                    digest.update(f"{path.absolute()} {status.st_mtime_ns} {status.st_size}\n".encode())
    return digest.hexdigest()[:12]


def _folders_below(folder: Path, depth: int) -> list[Path]:
    if not folder.is_dir():
        return []
    with os.scandir(folder) as entries:
        found = sorted(Path(entry.path) for entry in entries if entry.is_dir())
    return found + [below for path in found for below in (_folders_below(path, depth - 1) if depth > 1 else [])]
