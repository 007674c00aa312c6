"""A table in Table 4's form on rendered synthetic people: the seven models and the MLP baseline, one recipe for all.

    python -m au_d3dface.training.table4 --rendered DIR --rendered-held-out DIR --output OUT

Both folders are made by `python -m au_d3dface.data.synthetic.rendered_sequences --pictures`, with two seeds. First the
video branch is trained, with the temporal module alone; then it is frozen, every sequence is read with it once, and
all rows with video have its features. Rows that are finished in OUT are not trained again. What follows the options of
this command goes to the training of every row (`--epochs 3`).

The scores are of synthetic people and say nothing of BP4D and DISFA; the paper's stand beside them.
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from ..command_line import SentenceParser, exit_status
from ..errors import UsageError
from ..evaluation.benchmarks.table4 import ROWS, Table4, synthetic_table4
from ..evaluation.reports import write_report
from ..preparation import process_share
from .arguments import read_arguments
from .series import trained


def run(
    rendered: str,
    held_out: str,
    output: Path,
    seeds: Sequence[int],
    model: Sequence[str] = (),
    more: Sequence[str] = (),
) -> Table4:
    """Trains what is not trained yet, and writes table4.json, table4.md, table4.tex and table4.png.

    Args:
        rendered, held_out: folders of sequences with pictures.
        seeds: of the rows' training; the table has the mean over them.
        model: fields of the seven models, as `FIELD=VALUE`; the MLP has other ones.
        more: options of the training.

    Returns:
        What the files hold.
    """
    common = ["--config", "table4", "--rendered", rendered, "--rendered-held-out", held_out]
    pools = ["--pool", str(output / "pools")]
    fields = [word for field in model for word in ("--model", field)]

    def row(name: str, options: Sequence[str]) -> dict:
        output_options = [*pools, "--output", str(output / name), *more]
        return trained(read_arguments([*common, *options, *output_options]))

    branch = ["--config", "video_temporal", "--rendered-repeats", "1", "--epochs", "10", "--learning-rate", "0.001"]
    row("video_branch", [*branch, *fields, "--calibrate", "0"])
    frozen = ["--video-weights", str(output / "video_branch" / "model"), "--freeze-video", "true"]
    records = {}
    for name in ROWS:
        options = ["--config", name, *(frozen if "video" in name else ()), *(() if "mlp" in name else fields)]
        records[name] = [row(f"{name}-seed{seed}", [*options, "--seed", str(seed)]) for seed in seeds]
    table = synthetic_table4(records, {"seeds": list(seeds), "options": [*fields, *more]})
    if process_share(os.environ)[0] == 0:
        write_report(output, "table4", table.text(), table.numbers(), table.latex(), table.figure())
    return table


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns the exit status of the error, if there was one, after its sentence."""
    parser = SentenceParser(prog="python -m au_d3dface.training.table4", description=__doc__.split("\n")[0])
    parser.add_argument("--rendered", required=True, help="folder of rendered sequences with pictures, to train on")
    parser.add_argument("--rendered-held-out", required=True, help="the same of other people")
    parser.add_argument("--output", required=True, help="folder for models and table")
    parser.add_argument("--seeds", default="0", help="of the rows, such as 0,1,2; default 0")
    parser.add_argument(
        "--model", action="append", default=[], metavar="FIELD=VALUE", help="a field of AUD3DFaceConfig"
    )

    def command() -> None:
        options, more = parser.parse_known_args(argv)
        try:
            seeds = [int(seed) for seed in options.seeds.split(",")]
        except ValueError as error:
            raise UsageError(f"--seeds takes numbers with commas between, not {options.seeds!r}") from error
        table = run(options.rendered, options.rendered_held_out, Path(options.output), seeds, options.model, more)
        if process_share(os.environ)[0] == 0:
            print(table.text())

    return exit_status(command, "the same command goes on where it was")


if __name__ == "__main__":
    sys.exit(main())
