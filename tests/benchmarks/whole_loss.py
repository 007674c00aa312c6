"""What L_img and L_lmk cost on a benchmark: preparing with colours, and frames a second in training.

    python tests/benchmarks/whole_loss.py [PIXELS [STEPS]]

Writes the sample clip as a copy of BP4D in pictures of PIXELS x PIXELS (1,040: of BP4D's own size), prepares it with
and without colours, and trains BP4D's network with each of the losses, clips loaded in the same process. Times are of
the processor, so that other work on the machine counts little. One thread.
"""

import json
import sys
import tempfile
import time
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "helpers"))

from filmed_bp4d import film_bp4d

from au_d3dface import cli
from au_d3dface.training.arguments import read_arguments
from au_d3dface.training.loop import train

LENGTH = 26
LOSSES = {"coefficients alone": (0, 0), "with L_lmk": (0, 2), "with L_img": (2, 0), "all of Eq. 11": (2, 2)}


def main() -> None:
    """Prints one line a way of preparing, and one a loss."""
    pixels = int(sys.argv[1]) if len(sys.argv) > 1 else 1040
    steps = int(sys.argv[2]) if len(sys.argv) > 2 else 6
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        film_bp4d(folder / "copy", LENGTH, 0, 3, pixels)
        command = ["prepare", str(folder / "copy"), "--device", "cpu", "--quiet", "--output"]
        cli.main([*command, str(folder / "warm")])
        for words in ([], ["--appearance"]):
            output, start = folder / f"coarse{len(words)}", time.process_time()
            cli.main([*command, str(output), *words])
            used = (time.process_time() - start) / (3 * LENGTH)
            size = sum(path.stat().st_size for path in output.rglob("*.npz")) / (3 * LENGTH)
            print(f"prepare {' '.join(words)}: {1e3 * used:.1f} ms a frame, {size:.0f} bytes a frame", flush=True)
        options = ["--config", "bp4d", "--data-dir", str(folder / "copy"), "--prepared", str(folder / "coarse1")]
        options += ["--tested", "P3", "--missing", "skip", "--frame-rate", "10", "--batch-size", "2", "--threads", "1"]
        options += ["--model", "action_units=[1, 2, 4]", "--weight-intensity", "0"]
        for loss, (image, landmarks) in LOSSES.items():
            run, seconds = folder / f"run{image}{landmarks}", []
            for count in (1, 1 + steps):  # what starting and evaluating take is in both
                start = time.process_time()
                weights = ["--weight-image", str(image), "--weight-landmarks", str(landmarks)]
                more = ["--output", str(run / str(count)), "--epochs", str(count), "--max-steps", str(count)]
                train(read_arguments([*options, *weights, *more]))
                seconds.append(time.process_time() - start)
            last = json.loads((run / str(1 + steps) / "log.jsonl").read_text().splitlines()[-3])
            speed = 2 * 20 * steps / (seconds[1] - seconds[0])
            print(f"{loss}: {speed:.0f} frames a second of processor time; last step {last}", flush=True)


if __name__ == "__main__":
    main()
