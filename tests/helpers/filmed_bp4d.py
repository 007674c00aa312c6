"""A small copy of BP4D whose pictures show real rendered faces: the sample clip, cut into three people's sequences."""

from pathlib import Path

import numpy as np
from PIL import Image

from au_d3dface.assets import sample_video
from au_d3dface.video import VideoReader

PEOPLE = ("F001", "F003", "F007")
"""The first two are of the parts that P3 is tested by."""


def film_bp4d(root: Path, length: int = 12, start: int = 30, step: int = 3, size: int | None = None) -> None:
    """Writes it; action units 1, 2 and 4 take turns in the labels.

    Args:
        length: frames of each person. start, step: the first frame of the clip, and every how many is taken.
        size: pixels a side of smaller pictures.
    """
    (root / "AUCoding").mkdir(parents=True)
    lines = {name: [",".join(map(str, range(100)))] for name in PEOPLE}
    with VideoReader(sample_video()) as reader:
        images = [frame.image for frame in reader][start::step][: 3 * length]
    for index, image in enumerate(images):
        name, number = PEOPLE[index // length], 100 + index
        codes = ["1" if unit in ((1, 2, 4)[index % 3], 6) else "0" for unit in range(1, 100)]
        lines[name].append(",".join([str(number), *codes]))
        (root / name / "T1").mkdir(parents=True, exist_ok=True)
        picture = Image.fromarray(image)
        picture = picture if size is None else picture.resize((size, size))
        picture.save(root / name / "T1" / f"{number}.jpg", quality=95)
    for name in PEOPLE:
        (root / "AUCoding" / f"{name}_T1.csv").write_text("\n".join(lines[name]) + "\n")


def without(folder: Path, target: Path, *names: str, **changed) -> Path:
    """A copy of prepared files without arrays of these names, others changed by functions of them; returns it."""
    for path in folder.rglob("*.npz"):
        with np.load(path) as npz:
            arrays = {name: npz[name] for name in npz.files}
        kept = {name: value for name, value in arrays.items() if not name.endswith(names)} if names else arrays
        for name, change in changed.items():
            kept |= {full: change(value) for full, value in kept.items() if full.endswith(f"_{name}")}
        (target / path.relative_to(folder)).parent.mkdir(parents=True, exist_ok=True)
        np.savez(target / path.relative_to(folder), **kept)
    return target
