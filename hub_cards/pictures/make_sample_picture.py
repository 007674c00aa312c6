"""Makes sample.jpg, the picture in the README, from the results of `au-d3dface reconstruct sample --output out`.

python hub_cards/pictures/make_sample_picture.py out
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image

from au_d3dface.video import VideoReader

SHOWN = (10, 55, 110, 163, 205)
"""Frames of the sample clip, from 1: at rest, brows, smile, frown, jaw."""
WIDTH = 1500


def main() -> None:
    folder = Path(sys.argv[1])
    with VideoReader(folder / "overlay.mp4") as reader:
        frames = [frame.image for frame in reader if frame.index + 1 in SHOWN]
    side = WIDTH // len(frames)
    strip = np.concatenate([np.asarray(Image.fromarray(image).resize((side, side))) for image in frames], 1)
    timeline = Image.open(folder / "timeline.png").convert("RGB")
    timeline = timeline.resize((strip.shape[1], round(timeline.height * strip.shape[1] / timeline.width)))
    picture = Image.fromarray(np.concatenate([strip, np.asarray(timeline)], 0))
    picture.save(Path(__file__).with_name("sample.jpg"), quality=88)


if __name__ == "__main__":
    main()
