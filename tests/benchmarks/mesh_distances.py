"""Table 1's work, timed: every mesh of many videos aligned by ICP to the true surface, then its distances from it.

    python tests/benchmarks/mesh_distances.py [--videos 2] [--all-videos 30] [--meshes 300] [--processes 2]
        [--mesh FILE --true-mesh FILE] [--trimesh 3]

It is `sequence_distances`, which the command calls, with all vertices (`--measure all`) or, with `--region`, the front
half aligned and all measured. The meshes at rest are yours: of FLAME and of Multiface, say, in one frame of reference
and about one on the other; or, without them, made up in the true sizes, 5,023 vertices predicted and 7,306 true. Both
move; the prediction is about 13 degrees and 2 cm off, never at rest, and wrong by about a millimetre more. Each frame's
ICP starts from that of the frame before. Only `--videos` of them are run, each in one process with one thread; the time
of all is theirs times so many more, or measured itself with `--videos 30`. Run a multiple of the processes.

`--trimesh N` looks up the nearest points of N aligned meshes with trimesh beside, and compares times and distances.
"""

import argparse
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy: a thread for each process
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "helpers"))
from made_surfaces import head
from scipy.spatial.transform import Rotation

from au_d3dface.evaluation.meshes.tables import SequenceDistances, sequence_distances
from au_d3dface.geometry import ICPSettings, Similarity, TriangleSurface
from au_d3dface.geometry.mesh_files import read_mesh_file

PREDICTED, TRUE = 5023, 7306


class Rest(NamedTuple):
    """Meshes at rest, metres: (P, 3) predicted, (W, 3) true, and the truth's (F, 3)."""

    predicted: np.ndarray
    true: np.ndarray
    faces: np.ndarray


def rest_meshes(mesh: Path | None, true_mesh: Path | None) -> Rest:
    """The files', in metres, or made up."""
    if mesh is None or true_mesh is None:
        return Rest(head(PREDICTED)[0], *head(TRUE))
    (predicted, _), (true, faces) = read_mesh_file(mesh), read_mesh_file(true_mesh)
    return Rest(*(points / 1000 if np.ptp(points) > 10 else points for points in (predicted, true)), faces)


def moving(rest: Rest, seed: int, meshes: int) -> tuple[np.ndarray, np.ndarray]:
    """(T, P, 3) predicted and (T, W, 3) true of one made-up video."""
    directions = np.random.default_rng(seed).normal(size=(3, 3))
    error = 0.0015 * np.sin(50 * rest.predicted @ directions)
    predicted, true = [], []
    for frame in range(meshes):
        phase = np.sin(frame / 10 + np.arange(3))
        motion = [0.004 * np.sin(30 * (points @ directions.T)) * phase for points in rest[:2]]
        turn = Rotation.from_rotvec(np.radians(13 + 2 * phase) * [0.6, 0.6, 0.53]).as_matrix()
        predicted.append((rest.predicted + motion[0] + error) @ turn.T + [0.012 + 0.002 * phase[0], 0.01, -0.012])
        true.append(rest.true + motion[1])
    return np.stack(predicted), np.stack(true)


def video(job: tuple[Rest, int, int, bool, bool]) -> tuple[float, SequenceDistances]:
    """Processor seconds of one made-up video, and what was measured."""
    rest, seed, meshes, with_scale, with_region = job
    predicted, true = moving(rest, seed, meshes)
    region = rest.predicted[:, 2] > np.median(rest.predicted[:, 2]) if with_region else None
    begin = time.process_time()
    found = sequence_distances(predicted, true, rest.faces, ICPSettings(with_scale=with_scale), region, Similarity())
    return time.process_time() - begin, found


def beside_trimesh(rest: Rest, count: int) -> str:
    """Both look up the nearest points of the same aligned meshes: seconds as a ratio, and distances."""
    import trimesh

    predicted, true = moving(rest, 0, count)
    found = sequence_distances(predicted, true, rest.faces, ICPSettings(), None, Similarity())
    seconds, most = np.zeros(2), 0.0
    for mesh, points, transform in zip(true, predicted, found.transforms, strict=True):
        placed = transform(points)
        begin = time.process_time()
        ours = TriangleSurface(mesh, rest.faces).nearest(placed).distances
        middle = time.process_time()
        # In millimetres: trimesh takes squared distances within 1e-8 of each other for equal.
        _, theirs, _ = trimesh.proximity.closest_point(
            trimesh.Trimesh(1000 * mesh, rest.faces, process=False), 1000 * placed
        )
        seconds += middle - begin, time.process_time() - middle
        most = max(most, float(np.abs(1000 * ours - theirs).max()))
    return (
        f"trimesh takes {seconds[1] / seconds[0]:.0f} times as long for building and one look-up ({count} meshes); "
        f"distances differ by at most {most:.1g} mm"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--videos", type=int, default=2, help="how many are run")
    parser.add_argument("--all-videos", type=int, default=30, help="how many the time is given for")
    parser.add_argument("--meshes", type=int, default=300, help="of each video")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--mesh", type=Path, help="the predicted mesh at rest, .obj or .ply")
    parser.add_argument("--true-mesh", type=Path, help="the true mesh at rest")
    parser.add_argument("--with-scale", action="store_true")
    parser.add_argument("--region", action="store_true", help="align the front half only, and measure all vertices")
    parser.add_argument("--trimesh", type=int, default=0, metavar="N", help="compare with trimesh on so many meshes")
    options = parser.parse_args()
    if (options.mesh is None) != (options.true_mesh is None):
        parser.error("give --mesh and --true-mesh, or neither")
    rest = rest_meshes(options.mesh, options.true_mesh)
    jobs = [(rest, seed, options.meshes, options.with_scale, options.region) for seed in range(options.videos)]
    begin = time.perf_counter()
    with ProcessPoolExecutor(options.processes, mp_context=get_context("spawn")) as pool:
        done = list(pool.map(video, jobs))
    wall = time.perf_counter() - begin
    iterations = np.concatenate([found.iterations for _, found in done])
    converged = np.concatenate([found.converged for _, found in done])
    distances = np.concatenate([found.distances for _, found in done])
    whose = "made up" if options.mesh is None else f"of {options.mesh.name} and {options.true_mesh.name}"
    sizes = f"{len(rest.predicted)} vertices to {len(rest.true)}"
    print(f"{options.videos} videos of {options.meshes} meshes {whose}, {sizes}")
    print(f"ICP iterations: mean {iterations.mean():.2f}, median {np.median(iterations):.0f}, most {iterations.max()}")
    print(f"converged {converged.sum()} of {len(converged)}; mean distance {distances.mean():.3f} mm")
    busy = sum(seconds for seconds, _ in done)
    print(f"{1000 * busy / len(iterations):.1f} ms of processor time a mesh")
    print(f"{wall:.1f} s of wall time with {options.processes} processes, making the meshes included")
    share = options.all_videos / options.videos
    print(
        f"{options.all_videos} videos: {wall * share / 60:.1f} minutes of this machine as busy as it was, "
        f"{busy * share / options.processes / 60:.1f} of processor time of each process, without making the meshes"
    )
    if options.trimesh:
        print(beside_trimesh(rest, options.trimesh))


if __name__ == "__main__":
    main()
