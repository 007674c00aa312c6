"""How fast the builders of BP4D, DISFA and Multiface make rows, and whether memory stays flat.

    python tests/benchmarks/benchmark_rows.py [bp4d] [disfa] [multiface]

Writes copies of labels only, a small one and one of the size of BP4D's and DISFA's training parts, and of Multiface
copies whose frames are links to a few files of true sizes (pictures apart, of which only the head is read), and streams
all rows of each. Peak memory is that of a process of its own.
"""

import multiprocessing
import os
import resource
import sys
import tempfile
import time
from functools import partial
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


def write_multiface(root: Path, frames: int) -> None:
    """Two people in expressions of 500 frames, in one camera."""
    from multiface_layout import Layout

    layout = Layout(root, ("6795937", "8870559"), frames=2, cameras={"400015": -4.0}, height=64, width=42)
    layout.pictures = False
    layout.write()
    expressions = frames // 1000
    for folder in sorted(root.iterdir()):
        resting = layout.expressions("6795937")[0]
        pictures = folder / "images" / resting / "400015" / "000102.png"
        mesh, pose = (folder / "tracked_mesh" / resting / f"000102{end}" for end in (".bin", "_transform.txt"))
        lines = [(folder / "frame_list.txt").read_text()]
        for expression in (f"E{100 + number}_Made" for number in range(expressions)):
            targets = folder / "tracked_mesh" / expression, folder / "images" / expression / "400015"
            for target in targets:
                target.mkdir(parents=True)
            sources = []  # of their own for every expression: no file may have more than some 65,000 names
            for source, target in ((mesh, targets[0]), (pose, targets[0]), (pictures, targets[1])):
                sources.append(target / source.name)
                sources[-1].write_bytes(source.read_bytes())
            for number in range(105, 102 + 3 * 500, 3):
                for source in sources:
                    os.link(source, source.with_name(source.name.replace("000102", f"{number:06d}")))
            lines += [f"{expression} {number:06d}\n" for number in range(102, 102 + 3 * 500, 3)]
        (folder / "frame_list.txt").write_text("".join(lines))


def read(name: str, root: str, options: dict, results) -> None:
    """Streams everything; puts rows, seconds, and the peak of memory in MB before and after."""
    from au_d3dface.data import load_benchmark

    if name == "multiface":
        streams = load_benchmark(name, root, streaming=True, image_size=(64, 42))
    else:
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
    for name in sys.argv[1:] or ("bp4d", "disfa", "multiface"):
        for frames in (10_000, 100_000):
            with tempfile.TemporaryDirectory() as folder:
                (write_multiface if name == "multiface" else partial(write, name))(Path(folder), frames)
                for options in ({},) if name == "multiface" else ({}, {"clip_length": 20}):
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
