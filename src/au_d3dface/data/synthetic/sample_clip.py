"""Renders the sample clip that the package carries: a person who acts a few expressions, from ICT-FaceKit.

python -m au_d3dface.data.synthetic.sample_clip --ict-facekit ict_facekit.npz --output sample.mp4
"""

import argparse
import sys
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from ...errors import AUD3DFaceError
from ...face_models.ict import ICTFaceKit
from ...video import VideoWriter
from .portrait import Portrait
from .portrait_paint import Look

FRAME_RATE = 30.0
DURATION = 7.8
_PERSON = 113
"""Seed of the identity: chosen by looking at a few."""

# One line an event: AU; activation at the apex (1 is intensity 5) of the subject's left and right side; the seconds at
# which it starts to rise, is reached, starts to fall, and has fallen.
_ACTS: tuple[tuple[int, float, float, float, float, float, float], ...] = (
    (45, 1.08, 1.08, 0.86, 0.95, 0.98, 1.16),
    (1, 0.92, 0.84, 1.10, 1.48, 1.95, 2.40),
    (2, 0.76, 0.88, 1.12, 1.52, 1.93, 2.36),
    (5, 0.35, 0.35, 1.14, 1.50, 1.85, 2.25),
    (45, 1.08, 1.08, 2.30, 2.39, 2.42, 2.60),
    (12, 0.86, 0.78, 2.70, 3.20, 4.15, 4.72),
    (6, 0.80, 0.76, 2.82, 3.30, 4.10, 4.60),
    (25, 0.85, 0.80, 2.80, 3.22, 4.05, 4.50),
    (45, 1.08, 1.08, 4.58, 4.67, 4.70, 4.88),
    (4, 0.85, 0.90, 4.88, 5.26, 5.72, 6.10),
    (15, 0.62, 0.70, 4.98, 5.36, 5.70, 6.06),
    (17, 0.66, 0.62, 4.94, 5.32, 5.72, 6.08),
    (45, 1.08, 1.08, 6.02, 6.11, 6.14, 6.32),
    (26, 0.54, 0.54, 6.20, 6.36, 6.42, 6.56),
    (26, 0.40, 0.40, 6.52, 6.62, 6.66, 6.76),
    (26, 0.58, 0.58, 6.74, 6.88, 6.94, 7.14),
    (25, 0.55, 0.50, 6.18, 6.34, 6.90, 7.14),
)
_ROUNDING = ((0.55, 6.46, 6.58, 6.64, 6.76), (0.30, 6.86, 6.96, 7.00, 7.12))
"""Lips rounded while speaking, which is no AU of the list: weight and times of the kit's mouthFunnel."""
_YAW = ((0.0, 0.0), (2.45, 0.0), (3.15, 0.23), (4.20, 0.21), (5.15, -0.19), (5.85, -0.17), (6.75, 0.0), (DURATION, 0.0))
_PITCH = (
    (0.0, 0.0),
    (1.05, 0.0),
    (1.5, -0.07),
    (2.0, -0.06),
    (3.2, 0.03),
    (4.9, 0.0),
    (5.4, 0.08),
    (6.4, 0.0),
    (7.8, 0.0),
)
_ROLL = ((0.0, 0.0), (2.6, 0.0), (3.3, -0.06), (4.3, -0.04), (5.3, 0.04), (6.6, 0.0), (DURATION, 0.0))
"""Time and angle (radians) of the head, smooth between: to the subject's left, downwards, towards the left shoulder."""


def _ease(x: float) -> float:
    """From 0 to 1 with no velocity and no acceleration at both ends."""
    x = min(max(x, 0.0), 1.0)
    return x * x * x * (10 - 15 * x + 6 * x * x)


def _event(time: float, start: float, apex: float, release: float, end: float) -> float:
    return _ease((time - start) / (apex - start)) * (1 - _ease((time - release) / (end - release)))


def _track(time: float, knots: Sequence[tuple[float, float]]) -> float:
    for (t0, v0), (t1, v1) in pairwise(knots):
        if time <= t1:
            return v0 + (v1 - v0) * _ease((time - t0) / (t1 - t0))
    return knots[-1][1]


def activations(time: float) -> dict[int, tuple[float, float]]:
    """What the person does at a time in seconds: AU to the activations of the left and the right side, 0-1."""
    result: dict[int, tuple[float, float]] = {}
    for au, left, right, *times in _ACTS:
        level = _event(time, *times)
        old = result.get(au, (0.0, 0.0))
        result[au] = max(old[0], left * level), max(old[1], right * level)
    return result


def head_rotation(time: float) -> Tensor:
    """(3,) axis-angle of the head in the camera frame, with the slight sway of a living person."""
    sway = np.array([np.sin(1.9 * time + 0.4), np.sin(1.3 * time), np.sin(1.6 * time + 1)]) * (0.006, 0.009, 0.005)
    angles = np.array([_track(time, _PITCH), _track(time, _YAW), -_track(time, _ROLL)]) + sway
    return torch.from_numpy(angles).float()


def gaze(time: float) -> Tensor:
    """(3,) axis-angle of the eyes against the head: they keep to the camera, but for a few small jumps."""
    jumps = (
        (0.42, 0.02, 0.0),
        (0.62, 0.0, 0.0),
        (2.45, -0.02, 0.02),
        (2.9, 0.0, 0.0),
        (4.75, 0.03, -0.03),
        (5.1, 0, 0),
    )
    pitch, yaw = next(((p, y) for start, p, y in reversed(jumps) if time >= start), (0.0, 0.0))
    turn = head_rotation(time)
    return torch.tensor([pitch - float(turn[0]), yaw - float(turn[1]), 0.0])


def expression(head: ICTFaceKit, time: float) -> Tensor:
    """(57,) weights of the kit's shapes: the AUs, rounded lips, and lids that follow the eyes."""
    acts = activations(time)
    sides = torch.tensor(list(acts.values()))
    weights = torch.einsum("ks,kse->e", sides, head.au_to_expression(list(acts)))
    names = head.expression_names

    def add(name: str, amount: float) -> None:
        weights[names.index(name)] += amount

    for amount, *times in _ROUNDING:
        add("mouthFunnel", amount * _event(time, *times))
    closed = max(acts[45])
    down, left, _ = (gaze(time) / 0.5).tolist()  # the lids' full motion belongs to about half a radian
    for side, outward in (("L", left), ("R", -left)):
        add(f"eyeLookOut_{side}", max(outward, 0.0))
        add(f"eyeLookIn_{side}", max(-outward, 0.0))
        add(f"eyeLookUp_{side}", max(-down, 0.0) * (1 - closed))
        add(f"eyeLookDown_{side}", max(down, 0.0) * (1 - closed))
        add(f"eyeBlink_{side}", 0.12 * (1 - closed))  # a relaxed lid covers the top of the iris
        add(f"eyeSquint_{side}", 0.08)
    limit = torch.tensor([1.1 if name.startswith("eyeBlink") else 1.0 for name in names])
    return weights.clamp(min=0).minimum(limit)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m au_d3dface.data.synthetic.sample_clip", description="Renders the package's sample clip."
    )
    parser.add_argument("--ict-facekit", required=True, metavar="FILE", help="npz of ICT-FaceKit")
    parser.add_argument("--output", default="sample.mp4", metavar="FILE", help="the mp4 to write")
    parser.add_argument("--size", type=int, default=480, help="pixels a side (480)")
    parser.add_argument("--samples", type=int, default=2, help="samples a side in each pixel (2)")
    options = parser.parse_args(arguments)
    try:
        head = ICTFaceKit(options.ict_facekit, part="head")
        rng = np.random.default_rng(_PERSON)
        person = Portrait(head, torch.from_numpy(0.6 * rng.standard_normal(100)).float(), Look())
        with VideoWriter(options.output, FRAME_RATE, options.size, options.size, crf=20, preset="slow") as writer:
            for frame in tqdm(range(round(DURATION * FRAME_RATE)), unit="frame"):
                time = frame / FRAME_RATE
                raised = float(np.mean(activations(time)[1] + activations(time)[2]))
                with torch.inference_mode():
                    writer.write(
                        person.render(
                            expression(head, time),
                            head_rotation(time),
                            gaze(time),
                            options.size,
                            options.samples,
                            raised,
                        )
                    )
    except AUD3DFaceError as error:
        print(error, file=sys.stderr)
        return error.exit_status
    return 0


if __name__ == "__main__":
    sys.exit(main())
