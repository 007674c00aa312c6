"""Makes failures.jpg, the model card's picture of where the checkpoint is wrong, from a rendered synthetic person.

    python -m au_d3dface.data.synthetic.rendered_clip --ict-facekit KIT --output clip.mp4 --labels clip.csv ...
    au-d3dface reconstruct clip.mp4 --formats csv --output out
    python hub_cards/pictures/make_failure_picture.py clip.mp4 clip.csv out/action_units.csv

The frames are not chosen by hand: they are those in which true and predicted intensities differ most, summed over the
AUs that are missed or wrongly said to be present, no two of them within a second. Beneath each, every AU that is true
or predicted: its true intensity, and what it was read as.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw, ImageFont

from au_d3dface.errors import AUD3DFaceError, InputError
from au_d3dface.evaluation.au_tables import AUTable, read_au_table
from au_d3dface.export.files import atomic_path
from au_d3dface.facs import ACTION_UNITS, label
from au_d3dface.video import VideoReader

COLUMNS, SIDE, LINE, TEXT = 5, 300, 19, 14  # pictures, and pixels of a picture's side, of a line, of the letters
APART = 1.0
"""Seconds between two frames, at least."""
BACKGROUND, AGREED, MISSED, WRONG = (24, 26, 30), (190, 196, 204), (255, 110, 100), (250, 205, 90)


def read_truth(path: Path) -> AUTable:
    """The labels that rendered_clip writes: every AU is known in every frame.

    Raises:
        InputError: the file is missing or is not such a csv.
    """
    try:
        table = pd.read_csv(path)
        frames = table["frame"].to_numpy(np.int64)
        intensities, presence = (
            {
                unit: table[f"{label(unit)}_{kind}"].to_numpy(np.float64)
                for unit in ACTION_UNITS
                if f"{label(unit)}_{kind}" in table
            }
            for kind in "rc"
        )
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"{path} is not a csv of true action units, as rendered_clip writes it ({error})") from error
    return AUTable(frames, np.ones(len(frames), bool), intensities, presence, {})


def disagreement(truth: AUTable, ours: AUTable) -> tuple[np.ndarray, np.ndarray]:
    """Frame numbers in which our program found the face, and by how much they differ.

    Raises:
        InputError: the two have no frame or no AU in common.
    """
    frames, rows, our_rows = np.intersect1d(truth.frames, ours.frames[ours.valid], return_indices=True)
    units = sorted(truth.intensities.keys() & truth.presence.keys() & ours.intensities.keys() & ours.presence.keys())
    if not len(frames) or not units:
        raise InputError("the labels and the action units have no frame or no action unit in common")
    our_rows = np.flatnonzero(ours.valid)[our_rows]
    size = np.zeros(len(frames))
    for unit in units:
        wrong = truth.presence[unit][rows] != ours.presence[unit][our_rows]
        size += wrong * np.abs(truth.intensities[unit][rows] - ours.intensities[unit][our_rows])
    return frames, size


def worst_frames(frames: np.ndarray, size: np.ndarray, frame_rate: float) -> list[int]:
    """The frames that differ most, in order of time, at most `COLUMNS`, each `APART` from the others."""
    chosen: list[int] = []
    for row in np.argsort(-size, kind="stable"):
        if size[row] > 0 and all(abs(frames[row] - other) >= APART * frame_rate for other in chosen):
            chosen.append(int(frames[row]))
        if len(chosen) == COLUMNS:
            break
    if not chosen:
        raise InputError("there is no frame in which labels and action units differ, so nothing to draw")
    return sorted(chosen)


def lines(truth: AUTable, ours: AUTable, frame: int) -> list[tuple[str, tuple[int, int, int]]]:
    """What is written beneath a frame, with its colours: what is wrong first."""
    row, our_row = int(np.flatnonzero(truth.frames == frame)[0]), int(np.flatnonzero(ours.frames == frame)[0])
    found = []
    for unit in sorted(truth.intensities.keys() & ours.intensities.keys()):
        is_there, said = truth.presence[unit][row] > 0.5, ours.presence[unit][our_row] > 0.5
        if is_there or said:
            color = AGREED if is_there and said else MISSED if is_there else WRONG
            values = f"{truth.intensities[unit][row]:.1f}, read as {ours.intensities[unit][our_row]:.1f}"
            found.append((f"{label(unit)} {ACTION_UNITS[unit].name}  {values}", color))
    order = (MISSED, WRONG, AGREED)
    return sorted(found, key=lambda line: order.index(line[1]))


def draw(video: Path, labels: Path, action_units: Path) -> Image.Image:
    """The strip.

    Raises:
        InputError: a file cannot be read, or nothing differs.
    """
    truth, ours = read_truth(labels), read_au_table(action_units)
    with VideoReader(video) as reader:
        if reader.frame_rate is None:
            raise InputError(f"{video} has no frame rate; give a video")
        chosen = worst_frames(*disagreement(truth, ours), reader.frame_rate)
        rate = reader.frame_rate
        images = {frame.index + 1: frame.image for frame in reader if frame.index + 1 in chosen}
    if missing := [frame for frame in chosen if frame not in images]:
        raise InputError(f"{video} has no frame {missing[0]}, of which {labels} speaks; they do not belong together")
    texts = [lines(truth, ours, frame) for frame in chosen]
    rows = 1 + max(map(len, texts))
    picture = Image.new("RGB", (SIDE * len(chosen), SIDE + LINE * rows + LINE), BACKGROUND)
    writer, font = ImageDraw.Draw(picture), ImageFont.load_default(TEXT)
    for column, (frame, text) in enumerate(zip(chosen, texts, strict=True)):
        image = Image.fromarray(images[frame])
        side = min(image.size)
        left, top = (image.width - side) // 2, (image.height - side) // 2
        image = image.crop((left, top, left + side, top + side)).resize((SIDE - 4, SIDE - 4), Image.Resampling.LANCZOS)
        picture.paste(image, (column * SIDE + 2, 2))
        moment = (f"{(frame - 1) / rate:.1f} s", AGREED)
        for line, (words, color) in enumerate((moment, *text)):
            writer.text((column * SIDE + 8, SIDE + 6 + LINE * line), words, color, font)
    return picture


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit status of the error, if there was one, after its sentence."""
    parser = argparse.ArgumentParser(description="Draws the frames in which true and predicted action units differ.")
    parser.add_argument("video", type=Path)
    parser.add_argument("labels", type=Path, help="csv of the true action units, as rendered_clip writes it")
    parser.add_argument("action_units", type=Path, help="our action_units.csv of the video")
    parser.add_argument("--output", type=Path, default=Path(__file__).with_name("failures.jpg"))
    options = parser.parse_args(arguments)
    try:
        picture = draw(options.video, options.labels, options.action_units)
        with atomic_path(options.output) as temporary:
            picture.save(temporary, quality=88)
    except AUD3DFaceError as error:
        print(f"make_failure_picture: {error}", file=sys.stderr)
        return error.exit_status
    print(options.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
