"""Reading ICT-FaceKit's files: the folder of OBJ files as it is distributed, or one npz of the same arrays.

A folder holds one OBJ a shape (`generic_neutral_mesh.obj`, `identity000.obj`, `browDown_L.obj`, ...), all with the same
faces: of the neutral mesh everything is read, of the others the `v` lines alone. About 3 s for the kit's 158 files.
Also says where the files are when nobody names them: `find_ict_facekit`.
"""

import os
import re
import zipfile
import zlib
from pathlib import Path

import numpy as np

from ..assets import ict_facekit
from ..errors import CheckpointError

NUM_VERTICES = 26719
ENVIRONMENT = "AU_D3DFACE_ICT_FACEKIT"
"""Environment variable with the path of the kit."""

MODEL_FOLDER = "FaceXModel"
NEUTRAL = "generic_neutral_mesh.obj"

_ARRAYS = {
    "neutral": (NUM_VERTICES, 3),
    "identity_delta": (None, NUM_VERTICES, 3),
    "expression_delta": (None, NUM_VERTICES, 3),
    "expression_names": (None,),
    "faces_quads": (None, 4),
}
_TEXTURE = {"uv": (None, 2), "faces_uv": (None, 4)}
"""Arrays that an npz may lack."""

_MAX_OBJ_BYTES = 64 * 2**20
"""Far above the kit's 2.6 MB a file: what is larger is something else, and is not read into memory."""


def find_ict_facekit(path: str | Path | None = None) -> Path:
    """Where the kit is: `path`, else what AU_D3DFACE_ICT_FACEKIT names, else what `assets ict-facekit` fetched.

    Raises:
        CheckpointError: neither is given, and nothing was fetched.
    """
    named = path or os.environ.get(ENVIRONMENT)
    if named:
        return Path(named).expanduser()
    asset = ict_facekit()
    missing = asset.missing(asset.cache_folder)
    if len(missing) == len(asset.files):
        raise CheckpointError(
            "the face model 'ict' needs the files of ICT-FaceKit: fetch them with `au-d3dface assets ict-facekit`, or "
            f"give their folder with --ict-facekit or in {ENVIRONMENT}"
        )
    if missing:
        raise CheckpointError(
            f"{asset.cache_folder} lacks {len(missing)} files of ICT-FaceKit, {missing[0]} for one: run `au-d3dface "
            "assets ict-facekit` again, which continues"
        )
    return asset.cache_folder


def read_ict_facekit(path: Path) -> dict[str, np.ndarray]:
    """The arrays of the kit, checked.

    Args:
        path: the npz; or the folder of OBJ files, or the folder that has it as `FaceXModel`.

    Returns:
        `neutral` (26719, 3), `identity_delta` (S, 26719, 3) and `expression_delta` (E, 26719, 3), float32 centimetres,
        deltas being shape minus neutral; `expression_names` (E,); `faces_quads` (F, 4) with -1 as the fourth corner of
        a triangle; where there are texture coordinates, `uv` (U, 2) and `faces_uv` (F, 4) into them.

    Raises:
        CheckpointError: the path is missing, not the kit, or damaged.
    """
    if path.is_dir():
        arrays = _read_folder(path)
    elif path.is_file():
        arrays = _read_npz(path)
    else:
        raise CheckpointError(f"{path} does not exist: give the folder of ICT-FaceKit's OBJ files, or its npz.")
    for name, shape in (_ARRAYS | _TEXTURE).items():
        if name in _TEXTURE and name not in arrays:
            continue
        found = arrays[name].shape
        if len(found) != len(shape) or any(want not in (None, have) for want, have in zip(shape, found, strict=True)):
            raise CheckpointError(f"{path} has an array {name!r} of shape {found}, which is not ICT-FaceKit's.")
    for name in ("neutral", "identity_delta", "expression_delta"):
        arrays[name] = arrays[name].astype(np.float32, copy=False)
        if not np.isfinite(arrays[name]).all():
            raise CheckpointError(f"{path} holds numbers that are not finite in {name!r}; fetch the file again.")
    if len(arrays["expression_names"]) != len(arrays["expression_delta"]):
        raise CheckpointError(f"{path} names another number of expression shapes than it holds; fetch the file again.")
    _check_corners(path, arrays["faces_quads"], NUM_VERTICES)
    if "uv" in arrays and "faces_uv" in arrays:
        if arrays["faces_uv"].shape != arrays["faces_quads"].shape:
            raise CheckpointError(f"{path} has texture coordinates for other faces than it holds; fetch it again.")
        _check_corners(path, arrays["faces_uv"], len(arrays["uv"]))
    return arrays


def _check_corners(path: Path, corners: np.ndarray, count: int) -> None:
    if not len(corners) or corners.min() < -1 or corners[:, :3].min() < 0 or corners.max() >= count:
        raise CheckpointError(f"{path} has faces that point outside its vertices; fetch the file again.")


def _read_npz(path: Path) -> dict[str, np.ndarray]:
    try:
        npz = np.load(path, allow_pickle=False)
        if isinstance(npz, np.ndarray):
            raise CheckpointError(f"{path} is a single array; give the npz of ICT-FaceKit.")
        with npz:
            arrays = {name: npz[name] for name in (*_ARRAYS, *_TEXTURE) if name in npz}
    except (zipfile.BadZipFile, zlib.error, ValueError, EOFError, OSError) as error:
        raise CheckpointError(f"{path} is not a readable npz ({error}); fetch the file again.") from error
    for name in _ARRAYS:
        if name not in arrays:
            raise CheckpointError(f"{path} lacks the array {name!r}, so it is not an npz of ICT-FaceKit.")
    return arrays


def _read_folder(path: Path) -> dict[str, np.ndarray]:
    folder = path / MODEL_FOLDER if (path / MODEL_FOLDER).is_dir() else path
    names = sorted(file.stem for file in folder.glob("*.obj") if file.name != NEUTRAL)
    identities = [name for name in names if re.fullmatch(r"identity\d+", name)]
    expressions = [name for name in names if name not in identities]
    if not (folder / NEUTRAL).is_file():
        raise CheckpointError(f"{folder} holds no {NEUTRAL}, so it is not the folder of ICT-FaceKit's OBJ files.")
    if not expressions:
        raise CheckpointError(f"{folder} holds no OBJ file of an expression; fetch ICT-FaceKit's files again.")
    # The identities are numbered without a gap, which shows a missing one; which expressions are needed, the face
    # model knows.
    for number in range(max(1, len(identities))):
        if f"identity{number:03d}" not in identities:
            raise CheckpointError(f"{folder} lacks identity{number:03d}.obj; fetch ICT-FaceKit's files again.")
    lines = _lines(folder / NEUTRAL)
    neutral = _vertices(folder / NEUTRAL, lines)
    corners, texture_corners = _faces(folder / NEUTRAL, lines)

    def deltas(stems: list[str]) -> np.ndarray:
        result = np.empty((len(stems), NUM_VERTICES, 3), np.float32)
        for row, stem in enumerate(stems):
            file = folder / f"{stem}.obj"
            result[row] = _vertices(file, _lines(file)) - neutral
        return result

    arrays = {
        "neutral": neutral.astype(np.float32),
        "identity_delta": deltas(identities),
        "expression_delta": deltas(expressions),
        "expression_names": np.array(expressions),
        "faces_quads": corners,
    }
    if texture_corners is not None:
        arrays |= {"uv": _numbers(folder / NEUTRAL, lines, b"vt ", 2), "faces_uv": texture_corners}
    return arrays


def _lines(path: Path) -> list[bytes]:
    try:
        if path.stat().st_size > _MAX_OBJ_BYTES:
            raise CheckpointError(f"{path} is far larger than a file of ICT-FaceKit; fetch the file again.")
        return path.read_bytes().splitlines()
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror or error}.") from error


def _vertices(path: Path, lines: list[bytes]) -> np.ndarray:
    """(26719, 3) float64 of the `v` lines."""
    vertices = _numbers(path, lines, b"v ", 3)
    if len(vertices) != NUM_VERTICES:
        raise CheckpointError(
            f"{path} holds {len(vertices):,} vertices instead of ICT-FaceKit's {NUM_VERTICES:,}; fetch the file again."
        )
    if not np.isfinite(vertices).all():
        raise CheckpointError(f"{path} holds numbers that are not finite; fetch the file again.")
    return vertices


def _numbers(path: Path, lines: list[bytes], key: bytes, width: int) -> np.ndarray:
    """(N, width) float64: the numbers of the lines that begin with `key`."""
    rows = [line[len(key) :] for line in lines if line.startswith(key)]
    try:
        # One conversion of all words: four times as fast as line by line.
        numbers = np.array(b" ".join(rows).split(), dtype="S32").astype(np.float64)
        return numbers.reshape(len(rows), width)
    except ValueError as error:
        raise CheckpointError(
            f"{path} has a {key.decode().strip()!r} line that is not {width} numbers; fetch the file again."
        ) from error


def _faces(path: Path, lines: list[bytes]) -> tuple[np.ndarray, np.ndarray | None]:
    """(F, 4) vertices of the faces, and texture coordinates where every corner has one; counted from 0, -1 pads."""
    rows = [line.split()[1:] for line in lines if line.startswith(b"f ")]
    result = np.full((2, len(rows), 4), -1, np.int64)
    textured = True
    try:
        for row, corners in enumerate(rows):
            if len(corners) not in (3, 4):
                raise ValueError(f"{len(corners)} corners")
            for column, corner in enumerate(corners):
                parts = corner.split(b"/")
                result[0, row, column] = int(parts[0]) - 1
                if len(parts) > 1 and parts[1]:
                    result[1, row, column] = int(parts[1]) - 1
                else:
                    textured = False
    except (ValueError, OverflowError) as error:
        raise CheckpointError(f"{path} has a face that cannot be read ({error}); fetch the file again.") from error
    return result[0], result[1] if textured and rows else None
