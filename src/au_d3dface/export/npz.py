"""sequence.npz: the arrays of one person, for numpy; numbered parts of bounded size for long videos.

The arrays are not compressed: meshes in float32 shrink by under a tenth and take twenty times as long to write.
"""

import zipfile
from collections.abc import Callable
from os import PathLike
from pathlib import Path
from typing import IO, Any

import numpy as np

from ..face_sequence import FaceSequence
from .files import atomic_path, write_blocks

PART_BYTES = 256 * 2**20
"""A part holds as many frames as fit, so that any part can be loaded whole on a small machine."""

PER_FRAME = (
    "timestamps",
    "valid",
    "interpolated",
    "confidence",
    "vertices",
    "coarse_vertices",
    "au_probabilities",
    "au_intensities",
    "au_motion",
    "expression_weights",
    "rotation",
    "scale",
    "translation",
    "lighting",
)
FIXED = ("neutral_vertices", "faces", "uv", "texture", "au_masks", "thresholds")


def write_npz(
    directory: str | PathLike[str],
    sequence: FaceSequence,
    progress: Callable[[str, int, int | None], None] | None = None,
    part_bytes: int = PART_BYTES,
) -> list[Path]:
    """Writes `sequence.npz`, or `sequence_000.npz`, `sequence_001.npz` and so on where one part would be too large.

    Each file holds the attributes of `FaceSequence` and `au_motion` under their names and `frame` (T,), the csv's frame
    numbers, from 1; `uv`, `au_intensities`, `expression_weights` (with `expression_names`), `texture` and `lighting`
    only where the sequence has them. Every part repeats what does not change with time. Arrays are float32,
    `timestamps` float64, `faces`, `frame` and `action_units` int64; nothing is pickled.

    Args:
        directory: where the files are made.
        sequence: the person.
        progress: called as progress("npz", MB done, MB in all), at least once every `BLOCK_BYTES`.
        part_bytes: of meshes in a file, at most.

    Raises:
        OutputError: a file cannot be written.
    """
    frame_bytes = sum(array[:1].nbytes for array in (sequence.vertices, sequence.coarse_vertices))
    frames = max(1, part_bytes // max(1, frame_bytes))
    parts = range(0, max(1, len(sequence)), frames)
    motion = sequence.au_motion
    written: list[Path] = []
    done, total = 0, len(sequence) * frame_bytes // 2**20  # all but the meshes is small

    def look(count: int) -> None:
        nonlocal done
        done += count
        if progress is not None:
            progress("npz", min(done // 2**20, total), total)

    for number, start in enumerate(parts):
        rows = slice(start, min(start + frames, len(sequence)))
        arrays = {
            "action_units": np.array(sequence.action_units, np.int64),
            "face_id": np.array(sequence.face_id, np.int64),
            "frame": np.arange(rows.start, rows.stop, dtype=np.int64) + 1,
        }
        for name in PER_FRAME:
            values = motion if name == "au_motion" else getattr(sequence, name)
            if values is not None:
                arrays[name] = values[rows]
        if sequence.expression_weights is not None:
            arrays["expression_names"] = np.array(sequence.expression_names)
        for name in FIXED:
            if getattr(sequence, name) is not None:
                arrays[name] = getattr(sequence, name)
        path = Path(directory) / ("sequence.npz" if len(parts) == 1 else f"sequence_{number:03d}.npz")
        with atomic_path(path) as temporary:
            _save(temporary, arrays, look)
        written.append(path)
    return written


def _save(path: Path, arrays: dict[str, np.ndarray], look: Callable[[int], None]) -> None:
    """As np.savez, which leaves its file open when the disk is full, and can be stopped nowhere."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(_Watched(file, look), array, allow_pickle=False)


class _Watched:
    """An open file, written to by blocks with a look after each."""

    def __init__(self, file: IO[bytes], look: Callable[[int], None]) -> None:
        self._file, self._look = file, look

    def write(self, data: Any) -> None:
        write_blocks(self._file, data, self._look)
