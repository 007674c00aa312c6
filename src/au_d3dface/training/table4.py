"""A table in Table 4's form on rendered synthetic people: the seven models and the MLP baseline, one recipe for all.

    python -m au_d3dface.training.table4 --rendered DIR --rendered-held-out DIR --output OUT

Both folders are made by `python -m au_d3dface.data.synthetic.rendered_sequences --pictures`, with two seeds. First the
video branch is trained, with the temporal module alone; then it is frozen, every sequence is read with it once, and
all rows with video have its features. Rows that are finished in OUT are not trained again. What follows the options of
this command goes to the training of every row (`--epochs 3`).

The scores are of synthetic people and say nothing of BP4D and DISFA; the paper's stand beside them.
"""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from .. import facs
from ..command_line import exit_status
from ..errors import UsageError
from ..export.files import atomic_path
from ..preparation import process_share
from .arguments import read_arguments
from .series import trained

ROWS = {
    "video_temporal": ("video", "temporal", 59.8, 56.2),
    "mesh_temporal": ("mesh", "temporal", 60.1, 54.6),
    "mesh_spatial": ("mesh", "spatial", 62.6, 56.4),
    "mesh_temporal_spatial": ("mesh", "temporal + spatial", 63.1, 58.8),
    "video_mesh_temporal": ("mesh + video", "temporal", 61.6, 58.9),
    "video_mesh_spatial": ("mesh + video", "spatial", 63.4, 60.0),
    "video_mesh_temporal_spatial": ("mesh + video", "temporal + spatial", 66.0, 61.0),
    "landmarks_mlp": ("coefficients", "MLP", None, None),
}
"""Config, input, modules, and the paper's average F1 on BP4D and DISFA (Table 4), whose own MLPs are on DECA's."""


def run(
    rendered: str,
    held_out: str,
    output: Path,
    seeds: Sequence[int],
    model: Sequence[str] = (),
    more: Sequence[str] = (),
) -> dict:
    """Trains what is not trained yet, and writes table4.json and table4.md.

    Args:
        rendered, held_out: folders of sequences with pictures.
        seeds: of the rows' training; the table has the mean over them.
        model: fields of the seven models, as `FIELD=VALUE`; the MLP has other ones.
        more: options of the training.

    Returns:
        What table4.json holds.
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
    rows = []
    for name, (inputs, modules, bp4d, disfa) in ROWS.items():
        options = ["--config", name, *(frozen if "video" in name else ()), *(() if "mlp" in name else fields)]
        records = [row(f"{name}-seed{seed}", [*options, "--seed", str(seed)]) for seed in seeds]
        rows.append({"row": name, "input": inputs, "modules": modules, "paper": {"BP4D": bp4d, "DISFA": disfa}})
        rows[-1] |= _scores([record["held_out"] for record in records])
    table = {"data": "rendered synthetic people", "seeds": list(seeds), "options": [*fields, *more], "rows": rows}
    if process_share(os.environ)[0]:
        return table
    with atomic_path(output / "table4.json") as path:
        path.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")
    with atomic_path(output / "table4.md") as path:
        path.write_text(as_markdown(table), encoding="utf-8")
    return table


def as_markdown(table: dict) -> str:
    """The table for people, in per cent and millimetres."""
    seeds, frames = len(table["seeds"]), table["rows"][0]["frames"]
    several = f", mean of {seeds} seeds (in brackets from the lowest to the highest)" if seeds > 1 else ", one seed"
    lines = [
        f"F1 (mean over AUs, %) on {frames} frames of held-out **{table['data']}**{several}; BP4D's and DISFA's AUs as "
        "labels, not their videos. Paper: Table 4, on BP4D and DISFA.",
        "",
        "| input | modules | BP4D's AUs | DISFA's AUs | all | ROC area | mesh, mm | paper, BP4D | paper, DISFA |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in table["rows"]:
        cells = [row["input"], row["modules"]]
        for name in ("BP4D", "DISFA", "all"):
            mean, low, high = row["f1"][name]
            cells.append(f"{100 * mean:.1f}" + (f" ({100 * low:.1f}-{100 * high:.1f})" if seeds > 1 else ""))
        error, paper = row["mesh_mm"], row["paper"]
        cells += [f"{row['roc_area']:.3f}", "" if error is None else f"{error:.2f}"]
        cells += ["" if paper[name] is None else f"{paper[name]}" for name in ("BP4D", "DISFA")]
        lines.append("| " + " | ".join(cells) + " |")
    floors = table["rows"][0]["always_positive_f1"]
    cells = ["always positive", "", *(f"{100 * floors[name]:.1f}" for name in ("BP4D", "DISFA", "all")), *4 * [""]]
    return "\n".join([*lines, "| " + " | ".join(cells) + " |", ""])


def _scores(runs: Sequence[dict]) -> dict:
    """Of several runs: F1 as (mean, lowest, highest) for each set of action units, the rest as means."""
    sets = {"BP4D": facs.BP4D, "DISFA": facs.DISFA, "all": facs.ALL}

    def means(name: str, units: Sequence[int]) -> list[float]:
        return [sum(run["by_au"][facs.label(unit)][name] or 0.0 for unit in units) / len(units) for run in runs]

    f1 = {name: means("f1", units) for name, units in sets.items()}
    errors = [run["refined_error_mm"] for run in runs if "refined_error_mm" in run]
    return {
        "frames": runs[0]["frames"],
        "f1": {name: [sum(values) / len(values), min(values), max(values)] for name, values in f1.items()},
        "always_positive_f1": {name: means("always_positive_f1", units)[0] for name, units in sets.items()},
        "roc_area": sum(run["roc_area_mean"] for run in runs) / len(runs),
        "mesh_mm": sum(errors) / len(errors) if errors else None,
        "by_au": {au: [run["by_au"][au]["f1"] for run in runs] for au in runs[0]["by_au"]},
    }


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns the exit status of the error, if there was one, after its sentence."""
    parser = argparse.ArgumentParser(prog="python -m au_d3dface.training.table4", description=__doc__.split("\n")[0])
    parser.add_argument("--rendered", required=True, help="folder of rendered sequences with pictures, to train on")
    parser.add_argument("--rendered-held-out", required=True, help="the same of other people")
    parser.add_argument("--output", required=True, help="folder for models and table")
    parser.add_argument("--seeds", default="0", help="of the rows, such as 0,1,2; default 0")
    parser.add_argument(
        "--model", action="append", default=[], metavar="FIELD=VALUE", help="a field of AUD3DFaceConfig"
    )
    options, more = parser.parse_known_args(argv)

    def command() -> None:
        try:
            seeds = [int(seed) for seed in options.seeds.split(",")]
        except ValueError as error:
            raise UsageError(f"--seeds takes numbers with commas between, not {options.seeds!r}") from error
        table = run(options.rendered, options.rendered_held_out, Path(options.output), seeds, options.model, more)
        if process_share(os.environ)[0] == 0:
            print(as_markdown(table))

    return exit_status(command, "the same command goes on where it was")


if __name__ == "__main__":
    sys.exit(main())
