"""The bundled checkpoint from ICT-FaceKit, by one command: renders and tracks people, then trains.

    python -m au_d3dface.training.reproduce --ict-facekit PATH --pyfeat-map FILE --output DIR

It runs three commands one after the other, as they could be typed: `data.synthetic.rendered_sequences` for people to
train on (DIR/rendered) and for held-out ones (DIR/rendered-held-out), then the training (DIR/default, whose folder
`model` is the checkpoint). Each keeps what it finds made, so the same command goes on where it was stopped. The face
model and the tracker's statistics are those of the package.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from ..data.synthetic import rendered_sequences
from ..data.synthetic.filming import RenderSettings
from ..data.synthetic.responses import read_pyfeat_map
from ..data.synthetic.sequences import HELD_OUT_SEED
from ..errors import AUD3DFaceError, UsageError
from ..face_models import find_ict_facekit
from . import __main__ as training
from .arguments import read_arguments

PEOPLE, HELD_OUT = 612, 96
"""Rendered sequences behind the bundled checkpoint, each of a person of its own."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the three steps; returns the exit status of the first that fails, after its sentence, or 0."""
    parser = argparse.ArgumentParser(prog="python -m au_d3dface.training.reproduce", description=__doc__.split("\n")[0])
    parser.add_argument("--ict-facekit", metavar="PATH", help="its npz or folder; default: as for --face-model")
    parser.add_argument("--pyfeat-map", required=True, metavar="FILE", help="py-feat's au_to_mesh_pls_v4.npz")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder for renders and training")
    parser.add_argument("--config", default="default", help="of the training: default, static, or a yaml file")
    parser.add_argument("--people", type=int, default=PEOPLE, help=f"rendered to train on; default {PEOPLE}")
    parser.add_argument("--held-out", type=int, default=HELD_OUT, help=f"rendered to evaluate on; default {HELD_OUT}")
    parser.add_argument("--workers", type=int, default=2, help="processes that render and fit; default 2")
    options = parser.parse_args(arguments)
    people, held_out = options.output / "rendered", options.output / "rendered-held-out"
    recipe = [
        *("--config", options.config, "--rendered", str(people), "--rendered-held-out", str(held_out)),
        *("--pyfeat-map", options.pyfeat_map, "--pool", str(options.output / "pools")),
        *("--workers", str(options.workers), "--output", str(options.output / Path(options.config).stem)),
    ]
    try:  # what would stop the training is said now, not after hours of rendering
        if min(options.people, options.held_out) < 1:
            raise UsageError("--people and --held-out must be at least 1")
        network, rendered = read_arguments(recipe).validate(), RenderSettings()
        if network.frame_rate != rendered.frame_rate:
            raise UsageError(
                f"people are rendered at {rendered.frame_rate:g} frames a second, but the network of {options.config} "
                f"takes {network.frame_rate:g}; give a config with frame_rate: {rendered.frame_rate:g}"
            )
        read_pyfeat_map(options.pyfeat_map)
        rendering = ["--ict-facekit", str(find_ict_facekit(options.ict_facekit)), "--workers", str(options.workers)]
    except AUD3DFaceError as error:
        print(f"au-d3dface: {error}", file=sys.stderr)
        return error.exit_status
    steps = (
        (rendered_sequences.main, [*rendering, "--output", str(people), "--count", str(options.people)]),
        (
            rendered_sequences.main,
            [*rendering, "--output", str(held_out), "--count", str(options.held_out), "--seed", str(HELD_OUT_SEED)],
        ),
        (training.main, recipe),
    )
    try:
        for run, command in steps:
            if status := run(command):
                return status
    except KeyboardInterrupt:
        print("au-d3dface: interrupted; the same command goes on from there", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
