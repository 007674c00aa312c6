"""The three-fold protocol of BP4D and DISFA in one command: every part is tested by a network trained on the others.

    accelerate launch -m au_d3dface.training.folds --config bp4d --data-dir BP4D --prepared COARSE --output OUT

Folds are named after the part that they test; each is trained in a folder of OUT of that name, and one that is finished
is not trained again. Then OUT/folds.json and OUT/folds.md have F1 by action unit at the threshold 0.5, pooled over all
frames of the tested part, the mean over action units, and the mean over folds, beside what saying "present" everywhere
gets. Options are those of `python -m au_d3dface.training`, and `--folds P1,P2` for some of the parts.
"""

import argparse
import math
import os
import sys
from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

from .. import facs
from ..command_line import exit_status
from ..data.folds import ALL, fold_of
from ..errors import UsageError
from ..evaluation.paper_tables import ACTION_UNITS, PAPER_F1
from ..evaluation.reports import cell, markdown_table, write_report
from ..preparation import process_share
from .arguments import Arguments, read_arguments
from .series import trained


def train_folds(arguments: Arguments, tested: Sequence[str] | None = None) -> dict[str, Any]:
    """Trains and tests what is not finished yet, and writes folds.json and folds.md.

    Args:
        arguments: of every fold; `data.tested` is left out.
        tested: names of parts; None for all.

    Returns:
        What folds.json holds.

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
        write_report(output, "folds", as_markdown(table), table)
    return table


def fold_table(benchmark: str, records: Mapping[str, Mapping[str, Any]], parts: Sequence[str]) -> dict[str, Any]:
    """The scores of folds and their means.

    Args:
        records: training.json by tested part. parts: all of them.
    """
    folds = {}
    for part, record in records.items():
        scores, provenance = record["held_out"], record["pools"][0]
        folds[part] = {
            **{name: scores[f"{name}_mean"] for name in _SCORES if f"{name}_mean" in scores},
            "frames": scores["frames"],
            "frames_without_face": provenance["held_out"]["frames_without_face"],
            "subjects": provenance["held_out"]["subjects"],
            "steps": record["steps"],
            "by_au": scores["by_au"],
        }
    names = list(next(iter(folds.values()))["by_au"])
    first = next(iter(records.values()))["pools"][0]
    return {
        "benchmark": benchmark,
        "parts": list(parts),
        "published_parts": first["parts"] == "published",
        "frames_that_count": first["frames_that_count"],
        "coarse": first["coarse"],
        "face_model": first["face_model"],
        "threshold": 0.5,
        "folds": folds,
        "mean": {
            **{name: _mean([fold.get(name) for fold in folds.values()]) for name in _SCORES},
            "by_au": {
                au: {name: _mean([fold["by_au"][au].get(name) for fold in folds.values()]) for name in _SCORES}
                for au in names
            },
        },
    }


def as_markdown(table: Mapping[str, Any]) -> str:
    """The table for people: F1 and its floor in per cent."""
    folds, mean, benchmark = table["folds"], table["mean"], table["benchmark"]
    names = list(mean["by_au"])
    header = ["", *names, "average"]

    def row(title: str, scores: Mapping[str, Any], name: str, scale: float = 100.0, decimals: int = 1) -> list[str]:
        values = [*(scores["by_au"][au].get(name) for au in names), scores.get(name)]
        return [title, *(cell(None if value is None else scale * value, decimals) for value in values)]

    rows = [row(f"F1, {part} tested", fold, "f1") for part, fold in folds.items()]
    over = f"mean of {len(folds)} of {len(table['parts'])} folds"
    rows.append(row(f"F1, {over}", mean, "f1"))
    rows.append(row(f"always positive, {over}", mean, "always_positive_f1"))
    rows.append(row(f"ROC area, {over}", mean, "roc_area", 1.0, 3))
    units = [facs.label(unit) for unit in ACTION_UNITS[benchmark]]
    for paper in PAPER_F1[benchmark]:
        f1 = dict(zip(units, paper.f1, strict=True))
        average = paper.average if set(names) == set(units) else None
        rows.append([f"paper, {paper.method}", *(cell(f1.get(au), 1) for au in names), cell(average, 1)])
    of_folds = [
        [
            part,
            str(fold["subjects"]),
            str(fold["frames"]),
            str(fold["frames_without_face"]),
            *(cell(None if fold[name] is None else 100 * fold[name], 1) for name in ("f1", "always_positive_f1")),
            cell(fold["roc_area"], 3),
        ]
        for part, fold in folds.items()
    ]
    counted = {
        "labelled": "all that are labelled",
        "pictures": "those with a label and a picture",
        "prepared": "those with a label and a reconstructed face",
    }[table["frames_that_count"]]
    title, whose = benchmark.upper(), "the published parts" if table["published_parts"] else "parts of your own"
    return "\n\n".join(
        [
            f"# {title}, {len(folds)} of {len(table['parts'])} folds",
            f"F1 in per cent at the threshold 0.5, pooled over the frames of each tested part ({whose}); coarse faces: "
            f"{table['coarse']}, {table['face_model']}. Frames that count: {counted}. A frame that counts but in which "
            "no face was reconstructed counts as one in which no action unit was found. Rows named `paper` are the "
            f"paper's, Table {2 if benchmark == 'bp4d' else 3}, on the published parts.",
            markdown_table(header, rows),
            markdown_table(
                ["tested", "people", "frames", "without a face", "F1", "always positive", "ROC area"], of_folds
            ),
        ]
    )


_SCORES = ("f1", "always_positive_f1", "roc_area", "intensity_r")


def _of_fold(arguments: Arguments, part: str, output: Path) -> Arguments:
    run = deepcopy(arguments)
    run.data.tested, run.training.output = part, str(output / part)
    run.options = (*arguments.options, "--tested", part)  # of the command in its record
    return run


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return round(math.fsum(known) / len(known), 4) if known else None


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns the exit status of the error, if there was one, after its sentence."""
    parser = argparse.ArgumentParser(
        prog="python -m au_d3dface.training.folds",
        description=__doc__.split("\n")[0],
        epilog="All other options are those of python -m au_d3dface.training, without --tested.",
        allow_abbrev=False,
    )
    parser.add_argument("--folds", metavar="P1,P2", help="parts to test; all without it")
    options, more = parser.parse_known_args(argv)

    def command() -> None:
        chosen = None if options.folds is None else [part.strip() for part in options.folds.split(",")]
        table = train_folds(read_arguments(more), chosen)
        if process_share(os.environ)[0] == 0:
            print(as_markdown(table))

    return exit_status(command, "the same command continues from the last checkpoint")


if __name__ == "__main__":
    sys.exit(main())
