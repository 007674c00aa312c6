"""Meshes that another method made of many videos, by sequence and frame, in a folder of the user's.

    DIR/<sequence>/000102.obj, 000105.obj, ...     or .ply; the name ends in the frame's number, padded or not
    DIR/<sequence>/neutral.obj                     the face at rest, where the method has it
    DIR/<sequence>.npz                             instead: vertices (T, V, 3), frames (T,), faces (F, 3) and perhaps
                                                   neutral_vertices (V, 3)

`frame_meshes` reads a sequence.
"""

from collections.abc import Sequence
from pathlib import Path

from ...errors import InputError
from ...geometry.mesh_files import MESH_SUFFIXES
from .frame_meshes import mesh_frames


def find_sequence(folder: Path, names: Sequence[str]) -> Path:
    """The folder or npz of a sequence that has one of these names.

    Raises:
        InputError: the folder cannot be read, or holds none.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder; give one that holds a folder of meshes, or an npz, a sequence")
    found = named_sequence(folder, names)
    if found is not None:
        return found
    raise InputError(
        f"{folder} holds no meshes of the sequence {names[0]}; name a folder of .obj or .ply files, or an npz, "
        f"{' or '.join(names)}"
    )


def named_sequence(folder: Path, names: Sequence[str]) -> Path | None:
    """The same, or None where there is none."""
    paths = (path for name in names for path in (folder / name, folder / f"{name}.npz"))
    return next((path for path in paths if path.exists()), None)


def first_sequence(folder: Path) -> Path:
    """The first sequence, by name, that has meshes of frames: on it a method's face is found.

    It does not depend on which of the sequences are measured, so that the face is of the same vertices in every table
    and figure.

    Raises:
        InputError: the folder cannot be read, or holds none.
    """
    for path in sequence_paths(folder).values():
        try:
            mesh_frames(path)
        except InputError:
            continue  # a template, say, or regions; a sequence that is damaged is told when it is measured
        return path
    raise InputError(f"{folder} holds no sequence with meshes named by frame; name them so, such as 000001.obj")


def sequence_paths(folder: Path) -> dict[str, Path]:
    """All sequences of a folder by name.

    Raises:
        InputError: the folder cannot be read, or holds none.
    """
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        raise InputError(f"{folder} cannot be read ({error.strerror or error}); give a folder of meshes") from error
    found = {path.stem if path.suffix == ".npz" else path.name: path for path in entries if _is_sequence(path)}
    if not found:
        raise InputError(f"{folder} holds no folder of .obj or .ply files and no npz; give a folder of meshes")
    return found


def _is_sequence(path: Path) -> bool:
    if path.name.startswith("."):
        return False
    if path.is_dir():
        return any(entry.suffix.lower() in MESH_SUFFIXES for entry in path.iterdir())
    return path.suffix == ".npz"
