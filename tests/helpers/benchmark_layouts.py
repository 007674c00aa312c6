"""Small copies of BP4D and DISFA for tests: the project renders the faces, so that every label is known.

The quirks of real copies are options. What is written comes back as `Written`: for every sequence the labels by frame.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import lru_cache
from pathlib import Path

import av
import numpy as np
import torch
from PIL import Image

from au_d3dface.face_models import FaceMesh
from au_d3dface.rendering import MeshRenderer

SIZE = 48
BP4D_UNITS = (1, 2, 4, 6, 7, 10, 12, 14, 15, 17, 23, 24)
BP4D_INTENSITIES = (6, 10, 12, 14, 17)
DISFA_UNITS = (1, 2, 4, 5, 6, 9, 12, 15, 17, 20, 25, 26)


@dataclass
class Written:
    """The truth of one sequence.

    Attributes:
        codes: by frame number and action unit, what the label file says: 0, 1 or 9 (BP4D), 0-5 (DISFA).
        intensities: by frame number and action unit, 0-5 or 9.
        pictures: by frame number, the picture's path below the root.
        video: the video's path below the root.
        colors: by frame number, the mean of its picture, which tells frames apart.
    """

    codes: dict[int, dict[int, int]] = field(default_factory=dict)
    intensities: dict[int, dict[int, int]] = field(default_factory=dict)
    pictures: dict[int, str] = field(default_factory=dict)
    video: str | None = None
    colors: dict[int, np.ndarray] = field(default_factory=dict)


@lru_cache(maxsize=1)
def _face() -> tuple[FaceMesh, MeshRenderer]:
    model = FaceMesh()
    return model, MeshRenderer(model.faces)


def picture(units: tuple[int, ...], shade: int, size: int = SIZE) -> np.ndarray:
    """(size, size, 3) uint8: a face on which the regions of the active action units bulge and redden."""
    return _picture(units, shade % 50, size).copy()


@lru_cache(maxsize=512)
def _picture(units: tuple[int, ...], shade: int, size: int) -> np.ndarray:
    model, renderer = _face()
    active = model.au_masks(units).amax(0) if units else torch.zeros(len(model.template))
    vertices = model.template + 0.004 * active[:, None] * torch.tensor([0.0, 0.0, 1.0])
    colors = torch.tensor([0.75, 0.55, 0.45]).expand(len(vertices), 3).clone()
    colors[:, 1:] *= 1 - 0.4 * active[:, None]
    scale = 0.8 * size / float(np.ptp(model.template[:, 1].numpy()))
    middle = (model.template.amax(0) + model.template.amin(0))[:2] / 2 * torch.tensor([1.0, -1.0])
    shown = renderer.heads(
        vertices[None],
        torch.eye(3)[None],
        torch.tensor([scale]),
        (size / 2 - scale * middle)[None],
        size,
        size,
        colors=colors,
    )
    background = torch.tensor([0.2 + shade / 100, 0.5, 0.7 - shade / 100])
    image = torch.where(shown.alpha[0, ..., None] > 0, shown.image[0], background)
    return (image.clamp(0, 1) * 255).round().to(torch.uint8).numpy()


def make_bp4d(
    root: Path,
    sequences: Sequence[tuple[str, str]] = (("F001", "T1"), ("M007", "T1"), ("F007", "T1")),
    length: int = 30,
    first: int = 1,
    seed: int = 0,
    *,
    occurrence: str = "AUCoding/AU_OCC",
    intensities: str | None = "AU Intensity Codes3.0",
    intensity_suffix: str = "",
    pictures: str | None = "",
    padded: bool = True,
    unknown: float = 0.0,
    left_out: Sequence[int] = (),
    without_picture: Sequence[int] = (),
    more_pictures: int = 0,
    gaps: Sequence[int] = (),
    newline: str = "\n",
) -> dict[str, Written]:
    """Writes a copy of BP4D.

    Args:
        sequences: subjects and tasks. length: labelled frames of each. first: the first frame's number.
        occurrence: folder of the label csvs. intensities: folder of the intensities, None for none.
        intensity_suffix: what their names have behind `F001_T1`.
        pictures: folder of the subjects' folders, None for no pictures. padded: names of four digits.
        unknown: the share of codes that are 9.
        left_out: action units whose column is not in the csv.
        without_picture: frames, counted from 0, whose picture is missing. more_pictures: unlabelled ones at the end.
        gaps: frames, counted from 0, that are not labelled.

    Returns:
        By name, such as `F001_T1`, what was written.
    """
    random = np.random.default_rng(seed)
    written = {}
    columns = [number for number in range(100) if number not in left_out]
    (root / occurrence).mkdir(parents=True, exist_ok=True)
    for subject, task in sequences:
        name, truth = f"{subject}_{task}", Written()
        frames = [first + index for index in range(length) if index not in gaps]
        state = random.random((length, 100)) < 0.3
        for frame in frames:
            row = state[frame - first]
            truth.codes[frame] = {
                number: (9 if number not in BP4D_UNITS or random.random() < unknown else int(row[number]))
                for number in columns[1:]
            }
            truth.intensities[frame] = {
                number: int(random.integers(1, 6)) if row[number] else 0 for number in BP4D_INTENSITIES
            }
            if random.random() < unknown:
                truth.intensities[frame][6] = 9
        lines = [",".join(map(str, columns))]
        lines += [",".join([str(frame), *map(str, codes.values())]) for frame, codes in truth.codes.items()]
        (root / occurrence / f"{name}.csv").write_bytes((newline.join(lines) + newline).encode())
        if intensities is not None:
            for number in BP4D_INTENSITIES:
                folder = root / intensities / f"AU{number:02d}"
                folder.mkdir(parents=True, exist_ok=True)
                text = "".join(f"{frame},{values[number]}{newline}" for frame, values in truth.intensities.items())
                (folder / f"{name}{intensity_suffix}.csv").write_bytes(text.encode())
        if pictures is not None:
            (root / pictures / subject / task).mkdir(parents=True, exist_ok=True)
            for index in range(length + more_pictures):
                if index not in without_picture:
                    active = tuple(n for n in BP4D_UNITS if index < length and state[index, n])
                    frame = first + index
                    path = Path(pictures) / subject / task / (f"{frame:04d}.jpg" if padded else f"{frame}.jpg")
                    _save(root / path, picture(active[:2], index), truth, frame)
                    truth.pictures[frame] = str(path)
        written[name] = truth
    return written


def make_disfa(
    root: Path,
    subjects: Sequence[str] = ("SN001", "SN013", "SN003"),
    length: int = 30,
    seed: int = 0,
    *,
    labels: str = "ActionUnit_Labels",
    unit_name: str = "au{}",
    videos: dict[str, str] | None = None,
    frame_rate: float = 20.0,
    more_frames: int = 9,
    dump: str | None = None,
    first_picture: int = 0,
    suffix: str = ".png",
    shorter: Sequence[str] = (),
    left_out: Sequence[int] = (),
    unknown: float = 0.0,
    newline: str = "\n",
) -> dict[str, Written]:
    """Writes a copy of DISFA.

    Args:
        subjects: the people. length: labelled frames of each.
        labels: folder of the subjects' label folders. unit_name: of the label files, such as `au{}` or `au{:02d}`.
        videos: for "Left" and "Right" the folder of the camera's videos.
        more_frames: how many more frames the video has than are labelled.
        dump: folder of the subjects' picture folders, None for no pictures. first_picture: the number of frame 1.
        shorter: subjects with one label less. left_out: action units without a file.
        unknown: the share of codes that are 9.

    Returns:
        By subject, what was written.
    """
    random = np.random.default_rng(seed)
    written = {}
    for subject in subjects:
        truth, count = Written(), length - (subject in shorter)
        for frame in range(1, count + 1):
            values = random.integers(0, 6, len(DISFA_UNITS)) * (random.random(len(DISFA_UNITS)) < 0.4)
            codes = dict(zip(DISFA_UNITS, map(int, values), strict=True))
            truth.codes[frame] = {n: 9 if random.random() < unknown else code for n, code in codes.items()}
        folder = root / labels / subject
        folder.mkdir(parents=True, exist_ok=True)
        for number in DISFA_UNITS:
            if number not in left_out:
                text = "".join(f"{frame},{codes[number]}{newline}" for frame, codes in truth.codes.items())
                (folder / f"{subject}_{unit_name.format(number)}.txt").write_bytes(text.encode())
        shown = {
            frame: tuple(n for n, code in truth.codes.get(frame, {}).items() if 2 <= code <= 5)[:2]
            for frame in range(1, count + more_frames + 1)
        }
        for camera, place in (videos or {}).items():
            path = Path(place) / f"{camera}Video{subject}_comp.avi"
            (root / place).mkdir(parents=True, exist_ok=True)
            images = [picture(active, frame) for frame, active in shown.items()]
            write_avi(root / path, images, frame_rate)
            truth.video = truth.video or str(path)
        if dump is not None:
            (root / dump / subject).mkdir(parents=True, exist_ok=True)
            for frame, active in shown.items():
                path = Path(dump) / subject / f"{frame - 1 + first_picture}{suffix}"
                _save(root / path, picture(active, frame), truth, frame)
                truth.pictures[frame] = str(path)
        written[subject] = truth
    return written


def write_avi(path: Path, images: Sequence[np.ndarray], frame_rate: float) -> None:
    """An AVI as DISFA's: MPEG-4, frames at a constant rate, which the header states."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=Fraction(frame_rate).limit_denominator(1001))
        stream.height, stream.width, stream.pix_fmt = *images[0].shape[:2], "yuv420p"
        for image in images:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))


def _save(path: Path, image: np.ndarray, truth: Written, frame: int) -> None:
    Image.fromarray(image).save(path, **({"quality": 100, "subsampling": 0} if path.suffix == ".jpg" else {}))
    truth.colors[frame] = image[:4].mean((0, 1))  # the background
