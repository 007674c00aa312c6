"""The command line: au-d3dface evaluate agreement | frame-rate | synthetic; tables of benchmarks are in
benchmarks.commands, those of meshes in meshes.commands, pictures in figures.commands.
"""

import argparse
import sys
import warnings
from pathlib import Path

from ..command_line import SAMPLE, ProgressBar, add_landmarker_option, add_model_options, input_path
from ..errors import UsageError
from .benchmarks.commands import add_benchmarks, add_card_option
from .figures.commands import add_figure
from .meshes.commands import add_mesh_tables

# Nothing heavy is imported up here: the command line loads this module before it knows what is asked for.


def add_evaluate(commands) -> None:
    """Adds `evaluate` and its own commands to the sub-commands of a parser."""
    evaluate = commands.add_parser(
        "evaluate",
        help="measure a checkpoint",
        description="Measures a checkpoint on video or on synthetic people; prints tables, and writes them with "
        "--output.",
    )
    kinds = evaluate.add_subparsers(title="what to measure", required=True, metavar="WHAT")
    _add_agreement(kinds)
    _add_frame_rate(kinds)
    _add_synthetic(kinds)
    add_benchmarks(kinds)
    add_mesh_tables(kinds)
    add_figure(kinds)


def _add_agreement(kinds) -> None:
    command = kinds.add_parser(
        "agreement",
        help="agreement of the action units with those of OpenFace or py-feat on the same video",
        description="For each action unit and clip: Pearson's r with the reference's intensity (py-feat: its "
        "probability times 5; where its standard deviation is at least 0.15), and the area under the ROC curve against "
        "its presence (where that is between 5 and 95 % of the frames); means over clips, then over AUs.",
    )
    command.add_argument(
        "pairs",
        nargs="*",
        metavar="VIDEO REFERENCE",
        help="a video, or an action_units.csv of this program; then a csv of OpenFace or py-feat; any number of pairs",
    )
    command.add_argument("--clips", metavar="DIR", help="folder of videos, paired by name with --references")
    command.add_argument("--references", metavar="DIR", help="folder of OpenFace's or py-feat's csv files")
    command.add_argument("--face", type=int, metavar="ID", help="face_id in ours (default: the most prominent)")
    command.add_argument(
        "--reference-face", type=int, metavar="ID", help="face_id in the references (default: the one in most frames)"
    )
    add_landmarker_option(command)
    _add_common(command)
    add_card_option(command)
    command.set_defaults(run=_agreement)


def _add_frame_rate(kinds) -> None:
    command = kinds.add_parser(
        "frame-rate",
        help="how much the result depends on the frame rate of the video",
        description="Reconstructs a video from all of its frames and again from fewer, and compares events and "
        "decisions of the action units.",
    )
    command.add_argument("video", help=f"a video file, a folder of frames, or '{SAMPLE}' for the clip in the package")
    command.add_argument(
        "--rates",
        metavar="LIST",
        help="frames a second, separated by commas (default: 10,15,25,30 if the video has more)",
    )
    add_landmarker_option(command)
    _add_common(command)
    command.set_defaults(run=_frame_rate)


def _add_synthetic(kinds) -> None:
    command = kinds.add_parser(
        "synthetic",
        help="scores on held-out synthetic people, whose action units and meshes are known",
        description="Decodes sequences that python -m au_d3dface.data.synthetic.rendered_sequences has made, and "
        "compares action units and meshes with the truth: F1, ROC area and intensity r of each action unit, by true "
        "intensity too; mesh errors by region; jitter and lag; and the action units again with other ways of learning "
        "what the person looks like at rest.",
    )
    command.add_argument(
        "folders", nargs="+", metavar="FOLDER", help="holds sequences_*.npz; several are scored one by one and together"
    )
    command.add_argument(
        "--static", metavar="NAME", help="a checkpoint with use_temporal=False, whose scores stand beside"
    )
    command.add_argument(
        "--ict-facekit",
        metavar="PATH",
        help="folder or npz of ICT-FaceKit, for the distance to its surface (without it, that is left out)",
    )
    command.add_argument(
        "--surface-every",
        type=int,
        default=10,
        metavar="K",
        help="measure the distance to the surface at every K-th sample of a sequence (default: %(default)s)",
    )
    command.add_argument(
        "--no-calibration", action="store_true", help="leave out the other ways of calibration: three times as fast"
    )
    command.add_argument(
        "--figure",
        metavar="FILE.png",
        help="draw a few people with their meshes coloured by the distance from the truth, in mm",
    )
    command.add_argument(
        "--figure-errors",
        metavar="LIST",
        help="what the figure shows: the errors of the whole face, of its displacement from rest, or both "
        "(default: whole,displacement)",
    )
    _add_common(command)
    add_card_option(command)
    command.set_defaults(run=_synthetic)


def _add_common(command: argparse.ArgumentParser) -> None:
    command.add_argument("-o", "--output", metavar="DIR", help="folder for a table (md) and its numbers (json)")
    add_model_options(command)


def _agreement(options: argparse.Namespace) -> int:
    if len(options.pairs) % 2:
        raise UsageError("give pairs of a video and a reference: there is an odd number of files")
    if (options.clips is None) != (options.references is None):
        raise UsageError("--clips and --references go together: give both folders")
    _check_output(options)
    with ProgressBar(options.quiet) as progress:
        progress.say("loading")
        warnings.filterwarnings("ignore")  # of dependencies; ours are sentences
        from .real_clips.clips import evaluate_agreement, pair_by_name

        files = [input_path(file) for file in options.pairs]
        pairs = list(zip(files[::2], files[1::2], strict=True))
        notes: list[str] = []
        if options.clips is not None:
            found, notes = pair_by_name(Path(options.clips), Path(options.references))
            pairs += found
        if not pairs:
            raise UsageError("there is nothing to compare: give a video and a reference, or --clips and --references")
        agreement, more = evaluate_agreement(
            pairs, lambda: _pipeline(options), options.face, options.reference_face, progress
        )
    return _finish(options, "agreement", agreement, [*notes, *more])


def _frame_rate(options: argparse.Namespace) -> int:
    rates = None if options.rates is None else _numbers(options.rates)
    _check_output(options)
    with ProgressBar(options.quiet) as progress:
        progress.say("loading")
        warnings.filterwarnings("ignore")
        from .real_clips.frame_rate import checked_rates, evaluate_frame_rates

        video = input_path(options.video)
        chosen = checked_rates(video, rates)
        report = evaluate_frame_rates(_pipeline(options), video, chosen, progress)
    return _finish(options, "frame_rate", report, report.warnings)


def _synthetic(options: argparse.Namespace) -> int:
    _check_output(options)
    with ProgressBar(options.quiet) as progress:
        progress.say("loading")
        warnings.filterwarnings("ignore")
        from ..checkpoints import load_checkpoint
        from ..face_models import ICTFaceKit
        from .figures.error_maps import checked_kinds, write_error_figure
        from .figures.files import RASTER, check_figure
        from .synthetic_people.evaluation import SyntheticEvaluation, evaluate_synthetic

        if options.figure_errors is not None and options.figure is None:
            raise UsageError("--figure-errors says what --figure shows; give --figure FILE.png too")
        kinds = checked_kinds("whole,displacement" if options.figure_errors is None else options.figure_errors)
        figure = None if options.figure is None else check_figure(options.figure, RASTER)
        evaluation = SyntheticEvaluation(
            load_checkpoint(options.model, options.device),
            None if options.static is None else load_checkpoint(options.static, options.device),
            None if options.ict_facekit is None else ICTFaceKit(Path(options.ict_facekit).expanduser()),
            calibration=not options.no_calibration,
            surface_every=options.surface_every,
        )
        report = evaluate_synthetic(options.folders, evaluation, progress)
    status = _finish(options, "synthetic", report, report.notes)
    if figure is not None:  # after the numbers, which took much longer
        with ProgressBar(options.quiet) as progress:
            progress.say("drawing")
            write_error_figure(figure, options.folders, evaluation, kinds)
        if not options.quiet:
            print(f"  {figure}")
    return status


def _numbers(text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise UsageError(f"--rates must be numbers separated by commas, such as 10,15,25, not {text!r}") from None


def _check_output(options: argparse.Namespace) -> None:
    if getattr(options, "update_card", None) is not None:
        from .card_results import check_card

        check_card(options.update_card)  # before the long work
    if options.output is not None:
        from ..export import check_output_directory

        check_output_directory(options.output)


def _pipeline(options: argparse.Namespace):
    from ..pipeline_au_d3dface import AUD3DFacePipeline

    return AUD3DFacePipeline.from_pretrained(
        options.model, device=options.device, face_landmarker=options.face_landmarker
    )


def _finish(options: argparse.Namespace, name: str, result, notes: list[str]) -> int:
    """Prints and writes a result that has `text()` and `numbers()`."""
    from .reports import write_report

    print(result.text())
    for note in notes:
        print(f"au-d3dface: warning: {note}", file=sys.stderr)
    if options.output is not None:
        model = {"checkpoint": options.model or "bundled"}
        for path in write_report(Path(options.output), name, result.text(), model | result.numbers()):
            if not options.quiet:
                print(f"  {path}")
    if getattr(options, "update_card", None) is not None:
        from .card_results import plain_command, update_card

        path = update_card(options.update_card, result.card_results(), plain_command(options.words))
        if not options.quiet:
            print(f"  {path}")
    return 0
