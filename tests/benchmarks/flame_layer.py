"""The project's FLAME layer against that of the smplx package: the same vertices, and speed, both sides in one run.

    pip install --no-deps smplx     # in an environment of its own; or a clone of it, whose folder goes into PYTHONPATH
    python tests/benchmarks/flame_layer.py [--device cpu] [--batches 1 20 200] [--rounds 7]

The model is made up (tests/helpers/made_flame.py), in the true sizes. Coefficients: DECA's 100 and 50, and all 300 and
100; pose: all 15 numbers. Both sides give vertices and 51 landmarks, as smplx always does. Times are medians, rounds of
the two sides in turn; "backward" is the gradient of a random weighting of both in coefficients and pose, forward
included. Speed is in million vertices a second.
"""

import argparse
import pickle
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "helpers"))
from made_flame import made_arrays, made_landmarks, write_landmarks, write_model

from au_d3dface.face_models import FLAME
from au_d3dface.face_models.base import LandmarkEmbedding
from au_d3dface.face_models.flame_conversion import convert_flame

POSE = ("global_orient", "neck_pose", "jaw_pose", "leye_pose", "reye_pose")
"""smplx's names of the parts of a pose, in the order of our 15 numbers."""

Layer = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 20, 200])
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(f"torch {torch.__version__}, {options.device}, {options.threads} thread(s)\n")
    print("| coefficients | batch | pass | ours, Mv/s | smplx, Mv/s | times as fast | largest difference, m |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as folder:
        model = made_model(Path(folder))
        for sizes in ((100, 50), (300, 100)):
            sides = [layer.to(options.device) for layer in (Ours(model), Theirs(Path(folder), *sizes))]
            for batch in options.batches:
                for row in compare(sides, sizes, batch, options.device, options.rounds):
                    print(f"| {sizes[0]} + {sizes[1]} | {batch} | {row} |", flush=True)


class Ours(torch.nn.Module):
    def __init__(self, model: FLAME) -> None:
        super().__init__()
        self.model = model
        self.landmarks = LandmarkEmbedding(model.landmarks_68.triangles[17:], model.landmarks_68.barycentric[17:])

    def forward(self, shape, expression, pose):
        vertices = self.model(shape, expression, pose)
        return vertices, self.landmarks(vertices, self.model.faces)


class Theirs(torch.nn.Module):
    def __init__(self, folder: Path, num_shape: int, num_expression: int) -> None:
        super().__init__()
        try:
            import smplx
        except ImportError:
            sys.exit("smplx is not installed: see the head of this file")
        none = {f"create_{name}": False for name in ("betas", "expression", "transl", *POSE)}
        self.model = smplx.FLAME(str(folder), num_betas=num_shape, num_expression_coeffs=num_expression, **none)

    def forward(self, shape, expression, pose):
        parts = dict(zip(POSE, pose.split(3, -1), strict=True))
        output = self.model(betas=shape, expression=expression, **parts)
        return output.vertices, output.joints[:, -51:]


def made_model(folder: Path) -> FLAME:
    """Writes the files of both sides into a folder, and loads ours."""
    arrays = made_arrays()
    landmarks = made_landmarks(arrays)
    write_model(folder / "generic_model.pkl", arrays)
    write_model(folder / "FLAME_NEUTRAL.pkl", arrays, chumpy=False)
    static = {
        "lmk_face_idx": landmarks["static_lmk_faces_idx"],
        "lmk_b_coords": landmarks["static_lmk_bary_coords"],
    }
    (folder / "flame_static_embedding.pkl").write_bytes(pickle.dumps(static))
    write_landmarks(folder / "landmark_embedding.npy", landmarks)
    files = [folder / "generic_model.pkl", folder / "landmark_embedding.npy"]
    convert_flame(files, folder / "converted", "2020")
    return FLAME(folder / "converted")


def compare(sides: list[Layer], sizes: tuple[int, int], batch: int, device: str, rounds: int) -> list[str]:
    """Cells of the table for the passes forward and backward."""
    generator = torch.Generator().manual_seed(batch)
    inputs = [torch.randn(batch, size, generator=generator).to(device) for size in sizes]
    inputs.append(0.3 * torch.randn(batch, 15, generator=generator).to(device))
    with torch.no_grad():
        (ours, our_points), (theirs, their_points) = (side(*inputs) for side in sides)
    difference = max((ours - theirs).abs().max(), (our_points - their_points).abs().max())
    direction = torch.randn(ours.shape, generator=generator).to(device)
    leaves = [tensor.clone().requires_grad_() for tensor in inputs]

    def forward(side: Layer) -> None:
        with torch.no_grad():
            side(*inputs)

    def backward(side: Layer) -> None:
        vertices, points = side(*leaves)
        torch.autograd.grad((vertices * direction).sum() + points.sum(), leaves)

    rows = []
    for name, work in (("forward", forward), ("backward", backward)):
        seconds = [[], []]
        for _ in range(rounds + 1):
            for times, side in zip(seconds, sides, strict=True):
                times.append(timed(lambda work=work, side=side: work(side), device, repeats=max(1, 40 // batch)))
        mine, other = (statistics.median(times[1:]) for times in seconds)  # the first round warms up
        speed = [batch * ours.shape[-2] / time / 1e6 for time in (mine, other)]
        rows.append(f"{name} | {speed[0]:.1f} | {speed[1]:.1f} | {other / mine:.2f} | {float(difference):.1e}")
    return rows


def timed(work: Callable[[], None], device: str, repeats: int) -> float:
    """Seconds of one run, of several in a row."""
    if device.startswith("cuda"):
        torch.cuda.synchronize()
    start = time.perf_counter()
    for _ in range(repeats):
        work()
    if device.startswith("cuda"):
        torch.cuda.synchronize()
    return (time.perf_counter() - start) / repeats


if __name__ == "__main__":
    main()
