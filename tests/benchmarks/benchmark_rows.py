"""How fast the builders of BP4D and DISFA make rows, and whether memory stays flat.

    python tests/benchmarks/benchmark_rows.py

Writes copies of labels only, a small one and one of the size of BP4D's and DISFA's training parts, and streams all rows
of each. Peak memory is that of a process of its own.
"""

import multiprocessing
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "helpers"))


def write(name: str, root: Path, frames: int) -> None:
    """Labels of as many frames, in sequences as long as the real ones."""
    from au_d3dface.data.folds import PARTS

    random = np.random.default_rng(0)
    people = [*PARTS[name]["P1"], *PARTS[name]["P2"], *PARTS[name]["P3"]]
    if name == "bp4d":
        folder = root / "AUCoding" / "AU_OCC"
        folder.mkdir(parents=True)
        for sequence in [f"{person}_T{task}" for person in people for task in range(1, 9)][: max(3, frames // 450)]:
            cells = (random.random((450, 99)) < 0.3).astype(int).astype(str)
            lines = [",".join([str(2440 + row), *cells[row]]) for row in range(450)]
            (folder / f"{sequence}.csv").write_text("\n".join([",".join(map(str, range(100))), *lines]) + "\n")
    else:
        for person in people[: max(1, frames // 4845)]:
            folder = root / "ActionUnit_Labels" / person
            folder.mkdir(parents=True)
            for number in (1, 2, 4, 5, 6, 9, 12, 15, 17, 20, 25, 26):
                values = random.integers(0, 6, 4845)
                text = "".join(f"{row + 1},{value}\n" for row, value in enumerate(values))
                (folder / f"{person}_au{number}.txt").write_text(text)


def read(name: str, root: str, options: dict, results) -> None:
    """Streams everything; puts rows, seconds, and the peak of memory in MB before and after."""
    from au_d3dface.data import load_benchmark

    streams = load_benchmark(name, root, "all", streaming=True, missing="skip", **options)
    next(iter(streams["test"]))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    start = time.perf_counter()
    rows = sum(1 for stream in streams.values() for _ in stream)
    seconds = time.perf_counter() - start
    results.put((rows, seconds, before, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024))


def main() -> None:
    """Prints one line a data set, kind of row and size."""
    context = multiprocessing.get_context("spawn")
    for name in ("bp4d", "disfa"):
        for frames in (10_000, 100_000):
            with tempfile.TemporaryDirectory() as folder:
                write(name, Path(folder), frames)
                for options in ({}, {"clip_length": 20}):
                    results = context.SimpleQueue()
                    process = context.Process(target=read, args=(name, folder, options, results))
                    process.start()
                    rows, seconds, before, after = results.get()
                    process.join()
                    kind = "clips of 20" if options else "frames"
                    print(
                        f"{name}, about {frames:,} frames, {kind}: {rows:,} rows in {seconds:.1f} s, "
                        f"{rows / seconds:,.0f} a second; memory {before:.0f} MB after the first row, "
                        f"{after:.0f} MB at most"
                    )


if __name__ == "__main__":
    main()
