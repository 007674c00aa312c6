"""How fast the pipeline is, against decoding and tracking alone, both in one run.

    python tests/benchmarks/pipeline_speed.py VIDEO [--runs 5]

The two sides take turns on the same video, after a warm-up of each that is not counted (loading is start-up). Printed
are medians: frames a second of MediaPipe alone on frames decoded before, of decoding and tracking, of the pipeline
without export, the ratio of the last two, each stage's share, and what the exports add.
"""

import argparse
import statistics
import tempfile
import time
from contextlib import closing

from au_d3dface import AUD3DFacePipeline
from au_d3dface.export import write_outputs
from au_d3dface.tracking import load_tracker, track_faces
from au_d3dface.video import VideoReader


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("video")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--model", help="a checkpoint folder or Hub id (default: the bundled one)")
    options = parser.parse_args()

    pipe = AUD3DFacePipeline.from_pretrained(options.model)
    tracker_alone, decoded_and_tracked, whole, stages, exports = [], [], [], [], []
    for run in range(options.runs + 1):
        start = time.perf_counter()
        with VideoReader(options.video) as reader, closing(load_tracker()) as tracker:
            tracked = track_faces(reader, tracker)
        seconds_tracking = time.perf_counter() - start
        start = time.perf_counter()
        result = pipe.reconstruct(options.video)
        seconds_pipeline = time.perf_counter() - start
        start = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            config = pipe.model.config
            write_outputs(result.sequences, folder, None, {}, result.timestamps, config.action_units)
        seconds_export = time.perf_counter() - start
        seconds_alone = mediapipe_alone(options.video)
        if run:  # the first is the warm-up
            tracker_alone.append(seconds_alone)
            decoded_and_tracked.append(seconds_tracking)
            whole.append(seconds_pipeline)
            stages.append(result.seconds)
            exports.append(seconds_export)

    frames = len(tracked.timestamps)
    ratios = [a / b for a, b in zip(whole, decoded_and_tracked, strict=True)]
    print(f"{options.video}: {frames} frames, {tracked.width} x {tracked.height}, median of {options.runs} runs")
    print(f"MediaPipe alone          {frames / statistics.median(tracker_alone):7.1f} frames a second")
    print(f"decoding and tracking    {frames / statistics.median(decoded_and_tracked):7.1f} frames a second")
    print(f"pipeline without export  {frames / statistics.median(whole):7.1f} frames a second")
    print(
        f"pipeline / decoding and tracking: {statistics.median(ratios):.2f} "
        f"(from {min(ratios):.2f} to {max(ratios):.2f}, run by run)"
    )
    total = statistics.median(whole) + statistics.median(exports)
    print("share of the time with export:")
    for stage in stages[0]:
        seconds = statistics.median(run[stage] for run in stages)
        print(f"  {stage:10s} {100 * seconds / total:5.1f} %  {1000 * seconds / frames:6.2f} ms a frame")
    seconds = statistics.median(exports)
    print(f"  {'export':10s} {100 * seconds / total:5.1f} %  {1000 * seconds / frames:6.2f} ms a frame")


def mediapipe_alone(video: str) -> float:
    """Seconds of the tracker over all frames, decoding not counted."""
    seconds = 0.0
    with VideoReader(video) as reader, closing(load_tracker()) as tracker:
        for frame in reader:
            start = time.perf_counter()
            tracker(frame.image, frame.timestamp)
            seconds += time.perf_counter() - start
    return seconds


if __name__ == "__main__":
    main()
