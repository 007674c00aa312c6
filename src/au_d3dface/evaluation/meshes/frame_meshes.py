"""Meshes of one video that another method wrote, one file a frame: obj, ply or npz, in that method's own topology.

Folders of many videos are in `folders`.

- A frame's number is the last number in the file's name: `000012.obj`, `frame_12.ply`, `clip3_000012.npz`. It is the
  number that the truth, or the video counted from 1, has for the frame.
- An npz holds `vertices` (V, 3) and, in one file at least, `faces` (F, 3). It may hold many frames: `vertices`
  (T, V, 3) and `frame` or `frames` (T,), as our own sequence.npz does: a folder of `reconstruct` is one of meshes too,
  and so is such an npz alone.
- Files whose names hold no number are no frames (`template.ply`). Where the frames lack triangles, they are taken from
  them. `neutral.obj` or `.ply`, or `neutral_vertices` (V, 3) in an npz, is the face at rest.
- All meshes have one topology. Lengths are metres, centimetres or millimetres: which, follows from the size of a head.
"""

import re
import zipfile
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import numpy as np

from ...errors import InputError
from ...geometry.mesh_files import MESH_SUFFIXES, read_mesh_file

SUFFIXES = (*MESH_SUFFIXES, ".npz")

UNITS = {"m": 1.0, "cm": 0.01, "mm": 0.001}
SIZES = (0.08, 0.8)
"""Metres that a face, or a head with its shoulders, is across: the longest side of its box."""

_MAX_BYTES = 512 * 2**20
"""Of an array in an npz: more than minutes of meshes take."""

_NUMBER = re.compile(r"\d+")
_ARRAYS = ("vertices", "faces", "frame", "frames", "valid", "neutral_vertices")


@dataclass(frozen=True)
class FrameMeshes:
    """One method's meshes of one video.

    Attributes:
        name: of the method. path: of the folder.
        frames: (T,) int64 numbers, increasing; some may be missing.
        vertices: (T, V, 3) float32 metres, in the method's own frame of reference.
        faces: (F, 3) int64; F may be 0 where triangles were not asked for.
        unit: of the files, a key of `UNITS`.
        neutral: (V, 3) float32 metres, the face at rest; None where the method has none.
    """

    name: str
    path: Path
    frames: np.ndarray
    vertices: np.ndarray
    faces: np.ndarray
    unit: str
    neutral: np.ndarray | None = None

    def at(self, frames: Iterable[int]) -> np.ndarray:
        """(K, V, 3): the meshes of these frames, in their order.

        Raises:
            InputError: a frame that the folder lacks; the sentence names it, and what there is.
        """
        wanted = np.fromiter(frames, np.int64)
        rows = np.searchsorted(self.frames, wanted).clip(max=len(self.frames) - 1)
        missing = wanted[self.frames[rows] != wanted]
        if len(missing):
            raise InputError(
                f"{self.path} ({self.name}) has no mesh of frame {missing[0]} (of {len(missing)} frames that were "
                f"asked for); it has {len(self.frames)}, from {self.frames[0]} to {self.frames[-1]}"
            )
        return self.vertices[rows]


def read_mesh_folder(
    path: str | PathLike[str], name: str | None = None, frames: Iterable[int] | None = None, whole: bool = True
) -> FrameMeshes:
    """Reads the meshes of a video.

    Args:
        path: the folder, or an npz of many frames.
        name: of the method; the folder's if None.
        frames: the numbers that are wanted, so that no other file is read; None for all.
        whole: False if frames may be missing, which are left out, and triangles too.

    Raises:
        InputError: the folder is missing or has no meshes, lacks a frame that is wanted, has two files for one frame,
            meshes that are damaged, not finite, of several topologies or without triangles, or of no size that a
            head has in metres, centimetres or millimetres.
    """
    path = Path(path)
    files, others = _mesh_files(path)
    wanted = None if frames is None else {int(number) for number in frames}
    meshes, faces, neutral = _read_frames(path, files, wanted)
    if whole and (missing := sorted((wanted or set()) - meshes.keys())):
        there = mesh_frames(path)
        raise InputError(
            f"{path} has no mesh of frame {missing[0]} ({len(missing)} of {len(wanted or ())} frames are missing); it "
            f"has {len(there)}, from {there[0]} to {there[-1]}"
        )
    if not meshes:
        raise InputError(f"{path} is an empty sequence: it holds no mesh of a frame that is wanted")
    if faces is None:
        faces = _faces_of(others)
    if faces is None and whole:
        raise InputError(f"the meshes in {path} have no triangles; put one mesh with them beside, as template.obj")
    frames_there = np.array(sorted(meshes), np.int64)
    vertices = np.stack([meshes[number][0] for number in frames_there.tolist()])
    _check(path, vertices, faces)
    unit = _unit(path, vertices, faces, frames_there)
    at_rest = next((file for file in others if file.stem == "neutral" and file.suffix.lower() != ".npz"), None)
    if at_rest is not None:
        neutral = _read_mesh(at_rest)[0]
    if neutral is not None:
        if neutral.shape != vertices.shape[1:]:
            raise InputError(
                f"{at_rest or path} has a face at rest of {len(neutral)} vertices, but the meshes in {path} have "
                f"{vertices.shape[1]}; give one topology"
            )
        _check(at_rest or path, neutral, faces)
        neutral = (neutral * UNITS[unit]).astype(np.float32)
    return FrameMeshes(
        name or path.name,
        path,
        frames_there,
        (vertices * UNITS[unit]).astype(np.float32),
        np.empty((0, 3), np.int64) if faces is None else faces.astype(np.int64),
        unit,
        neutral,
    )


def mesh_frames(path: str | PathLike[str]) -> list[int]:
    """The numbers of the frames that a folder has, increasing, without reading the meshes.

    Raises:
        InputError: the folder is missing or has no meshes, or two files for one frame.
    """
    numbers: set[int] = set()
    for number, file in _mesh_files(Path(path))[0]:
        held = _held_frames(file) if file.suffix.lower() == ".npz" else None
        numbers |= {number} if held is None else set(held.tolist())
    if not numbers:
        raise InputError(f"{path} is an empty sequence: it holds no mesh")
    return sorted(numbers)


def mesh_files(path: Path) -> list[Path]:
    """All files that `read_mesh_folder` may read. Raises InputError as `mesh_frames` does."""
    files, others = _mesh_files(path)
    return sorted({*(file for _, file in files), *others})


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


def _mesh_files(path: Path) -> tuple[list[tuple[int, Path]], list[Path]]:
    """Files of frames by number, and those whose names hold none."""
    if path.suffix.lower() == ".npz" and path.is_file():
        if _held_frames(path) is None:
            raise InputError(f"{path} has no array 'frames'; write vertices (T, V, 3), frames (T,) and faces (F, 3)")
        return [(0, path)], []
    try:
        found = sorted(f for f in path.iterdir() if f.suffix.lower() in SUFFIXES and not f.name.startswith("."))
    except FileNotFoundError:
        raise InputError(f"the folder of meshes {path} does not exist") from None
    except NotADirectoryError:
        raise InputError(f"{path} is not a folder; give the folder that holds one mesh a frame") from None
    except OSError as error:
        raise InputError(f"the folder of meshes {path} cannot be read: {error.strerror or error}") from error
    numbered: dict[int, Path] = {}
    others = []
    for file in found:
        numbers = _NUMBER.findall(file.stem)
        if not numbers:
            others.append(file)
            continue
        number = int(numbers[-1][-18:])  # more digits are no count of frames, and no int64
        if number in numbered:
            raise InputError(
                f"{path} has two meshes of frame {number}, {numbered[number].name} and {file.name}; keep one of them"
            )
        numbered[number] = file
    frames = sorted(numbered.items())
    if not frames:  # sequence.npz
        frames = [(0, file) for file in others if file.suffix.lower() == ".npz" and _held_frames(file) is not None]
    if not frames:
        kinds = ", ".join(SUFFIXES)
        raise InputError(f"{path} holds no meshes named by frame, such as 000001.obj ({kinds} are read)")
    return frames, others


def _held_frames(file: Path) -> np.ndarray | None:
    """(T,) numbers of the frames in an npz that holds many; None where it holds one mesh. Frames without a face are
    not there."""
    arrays = _arrays(file, ("frame", "frames", "valid"))
    numbers = arrays.get("frame", arrays.get("frames"))
    if numbers is None:
        return None
    valid = arrays.get("valid", np.ones(numbers.shape, bool))
    if numbers.ndim != 1 or numbers.dtype.kind not in "iu" or valid.shape != numbers.shape or valid.dtype != bool:
        raise InputError(f"{file} has an array 'frame' that is not one whole number a mesh")
    return numbers[valid].astype(np.int64)


def _read_frames(
    path: Path, files: list[tuple[int, Path]], wanted: set[int] | None
) -> tuple[dict[int, tuple[np.ndarray, Path]], np.ndarray | None, np.ndarray | None]:
    """By frame its (V, 3) vertices and file; the triangles that all files with any have; the face at rest of an npz."""
    meshes: dict[int, tuple[np.ndarray, Path]] = {}
    faces, of, neutral = None, path, None
    for number, file in files:
        held = _held_frames(file) if file.suffix.lower() == ".npz" else None
        if wanted is not None and not wanted & ({number} if held is None else set(held.tolist())):
            continue
        read, triangles, rest = _meshes_of(file, number, wanted)
        neutral = neutral if rest is None else rest
        for frame, mesh in read:
            if frame in meshes:
                raise InputError(f"{path} has two meshes of frame {frame}, in {meshes[frame][1].name} and {file.name}")
            first = next(iter(meshes.values()), (mesh, file))
            if len(first[0]) != len(mesh):
                raise InputError(
                    f"{path} holds several topologies: {first[1].name} has {len(first[0])} vertices and {file.name} "
                    f"{len(mesh)}; give each its own folder"
                )
            meshes[frame] = mesh, file
            if triangles is None:
                continue
            if faces is not None and of != file and not np.array_equal(faces, triangles):
                raise InputError(
                    f"{path} holds several topologies: {of.name} and {file.name} have other triangles; give each its "
                    "own folder"
                )
            faces, of = triangles, file
    return meshes, faces, neutral


def _meshes_of(
    file: Path, number: int, wanted: set[int] | None
) -> tuple[list[tuple[int, np.ndarray]], np.ndarray | None, np.ndarray | None]:
    """Frames with (V, 3) vertices, those that are wanted; triangles and the face at rest, where a file holds them."""
    if file.suffix.lower() != ".npz":
        vertices, faces = _read_mesh(file)
        return [(number, vertices)], faces, None
    arrays = _arrays(file, _ARRAYS)
    if "vertices" not in arrays:
        raise InputError(f"{file} has no array 'vertices'")
    vertices, faces = arrays["vertices"], arrays.get("faces")
    faces = None if faces is None or not faces.size else faces
    numbers = arrays.get("frame", arrays.get("frames"))
    if numbers is None:
        if vertices.ndim != 2:
            raise InputError(f"{file} has vertices of shape {vertices.shape}; one mesh is (V, 3), many need 'frame'")
        _check(file, vertices, faces)
        return [(number, vertices)], faces, None
    if vertices.ndim != 3 or numbers.shape != vertices.shape[:1]:
        raise InputError(f"{file} has vertices of shape {vertices.shape} for {numbers.shape} frame numbers")
    rows = arrays.get("valid", np.ones(len(numbers), bool))
    if wanted is not None:
        rows = rows & np.isin(numbers, list(wanted))
    numbers, vertices = numbers[rows], vertices[rows]
    if len(numbers):
        holed = ~np.isfinite(vertices).all((1, 2)) if vertices.dtype.kind == "f" else np.zeros(len(numbers), bool)
        if holed.any():
            raise InputError(
                f"{file}: the mesh of frame {int(numbers[holed][0])} holds coordinates that are not finite; leave out "
                "the frames without a face"
            )
        _check(file, vertices, faces)
    meshes = [(int(frame), mesh) for frame, mesh in zip(numbers, vertices, strict=True)]
    return meshes, faces, arrays.get("neutral_vertices")


def _faces_of(files: list[Path]) -> np.ndarray | None:
    for file in files:
        faces = _arrays(file, ("faces",)).get("faces") if file.suffix.lower() == ".npz" else _read_mesh(file)[1]
        if faces is not None:
            return faces
    return None


def _unit(path: Path, vertices: np.ndarray, faces: np.ndarray | None, frames: np.ndarray) -> str:
    """Of UNITS, that of all meshes; vertices in no triangle do not count."""
    used = vertices if faces is None else vertices[:, np.unique(faces)]
    units = [unit_of(mesh, path) for mesh in used]
    for frame, unit in zip(frames, units, strict=True):
        if unit != units[0]:
            raise InputError(f"{path} holds meshes in {units[0]} (frame {frames[0]}) and in {unit} (frame {frame})")
    return units[0]


def _read_mesh(file: Path) -> tuple[np.ndarray, np.ndarray | None]:
    """(V, 3) vertices in the file's own unit, and (F, 3) triangles; None where it has none."""
    vertices, faces = read_mesh_file(file)
    triangles = faces if len(faces) else None
    _check(file, vertices, triangles)
    return vertices, triangles


def _arrays(path: Path, names: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Those of the named arrays that an npz holds."""
    try:
        with zipfile.ZipFile(path) as archive:
            sizes = {info.filename.removesuffix(".npy"): info.file_size for info in archive.infolist()}
        if large := [name for name in names if sizes.get(name, 0) > _MAX_BYTES]:
            raise InputError(f"{path} has an array {large[0]!r} of over {_MAX_BYTES >> 20} MB; cut it into several")
        with np.load(path, allow_pickle=False) as npz:
            return {name: npz[name] for name in names if name in npz}
    except (zipfile.BadZipFile, zlib.error, ValueError, EOFError, OSError, NotImplementedError, MemoryError) as error:
        reason = " ".join(str(error).split())[:120]
        raise InputError(f"{path} is damaged or no npz file of numbers ({reason}); write it again") from error


def _check(path: Path, vertices: np.ndarray, faces: np.ndarray | None) -> None:
    """Makes sure that (..., V, 3) vertices and (F, 3) triangles belong together."""
    if vertices.ndim not in (2, 3) or vertices.shape[-1] != 3 or not vertices.size or vertices.dtype.kind not in "fiu":
        raise InputError(f"{path} holds no vertices of three numbers each (they are {vertices.shape})")
    if not np.isfinite(vertices).all():
        wrong = int((~np.isfinite(vertices).all(-1)).sum())
        raise InputError(f"{path} has {wrong} vertices that are not finite; make it again, or take it out")
    if faces is None:
        return
    if faces.ndim != 2 or faces.shape[1] != 3 or faces.dtype.kind not in "iu" or not len(faces):
        raise InputError(f"{path} holds no triangles of three vertex numbers each (they are {faces.shape})")
    if faces.min() < 0 or faces.max() >= vertices.shape[-2]:
        raise InputError(
            f"{path} has triangles of vertices that it does not hold ({vertices.shape[-2]} vertices, triangles name "
            f"{int(faces.min())} to {int(faces.max())})"
        )
