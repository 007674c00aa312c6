"""Makes strip.jpg, a picture on the page about measuring, from a figure of meshes by frame.

au-d3dface evaluate figure strip sample --frames 10,55,110,163,205 -o strip.png
python hub_cards/pictures/make_strip_picture.py strip.png
"""

import sys
from pathlib import Path

from PIL import Image

WIDTH = 1200


def main() -> None:
    figure = Image.open(sys.argv[1]).convert("RGB")
    picture = figure.resize((WIDTH, round(figure.height * WIDTH / figure.width)), Image.Resampling.LANCZOS)
    picture.save(Path(__file__).with_name("strip.jpg"), quality=85)


if __name__ == "__main__":
    main()
