"""How long a job of the page computes before it notices that it was cancelled: the longest time between two looks.

    python tests/benchmarks/page_cancel.py VIDEO [--ict-facekit PATH]

The video is played forth and back until it is 30 seconds long, the most that the page takes. Every file is made, on
facemesh and, with the kit, on its dense face; there not the meshes one by one, which are a gigabyte. A line for each
stage, the longest first.
"""

import argparse
import tempfile
import time
from fractions import Fraction
from importlib import import_module
from itertools import chain, cycle, islice, pairwise
from pathlib import Path

import av

from au_d3dface import AUD3DFacePipeline
from au_d3dface.demo.jobs import Job
from au_d3dface.demo.limits import Limits
from au_d3dface.export import FORMATS
from au_d3dface.video import VideoReader


def forth_and_back(video: Path, path: Path, seconds: float) -> Path:
    """The video, long enough, at its own rate."""
    with VideoReader(video) as reader:
        images = [frame.image for frame in reader]
        rate = Fraction(reader.frame_rate or 30.0).limit_denominator(1001)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=rate, options={"preset": "ultrafast"})
        height, width = images[0].shape[:2]
        stream.height, stream.width, stream.pix_fmt = height - height % 2, width - width % 2, "yuv420p"
        for image in islice(cycle(chain(images, images[::-1])), int(seconds * rate)):
            image = image[: stream.height, : stream.width]
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image.copy(), format="rgb24")))
        container.mux(stream.encode(None))
    return path


def longest_gaps(video: Path, pipeline: AUD3DFacePipeline) -> dict[str, float]:
    """By stage, seconds between two looks of one job."""
    left_out = {"arkit"} if pipeline.dense is None else {"arkit", "obj"}
    with tempfile.TemporaryDirectory() as folder:
        limits = Limits()
        inside = forth_and_back(video, Path(folder) / "clip.mp4", limits.max_seconds - 0.1)
        job = Job(
            inside,
            Path(folder),
            lambda: pipeline,
            limits,
            formats=tuple(name for name in FORMATS if name not in left_out),
        )
        check, looks = job._check, []

        def checked() -> None:
            looks.append((time.perf_counter(), job.state.stage))
            check()

        job._check = checked
        job.start()
        for _ in job.states():
            pass
        job.join(60)
    longest: dict[str, float] = {}
    for (before, stage), (after, _) in pairwise(looks):
        longest[stage] = max(longest.get(stage, 0.0), after - before)
    return longest


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("video", type=Path)
    parser.add_argument("--ict-facekit", type=Path, metavar="PATH")
    options = parser.parse_args()
    for name in ("glb", "timeline", "strip"):  # a server has loaded their libraries before the first visitor
        import_module(f"au_d3dface.export.{name}")
    pipelines = {"facemesh": AUD3DFacePipeline.from_pretrained()}
    if options.ict_facekit is not None:
        pipelines["ict"] = AUD3DFacePipeline.from_pretrained(face_model="ict", ict_facekit=options.ict_facekit)
    for name, pipeline in pipelines.items():
        longest = longest_gaps(options.video, pipeline)
        print(f"{name}: longest time between two looks {max(longest.values()):.2f} s")
        for stage, seconds in sorted(longest.items(), key=lambda item: -item[1]):
            print(f"  {stage}: {seconds:.2f} s")


if __name__ == "__main__":
    main()
