"""How fast a benchmark of 100,000 frames is read for training, how fast it gives batches, and how much memory it takes.

    python tests/benchmarks/benchmark_clips.py [FRAMES]

Writes a copy of BP4D with labels only and prepared faces of facemesh (landmark fitting) and of a made FLAME (as DECA
gives them), each read in a process of its own. Memory is the peak, before and after reading.
"""

import multiprocessing
import resource
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "helpers"))

LENGTH = 450
UNITS = (1, 2, 4, 6, 7, 10, 12, 14, 15, 17, 23, 24)


def face_model_of(name: str, folder: Path):
    from au_d3dface.face_models import FLAME, FaceMesh

    return FLAME(next((folder / "made").rglob("flame.safetensors"))) if name == "flame" else FaceMesh()


def write(folder: Path, frames: int) -> None:
    """A copy of as many frames, in sequences as long as the real ones, and prepared faces of both kinds."""
    from benchmark_layouts import make_bp4d
    from made_flame import made_flame
    from prepared_benchmarks import prepare_copy

    from au_d3dface.data.folds import PARTS

    people = [PARTS["bp4d"][part][number] for number in range(13) for part in ("P1", "P2", "P3")]
    sequences = [(person, f"T{task}") for person in people for task in range(1, 9)][: max(6, frames // LENGTH)]
    written = make_bp4d(folder / "copy", sequences, LENGTH, pictures=None)
    made_flame(folder / "made")
    for name, coarse in (("facemesh", "landmarks"), ("flame", "deca")):
        prepare_copy(folder / name, written, face_model_of(name, folder), UNITS, coarse=coarse)


def read(name: str, folder: Path) -> None:
    """Prints one line."""
    import datasets  # noqa: F401 (its memory is none of the data's)
    import torch

    from au_d3dface.data import collate_clips
    from au_d3dface.training.arguments import read_arguments
    from au_d3dface.training.benchmark_data import benchmark_training_data

    torch.set_num_threads(1)

    def peak() -> float:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

    options = ["--config", "bp4d", "--data-dir", str(folder / "copy"), "--prepared", str(folder / name)]
    options += ["--weight-image", "0", "--weight-landmarks", "0"]  # coefficients alone: there are no pictures here
    arguments = read_arguments([*options, "--tested", "P3", "--missing", "skip"])
    config, model = arguments.validate(), face_model_of(name, folder)
    before, start = peak(), time.perf_counter()
    data = benchmark_training_data(arguments, config, model, show_progress=False)
    seconds, after = time.perf_counter() - start, peak()
    start, count = time.perf_counter(), min(len(data.clips), 2000)
    data.clips.begin_epoch(1)
    for first in range(0, count, 8):
        batch = collate_clips([data.clips[index] for index in range(first, min(first + 8, count))])
    clips_a_second, most = count / (time.perf_counter() - start), peak()
    start = time.perf_counter()
    for _ in range(5):
        data.meshes(batch)
    meshes = 5 * batch["frame_mask"].numel() / (time.perf_counter() - start)
    held = data.provenance[0]
    frames = held["trained_on"]["frames"] + held["held_out"]["frames"]
    print(
        f"{name}: {frames:,} frames read in {seconds:.1f} s; memory {before:.0f} MB before, {after:.0f} MB after, "
        f"{most:.0f} MB after {count:,} clips; {len(data.clips):,} clips an epoch, {clips_a_second:,.0f} clips of 20 a "
        f"second in batches of 8, {meshes:,.0f} meshes a second; {len(data.held_out)} runs held out",
        flush=True,
    )


def main() -> None:
    """Prints one line a face model."""
    frames = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        writer = context.Process(target=write, args=(Path(folder), frames))
        writer.start()
        writer.join()
        for name in ("facemesh", "flame"):
            process = context.Process(target=read, args=(name, Path(folder)))
            process.start()
            process.join()


if __name__ == "__main__":
    main()
