"""The files of Multiface: tracked meshes, head poses, cameras and the list of frames.

Everything is turned into metres here. Three frames of reference meet in these files:

- the mesh's own: `.bin` and `vert_mean.bin`, the head pose taken out (y up, z out of the face in what is published);
- the world of the capture stage: `_transform.txt` takes the mesh's own frame there, x_world = R_f x + t_f. The `.obj`
  beside a `.bin` holds the same mesh there already, rounded: only its triangles are used, so nothing is posed twice;
- a camera's: KRT takes the world there, x_camera = R_C x_world + t_C, with x right, y down and z forward.

A point of a `.bin` is therefore seen at K [R_C R_f | R_C t_f + t_C] x, up to its depth.
"""

import math
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.spatial import cKDTree

from ...errors import InputError

NUM_VERTICES = 7306
MESH_BYTES = NUM_VERTICES * 3 * 4
MILLIMETRES = 1000.0

FRAME_RATE = 30.0
"""Frames a second. Frame numbers count a faster clock: they step by 3."""

_MAX_TEXT = 64 * 2**20
"""Bytes: far more than any text file of the data set has; an obj has 1.3 million."""

_ROTATION_SLACK = 1e-2
"""Of R Rᵀ from the identity: text files have few digits."""

_SAME = 5e-5
"""Metres within which a vertex of an obj is one of the bin: coordinates have a few decimals of a millimetre."""

_NAME = re.compile(r"[^./\\\0][^/\\\0]*")
_FRAME = re.compile(r"[0-9]{1,9}")


@dataclass(frozen=True)
class Camera:
    """One camera of a KRT file.

    Attributes:
        name: as its folder of pictures is called.
        intrinsics: (3, 3) K, pixels of the full picture.
        rotation: (3, 3) and translation: (3,) metres, from the world to the camera.
        distortion: the five values of the file; zero in what is published.
    """

    name: str
    intrinsics: np.ndarray
    rotation: np.ndarray
    translation: np.ndarray
    distortion: np.ndarray

    @property
    def centre(self) -> np.ndarray:
        """(3,) metres in the world."""
        return -self.rotation.T @ self.translation


def read_mesh(path: Path) -> np.ndarray:
    """(7306, 3) float32 metres, in the mesh's own frame, of a `.bin` file.

    Raises:
        InputError: the file is missing, has another size, or numbers that are not finite.
    """
    content = _read(path)
    if len(content) != MESH_BYTES:
        raise InputError(
            f"{path} has {len(content):,} bytes, where a tracked mesh of Multiface has {MESH_BYTES:,} "
            f"({NUM_VERTICES:,} vertices, raw float32); it was cut off or is another file: fetch it again."
        )
    vertices = np.frombuffer(content, "<f4").reshape(NUM_VERTICES, 3)
    if not np.isfinite(vertices).all():
        raise InputError(f"{path} holds coordinates that are not finite; fetch it again.")
    return vertices / np.float32(MILLIMETRES)


def read_transform(path: Path) -> np.ndarray:
    """(3, 4) float64 [R_f | t_f], metres, from the mesh's own frame to the world, of a `_transform.txt` file.

    Raises:
        InputError: the file is missing, has not 12 numbers, or no rotation in it.
    """
    words = _text(path).split()
    try:
        numbers = np.array(words, np.float64)
    except ValueError:
        raise InputError(f"{path} holds something else than numbers; fetch it again.") from None
    if len(numbers) != 12:
        raise InputError(f"{path} has {len(numbers)} numbers, where a head pose has 12 (three rows of four).")
    transform = numbers.reshape(3, 4)
    if not _is_rotation(transform[:, :3]):
        raise InputError(f"{path} is not a head pose: its first three columns are no rotation.")
    transform[:, 3] /= MILLIMETRES
    return transform


def read_krt(path: Path) -> dict[str, Camera]:
    """The cameras of a KRT file, in its order. Blank lines may be anywhere, or missing.

    Raises:
        InputError: the file is missing, breaks off within a camera, or has a line that does not belong there; the
            sentence names the line.
    """
    lines = [(row, line.split()) for row, line in enumerate(_text(path).splitlines(), 1) if line.strip()]
    cameras: dict[str, Camera] = {}
    for start in range(0, len(lines), 8):
        block = lines[start : start + 8]
        row, words = block[0]
        if len(words) != 1 or not _NAME.fullmatch(words[0]):
            raise InputError(f"line {row} of {path} should be a camera's name, but is {' '.join(words)[:60]!r}.")
        name = words[0]
        if len(block) < 8:
            raise InputError(f"{path} breaks off within the camera {name} (from line {row} on); fetch it again.")
        if name in cameras:
            raise InputError(f"line {row} of {path} names the camera {name} a second time.")
        intrinsics = np.array([_numbers(path, line, 3) for line in block[1:4]])
        distortion = np.array(_numbers(path, block[4], 5))
        extrinsics = np.array([_numbers(path, line, 4) for line in block[5:8]])
        if not (np.abs(intrinsics[2] - [0, 0, 1]).max() < 1e-6 and intrinsics[0, 0] > 0 and intrinsics[1, 1] > 0):
            raise InputError(f"lines {block[1][0]} to {block[3][0]} of {path} are no intrinsics of the camera {name}.")
        if not _is_rotation(extrinsics[:, :3]):
            raise InputError(f"lines {block[5][0]} to {block[7][0]} of {path} hold no rotation of the camera {name}.")
        cameras[name] = Camera(name, intrinsics, extrinsics[:, :3], extrinsics[:, 3] / MILLIMETRES, distortion)
    if not cameras:
        raise InputError(f"{path} holds no camera; fetch it again.")
    return cameras


def read_frame_list(path: Path) -> dict[str, list[int]]:
    """The frame numbers of every expression, increasing; the file's own order is not always that.

    Raises:
        InputError: the file is missing or empty, or has a line that is not an expression and a number.
    """
    frames: dict[str, set[int]] = {}
    for row, line in enumerate(_text(path).splitlines(), 1):
        words = line.split()
        if not words:
            continue
        if len(words) != 2 or not _NAME.fullmatch(words[0]) or not _FRAME.fullmatch(words[1]):
            raise InputError(f"line {row} of {path} is not an expression and a frame number: {line.strip()[:60]!r}.")
        frames.setdefault(words[0], set()).add(int(words[1]))
    if not frames:
        raise InputError(f"{path} lists no frames; fetch it again.")
    return {name: sorted(numbers) for name, numbers in frames.items()}


def frame_times(numbers: list[int]) -> tuple[list[int], list[float]]:
    """Where frames are in time: for each the count of frames since the first, and the seconds since it.

    The commonest difference of neighbours is one frame; frames that are missing leave a gap and shift nothing.
    """
    differences = Counter(np.diff(numbers).tolist())
    # The smallest of equally common ones: a gap is never shorter than a frame.
    step = min(differences, key=lambda difference: (-differences[difference], difference)) if differences else 1
    since = [(number - numbers[0]) / step for number in numbers]
    return [round(value) for value in since], [value / FRAME_RATE for value in since]


def read_obj(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """(V, 3) float64 metres, in the world as a rule, and (F, 3) int64 triangles of them, of an `.obj` file.

    Raises:
        InputError: the file is missing, damaged, without triangles, or with more vertices than a tracked mesh.
    """
    vertices, corners = [], []
    for row, line in enumerate(_text(path).splitlines(), 1):
        words = line.split()
        try:
            if words[:1] == ["v"]:
                vertices.append([float(word) for word in words[1:4]])
            elif words[:1] == ["f"]:
                corners.append([int(word.split("/")[0]) for word in words[1:]])
        except ValueError:
            raise InputError(f"line {row} of {path} is damaged: {line.strip()[:60]!r}.") from None
    if any(len(vertex) != 3 for vertex in vertices) or any(len(face) != 3 for face in corners) or not corners:
        raise InputError(f"{path} is not a tracked mesh: it needs vertices of three numbers, and triangles.")
    points, faces = np.array(vertices).reshape(-1, 3) / MILLIMETRES, np.array(corners, np.int64) - 1
    if len(points) > NUM_VERTICES or not np.isfinite(points).all():
        raise InputError(f"{path} is not a tracked mesh: {len(points):,} vertices, or some that are not finite.")
    if faces.min() < 0 or faces.max() >= len(points):
        raise InputError(f"{path} has triangles of vertices that it does not hold; it was cut off: fetch it again.")
    return points, faces


def read_topology(path: Path) -> np.ndarray:
    """(F, 3) int64 triangles, of the 7,306 vertices of the `.bin` files, from an `.obj` of the user's copy.

    An obj with all vertices has them in the order of the bin. Where one holds fewer, they are found again in the bin of
    the same frame, in the mesh's own frame or in the world. About a quarter of the published 7,306 vertices are in no
    triangle.

    Raises:
        InputError: as `read_obj`; or the obj has fewer vertices, and they are not those of the bin beside it.
    """
    points, faces = read_obj(path)
    if len(points) == NUM_VERTICES:
        return faces
    own = read_mesh(path.with_suffix(".bin")).astype(np.float64)
    transform = read_transform(path.with_name(f"{path.stem}_transform.txt"))
    for vertices in (own @ transform[:, :3].T + transform[:, 3], own):
        rows = _rows_of(points, vertices)
        if rows is not None:
            return rows[faces]
    raise InputError(
        f"{path} holds {len(points):,} vertices that are not among those of {path.stem}.bin beside it, so its "
        "triangles say nothing of that mesh; fetch both again."
    )


def _rows_of(points: np.ndarray, vertices: np.ndarray) -> np.ndarray | None:
    """(P,) rows of (V, 3) `vertices` that (P, 3) `points` are; None where some are none of them.

    Vertices may lie at one place: what was left out left the others in their order, so the next row is preferred.
    """
    rows = np.empty(len(points), np.int64)
    last = -1
    for index, near in enumerate(cKDTree(vertices).query_ball_point(points, _SAME)):
        if not near:
            return None
        following = [row for row in near if row > last]
        rows[index] = last = min(following) if following else min(near)
    return rows


def _is_rotation(matrix: np.ndarray) -> bool:
    # Written so that a NaN is none either.
    return bool(np.abs(matrix @ matrix.T - np.eye(3)).max() < _ROTATION_SLACK and np.linalg.det(matrix) > 0)


def _numbers(path: Path, line: tuple[int, list[str]], count: int) -> list[float]:
    row, words = line
    try:
        numbers = [float(word) for word in words]
    except ValueError:
        numbers = []
    if len(numbers) != count or not all(map(math.isfinite, numbers)):
        raise InputError(f"line {row} of {path} should hold {count} numbers, but is {' '.join(words)[:60]!r}.")
    return numbers


def _text(path: Path) -> str:
    try:
        return _read(path).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(f"{path} is not a text file; fetch it again.") from None


def _read(path: Path) -> bytes:
    try:
        if path.stat().st_size > _MAX_TEXT:
            raise InputError(f"{path} is far larger than any such file of Multiface.")
        return path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"{path} does not exist.") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}.") from error
