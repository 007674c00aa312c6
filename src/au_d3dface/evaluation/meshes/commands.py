"""The command line: au-d3dface evaluate multiface | meshes | synthetic-meshes: Table 1 on three kinds of truth.

The result of each sequence and method is kept below --output, so that the same command goes on where it was stopped.
"""

import argparse
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...command_line import ProgressBar, named_paths, named_values
from ...errors import UsageError
from ..benchmarks.commands import add_card_option

if TYPE_CHECKING:  # heavy: the command line loads this module before it knows what is asked for
    from .aligning import Measuring
    from .report import Table1


def add_mesh_tables(kinds) -> None:
    """Adds the three to the commands of `evaluate`."""
    command = kinds.add_parser(
        "multiface",
        help="Table 1: distances of meshes from the true surfaces of Multiface",
        description="Aligns coarse meshes that `au-d3dface prepare` made of Multiface, the same refined by "
        "checkpoints, and meshes of other programs to the true surfaces by ICP, and prints the distances of their "
        "vertices beside the paper's Table 1: mean, SD and median, whole and by region, mm.",
    )
    command.add_argument(
        "--data-dir", required=True, metavar="DIR", help="your copy of Multiface, or one of its subjects"
    )
    command.add_argument(
        "--prepared",
        action="append",
        default=[],
        metavar="DIR",
        help="what `au-d3dface prepare MULTIFACE --output DIR` wrote; once for each reconstructor",
    )
    _add_checkpoint(command)
    for name, what in (
        ("subjects", "numbers of subjects (default: all in the copy)"),
        ("expressions", "names of expressions, or E008 for short (default: all that have pictures)"),
        ("cameras", "names of cameras (default: the most frontal of each subject)"),
    ):
        command.add_argument(f"--{name}", metavar="LIST", help=f"{what}, separated by commas")
    command.add_argument("--neutral", metavar="NAME", help="the expression at rest, or 'mean' (default: the script's)")
    command.add_argument(
        "--ignore-distortion", action="store_true", help="take cameras with lens distortion as if they had none"
    )
    for kind in ("flame", "ict-facekit"):
        command.add_argument(f"--{kind}", metavar="PATH", help="as for 'au-d3dface reconstruct'")
    command.add_argument(
        "--multirex", metavar="DIR", help="the `assets` of MultiREX: its region-wise protocol too, for meshes of FLAME"
    )
    _add_measuring(command)
    command.set_defaults(run=_multiface)

    command = kinds.add_parser(
        "meshes",
        help="the same of any folder of meshes against any folder of true ones",
        description="Table 1 on true meshes of your own, in folders of .obj or .ply files, or npz, by sequence "
        "and frame.",
    )
    command.add_argument("--truth", required=True, metavar="DIR", help="true meshes by sequence and frame")
    _add_measuring(command, "of the meshes of the one --meshes")
    command.set_defaults(run=_meshes)

    command = kinds.add_parser(
        "synthetic-meshes",
        help="the same of synthetic people, rendered and tracked, whose surfaces are known",
        description="Table 1's synthetic twin: the landmark fit of held-out people that "
        "python -m au_d3dface.data.synthetic.rendered_sequences has made, the same refined by checkpoints, against "
        "ICT-FaceKit's surfaces in their true size.",
    )
    command.add_argument("folders", nargs="+", metavar="FOLDER", help="holds sequences_*.npz")
    command.add_argument("--ict-facekit", metavar="PATH", help="as for 'au-d3dface reconstruct'")
    _add_checkpoint(command)
    _add_measuring(command)
    command.set_defaults(run=_synthetic_meshes)


def _add_checkpoint(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--checkpoint",
        action="append",
        default=[],
        metavar="NAME=CKPT",
        help="a checkpoint folder or Hub id, or 'bundled', and what the table calls it; any number",
    )
    command.add_argument("--device", default="auto", help="cpu, cuda, ... (default: cuda where there is one, else cpu)")


def add_alignment_options(command: argparse.ArgumentParser) -> None:
    """What is measured, and how it is aligned: of tables and of the figure of errors."""
    command.add_argument(
        "--regions",
        action="append",
        default=[],
        metavar="NAME=FILE",
        help="regions of the meshes NAME (or of the face model NAME) as vertices or masks: json, npz, npy, txt, or a "
        "folder (default: found by the face model or by the shape)",
    )
    command.add_argument(
        "--align",
        choices=("rigid", "scale", "none"),
        default="rigid",
        help="ICP without scale, with it, or the meshes where they are (default: %(default)s)",
    )
    command.add_argument(
        "--align-regions", metavar="LIST", help="align by these regions alone (default: by all that is measured)"
    )
    command.add_argument(
        "--measure", choices=("face", "all"), default="face", help="the face, or the whole mesh (default: %(default)s)"
    )
    command.add_argument(
        "--max-iterations", type=int, default=100, metavar="N", help="of ICP, a mesh (default: %(default)s)"
    )
    command.add_argument(
        "--every", type=int, default=1, metavar="K", help="measure every K-th frame (default: %(default)s)"
    )


def measuring_of(options: argparse.Namespace, **more: Any) -> "Measuring":
    """What `add_alignment_options` was given; `more` is `Measuring`'s.

    Raises:
        UsageError: options that contradict each other, or a number out of range.
    """
    from .aligning import Measuring

    check_at_least_one(options, "max_iterations", "every")
    regions = _list(options.align_regions)
    if regions is not None and options.align == "none":
        raise UsageError("--align-regions says what is aligned, and --align none aligns nothing; leave one out")
    return Measuring(
        options.align,
        None if regions is None else tuple(regions),
        options.measure,
        max_iterations=options.max_iterations,
        **more,
    )


def check_at_least_one(options: argparse.Namespace, *names: str) -> None:
    """Raises UsageError where one of these options is below 1."""
    for name in names:
        if getattr(options, name) < 1:
            raise UsageError(f"--{name.replace('_', '-')} must be at least 1, not {getattr(options, name)}")


def _add_measuring(command: argparse.ArgumentParser, whose: str = "of the one --checkpoint") -> None:
    command.add_argument(
        "--meshes",
        action="append",
        default=[],
        metavar="NAME=DIR",
        help="meshes of another program: DIR/SEQUENCE/FRAME.obj (or .ply; neutral.obj at rest), or DIR/SEQUENCE.npz "
        "with vertices, frames and faces",
    )
    add_alignment_options(command)
    command.add_argument("--region-wise", action="store_true", help="align and measure each region by itself too")
    command.add_argument(
        "--missing",
        choices=("fail", "skip"),
        default="fail",
        help="frames that lack a file or a method's mesh are an error, or are left out (default: %(default)s)",
    )
    command.add_argument("--processes", type=int, default=1, metavar="N", help="at once (default: %(default)s)")
    command.add_argument(
        "-o",
        "--output",
        required=True,
        metavar="DIR",
        help="folder for md, json, tex and png, and what is kept to go on",
    )
    add_card_option(command, whose)
    command.add_argument("--quiet", action="store_true", help="no progress bar and no list of what was written")


def _multiface(options: argparse.Namespace) -> int:
    def make(progress: ProgressBar) -> "Table1":
        from .table1 import folder_methods, load_uses, multiface_truths, prepared_methods

        named, regions = named_values(options.meshes, "--meshes"), named_paths(options.regions, "--regions")
        truths, notes = multiface_truths(
            str(Path(options.data_dir).expanduser()),
            *(_list(getattr(options, name)) for name in ("subjects", "expressions", "cameras")),
            every=options.every,
            neutral=options.neutral,
            skip_missing=options.missing == "skip",
            ignore_distortion=options.ignore_distortion,
        )
        uses = load_uses(named_values(options.checkpoint, "--checkpoint"), _device(options))
        models = {"flame": options.flame, "ict": options.ict_facekit}
        folders = [Path(folder).expanduser() for folder in options.prepared]
        methods = [
            *prepared_methods(folders, uses, models, regions),
            *folder_methods({name: Path(path).expanduser() for name, path in named.items()}, truths, regions),
        ]
        multirex = None if options.multirex is None else Path(options.multirex).expanduser()
        return _table(options, progress, "Multiface", truths, methods, notes, paper=True, multirex=multirex)

    return _run(options, "multiface", make)


def _meshes(options: argparse.Namespace) -> int:
    def make(progress: ProgressBar) -> "Table1":
        from .table1 import folder_methods, folder_truths

        regions = named_paths(options.regions, "--regions")
        truth = Path(options.truth).expanduser()
        truths = folder_truths(truth, options.every)
        methods = folder_methods(named_paths(options.meshes, "--meshes"), truths, regions)
        return _table(options, progress, f"Meshes of {truth.name}", truths, methods, [])

    return _run(options, "meshes", make)


def _synthetic_meshes(options: argparse.Namespace) -> int:
    def make(progress: ProgressBar) -> "Table1":
        from .table1 import folder_methods, load_uses, person_truths, tracked_methods

        regions = named_paths(options.regions, "--regions")
        truths, notes = person_truths(
            [Path(folder).expanduser() for folder in options.folders], options.ict_facekit, options.every
        )
        uses = load_uses(named_values(options.checkpoint, "--checkpoint"), _device(options))
        methods = [
            *tracked_methods(uses, regions),
            *folder_methods(named_paths(options.meshes, "--meshes"), truths, regions),
        ]
        title = "SYNTHETIC people (rendered, not real)"
        return _table(options, progress, title, truths, methods, notes)

    return _run(options, "synthetic_meshes", make)


def _run(options: argparse.Namespace, name: str, make: Callable[[ProgressBar], "Table1"]) -> int:
    from ...export import check_output_directory

    check_output_directory(options.output)
    _check_card(options)
    check_at_least_one(options, "processes", "max_iterations")
    with ProgressBar(options.quiet) as progress:
        progress.say("loading")
        warnings.filterwarnings("ignore")  # of dependencies; ours are sentences
        table = make(progress)
    from ..reports import write_report

    print(table.text())
    for note in table.notes:
        print(f"au-d3dface: note: {note}", file=sys.stderr)
    settings = {key: value for key, value in vars(options).items() if key not in ("run", "quiet", "update_card")}
    numbers = {"settings": settings} | table.numbers()
    written = write_report(Path(options.output), name, table.text(), numbers, table.latex(), table.figure())
    if options.update_card is not None:
        from ..card_results import plain_command, update_card
        from .card import card_results

        rows = table.coarse or dict.fromkeys(table.table.rows)
        results = card_results(table, name.removesuffix("_meshes"), rows)
        written.append(update_card(options.update_card, results, plain_command(options.words)))
    if not options.quiet:
        for path in written:
            print(f"  {path}")
    return 0


def _check_card(options: argparse.Namespace) -> None:
    """Whether the scores are of one checkpoint, and its card can be written: before the long work."""
    if options.update_card is None:
        return
    from ..card_results import check_card

    check_card(options.update_card)
    # True meshes of one's own are compared with meshes alone: those that the checkpoint made.
    option, given = ("--checkpoint", options.checkpoint) if "checkpoint" in options else ("--meshes", options.meshes)
    if len(given) != 1:
        raise UsageError(f"--update-card takes the scores of one checkpoint: give one {option} with it")


def _table(
    options: argparse.Namespace,
    progress: ProgressBar,
    title: str,
    truths: Sequence[Any],
    methods: Sequence[Any],
    notes: list[str],
    **more: Any,
) -> "Table1":
    from .face_parts import check_regions_used
    from .table1 import table1

    check_regions_used(named_paths(options.regions, "--regions"), [method.regions for method in methods])
    measuring = measuring_of(
        options,
        region_wise=options.region_wise,
        skip_missing=options.missing == "skip",
        multirex=more.pop("multirex", None),
    )
    return table1(
        title,
        truths,
        methods,
        measuring,
        Path(options.output),
        options.processes,
        notes=notes,
        report=lambda done, total: progress("measuring sequences", done, total),
        **more,
    )


def _device(options: argparse.Namespace) -> str | None:
    return None if options.device == "auto" else options.device


def _list(text: str | None) -> list[str] | None:
    if text is None:
        return None
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not parts:
        raise UsageError(f"a list of names is separated by commas, and {text!r} holds none")
    return parts
