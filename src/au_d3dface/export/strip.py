"""strip.png: frames of the video side by side, with the meshes below them, as papers show results (their Fig. 3).

Columns are frames, among them the apexes of the strongest activations. Rows are the frame around the face, the refined
mesh on it, the coarse mesh, the refined mesh, and the refined mesh coloured by its motion from neutral. Meshes are
turned as the head is and as large as the face in the frame above, in the middle of their pictures.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from PIL import Image

from .. import facs
from ..errors import InputError, NoFaceError, UsageError
from ..face_sequence import FaceSequence
from ..geometry import weak_perspective
from ..rendering import (
    ColourScale,
    StripRow,
    View,
    compose_strip,
    draw_error_map,
    draw_face,
    draw_mesh,
    error_maximum,
    heat_colors,
)
from ..video import VideoReader
from .files import atomic_path

Item = TypeVar("Item")

COLUMNS = 6
CELL = 288
"""Frames of a strip, and pixels along a side of each picture."""

_AROUND, _NEAREST = 1.3, 1.02
"""The side of a picture in sizes of the face: as a rule, and at least, where the video shows no more around it."""

_MAX_NAMES = 7
"""More active action units than this are counted, not named."""

_WHITE = 255


def strip_picture(
    sequence: FaceSequence,
    columns: int = COLUMNS,
    cell: int = CELL,
    others: Mapping[str, FaceSequence] | None = None,
    look: Callable[[], object] = lambda: None,
) -> np.ndarray:
    """The strip of one person.

    Args:
        sequence: the person. Where it names no video, the two rows with the video's pictures are left out.
        columns: how many frames, as far as there are as many with the face.
        cell: pixels along a side of each picture.
        others: by name, the same person in the same video by other methods, whose meshes make a row each. Frames in
            which one lacks the face stay empty in its row.
        look: called before every picture; what it raises ends the work.

    Returns:
        (H, W, 3) uint8.

    Raises:
        NoFaceError: no frame shows the person.
        UsageError: another sequence is not as long as this one.
        InputError: the video cannot be read any more, or has changed.
    """
    rows = strip_frames(sequence, columns)
    for name, other in (others or {}).items():
        if len(other) != len(sequence):
            raise UsageError(
                f"{name!r} has {len(other)} frames and the sequence beside it {len(sequence)}; a strip compares "
                "methods on one video"
            )
    people = [sequence, *(others or {}).values()]
    windows = picture_windows(people, rows)
    motion = 1000 * np.linalg.norm(sequence.vertices[rows] - sequence.neutral_vertices, axis=-1)  # (K, V) mm
    scale = ColourScale(error_maximum([motion]))
    views = [window_view(sequence, row, window, cell) for row, window in zip(rows, windows, strict=True)]
    parts = [] if sequence.source is None else _video_rows(people, rows, motion, scale, cell, look)
    for label, vertices in (("coarse mesh", sequence.coarse_vertices), ("refined mesh", sequence.vertices)):
        frames = _watched(zip(rows, views, strict=True), look)
        parts.append(
            StripRow(label, [draw_face(vertices[row], sequence.faces, cell, cell, view=view) for row, view in frames])
        )
    for name, other in (others or {}).items():
        views_there = [window_view(other, row, window, cell) for row, window in zip(rows, windows, strict=True)]
        shown = [
            draw_face(other.vertices[row], other.faces, cell, cell, view=view) if other.valid[row] else None
            for row, view in _watched(zip(rows, views_there, strict=True), look)
        ]
        parts.append(StripRow(name, shown))
    maps = [
        draw_error_map(sequence.vertices[row], sequence.faces, amount, scale.maximum, cell, cell, view)
        for row, amount, view in _watched(zip(rows, motion, views, strict=True), look)
    ]
    parts.append(StripRow("motion from neutral", maps, scale=scale))
    times = [f"{sequence.timestamps[row]:.2f} s" for row in rows]
    return compose_strip(parts, times, _active_names(sequence, rows), cell=(cell, cell))


def write_strip(
    path: str | PathLike[str],
    sequence: FaceSequence,
    columns: int = COLUMNS,
    progress: Callable[[str, int, int | None], None] | None = None,
) -> Path:
    """Writes `strip_picture` as a png.

    Args:
        path: the .png file.
        sequence: the person.
        columns: as there.
        progress: called as progress("strip", 0, None) before every picture; what it raises ends the work.

    Raises:
        NoFaceError, InputError: as `strip_picture` says.
        OutputError: the file cannot be written.
    """
    picture = strip_picture(sequence, columns, look=lambda: None if progress is None else progress("strip", 0, None))
    with atomic_path(path) as temporary:
        Image.fromarray(picture).save(temporary, format="PNG")
    return Path(path)


def _watched(items: Iterable[Item], look: Callable[[], object]) -> Iterator[Item]:
    """The items, with a look before each."""
    for item in items:
        look()
        yield item


def strip_frames(sequence: FaceSequence, columns: int = COLUMNS) -> list[int]:
    """Rows of the sequence, rising, that show what happens in it.

    Up to two thirds are apexes: the strongest activation of each action unit, the strongest first, unless another
    chosen frame is near (within half of an even spacing). The others, one at a time, are the frames farthest from all
    chosen ones, so that they spread over the whole time.

    Raises:
        NoFaceError: no frame shows the person.
    """
    valid = np.flatnonzero(sequence.valid)
    if not len(valid):
        raise NoFaceError("a strip shows frames with the face, and no frame of this sequence has it")
    columns = min(max(columns, 1), len(valid))
    nearest = (valid[-1] - valid[0]) / (2 * columns)
    chosen: list[int] = []
    for apex in _apexes(sequence):
        if len(chosen) < max(1, 2 * columns // 3) and all(abs(apex - row) > nearest for row in chosen):
            chosen.append(apex)
    if not chosen:
        chosen.append(int(valid[0]))
    while len(chosen) < columns:
        distance = np.abs(valid[:, None] - np.array(chosen)).min(1)
        chosen.append(int(valid[distance.argmax()]))
    return sorted(chosen)


def _apexes(sequence: FaceSequence) -> list[int]:
    """Apex of the strongest activation of each action unit, the strongest first."""
    strongest: dict[int, tuple[float, int]] = {}
    for event in sequence.events():
        peak = event.peak_probability if event.peak_intensity is None else event.peak_intensity
        if peak > strongest.get(event.action_unit, (-1.0, 0))[0]:
            strongest[event.action_unit] = (peak, event.apex)
    return [apex for _, apex in sorted(strongest.values(), reverse=True)]


def picture_windows(sequences: Sequence[FaceSequence], rows: list[int]) -> np.ndarray:
    """(K, 3) left, top and side in pixels of squares with all meshes of a frame in the middle, all of one size."""
    points = np.concatenate([_image_points(sequence, rows)[..., :2] for sequence in sequences], 1)
    return square_windows(points, sequences[0].height, sequences[0].width)


def square_windows(points: np.ndarray, height: int, width: int) -> np.ndarray:
    """The same around (K, P, 2) points in pixels of pictures of this size; NaN where one is not known."""
    low, high = np.nanmin(points, 1), np.nanmax(points, 1)  # another method may lack the face
    face, picture = float((high - low).max()), float(min(height, width))
    # A face larger than the whole picture is not of use to anyone, but must not ask for endless memory either.
    side = round(max(2.0, min(max(_NEAREST * face, min(_AROUND * face, picture)), 2 * picture)))
    return np.concatenate([(low + high - side) / 2, np.full((len(points), 1), side)], 1)


def _image_points(sequence: FaceSequence, rows: list[int]) -> np.ndarray:
    """(K, V, 3) as `FaceSequence.image_points`, of these rows only: those of a long video take much memory."""
    arrays = (sequence.vertices, sequence.rotation, sequence.scale, sequence.translation)
    return weak_perspective(*(torch.tensor(array[rows]) for array in arrays)).numpy()


def window_view(sequence: FaceSequence, row: int, window: np.ndarray, cell: int) -> View:
    """The camera of a frame for the picture of its window."""
    share = cell / window[2]
    translation = (sequence.translation[row] - window[:2]) * share
    return View(
        torch.tensor(sequence.rotation[row]),
        float(sequence.scale[row] * share),
        torch.tensor(translation, dtype=torch.float32),
    )


def _video_rows(
    sequences: list[FaceSequence],
    rows: list[int],
    motion: np.ndarray,
    scale: ColourScale,
    cell: int,
    look: Callable[[], object],
) -> list[StripRow]:
    """The frames around the face, inside the video where there is room, and the same with the first one's mesh."""
    sequence, windows = sequences[0], inside_video(sequences[0], picture_windows(sequences, rows))
    views = [window_view(sequence, row, window, cell) for row, window in zip(rows, windows, strict=True)]
    frames = read_pictures(sequence, rows, look)
    plain = [crop_picture(frames[row], window, cell) for row, window in zip(rows, windows, strict=True)]
    drawn = [
        draw_mesh(image, view.points(sequence.vertices[row]), sequence.faces, heat_colors(amount, scale.maximum))
        for image, row, view, amount in _watched(zip(plain, rows, views, motion, strict=True), look)
    ]
    return [StripRow("video", plain), StripRow("overlay", drawn)]


def inside_video(sequence: FaceSequence, windows: np.ndarray) -> np.ndarray:
    """(K, 3): the windows of `picture_windows` in whole pixels, pushed inside the video where there is room."""
    return inside_picture(windows, sequence.height, sequence.width)


def inside_picture(windows: np.ndarray, height: int, width: int) -> np.ndarray:
    """The same of `square_windows`, in pictures of this size."""
    room = np.array([width, height]) - windows[:, 2:]
    inside = np.where(room >= 0, windows[:, :2].clip(0, np.maximum(room, 0)), windows[:, :2])
    return np.concatenate([inside.round(), windows[:, 2:]], 1)


def read_pictures(
    sequence: FaceSequence, rows: list[int], look: Callable[[], object] = lambda: None
) -> dict[int, np.ndarray]:
    """By row (from 0, rising) the frames of the sequence's video, (H, W, 3) uint8.

    Args:
        sequence: the person.
        rows: which.
        look: called before every frame that is read; what it raises ends the reading.

    Raises:
        InputError: the video cannot be read any more, or has changed.
    """
    found: dict[int, np.ndarray] = {}
    assert sequence.source is not None
    with VideoReader(sequence.source) as reader:
        if (reader.height, reader.width) == (sequence.height, sequence.width):
            for frame in _watched(reader, look):
                if frame.index in rows:
                    found[frame.index] = frame.image
                if frame.index >= rows[-1]:
                    break
    if len(found) < len(rows):
        raise InputError(
            f"{sequence.source} has changed since its faces were reconstructed: its pictures have another size, or it "
            "has become shorter; reconstruct it again"
        )
    return found


def crop_picture(image: np.ndarray, window: np.ndarray, cell: int) -> np.ndarray:
    """(cell, cell, 3): the window's part of the picture; white beyond the picture's borders."""
    left, top, side = (int(value) for value in window)
    height, width = image.shape[:2]
    square = np.full((side, side, 3), _WHITE, np.uint8)
    first_row, last_row = max(top, 0), min(top + side, height)
    first_column, last_column = max(left, 0), min(left + side, width)
    if first_row < last_row and first_column < last_column:
        part = image[first_row:last_row, first_column:last_column]
        square[first_row - top : last_row - top, first_column - left : last_column - left] = part
    return np.asarray(Image.fromarray(square).resize((cell, cell), Image.Resampling.LANCZOS))


def _active_names(sequence: FaceSequence, rows: list[int]) -> list[list[str]]:
    """For each frame the names of the active action units, the most probable first."""
    activity, result = sequence.au_activity, []
    for row in rows:
        active = np.flatnonzero(activity[row])
        active = active[np.argsort(-sequence.au_probabilities[row, active], kind="stable")]
        names = []
        for column in active:
            number = sequence.action_units[column]
            known = facs.ACTION_UNITS.get(number)
            names.append(f"{known.label} {known.name}" if known else facs.label(number))
        if len(names) > _MAX_NAMES:
            names = [*names[: _MAX_NAMES - 1], f"and {len(names) - _MAX_NAMES + 1} more"]
        result.append(names or ["none active"])
    return result
