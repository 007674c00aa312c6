"""The three-fold protocol of BP4D and DISFA in one command: every part is tested by a network trained on the others.

    accelerate launch -m au_d3dface.training.folds --config bp4d --data-dir BP4D --prepared COARSE --output OUT

Folds are named after the part that they test; each is trained in a folder of OUT of that name, and one that is finished
is not trained again. Then OUT/folds.json, .md, .tex and .png have F1 by action unit at the threshold 0.5, pooled over
all frames of the tested part, the mean over action units, and the mean over folds, beside what saying "present"
everywhere gets; `au-d3dface evaluate bp4d --checkpoint OUT` measures the same again. Options are those of
`python -m au_d3dface.training`, and `--folds P1,P2` for some of the parts.
"""

import os
import sys
from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

from ..command_line import SentenceParser, exit_status
from ..data.folds import ALL, fold_of
from ..errors import UsageError
from ..evaluation.benchmarks.table import BenchmarkTable, MethodScores, recorded_scores
from ..evaluation.reports import write_report
from ..preparation import process_share
from .arguments import Arguments, read_arguments
from .series import trained


def train_folds(arguments: Arguments, tested: Sequence[str] | None = None) -> BenchmarkTable:
    """Trains and tests what is not finished yet, and writes folds.json, folds.md, folds.tex and folds.png.

    Args:
        arguments: of every fold; `data.tested` is left out.
        tested: names of parts; None for all.

    Returns:
        What the files hold.

    Raises:
        UsageError: arguments that make no sense, before any work. Errors of `train`.
    """
    data, output = arguments.data, Path(arguments.training.output)
    if not data.is_benchmark:
        raise UsageError(f"data.dataset is {data.dataset}, which has no parts; give --config bp4d or disfa")
    if data.tested is not None:
        raise UsageError("leave data.tested out: every part is tested in turn; --folds P1,P2 takes some of them")
    if arguments.training.calibrate:
        raise UsageError("training.calibrate must be 0: the protocol's threshold is 0.5 for every action unit")
    if arguments.training.patience:
        raise UsageError("training.patience must be 0: the tested people must not decide when training stops")
    parts = list(fold_of(data.dataset, ALL, data.folds_file).parts)
    chosen = parts if tested is None else list(tested)
    if not chosen or len(set(chosen)) < len(chosen):
        raise UsageError(f"--folds must name different parts of {', '.join(parts)}, not {','.join(chosen)!r}")
    runs = [_of_fold(arguments, part, output) for part in chosen]
    for run in runs:
        run.validate()

    records = {part: trained(run) for part, run in zip(chosen, runs, strict=True)}
    table = fold_table(data.dataset, records, parts)
    if process_share(os.environ)[0] == 0:
        write_report(output, "folds", table.text(), table.numbers(), table.latex(), table.figure())
    return table


def fold_table(
    benchmark: str, records: Mapping[str, Mapping[str, Any]], parts: Sequence[str], name: str = "measured"
) -> BenchmarkTable:
    """The scores of folds, as the trainings themselves measured them.

    Args:
        records: training.json by tested part. parts: all of them. name: of the rows.
    """
    first = next(iter(records.values()))["pools"][0]
    about = {key: first[key] for key in ("coarse", "face_model")}
    method = MethodScores(name, {part: recorded_scores(record) for part, record in records.items()}, about)
    return BenchmarkTable(benchmark, parts, first["parts"] == "published", first["frames_that_count"], [method])


def _of_fold(arguments: Arguments, part: str, output: Path) -> Arguments:
    run = deepcopy(arguments)
    run.data.tested, run.training.output = part, str(output / part)
    run.options = (*arguments.options, "--tested", part)  # of the command in its record
    return run


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns the exit status of the error, if there was one, after its sentence."""
    parser = SentenceParser(
        prog="python -m au_d3dface.training.folds",
        description=__doc__.split("\n")[0],
        epilog="All other options are those of python -m au_d3dface.training, without --tested.",
        allow_abbrev=False,
    )
    parser.add_argument("--folds", metavar="P1,P2", help="parts to test; all without it")

    def command() -> None:
        options, more = parser.parse_known_args(argv)
        chosen = None if options.folds is None else [part.strip() for part in options.folds.split(",")]
        table = train_folds(read_arguments(more), chosen)
        if process_share(os.environ)[0] == 0:
            print(table.text())

    return exit_status(command, "the same command continues from the last checkpoint")


if __name__ == "__main__":
    sys.exit(main())
