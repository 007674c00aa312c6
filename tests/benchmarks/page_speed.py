"""Seconds from opening the page and from the click to results, in a real browser, and what many uploads leave behind.

    python tests/benchmarks/page_speed.py --uploads 20

A 3-second clip of the sample, uploaded by one visitor after the other, each of whom closes the page. Memory is that of
the server's process (which also holds Playwright's client); disk is the server's folder.
"""

import argparse
import resource
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "helpers"))

from chromium import chromium

import au_d3dface.demo.server as server
from au_d3dface.assets import sample_video
from au_d3dface.video import VideoReader, VideoWriter

WAIT = 120_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--uploads", type=int, default=3)
    options = parser.parse_args()
    roots: list[Path] = []

    class Watched(server.Visits):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            roots.append(self.root)

    server.Visits = Watched  # type: ignore[misc]
    with tempfile.TemporaryDirectory() as folder:
        clip = Path(folder) / "clip.mp4"
        with VideoReader(sample_video()) as reader, VideoWriter(clip, 30, reader.height, reader.width) as writer:
            for frame in reader:
                if frame.index < 90:
                    writer.write(frame.image)
        with server.serving() as address, chromium() as browser:
            time.sleep(10)  # the server warms up
            found: list[dict[str, float]] = []
            print(f"before: {memory():.0f} MB, {disk(roots[0]):.1f} MB on disk")
            for number in range(options.uploads):
                found.append(visit(browser, address, clip))
                time.sleep(1)  # the closed page is noticed
                told = ", ".join(f"{name} {value:.1f} s" for name, value in found[-1].items())
                print(f"{number + 1}: {told}; {memory():.0f} MB, {disk(roots[0]):.1f} MB on disk", flush=True)
            for name in found[0]:
                print(f"median {name}: {statistics.median(one[name] for one in found):.2f} s")
        print(f"after: the folder is {'there' if roots[0].exists() else 'gone'}")
    print(f"greatest memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")


def visit(browser: Any, address: str, clip: Path) -> dict[str, float]:
    page = browser.new_page(viewport={"width": 1300, "height": 1000})
    seconds = {}
    began = time.perf_counter()
    page.goto(address)
    page.wait_for_selector("#run", timeout=WAIT)
    seconds["page"] = time.perf_counter() - began
    began = time.perf_counter()
    page.set_input_files("#video input[type=file]", clip)
    page.wait_for_selector("#video video", timeout=WAIT, state="attached")
    seconds["upload"] = time.perf_counter() - began
    began = time.perf_counter()
    page.click("#run")
    for name, what in (("first", "result"), ("whole", "result=whole"), ("all files", "stage=done")):
        page.wait_for_selector(f"[data-{what}]", timeout=WAIT)
        seconds[name] = time.perf_counter() - began
    page.close()
    return seconds


def memory() -> float:
    """MB resident."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def disk(folder: Path) -> float:
    """MB of files."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 2**20


if __name__ == "__main__":
    main()
