"""The command line: au-d3dface prepare VIDEO... --output DIR; coarse faces of a whole data set, reconstructed once.

One file a video, written when it is whole, so that the same command goes on where it was stopped. Several processes
share the work where a launcher starts them (`torchrun`, or `accelerate launch --multi_gpu`, which is right on a CPU
too: with `--cpu` it starts one): each takes every n-th video, and a GPU of its own where there are several.
"""

import argparse
import json
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import __version__
from .command_line import ProgressBar, add_landmarker_option
from .errors import InputError, UsageError

if TYPE_CHECKING:  # heavy: the command line loads this module before it knows what is asked for
    import numpy as np

    from .coarse import CoarseReconstructor
    from .tracking import LandmarkTracker
    from .video import VideoReader

PREPARATION = "prepare.json"
"""The settings of all files of a folder."""

VIDEO_SUFFIXES = frozenset(
    f".{name}"
    for name in ("mp4", "m4v", "mov", "avi", "mkv", "webm", "wmv", "mpg", "mpeg", "mts", "m2ts", "flv", "3gp")
)
"""File names that are taken for videos in a folder. What is named on its own is read whatever it is called."""


def add_prepare(commands) -> None:
    """Adds `prepare` to the sub-commands of a parser."""
    command = commands.add_parser(
        "prepare",
        help="reconstruct the coarse faces of a whole data set once",
        description="Tracks the faces of many videos and reconstructs them coarsely, without the network, and writes "
        "one npz of coefficients a video, under the video's own path below the folder given. Videos that are done are "
        "left out, so that the same command goes on where it was stopped.",
    )
    command.add_argument(
        "videos", nargs="+", metavar="PATH", help="videos, folders of frames, and folders that hold these at any depth"
    )
    command.add_argument("-o", "--output", required=True, metavar="DIR", help="folder for the results; made if missing")
    command.add_argument(
        "--coarse", default="landmarks", metavar="NAME", help="landmarks, deca or emoca (default: %(default)s)"
    )
    command.add_argument(
        "--face-model",
        metavar="NAME",
        help="facemesh, ict or flame, for --coarse landmarks (default: facemesh; flame for deca and emoca)",
    )
    command.add_argument("--ict-facekit", metavar="PATH", help="as for 'au-d3dface reconstruct'")
    for kind in ("flame", "deca", "emoca"):
        command.add_argument(f"--{kind}", metavar="PATH", help="as for 'au-d3dface reconstruct'")
    command.add_argument(
        "--faces", choices=("largest", "all"), default="largest", help="whom to reconstruct (default: %(default)s)"
    )
    command.add_argument(
        "--appearance",
        action="store_true",
        help="estimate the colours of every person and the light of every frame too, from another pass over the "
        "pictures: what L_img compares with in training",
    )
    add_landmarker_option(command)
    command.add_argument("--device", default="auto", help="cpu, cuda, ... (default: cuda where there is one, else cpu)")
    command.add_argument("--quiet", action="store_true", help="no progress bar and no report")
    command.set_defaults(run=_prepare)


def _prepare(options: argparse.Namespace) -> int:
    from .export import check_output_directory

    output = check_output_directory(options.output)
    videos = find_videos([Path(path).expanduser() for path in options.videos])
    share, processes = process_share(os.environ)
    with ProgressBar(options.quiet) as progress:
        progress.say("loading")
        warnings.filterwarnings("ignore")  # of dependencies
        from .tracking import load_tracker

        coarse, settings = _load(options, share, processes)
        begin(output, settings)
        failed, done = [], 0
        todo = [(video, output / target) for video, target in videos[share::processes]]
        for number, (video, target) in enumerate(todo):
            if target.exists():
                continue
            progress(f"video {number + 1} of {len(todo)}", 0, None)
            try:
                prepare_video(
                    video,
                    target,
                    coarse,
                    lambda: load_tracker(task_file=options.face_landmarker),
                    settings,
                    lambda frames, total, number=number: progress(f"video {number + 1} of {len(todo)}", frames, total),
                )
                done += 1
            except InputError as error:  # one bad file among thousands is no reason to stop
                failed.append(error)
                print(f"au-d3dface: warning: {error}", file=sys.stderr)
    if not options.quiet:
        print(f"{len(todo)} videos: {done} prepared now, {len(todo) - done - len(failed)} before; in {output}")
    if failed:
        raise InputError(f"{len(failed)} of {len(todo)} videos could not be read (see above); the others are prepared")
    return 0


def _load(options: argparse.Namespace, share: int, processes: int) -> tuple["CoarseReconstructor", dict[str, Any]]:
    """The reconstructor that the options name, and the settings that all files of the folder share."""
    from .checkpoints import resolve_device
    from .coarse import load_coarse
    from .face_models import load_face_model
    from .modeling_au_d3dface import face_model_checksum

    encoder = options.coarse if options.coarse in ("deca", "emoca") else None
    name = options.face_model or ("flame" if encoder else "facemesh")
    for kind, used in (("ict_facekit", "ict"), ("flame", "flame"), ("deca", "deca"), ("emoca", "emoca")):
        if getattr(options, kind) is not None and used not in (name, encoder):
            raise UsageError(f"--{kind.replace('_', '-')} goes with {used!r}, which is not in use here")
    device = resolve_device(options.device)
    if device.type == "cuda" and device.index is None and processes > 1:
        import torch

        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", share)) % torch.cuda.device_count())
    path = {"ict": options.ict_facekit, "flame": options.flame}.get(name)
    face_model = load_face_model(name, path).to(device)
    coarse = load_coarse(options.coarse, face_model, getattr(options, encoder) if encoder else None)
    settings = {
        "coarse": options.coarse,
        "face_model": name,
        "face_model_checksum": face_model_checksum(face_model.template, face_model.faces),
        "faces": options.faces,
        "landmarks": "68 tracked",
        "appearance": options.appearance,
        "version": __version__,
    }
    return coarse, settings


def find_videos(paths: Sequence[Path]) -> list[tuple[Path, Path]]:
    """The videos of a data set, and for each the path of its file below the output folder.

    Args:
        paths: videos and folders. A folder with pictures in it is one video, a folder of frames; of other folders,
            everything below is taken, in order of names.

    Raises:
        InputError: a path is missing, a folder holds no video, or two videos would share a file.
    """
    found = []
    for path in paths:
        if path.is_dir():
            inside = list(_walk(path))
            if not inside:
                raise InputError(f"{path} holds neither videos nor pictures, at any depth; give another folder")
            for video in inside:
                below = video.relative_to(path)
                found.append((video, below if below.parts else Path(path.resolve().name)))
        elif path.exists():
            found.append((path, Path(path.name)))
        else:
            raise InputError(f"{path} does not exist; check the name")
    # The suffix stays in the name: a.mp4 and a.avi are two videos.
    files = [(video, below.with_name(f"{below.name}.npz")) for video, below in found]
    taken: dict[Path, Path] = {}
    for video, file in files:
        if taken.setdefault(file, video) != video:
            raise InputError(f"{taken[file]} and {video} would have one file, {file}; prepare them into two folders")
    return list({file: (video, file) for video, file in files}.values())


def _walk(folder: Path) -> Iterator[Path]:
    from .video.pictures import PICTURE_SUFFIXES

    entries = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    if any(entry.suffix.lower() in PICTURE_SUFFIXES and entry.is_file() for entry in entries):
        yield folder
    for entry in entries:
        if entry.is_dir():
            yield from _walk(entry)
        elif entry.suffix.lower() in VIDEO_SUFFIXES:
            yield entry


def process_share(environment: "os._Environ[str] | dict[str, str]") -> tuple[int, int]:
    """Which of how many processes this is, as launchers say it in RANK and WORLD_SIZE: (0, 1) where none did."""
    try:
        share, processes = int(environment.get("RANK", 0)), int(environment.get("WORLD_SIZE", 1))
    except ValueError:
        share, processes = -1, 0
    if not 0 <= share < processes:
        raise UsageError(
            "RANK and WORLD_SIZE in the environment are no share of the work; unset them, or let a launcher"
        )
    return share, processes


def begin(output: Path, settings: dict[str, Any]) -> None:
    """Makes the folder and says in it what its files are.

    Raises:
        InputError: it holds files that were prepared otherwise.
        OutputError: it cannot be written.
    """
    from .export.files import atomic_path, output_errors

    path, text = output / PREPARATION, json.dumps(settings, indent=1) + "\n"
    with output_errors(output):
        output.mkdir(parents=True, exist_ok=True)
        if path.exists() and path.read_bytes() != text.encode():
            raise InputError(f"{output} holds faces that were prepared with other settings, see {path}; give another")
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def prepare_video(
    video: Path,
    target: Path,
    coarse: "CoarseReconstructor",
    tracker: Callable[[], "LandmarkTracker"],
    settings: dict[str, Any],
    report: Callable[[int, int | None], None] = lambda done, total: None,
) -> None:
    """Tracks and reconstructs one video, and writes its file.

    Args:
        video: a video, a folder of frames, or a picture.
        target: the file, see `data.prepared`.
        coarse: the reconstructor.
        tracker: makes a landmark tracker.
        settings: written along; `faces` says whether "largest" or "all", `appearance` whether colours and light are
            estimated.
        report: called as report(frames done, frames of the video) in each pass over it.

    Raises:
        InputError: the video cannot be read.
        OutputError: the file cannot be written.
    """
    from .coarse import AppearanceEstimator
    from .data.prepared import write_prepared
    from .data.prepared_views import TEXTURE_SIZE, SeenFace
    from .data.sources import source_of
    from .errors import NoFaceError
    from .export.files import output_errors
    from .tracking import track_faces
    from .video import VideoReader

    source = source_of(video)
    with VideoReader(video) as reader:
        with closing(tracker()) as landmarks:
            tracked = track_faces(_reported(reader, report), landmarks)
        people = sorted(tracked.faces, key=lambda face: -face.prominence)
        faces = {}
        for face in people[:1] if settings["faces"] == "largest" else people:
            with closing(_pictures(reader, report)) as frames:
                try:
                    faces[face.face_id] = coarse(face, None, frames)
                except NoFaceError:  # too small for a crop in every frame
                    continue
        looks = {}
        if settings["appearance"] and faces:
            estimators = {
                face_id: AppearanceEstimator(sequence, coarse.face_model, TEXTURE_SIZE)
                for face_id, sequence in faces.items()
            }
            with closing(_pictures(reader, report)) as frames:
                for row, image in frames:
                    for estimator in estimators.values():
                        estimator.add(row, image)
            looks = {face_id: estimator.result() for face_id, estimator in estimators.items()}
    seen = {
        face.face_id: SeenFace.of(face, looks.get(face.face_id)).to_arrays() for face in people if face.face_id in faces
    }
    with output_errors(target.parent):
        target.parent.mkdir(parents=True, exist_ok=True)
    write_prepared(target, tracked.timestamps, (tracked.height, tracked.width), faces, settings, source, seen)


def _reported(reader: "VideoReader", report: Callable[[int, int | None], None]) -> Iterator[Any]:
    for frame in reader:
        yield frame
        report(frame.index + 1, reader.num_frames)


def _pictures(reader: "VideoReader", report: Callable[[int, int | None], None]) -> Iterator[tuple[int, "np.ndarray"]]:
    """Another pass, which begins when the first picture is taken."""
    for frame in _reported(reader, report):
        yield frame.index, frame.image
