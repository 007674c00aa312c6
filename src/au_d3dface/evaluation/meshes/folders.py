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


def find_sequence(folder: Path, names: Sequence[str]) -> Path:
    """The folder or npz of a sequence that has one of these names.

    Raises:
        InputError: the folder cannot be read, or holds none.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder; give one that holds a folder of meshes, or an npz, a sequence")
    for name in names:
        for path in (folder / name, folder / f"{name}.npz"):
            if path.exists():
                return path
    raise InputError(
        f"{folder} holds no meshes of the sequence {names[0]}; name a folder of .obj or .ply files, or an npz, "
        f"{' or '.join(names)}"
    )


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
