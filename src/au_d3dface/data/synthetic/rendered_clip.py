"""Renders a video of a synthetic person who acts, with the true action units of every frame.

    python -m au_d3dface.data.synthetic.rendered_clip --ict-facekit PATH --output clip.mp4 --seconds 20 \\
        --frame-rate 60 --seed 5 --style posing --labels clip.csv

The person, the camera and the performance are those of rendered_sequences.py. The labels are a csv of one row a frame:
`frame` (from 1), `timestamp`, the true intensities `AU01_r` to `AU45_r` (0-5, the stronger side) and `AU01_c` to
`AU45_c` (1 from a trace on). The same seed gives the same performance at any frame rate.
"""

import argparse
import math
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from tqdm import tqdm

from ... import facs
from ...errors import AUD3DFaceError, UsageError
from ...export.csv import DECIMALS
from ...export.files import atomic_path
from ...face_models import find_ict_facekit
from ...video import VideoWriter
from .displays import STYLES
from .filming import RenderSettings, Take, load_head, random_take
from .trajectories import labels

SIZE = 384
"""Pixels a side of the picture."""

_QUALITY = (88, 97)
"""Of the JPEG that every frame goes through: high, since the video's own compression follows."""
_RATE_FACTOR = 16
"""x264's; 18 looks like the original."""


def label_table(take: Take) -> pd.DataFrame:
    """The true labels of a take: frame, timestamp, AU01_r..., AU01_c..., one row a frame."""
    present, intensity = labels(take.act.action_units)
    columns = {"frame": np.arange(1, len(take.times) + 1), "timestamp": take.times.round(DECIMALS)}
    strength = intensity.astype(np.float64).round(DECIMALS)
    columns |= {f"{facs.label(au)}_r": strength[:, i] for i, au in enumerate(facs.ALL)}
    columns |= {f"{facs.label(au)}_c": present[:, i] for i, au in enumerate(facs.ALL)}
    return pd.DataFrame(columns)


def render_clip(
    kit: str | Path, output: str | Path, settings: RenderSettings, seed: int = 0, label_file: str | Path | None = None
) -> Take:
    """Renders a clip and writes it, and its labels where a file is named for them.

    Args:
        kit: path of ICT-FaceKit.
        output: the mp4.

    Returns:
        What was rendered.

    Raises:
        CheckpointError: the kit is missing or damaged.
        OutputError: a file cannot be written.
    """
    head, painter = load_head(Path(kit))
    rng = np.random.default_rng(seed)
    take = random_take(rng, head, settings)
    size = settings.size
    with ExitStack() as stack:
        stack.enter_context(torch.inference_mode())
        if label_file is not None:  # gets its name when the video is complete
            temporary = stack.enter_context(atomic_path(label_file))
            label_table(take).to_csv(temporary, index=False, lineterminator="\n")
        writer = stack.enter_context(
            VideoWriter(output, settings.frame_rate, size, size, crf=_RATE_FACTOR, preset="medium")
        )
        for frame in tqdm(range(len(take.times)), unit="frame", disable=None):
            writer.write(take.frame(rng, painter, frame).picture)
    return take


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m au_d3dface.data.synthetic.rendered_clip", description=__doc__.split("\n")[0]
    )
    parser.add_argument(
        "--ict-facekit", type=Path, metavar="PATH", help="ICT-FaceKit: its npz or folder; default: as for --face-model"
    )
    parser.add_argument("--output", type=Path, required=True, metavar="FILE", help="the mp4 to write")
    parser.add_argument("--labels", type=Path, metavar="FILE", help="csv of the true action units to write")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--frame-rate", type=float, default=60.0, help="frames a second (60)")
    parser.add_argument("--size", type=int, default=SIZE, help=f"pixels a side ({SIZE})")
    parser.add_argument("--style", choices=sorted(STYLES), help="without it, one is drawn")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    try:
        # At least one frame, and no more than memory holds.
        frames = options.seconds * options.frame_rate
        if not (math.isfinite(frames) and options.frame_rate > 0 and 0.5 < frames <= 1e6):
            raise UsageError("--seconds and --frame-rate must be positive and make one to a million frames")
        if options.size < 16 or options.seed < 0:
            raise UsageError("--size must be at least 16 pixels, and --seed at least 0")
        settings = RenderSettings(
            options.seconds, options.frame_rate, options.size, quality=_QUALITY, style=options.style
        )
        kit = find_ict_facekit(options.ict_facekit)
        take = render_clip(kit, options.output, settings, options.seed, options.labels)
    except AUD3DFaceError as error:
        print(error, file=sys.stderr)
        return error.exit_status
    print(f"{len(take.times)} frames in {options.output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
