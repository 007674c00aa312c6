"""The command line: au-d3dface evaluate figure strip | errors | timeline | reliability."""

import argparse
import warnings
from pathlib import Path

from ...command_line import (
    SAMPLE,
    ProgressBar,
    add_landmarker_option,
    add_model_options,
    input_path,
    named_paths,
)
from ...errors import UsageError
from ..meshes.commands import add_alignment_options, measuring_of

# Nothing heavy is imported up here: the command line loads this module before it knows what is asked for.

_OURS = f"a video, a folder of pictures, '{SAMPLE}', an action_units.csv, or a folder that `reconstruct` wrote"
_LABELS = (
    "labels of its frames: a csv of OpenFace, a label file as --au-labels takes it, a csv of BP4D, or a folder of "
    "DISFA's files of one person"
)


def add_figure(kinds) -> None:
    """Adds `figure` and its own commands to those of `evaluate`."""
    figure = kinds.add_parser(
        "figure",
        help="figures for papers: meshes by frame, error maps, action units against labels, reliability diagrams",
        description="Draws one figure, and writes the numbers that it shows beside it as json.",
    )
    figures = figure.add_subparsers(title="what to draw", required=True, metavar="FIGURE")
    _add_strip(figures)
    _add_errors(figures)
    _add_timeline(figures)
    _add_reliability(figures)


def _add_strip(figures) -> None:
    command = figures.add_parser(
        "strip",
        help="frames of a video, and below them the meshes of each method (Fig. 3)",
        description="Rows: the picture, the coarse and the refined mesh, and the meshes of other methods, each laid on "
        "the refined mesh of its frame, with scale. Columns: frames.",
    )
    command.add_argument("video", help=f"a video file, a folder of pictures, or '{SAMPLE}'")
    command.add_argument("--face", type=int, metavar="ID", help="whom to draw (default: the most prominent)")
    _add_mesh_options(command)
    _add_common(command, "png")
    command.set_defaults(run=_strip)


def _add_errors(figures) -> None:
    command = figures.add_parser(
        "errors",
        help="meshes coloured by their distance from true ones, in mm (Fig. 4)",
        description="What Table 1 measures, as colour: each mesh is aligned to the true surface of its frame by ICP, "
        "and the vertices of its face are coloured by their distance from it, all on one scale, the mean under each. "
        "The truth is a folder of meshes, Multiface, or synthetic people. A folder of --meshes may hold many "
        "sequences, as the table takes it, one of them of the truth's name.",
    )
    command.add_argument(
        "video", nargs="?", help=f"of the frames of --truth, to reconstruct: a video, a folder of pictures, '{SAMPLE}'"
    )
    truth = command.add_mutually_exclusive_group(required=True)
    truth.add_argument("--truth", metavar="DIR", help="true meshes, obj, ply or npz, as --meshes takes them")
    truth.add_argument(
        "--multiface", metavar="DIR", help="your copy of Multiface, whose pictures are reconstructed without --prepared"
    )
    truth.add_argument(
        "--synthetic", metavar="FOLDER", help="held-out synthetic people, as `evaluate synthetic` takes them"
    )
    for name, what in (
        ("subject", "number of a subject (default: the first)"),
        ("expression", "name of an expression, or E008 for short (default: the first)"),
        ("camera", "name of a camera (default: the most frontal)"),
    ):
        command.add_argument(f"--{name}", metavar="NAME", help=f"with --multiface: {what}")
    command.add_argument(
        "--prepared",
        action="append",
        default=[],
        metavar="DIR",
        help="with --multiface: what `au-d3dface prepare MULTIFACE --output DIR` wrote, as it is and refined, as "
        "`evaluate multiface` has it; once for each reconstructor",
    )
    command.add_argument(
        "--person", type=int, metavar="K", help="with --synthetic: which of the people, from 0 (default: 0)"
    )
    command.add_argument(
        "--ict-facekit",
        metavar="PATH",
        help="with --synthetic: folder or npz of ICT-FaceKit, whose surfaces are the truth (default: what "
        "AU_D3DFACE_ICT_FACEKIT names, else what 'au-d3dface assets ict-facekit' fetched)",
    )
    add_alignment_options(command)
    command.add_argument("--face", type=int, metavar="ID", help="who of the video (default: the most prominent)")
    _add_mesh_options(command)
    _add_common(command, "png")
    command.set_defaults(run=_errors)


def _add_mesh_options(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--meshes",
        action="append",
        default=[],
        metavar="NAME=DIR",
        help="meshes by another method, obj, ply or npz, the last number in a file's name being the frame's; may be "
        "repeated",
    )
    command.add_argument("--frames", metavar="LIST", help="frame numbers, separated by commas (default: spread evenly)")
    command.add_argument(
        "--columns", type=int, default=5, metavar="K", help="how many frames, without --frames (default: %(default)s)"
    )
    command.add_argument(
        "--first-frame",
        type=int,
        default=1,
        metavar="N",
        help="the number that files of meshes give to the first frame of the video (default: %(default)s)",
    )


def _add_timeline(figures) -> None:
    command = figures.add_parser(
        "timeline",
        help="action units over time against labels",
        description="A row an action unit: probability, threshold and decision over the label, and F1 beside it.",
    )
    command.add_argument("clip", help=_OURS)
    command.add_argument("labels", help=_LABELS)
    command.add_argument(
        "--action-units", metavar="LIST", help="which, separated by commas (default: all that both know)"
    )
    _add_label_options(command)
    _add_common(command, "png, pdf or svg")
    command.set_defaults(run=_timeline)


def _add_reliability(figures) -> None:
    command = figures.add_parser(
        "reliability",
        help="reliability diagrams of the probabilities, with ECE and Brier score",
        description="Of the frames that were given a probability, how many are labelled present: all action units "
        "pooled, and each; against labels of any number of clips, or on held-out synthetic people.",
    )
    command.add_argument(
        "pairs", nargs="*", metavar="CLIP LABELS", help=f"{_OURS}; then {_LABELS}; any number of pairs"
    )
    command.add_argument(
        "--synthetic",
        action="append",
        default=[],
        metavar="FOLDER",
        help="instead of pairs: sequences of synthetic people, as `evaluate synthetic` takes them; may be repeated",
    )
    command.add_argument("--bins", type=int, default=10, metavar="B", help="of equal width (default: %(default)s)")
    _add_label_options(command)
    _add_common(command, "png, pdf or svg")
    command.set_defaults(run=_reliability)


def _add_label_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("--face", type=int, metavar="ID", help="face_id in ours (default: the most prominent)")
    command.add_argument(
        "--label-face", type=int, metavar="ID", help="face_id in the labels (default: the one in most frames)"
    )
    command.add_argument(
        "--first-frame",
        type=int,
        default=1,
        metavar="N",
        help="the number that the labels give to the first frame of the clip (default: %(default)s)",
    )


def _add_common(command: argparse.ArgumentParser, kinds: str) -> None:
    command.add_argument(
        "-o",
        "--output",
        required=True,
        metavar="FILE",
        help=f"the figure, {kinds}; the numbers that it shows come to lie beside it, as json",
    )
    add_landmarker_option(command)
    add_model_options(command)


def _strip(options: argparse.Namespace) -> int:
    with ProgressBar(options.quiet) as progress:
        progress.say("loading")
        warnings.filterwarnings("ignore")
        from .files import RASTER, check_figure
        from .frames import chosen_frames, frames_of_folders, parse_frames, read_folders
        from .labelled_clips import reconstructed
        from .strip import strip_figure

        path = check_figure(options.output, RASTER)
        wanted = parse_frames(options.frames, options.columns)
        folders = named_paths(options.meshes, "--meshes", ("input", "coarse", "refined"))
        shift = options.first_frame - 1
        there = frames_of_folders(folders, shift)
        video = input_path(options.video)
        sequence = reconstructed(_pipeline(options), video, options.face, progress)
        ours = {f"{video}, in frames with the face,": (sequence.valid.nonzero()[0] + 1).tolist()}
        frames = chosen_frames(ours | there, wanted, options.columns)
        progress.say("drawing")
        others = read_folders(folders, frames, shift)
        picture, numbers = strip_figure(sequence, frames, others, options.first_frame)
    return _finish(path, picture, numbers, options)


def _errors(options: argparse.Namespace) -> int:
    _check_kind(options)
    with ProgressBar(options.quiet) as progress:
        progress.say("loading")
        warnings.filterwarnings("ignore")
        from ..meshes.face_parts import check_regions_used
        from .error_cases import TAKEN, Shown, folder_case, multiface_case, synthetic_case
        from .errors import error_figure
        from .files import RASTER, check_figure
        from .frames import parse_frames
        from .labelled_clips import reconstructed

        path = check_figure(options.output, RASTER)
        measuring = measuring_of(options)
        wanted = parse_frames(options.frames, options.columns)
        folders = named_paths(options.meshes, "--meshes", TAKEN)
        regions = named_paths(options.regions, "--regions")
        shown = Shown(wanted, options.columns, options.every, folders, regions)

        def reconstruct(video: Path):
            return reconstructed(_pipeline(options), video, options.face, progress)

        if options.truth is not None:
            video = None if options.video is None else input_path(options.video)
            case = folder_case(Path(options.truth).expanduser(), video, reconstruct, shown, options.first_frame)
        elif options.multiface is not None:
            which = options.subject, options.expression, options.camera
            prepared = _prepared(options, regions) if options.prepared else []
            case = multiface_case(Path(options.multiface).expanduser(), *which, reconstruct, prepared, shown)
        else:
            from ...face_models import find_ict_facekit
            from ..meshes.table1 import tracked_methods

            kit = find_ict_facekit(options.ict_facekit)
            methods = tracked_methods(_refining(options), regions)
            case = synthetic_case(Path(options.synthetic).expanduser(), options.person or 0, kit, methods, shown)
        check_regions_used(regions, [method.regions for method in case.methods])
        progress.say("aligning and drawing")
        picture, numbers = error_figure(case, measuring)
    return _finish(path, picture, numbers, options)


def _prepared(options: argparse.Namespace, regions: dict[str, Path]) -> list:
    """The rows of Table 1, by the reconstructor's name and, refined, with "+ refined" behind it."""
    from ..meshes.table1 import prepared_methods

    folders = [Path(folder).expanduser() for folder in options.prepared]
    return prepared_methods(folders, _refining(options), {}, regions)


def _refining(options: argparse.Namespace) -> list:
    from ..meshes.table1 import BUNDLED, load_uses

    device = None if options.device == "auto" else options.device
    return load_uses({"refined": options.model or BUNDLED}, device)


def _check_kind(options: argparse.Namespace) -> None:
    """Options that say something of another kind of truth than the one that is given."""
    kind = next(name for name in ("truth", "multiface", "synthetic") if getattr(options, name) is not None)
    belongs = {"subject": "multiface", "expression": "multiface", "camera": "multiface"}
    belongs |= {"prepared": "multiface", "person": "synthetic", "ict_facekit": "synthetic", "video": "truth"}
    for name, of in belongs.items():
        if getattr(options, name) not in (None, []) and of != kind:
            what = "a video" if name == "video" else f"--{name.replace('_', '-')}"
            raise UsageError(f"{what} goes with --{of}, not with --{kind}; leave one out")
    if options.first_frame != 1 and kind != "truth":
        raise UsageError(f"--first-frame goes with --truth, not with --{kind}; leave one out")


def _timeline(options: argparse.Namespace) -> int:
    with ProgressBar(options.quiet) as progress:
        progress.say("loading")
        warnings.filterwarnings("ignore")
        from .files import check_figure
        from .timeline import timeline_figure, timeline_numbers

        path = check_figure(options.output)
        units = _units(options.action_units)
        (clip,) = _clips([options.clip, options.labels], options, progress)
        if units is not None:
            clip = clip.only(units)
        progress.say("drawing")
        figure = timeline_figure(clip)
    return _finish(path, figure, timeline_numbers(clip), options)


def _reliability(options: argparse.Namespace) -> int:
    if bool(options.pairs) == bool(options.synthetic):
        raise UsageError("give pairs of a clip and its labels, or --synthetic FOLDER, and not both")
    if len(options.pairs) % 2:
        raise UsageError("give pairs of a clip and its labels: there is an odd number of files")
    if not 2 <= options.bins <= 100:
        raise UsageError(f"--bins must be 2 to 100, not {options.bins}")
    with ProgressBar(options.quiet) as progress:
        progress.say("loading")
        warnings.filterwarnings("ignore")
        from ...checkpoints import load_checkpoint
        from ..synthetic_people.evaluation import SyntheticEvaluation
        from .files import check_figure
        from .reliability import reliability_figure, reliability_numbers, rows_of_clips, rows_of_synthetic

        path = check_figure(options.output)
        if options.pairs:
            rows = rows_of_clips(_clips(options.pairs, options, progress))
        else:
            evaluation = SyntheticEvaluation(load_checkpoint(options.model, options.device), calibration=False)
            rows = rows_of_synthetic(options.synthetic, evaluation, progress)
        progress.say("drawing")
        figure = reliability_figure(rows, options.bins)
    return _finish(path, figure, reliability_numbers(rows, options.bins), options)


def _clips(pairs: list[str], options: argparse.Namespace, progress: ProgressBar) -> list:
    """The clips of CLIP LABELS CLIP LABELS ...; the pipeline is loaded once, if at all."""
    from functools import lru_cache

    from .labelled_clips import labelled_clip

    load = lru_cache(maxsize=1)(lambda: _pipeline(options))
    paths = [input_path(text) for text in pairs]
    return [
        labelled_clip(clip, labels, load, options.face, options.label_face, options.first_frame, progress)
        for clip, labels in zip(paths[::2], paths[1::2], strict=True)
    ]


def _units(text: str | None) -> list[int] | None:
    from ... import facs

    try:
        return None if text is None else [facs.parse(part) for part in text.split(",") if part.strip()]
    except ValueError as error:
        raise UsageError(f"--action-units: {error}") from None


def _pipeline(options: argparse.Namespace):
    from ...pipeline_au_d3dface import AUD3DFacePipeline

    return AUD3DFacePipeline.from_pretrained(
        options.model, device=options.device, face_landmarker=options.face_landmarker
    )


def _finish(path: Path, figure, numbers: dict, options: argparse.Namespace) -> int:
    from .files import write_figure

    for file in write_figure(path, figure, {"checkpoint": options.model or "bundled"} | numbers):
        if not options.quiet:
            print(f"  {file}")
    return 0
