"""How far a training in bfloat16 is from one in float32: one step, term by term, and the course of many.

    python tests/benchmarks/half_precision.py [STEPS]

The networks are of the recipes of the package, trained on a few fast synthetic sequences. Differences of one step are
between equal weights, batches and dropout: each term in roundings of bfloat16 (2^-8), each weight's gradient as a share
of it. Beside them stands a control, in float32 with its weights rounded to bfloat16 first. Of STEPS steps (100), losses
are compared step by step, with two controls: first weights rounded to bfloat16, and first weights a rounding of float32
larger. One thread.
"""

import sys
import tempfile
from pathlib import Path
from statistics import mean, median

import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "helpers"))

from half_precision import Stepper, difference, gradient_errors, term_errors

from au_d3dface.training.arguments import read_arguments

DATA = ["--sequences", "48", "--held-out", "1", "--seconds", "4"]
RECIPES = {
    "default": ["--config", "default"],
    "default, not whitened": ["--config", "default", "--whitening", "0"],
    "default, motion span": ["--config", "default", "--motion-span", "true"],
    "static": ["--config", "static"],
}
LAST = 40


def one_step(name: str, network: Stepper) -> None:
    """Prints a line of the step after 0 and after 60 others, one a way to compute it."""
    for steps in (0, 60):
        network.learn(steps)
        batch = network.batch(steps)
        exact = network.step(batch)
        for way, other in (("bfloat16", network.step(batch, half=True)), ("control", network.control(batch))):
            gradients = gradient_errors(exact, other).values()
            terms = ", ".join(f"{term} {error:.2f}" for term, error in term_errors(exact, other).items())
            print(
                f"{name}, after {steps} steps, {way}: {terms} roundings; gradients median {median(gradients):.4f}, "
                f"most {max(gradients):.3f}, together {difference(exact, other):.4f}",
                flush=True,
            )


def course(folder: Path, steps: int) -> None:
    """Prints how far the losses of several trainings are from those of one in float32."""
    arguments = read_arguments([*RECIPES["default"], *DATA])

    def losses(half: bool = False, rounded: bool = False, larger: bool = False) -> list[float]:
        network = Stepper(arguments, folder)
        if rounded:
            network.round_weights()
        if larger:
            with torch.no_grad():
                for value in network.trainee.network.parameters():
                    value.mul_(1 + torch.finfo(torch.float32).eps)
        return network.learn(steps, half)

    exact = losses()
    print(f"float32: mean of the last {LAST} losses {mean(exact[-LAST:]):.4f}", flush=True)
    for way, other in (
        ("bfloat16", losses(half=True)),
        ("float32, first weights rounded to bfloat16", losses(rounded=True)),
        ("float32, first weights a rounding of float32 larger", losses(larger=True)),
    ):
        apart = [abs(b - a) / a for a, b in zip(exact, other, strict=True)]
        print(
            f"{way}: mean of the last {LAST} losses {mean(other[-LAST:]):.4f}; single steps differ by "
            f"{100 * median(apart):.2f} % (median) and up to {100 * max(apart):.1f} %, the last {LAST} by "
            f"{100 * median(apart[-LAST:]):.2f} %",
            flush=True,
        )


def main() -> None:
    """Prints the steps, then the courses."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        for recipe, options in RECIPES.items():
            one_step(recipe, Stepper(read_arguments([*options, *DATA]), Path(name)))
        course(Path(name), int(sys.argv[1]) if len(sys.argv) > 1 else 100)


if __name__ == "__main__":
    main()
