"""Which frames a figure of meshes shows: those that are named, or some spread evenly over those that all have."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from ...errors import InputError, UsageError
from ..meshes.frame_meshes import FrameMeshes, mesh_frames, read_mesh_folder

COLUMNS = 5
"""As many as the paper's Fig. 3 shows."""

MOST_COLUMNS = 30


def parse_frames(text: str | None, columns: int = COLUMNS) -> list[int] | None:
    """The numbers of `"1,20,55"`, in their order; None for None.

    Raises:
        UsageError: something else, a number twice, too many, or too many columns.
    """
    if not 1 <= columns <= MOST_COLUMNS:
        raise UsageError(f"--columns must be 1 to {MOST_COLUMNS}, not {columns}")
    if text is None:
        return None
    try:
        frames = [int(part) for part in text.split(",")]
    except ValueError:
        raise UsageError(f"--frames must be frame numbers separated by commas, such as 1,20,55, not {text!r}") from None
    if len(set(frames)) < len(frames) or len(frames) > MOST_COLUMNS or min(frames) < 0:
        raise UsageError(f"--frames must be at most {MOST_COLUMNS} different frame numbers, not {text!r}")
    return frames


def chosen_frames(
    there: Mapping[str, Iterable[int]], wanted: list[int] | None = None, columns: int = COLUMNS
) -> list[int]:
    """The frames that are shown, which all sources have.

    Args:
        there: by the name of a source, for people, the frames that it has.
        wanted: the frames asked for; None for `columns` spread evenly, first and last with them.

    Raises:
        InputError: a source lacks a frame that is asked for, or the sources have no frame in common.
    """
    sets = {name: set(frames) for name, frames in there.items()}
    for name, frames in sets.items():
        if missing := [frame for frame in wanted or () if frame not in frames]:
            span = f"from {min(frames)} to {max(frames)}" if frames else "none at all"
            raise InputError(f"{name} has no frame {missing[0]}; it has {len(frames)}, {span}")
    if wanted is not None:
        return wanted
    common = sorted(set.intersection(*sets.values()))
    if not common:
        spans = "; ".join(f"{name}: {min(f)} to {max(f)}" if f else f"{name}: none" for name, f in sets.items())
        raise InputError(f"there is no frame that all have ({spans}); the frame numbers must be the same")
    places = np.linspace(0, len(common) - 1, min(columns, len(common))).round().astype(int)
    return [common[place] for place in places]


def frames_of_folders(folders: Mapping[str, Path], shift: int = 0) -> dict[str, list[int]]:
    """By name and path, for people, the frames that each folder of meshes has, less `shift`.

    Raises:
        InputError: a folder is missing or has no meshes, or two files for one frame.
    """
    return {f"{path} ({name})": [number - shift for number in mesh_frames(path)] for name, path in folders.items()}


def read_folders(folders: Mapping[str, Path], frames: list[int], shift: int = 0) -> dict[str, FrameMeshes]:
    """The meshes of these frames, by the name of the method; their numbers there have `shift` added.

    Raises:
        InputError: as `read_mesh_folder` says.
    """
    return {name: read_mesh_folder(path, name, [f + shift for f in frames]) for name, path in folders.items()}
