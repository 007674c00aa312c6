"""Meshes that another method made, by sequence and frame, in a folder of the user's.

    DIR/<sequence>/000102.obj, 000105.obj, ...     or .ply; the name is the frame's number, padded or not
    DIR/<sequence>/neutral.obj                     the face at rest, where the method has it
    DIR/<sequence>.npz                             instead: vertices (T, V, 3), frames (T,), faces (F, 3) and perhaps
                                                   neutral_vertices (V, 3)

All meshes of a method have one topology. They are in metres; where their size says millimetres or centimetres, they are
made metres, and `MeshFolder.unit` says so. A mesh may lie anywhere and be turned in any way.
"""

import re
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import InputError
from ..geometry.mesh_files import MESH_SUFFIXES, read_mesh_file

UNITS = {"m": 1.0, "cm": 0.01, "mm": 0.001}
SIZES = (0.08, 0.8)
"""Metres that a face, or a head with its shoulders, is across: the longest side of its box."""

_NUMBER = re.compile(r"(\d{1,9})$")


@dataclass(frozen=True)
class FolderMeshes:
    """One sequence.

    Attributes:
        frames: (T,) int64 frame numbers, increasing. vertices: (T, V, 3) float32 metres. faces: (F, 3), F may be 0.
        neutral: (V, 3) metres, or None. unit: what the files are in, of UNITS.
    """

    frames: np.ndarray
    vertices: np.ndarray
    faces: np.ndarray
    neutral: np.ndarray | None
    unit: str


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


def mesh_paths(path: Path) -> dict[int, Path]:
    """The mesh files of a sequence's folder by frame number.

    Raises:
        InputError: there are none, or two with one number.
    """
    found: dict[int, Path] = {}
    for entry in sorted(path.iterdir()):
        if entry.suffix.lower() not in MESH_SUFFIXES or entry.stem == "neutral" or entry.name.startswith("."):
            continue
        match = _NUMBER.search(entry.stem)
        if match is None:
            raise InputError(f"{entry} has no frame number in its name; remove it, or name it after its frame")
        if int(match[1]) in found:
            raise InputError(f"{found[int(match[1])].name} and {entry.name} in {path} are of one frame; remove one")
        found[int(match[1])] = entry
    if not found:
        raise InputError(f"{path} is an empty sequence: it holds no {' or '.join(MESH_SUFFIXES)} named after a frame")
    return dict(sorted(found.items()))


def read_meshes(path: Path, frames: Sequence[int] | None = None) -> FolderMeshes:
    """The meshes of a sequence.

    Args:
        path: of `find_sequence`.
        frames: those wanted, of which the ones that are there are read; None for all.

    Raises:
        InputError: a file is missing or damaged, coordinates are not finite, meshes are of several topologies, or of no
            size that a face has in any unit; it names the file.
    """
    numbers, vertices, faces, neutral = _read_npz(path) if path.suffix == ".npz" else _read_folder(path, frames)
    if frames is not None:
        kept = np.isin(numbers, list(frames))
        numbers, vertices = numbers[kept], vertices[kept]
    if not len(vertices):
        raise InputError(f"{path} is an empty sequence: it holds no mesh of a frame that is wanted")
    finite = np.isfinite(vertices).all((1, 2))
    if not finite.all():
        raise InputError(
            f"{path}: the mesh of frame {int(numbers[~finite][0])} holds coordinates that are not finite; leave out "
            "the frames without a face"
        )
    unit = unit_of(vertices[0], path)
    scale = np.float32(UNITS[unit])
    return FolderMeshes(numbers, vertices * scale, faces, None if neutral is None else neutral * scale, unit)


def unit_of(vertices: np.ndarray, path: Path) -> str:
    """Of UNITS, the one in which a (V, 3) mesh has the size of a face or head.

    Raises:
        InputError: in none.
    """
    size = float(np.ptp(vertices, axis=0).max())
    for unit, metres in UNITS.items():
        if SIZES[0] <= metres * size <= SIZES[1]:
            return unit
    raise InputError(
        f"{path}: a mesh is {size:.4g} across, which is no face in metres, centimetres or millimetres; write metres"
    )


def _is_sequence(path: Path) -> bool:
    if path.name.startswith("."):
        return False
    if path.is_dir():
        return any(entry.suffix.lower() in MESH_SUFFIXES for entry in path.iterdir())
    return path.suffix == ".npz"


def _read_folder(
    path: Path, frames: Sequence[int] | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray | None]:
    paths = mesh_paths(path)
    wanted = {number: file for number, file in paths.items() if frames is None or number in frames}
    first = next(iter(wanted.values()), next(iter(paths.values())))
    start, faces = read_mesh_file(first)
    vertices = np.empty((len(wanted), *start.shape), np.float32)
    for row, file in enumerate(wanted.values()):
        mesh, _ = read_mesh_file(file)
        _check_topology(file, mesh, first, start)
        vertices[row] = mesh
    neutral = None
    at_rest = next(
        (path / f"neutral{suffix}" for suffix in MESH_SUFFIXES if (path / f"neutral{suffix}").exists()), None
    )
    if at_rest is not None:
        mesh, _ = read_mesh_file(at_rest)
        _check_topology(at_rest, mesh, first, start)
        neutral = mesh.astype(np.float32)
    return np.array(list(wanted), np.int64), vertices, faces, neutral


def _check_topology(path: Path, mesh: np.ndarray, first: Path, start: np.ndarray) -> None:
    if len(mesh) != len(start):
        raise InputError(
            f"{path} has {len(mesh)} vertices, but {first.name} has {len(start)}; give meshes of one topology"
        )


def _read_npz(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray | None]:
    try:
        with np.load(path, allow_pickle=False) as npz:
            arrays = {name: npz[name] for name in ("vertices", "frames", "faces", "neutral_vertices") if name in npz}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(f"{path} cannot be read as an npz ({error}); write it again") from error
    for name in ("vertices", "frames"):
        if name not in arrays:
            raise InputError(f"{path} has no array {name!r}; write vertices (T, V, 3), frames (T,) and faces (F, 3)")
    vertices, numbers = arrays["vertices"], arrays["frames"]
    faces = arrays.get("faces", np.empty((0, 3), np.int64))
    if not (vertices.ndim == 3 and vertices.shape[2] == 3 and vertices.dtype.kind == "f" and vertices.shape[1]):
        raise InputError(f"{path}: vertices must be (T, V, 3) floating, not {vertices.shape} of {vertices.dtype}")
    if numbers.shape != vertices.shape[:1] or numbers.dtype.kind not in "iu" or (np.diff(numbers) <= 0).any():
        raise InputError(f"{path}: frames must be {len(vertices)} increasing integers, one a mesh")
    if faces.ndim != 2 or faces.shape[1] != 3 or faces.dtype.kind not in "iu":
        raise InputError(f"{path}: faces must be (F, 3) integers, not {faces.shape} of {faces.dtype}")
    if len(faces) and (faces.min() < 0 or faces.max() >= vertices.shape[1]):
        raise InputError(f"{path}: its faces name vertices that its {vertices.shape[1]}-vertex meshes lack")
    neutral = arrays.get("neutral_vertices")
    if neutral is not None and (neutral.shape != vertices.shape[1:] or not np.isfinite(neutral).all()):
        raise InputError(f"{path}: neutral_vertices must be one finite mesh of the same topology")
    rest = None if neutral is None else neutral.astype(np.float32)
    return numbers.astype(np.int64), vertices.astype(np.float32), faces.astype(np.int64), rest
