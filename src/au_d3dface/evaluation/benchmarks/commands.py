"""au-d3dface evaluate bp4d | disfa | table4: Tables 2 to 4 from checkpoints, and from other tools' csv files."""

import argparse
import sys
import warnings
from dataclasses import replace
from pathlib import Path

from ...command_line import ProgressBar
from ...errors import UsageError

TITLES = {"bp4d": "BP4D", "disfa": "DISFA"}


def add_benchmarks(kinds) -> None:
    """Adds the three commands to the sub-commands of `evaluate`."""
    for name, title in TITLES.items():
        _add(kinds, name, title)
    command = kinds.add_parser(
        "table4",
        help="Table 4: average F1 by input and modules, beside the paper's",
        description="Puts together what has been measured: the folder that au_d3dface.training.table4 wrote; or "
        "folders that au_d3dface.training.folds wrote and json files of 'evaluate bp4d' and 'evaluate disfa'. With "
        "--output the table is written as json, markdown, LaTeX and a plot. With --update-card everything must be of "
        "one checkpoint, or the card must lie in the folder of the one whose scores it is to have.",
    )
    command.add_argument("places", nargs="+", metavar="PLACE", help="a folder of trainings, or a json file")
    command.add_argument("-o", "--output", metavar="DIR", help="folder for the table: json, md, tex and png")
    add_card_option(command)
    command.add_argument("--quiet", action="store_true", help="no list of what was written")
    command.set_defaults(run=_table4)


def _add(kinds, name: str, title: str) -> None:
    number = 2 if name == "bp4d" else 3
    command = kinds.add_parser(
        name,
        help=f"Table {number}: F1 by action unit and part on your copy of {title}, beside the paper's",
        description=f"Scores checkpoints on the people of {title} whom they were not trained on, part by part: F1 at "
        "the threshold 0.5, pooled over a part's frames, beside what saying 'present' everywhere gets; ROC area, "
        "Matthews correlation, and, of intensities, ICC(3,1) and Pearson's r; and how far off events begin and end. "
        "With --output the table is written as json, markdown, LaTeX and a plot.",
    )
    command.add_argument("--data-dir", required=True, metavar="DIR", help=f"your copy of {title}")
    command.add_argument("--prepared", metavar="DIR", help="what 'au-d3dface prepare' made of it; for checkpoints")
    command.add_argument(
        "--checkpoint",
        action="append",
        default=[],
        metavar="[NAME=]PLACE",
        help="a model's folder, the folder of folds that au_d3dface.training.folds wrote, an id on the Hub, or "
        "'bundled'; give it again for more rows",
    )
    command.add_argument(
        "--csv",
        action="append",
        default=[],
        metavar="[NAME=]DIR",
        help="csv files of another tool, OpenFace's or py-feat's, one a sequence; a row of the table",
    )
    command.add_argument(
        "--folds", metavar="P1,P2", help="parts to test, or 'all' (default: those that the checkpoints left out)"
    )
    command.add_argument("--folds-file", metavar="FILE", help="parts of your own (yaml, json or csv)")
    command.add_argument(
        "--frames",
        choices=("labelled", "pictures", "prepared"),
        default="labelled",
        help="which frames count (default: %(default)s)",
    )
    command.add_argument(
        "--missing", choices=("error", "skip"), default="error", help="'skip' goes on without missing sequences"
    )
    command.add_argument(
        "--frame-rate", type=float, metavar="RATE", help="true frames a second (default: what the files say)"
    )
    if name == "disfa":
        command.add_argument("--camera", choices=("left", "right"), default="left", help="default: %(default)s")
        command.add_argument(
            "--present-from", type=int, default=2, metavar="K", help="intensity that counts as present (default: 2)"
        )
        command.add_argument("--first-picture", type=int, metavar="K", help="number of the picture of frame 1: 0 or 1")
    command.add_argument("-o", "--output", metavar="DIR", help="folder for the table: json, md, tex and png")
    add_card_option(command)
    command.add_argument("--device", default="auto", help="cpu, cuda, ... (default: cuda where there is one, else cpu)")
    command.add_argument("--quiet", action="store_true", help="no progress bar and no list of what was written")
    command.set_defaults(run=_benchmark, benchmark=name)


def add_card_option(command: argparse.ArgumentParser, whose: str = "") -> None:
    """--update-card, for evaluations that have scores; `whose` they are where there are others beside."""
    command.add_argument(
        "--update-card",
        metavar="PLACE",
        help=f"write the scores{' ' if whose else ''}{whose} into the model card of this checkpoint's folder, or into "
        "this README.md",
    )


def _benchmark(options: argparse.Namespace) -> int:
    if not options.checkpoint and not options.csv:
        raise UsageError("there is nothing to score: give --checkpoint, or --csv for another tool's files")
    if options.checkpoint and options.prepared is None:
        raise UsageError("a checkpoint reads coarse faces: give --prepared, the folder that 'au-d3dface prepare' wrote")
    if options.update_card is not None:
        from ..card_results import check_card

        check_card(options.update_card)  # before the long work
        if len(options.checkpoint) != 1:
            raise UsageError("--update-card takes the scores of one checkpoint: give one --checkpoint with it")
    if options.output is not None:
        from ...export import check_output_directory

        check_output_directory(options.output)
    with ProgressBar(options.quiet) as progress:
        progress.say("loading")
        warnings.filterwarnings("ignore")  # of dependencies; ours are sentences
        table = benchmark_table(options, progress)
    return finish(options, options.benchmark, table)


def _table4(options: argparse.Namespace) -> int:
    from .table4_sources import own_table4, read_table4

    own = None
    if options.update_card is not None:
        from ..card_results import check_card

        own = own_table4(options.places, check_card(options.update_card))
    table = read_table4(options.places)
    return finish(options, "table4", table, own)


def benchmark_table(options: argparse.Namespace, progress):
    """The table that the command line asks for, whose errors are those of everything in it."""
    from ...data.folds import ALL, fold_of
    from .checkpoints_tested import checkpoints_of, fairness, named
    from .scores import BenchmarkPart, about, network_scores, tool_scores
    from .table import BenchmarkTable, MethodScores

    benchmark = options.benchmark
    parts = list(fold_of(benchmark, ALL, options.folds_file).parts)
    wanted = _wanted(options.folds)
    for part in wanted or ():
        fold_of(benchmark, part, options.folds_file)
    networks = [named(text, "checkpoint") for text in options.checkpoint]
    tools = [named(text, "csv") for text in options.csv]
    names = [name for name, _ in (*networks, *tools)]
    if twice := [name for name in names if names.count(name) > 1]:
        raise UsageError(f"two rows are called {twice[0]!r}; name them: --checkpoint NAME=PLACE")
    tested = {name: checkpoints_of(name, place, benchmark, parts, wanted) for name, place in networks}
    chosen = wanted or [part for part in (*parts, ALL) if any(part in given for given in tested.values())] or parts
    settings = {
        "folds": options.folds_file,
        "frames": options.frames,
        "missing": options.missing,
        "frame_rate": options.frame_rate,
    }
    if benchmark == "disfa":
        settings |= {name: getattr(options, name) for name in ("camera", "present_from", "first_picture")}
    scores: dict[str, dict] = {name: {} for name in names}
    notes: dict[str, dict[str, None]] = {name: {} for name in names}  # sentences once each, in order
    more: dict[str, dict] = {name: {} for name in names}
    remarks: list[str] = []
    for part in chosen:
        data = BenchmarkPart(benchmark, options.data_dir, options.prepared, part, settings)
        for name, given in tested.items():
            if part not in given:
                continue
            network = given[part].load(options.device)
            found = network_scores(network, data, lambda done, total, at=f"{name}, {part}": progress(at, done, total))
            unfair, said = fairness(given[part].record, benchmark, data.fold, options.folds_file is not None)
            scores[name][part] = replace(found, unfair=unfair)
            more[name] = {"kind": "checkpoint", **about(network), "coarse": data.coefficients(network.config)[2]}
            notes[name] |= {said: None} if said else {}
        for name, place in tools:
            scores[name][part] = tool_scores(Path(place), data, getattr(options, "camera", "left"))
            more[name] = {"kind": "csv"}
            notes[name] |= {"csv files of another tool; whom that was trained on is not known here": None}
        expected = len(data.fold.test) * len(data.builder.tasks)
        if len(data.labelled) < expected:
            missing = expected - len(data.labelled)
            remarks.append(f"{part}: {missing} of {expected} sequences are missing and left out")
    methods = [MethodScores(name, scores[name], more[name], list(notes[name])) for name in names]
    return BenchmarkTable(benchmark, parts, options.folds_file is None, options.frames, methods, remarks)


def finish(options: argparse.Namespace, name: str, table, own=None) -> int:
    """Prints a table, writes its four files, and its scores, or those of `own`, a part of it, into the card."""
    from ..reports import write_report

    text = table.text()
    print(text)
    written = []
    if options.output is not None:
        written = write_report(Path(options.output), name, text, table.numbers(), table.latex(), table.figure())
    if options.update_card is not None:
        from ..card_results import plain_command, update_card

        results, refused = (own or table).card_results()
        for sentence in refused:
            print(f"au-d3dface: warning: not written into the card: {sentence}", file=sys.stderr)
        written.append(update_card(options.update_card, results, plain_command(options.words)))
    if not options.quiet:
        for path in written:
            print(f"  {path}")
    return 0


def _wanted(text: str | None) -> list[str] | None:
    if text is None:
        return None
    parts = [part.strip() for part in text.split(",")]
    if not all(parts) or len({*parts}) < len(parts) or ("all" in parts and len(parts) > 1):
        raise UsageError(f"--folds takes different parts with commas between, or all, not {text!r}")
    return parts
