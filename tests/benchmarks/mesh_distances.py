"""Table 1's work, timed: every mesh of many videos aligned by ICP to the true surface, then its distances from it.

    python tests/benchmarks/mesh_distances.py [--videos 2] [--all-videos 30] [--meshes 300] [--processes 2] [--region]

Meshes are made up in the true sizes: 5,023 vertices predicted, 7,306 true, both moving; the prediction is about 13
degrees and 2 cm off, never at rest, and wrong by about a millimetre. Each frame's ICP starts from that of the frame
before. After an alignment of all vertices the distances are known; with `--region` (the front half is aligned) they are
measured. Only `--videos` of them are run, each in one process with one thread; the time of all is
theirs times so many more, or measured itself with `--videos 30`. Run a multiple of the processes.
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

from au_d3dface.geometry import ICPSettings, Similarity, TriangleSurface, icp

PREDICTED, TRUE = 5023, 7306


class Timed(NamedTuple):
    """Of one video: seconds of the search tree, of ICP, of distances, and of the processor in all three; iterations and
    mean distance by mesh."""

    build: float
    align: float
    measure: float
    processor: float
    iterations: list[int]
    converged: int
    means: list[float]


def video(job: tuple[int, int, bool, bool, bool]) -> Timed:
    """Aligns and measures the meshes of one made-up video."""
    seed, meshes, with_scale, cold, with_region = job
    rng = np.random.default_rng(seed)
    rest, _ = head(PREDICTED)
    region = rest[:, 2] > 0 if with_region else None
    true_rest, faces = head(TRUE)
    directions = rng.normal(size=(3, 3))
    settings = ICPSettings(with_scale=with_scale)
    build = align = measure = processor = 0.0
    start, iterations, converged, means = Similarity(), [], 0, []
    for frame in range(meshes):
        phase = np.sin(frame / 10 + np.arange(3))
        motion = [0.004 * np.sin(30 * (points @ directions.T)) * phase for points in (rest, true_rest)]
        error = 0.0015 * np.sin(50 * rest @ directions)
        turn = Rotation.from_rotvec(np.radians(13 + 2 * phase) * [0.6, 0.6, 0.53]).as_matrix()
        predicted = (rest + motion[0] + error) @ turn.T + [0.012 + 0.002 * phase[0], 0.01, -0.012]
        true = true_rest + motion[1]
        busy = time.process_time()
        moments = [time.perf_counter()]
        surface = TriangleSurface(true, faces)
        moments.append(time.perf_counter())
        result = icp(predicted, surface, region, Similarity() if cold else start, settings)
        moments.append(time.perf_counter())
        distances = result.distances
        if with_region:
            distances = surface.nearest(result.transform(predicted)).distances
        moments.append(time.perf_counter())
        processor += time.process_time() - busy
        start = result.transform
        seconds = np.diff(moments)
        build, align, measure = build + seconds[0], align + seconds[1], measure + seconds[2]
        iterations.append(result.iterations)
        converged += result.converged
        means.append(1000 * float(distances.mean()))
    return Timed(build, align, measure, processor, iterations, converged, means)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--videos", type=int, default=2, help="how many are run")
    parser.add_argument("--all-videos", type=int, default=30, help="how many the time is given for")
    parser.add_argument("--meshes", type=int, default=300, help="of each video")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--with-scale", action="store_true")
    parser.add_argument("--cold", action="store_true", help="each ICP from the start, not from the frame before")
    parser.add_argument("--region", action="store_true", help="align the front half only, and measure all vertices")
    options = parser.parse_args()
    jobs = [(seed, options.meshes, options.with_scale, options.cold, options.region) for seed in range(options.videos)]
    begin = time.perf_counter()
    with ProcessPoolExecutor(options.processes, mp_context=get_context("spawn")) as pool:
        done = list(pool.map(video, jobs))
    wall = time.perf_counter() - begin
    count = options.videos * options.meshes
    iterations = np.concatenate([timed.iterations for timed in done])
    means = np.concatenate([timed.means for timed in done])
    print(f"{options.videos} videos of {options.meshes} meshes, {PREDICTED} vertices to {TRUE}; {options}")
    print(f"ICP iterations: mean {iterations.mean():.2f}, median {np.median(iterations):.0f}, most {iterations.max()}")
    print(f"converged {sum(timed.converged for timed in done)} of {count}; mean distance {means.mean():.3f} mm")
    for name in ("build", "align", "measure", "processor"):
        print(f"{name}: {1000 * sum(getattr(timed, name) for timed in done) / count:.1f} ms a mesh")
    print(f"{wall:.1f} s of wall time with {options.processes} processes, making the meshes included")
    whole = wall * options.all_videos / options.videos
    print(f"{options.all_videos} videos: {whole / 60:.1f} minutes of this machine as busy as it was, ", end="")
    busy = sum(timed.processor for timed in done) * options.all_videos / options.videos / options.processes
    print(f"{busy / 60:.1f} of processor time of each process, without making the meshes")


if __name__ == "__main__":
    main()
