"""The project's rasterizer against pytorch3d's: agreement on the same meshes, and speed, both sides in one run.

    python tests/benchmarks/rasterizers.py [--ict-facekit PATH] [--sizes 64 128 224 512] [--poses 3] [--device cpu]

Agreement, by mesh and picture size over random poses: the share of pixels that see the same triangle; barycentric
coordinates where both do, with the share of pixels that differ by more than 1e-4, the largest difference, and how far
each side is from those of double precision (they differ on slivers, nearly edge-on, whose areas float32 rounds); the
relative difference of the gradients of a random image loss.

Speed, medians: one picture of 224 x 224 with 9,976 triangles; forward and backward of L_img (Eq. 13) for a clip of 20
frames of the same size with texture, light and skin mask. pytorch3d's CPU rasterizer looks at every triangle for every
pixel; it is run once for the clip.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

from au_d3dface.face_models import ICTFaceKit
from au_d3dface.losses import image_loss
from au_d3dface.rendering import MeshRenderer, load_rasterizer

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "helpers"))
from made_meshes import facemesh, head_of_flame_size, in_picture, random_rotations

FRAMES, SIZE = 20, 224


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ict-facekit", type=Path)
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 128, 224, 512])
    parser.add_argument("--poses", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    device = torch.device(options.device)

    meshes = {"flame-size head": head_of_flame_size(), "facemesh": facemesh()}
    if options.ict_facekit:
        face = ICTFaceKit(options.ict_facekit)
        meshes["ICT face"] = face.template, face.faces
    print(f"torch {torch.__version__}, {options.device}, {options.threads} thread(s)\n")
    print("| mesh | size | same triangle | barycentric > 1e-4 | largest | off float64: ours | pytorch3d | gradients |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for name, (vertices, faces) in meshes.items():
        for size in options.sizes:
            points = in_picture(vertices, size, seed=size, count=options.poses).to(device)
            print(f"| {name} | {size} | " + " | ".join(agreement(points, faces.to(device), size)) + " |", flush=True)

    vertices, faces = (tensor.to(device) for tensor in head_of_flame_size())
    points = in_picture(vertices.cpu(), SIZE, seed=0).to(device)
    seconds = {
        name: timed(lambda name=name: load_rasterizer(name)(points, faces, SIZE, SIZE, True), runs, device)
        for name, runs in (("torch", 21), ("pytorch3d", 3))
    }
    print(f"\none picture, {len(faces)} triangles: {report(seconds)}")
    seconds = {name: timed(clip_loss(name, device), runs, device) for name, runs in (("torch", 5), ("pytorch3d", 1))}
    print(f"L_img of {FRAMES} frames, forward and backward: {report(seconds)}")
    print(f"what moving its bytes alone would cost: {1000 * floor_seconds(device):.1f} ms")


def floor_seconds(device: torch.device) -> float:
    """Seconds to move, once forward and once backward, what L_img of a clip cannot do without: for each pixel of the
    face three corners of eight numbers (place, normal, uv), and the pictures, targets and masks."""
    vertices, faces = head_of_flame_size()
    points = in_picture(vertices, SIZE, seed=0)
    covered = FRAMES * int(load_rasterizer("torch")(points, faces, SIZE, SIZE, True).mask.sum())
    numbers = covered * 3 * 8 + FRAMES * SIZE * SIZE * (3 + 3 + 1)
    block = torch.rand(numbers, device=device)
    return 2 * timed(block.clone, 7, device)


def agreement(points: torch.Tensor, faces: torch.Tensor, size: int) -> list[str]:
    """The cells of one row of the table."""
    moved = [points.clone().requires_grad_() for _ in range(2)]
    both = [
        load_rasterizer(name)(place, faces, size, size, True)
        for name, place in zip(("torch", "pytorch3d"), moved, strict=True)
    ]
    same = both[0].pixel_to_face == both[1].pixel_to_face
    seen = same & both[0].mask
    exact = load_rasterizer("torch")(points.double(), faces, size, size, True)
    known = seen & (exact.pixel_to_face == both[0].pixel_to_face)
    difference = (both[0].barycentric - both[1].barycentric).abs().amax(-1)[seen].detach()
    off = [(one.barycentric.double() - exact.barycentric).abs().amax(-1)[known].max().item() for one in both]
    generator = torch.Generator().manual_seed(0)
    weights = torch.rand(*seen.shape, generator=generator).to(points)
    values = torch.rand(len(faces), 3, generator=generator).to(points)
    for fragments in both:
        color = (fragments.barycentric * values[fragments.pixel_to_face.clamp_min(0)]).sum(-1)
        (color * weights)[seen].sum().backward()
    gradients = (moved[0].grad - moved[1].grad).norm() / moved[0].grad.norm()  # type: ignore[union-attr,operator]
    return [
        f"{100 * same.float().mean():.3f} %",
        f"{100 * (difference > 1e-4).float().mean():.3f} %",
        f"{difference.max():.1e}",
        *(f"{value:.1e}" for value in off),
        f"{gradients:.1e}",
    ]


def clip_loss(backend: str, device: torch.device) -> Callable[[], object]:
    """A function that computes L_img of a clip and its gradient in the vertices."""
    vertices, faces = (tensor.to(device) for tensor in head_of_flame_size())
    generator = torch.Generator().manual_seed(0)
    extent = vertices.amax(0) - vertices.amin(0)
    uv = ((vertices - vertices.amin(0)) / extent)[:, :2]
    renderer = MeshRenderer(faces, uv, backend=backend)
    heads = vertices.expand(FRAMES, -1, -1).clone().requires_grad_()
    paint = {
        "texture": torch.rand(256, 256, 3, generator=generator).to(device),
        "lighting": torch.rand(FRAMES, 9, 3, generator=generator).to(device),
    }
    images = torch.rand(FRAMES, SIZE, SIZE, 3, generator=generator).to(device)
    mask = (torch.rand(FRAMES, SIZE, SIZE, generator=generator) < 0.7).to(device)
    camera = (
        random_rotations(FRAMES, 0, 0.3).to(device),
        torch.full((FRAMES,), 0.85 * SIZE / float(extent.max()), device=device),
        torch.full((FRAMES, 2), SIZE / 2, device=device),
    )

    def run() -> None:
        picture = renderer.heads(heads, *camera, SIZE, SIZE, **paint).image
        image_loss(picture[None], images[None], mask[None]).backward()

    return run


def timed(function: Callable[[], object], runs: int, device: torch.device) -> float:
    """Median seconds of so many runs, after one that is not counted (where there are several)."""
    seconds = []
    for _ in range(runs + (runs > 1)):
        if device.type == "cuda":
            torch.cuda.synchronize()
        start = time.perf_counter()
        function()
        if device.type == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds[-runs:])


def report(seconds: dict[str, float]) -> str:
    ours, theirs = seconds["torch"], seconds["pytorch3d"]
    return f"torch {1000 * ours:.1f} ms, pytorch3d {1000 * theirs:.0f} ms, ratio {theirs / ours:.1f}"


if __name__ == "__main__":
    main()
