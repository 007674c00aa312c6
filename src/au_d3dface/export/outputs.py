"""All outputs of a run together: first into a temporary folder inside the target, then moved in when complete."""

import re
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import OutputError
from .files import check_output_directory, move_into, output_errors, staging_folder
from .formats import DEFAULT_FORMATS, parse_formats

if TYPE_CHECKING:
    import numpy as np

    from ..face_sequence import FaceSequence

Progress = Callable[[str, int, int | None], None]

_NPZ_NAME = re.compile(r"sequence(_\d{3,})?\.npz")


def write_outputs(
    sequences: "Sequence[FaceSequence]",
    directory: str | PathLike[str],
    formats: str | Sequence[str] | None,
    summary: Mapping[str, Any] | None,
    timestamps: "np.ndarray",
    action_units: Sequence[int],
    progress: Progress | None = None,
    frame_range: tuple[int, int] | None = None,
    per_face: bool = False,
    intensities: bool = False,
) -> list[Path]:
    """Writes what a run found into a folder, all of it or nothing.

    Files of an earlier run are replaced where they have the same name, and stay whole if this fails or is interrupted.
    Without any face only action_units.csv is written (if asked for): every row says `success` 0.

    Args:
        sequences: the people of one video; exactly one, unless `per_face`.
        directory: made where it is missing.
        formats: as `parse_formats` takes them.
        summary: `settings`, `warnings` and `seconds` of the run, and anything else for summary.json, which also says
            what the sequences know; None leaves summary.json out.
        timestamps: (T,) seconds of every frame of the video, for a video without a face.
        action_units: the checkpoint's, for a video without a face.
        progress: called as progress(format, done, total) again and again, at most a second of work after the last time
            for 30 seconds of video; what it raises ends the work, and nothing is left of it.
        frame_range: first and last frame for face.glb, counted from 1; the first minute by default.
        per_face: csv, overlay, render and summary cover everyone, and each person has a folder `face_00` with the rest.
        intensities: whether the checkpoint predicts intensities, for a video without a face.

    Returns:
        The files written (and the folders of meshes), in the order of their names.

    Raises:
        UsageError: an unknown format, an overlay without a video, a texture or render without the appearance, or a
            frame range outside the video.
        InputError: the video cannot be read again for the overlay or render.
        OutputError: the folder cannot be written.
    """
    from .csv import write_csv
    from .overlay import write_overlay
    from .summary import summarize, write_summary

    formats = parse_formats(formats)
    if len(sequences) > 1 and not per_face:
        raise ValueError(f"{len(sequences)} faces need per_face=True")
    report = progress or (lambda name, done, total: None)
    directory = check_output_directory(directory)
    seconds: dict[str, float] = {}

    @contextmanager
    def stage(name: str):  # type: ignore[no-untyped-def]
        report(name, 0, None)
        start = time.perf_counter()
        yield
        seconds[name] = seconds.get(name, 0.0) + time.perf_counter() - start

    with staging_folder(directory) as staging:
        try:
            if "csv" in formats:
                with stage("csv"):
                    write_csv(staging / "action_units.csv", sequences, timestamps, action_units, intensities)
            notes: list[dict[str, Any]] = []
            for sequence in sequences:
                folder = staging / f"face_{sequence.face_id:02d}" if per_face else staging
                folder.mkdir(exist_ok=True)
                notes.append(_write_one(sequence, folder, formats, frame_range, stage, progress))
            if "overlay" in formats and sequences:
                with stage("overlay"):
                    write_overlay(staging / "overlay.mp4", sequences, progress)
            if "render" in formats and sequences:
                from .render import write_render

                with stage("render"):
                    write_render(staging / "render.mp4", sequences, progress)
            if summary is not None and sequences:
                content = summarize(sequences, timestamps) | dict(summary)
                for face, note in zip(content["faces"], notes, strict=True):
                    face.update(note)
                content["warnings"] = [*content.get("warnings", []), *_glb_warnings(content["faces"])]
                content["seconds"] = {**content.get("seconds", {}), "export": seconds}
                content["outputs"] = sorted(
                    str(path.relative_to(staging)) for path in staging.rglob("*") if path.is_file()
                )
                write_summary(staging / "summary.json", content)
            written = move_into(staging, directory)
        except OutputError as error:  # people know their folder, not the temporary one
            raise OutputError(str(error).replace(str(staging), str(directory))) from error
    _remove_stale_parts(written)
    return written


def save_sequence(
    sequence: "FaceSequence", directory: str | PathLike[str], formats: str | Sequence[str] | None = None
) -> list[Path]:
    """What `FaceSequence.save` does."""
    if formats is None and sequence.source is None:
        formats = [name for name in DEFAULT_FORMATS if name != "overlay"]
    return write_outputs([sequence], directory, formats, {}, sequence.timestamps, sequence.action_units)


def _write_one(  # type: ignore[no-untyped-def]
    sequence: "FaceSequence",
    folder: Path,
    formats: Sequence[str],
    frame_range: tuple[int, int] | None,
    stage,
    progress: Progress | None,
) -> dict[str, Any]:
    """Writes one person's own files, and returns what the summary says of them."""
    note: dict[str, Any] = {}
    if "npz" in formats:
        from .npz import write_npz

        with stage("npz"):
            note["npz_parts"] = len(write_npz(folder, sequence, progress))
    if "obj" in formats:
        from .obj import write_obj_sequence

        with stage("obj"):
            write_obj_sequence(folder, sequence, progress)
    if "glb" in formats:
        from .glb import write_glb

        with stage("glb"):
            made = write_glb(folder / "face.glb", sequence, frame_range, progress=progress)
        note["glb"] = {
            "first_frame": made.first_frame,
            "last_frame": made.last_frame,
            "whole_video": made.whole_video,
            "morph_targets": made.morph_targets,
            "low_rank": made.low_rank,
            "max_error_metres": made.max_error,
        }
    if "strip" in formats:
        from .strip import write_strip

        with stage("strip"):
            write_strip(folder / "strip.png", sequence, progress=progress)
    if "texture" in formats:
        from .texture import write_texture

        with stage("texture"):
            write_texture(folder / "texture.png", sequence)
    if "timeline" in formats:
        from .timeline import plot_timeline

        with stage("timeline"):
            plot_timeline(sequence, folder / "timeline.png")
    return note


def _glb_warnings(faces: Sequence[Mapping[str, Any]]) -> list[str]:
    made = [(face["face_id"], face["glb"]) for face in faces if "glb" in face]
    return [
        f"face.glb of face {face_id} covers frames {glb['first_frame']} to {glb['last_frame']}, not the whole video; "
        "sequence.npz holds every frame"
        for face_id, glb in made
        if not glb["whole_video"]
    ]


def _remove_stale_parts(written: Sequence[Path]) -> None:
    """Parts of an earlier, longer sequence must not lie among those of this one."""
    for folder in {path.parent for path in written if _NPZ_NAME.fullmatch(path.name)}:
        for path in folder.glob("sequence*.npz"):
            if _NPZ_NAME.fullmatch(path.name) and path not in written:
                with output_errors(path):
                    path.unlink()
