"""Reading one triangle mesh as other programs write them: Wavefront obj, Stanford ply (text and binary), numpy npz.

Only the shape is read: colours, normals and texture coordinates are passed over. Polygons become fans of triangles.
Files are anyone's: nothing in them is run, and what they claim about their own size is checked against it.
"""

import math
import zipfile
import zlib
from pathlib import Path

import numpy as np

from ..errors import InputError

SUFFIXES = (".obj", ".ply", ".npz")

MAX_BYTES = 512 * 2**20
"""Of a file, and of an array in an npz: far more than a mesh of a face, or minutes of them, take."""

_PLY_TYPES = {
    "char": "i1", "int8": "i1", "uchar": "u1", "uint8": "u1", "short": "i2", "int16": "i2", "ushort": "u2",
    "uint16": "u2", "int": "i4", "int32": "i4", "uint": "u4", "uint32": "u4", "float": "f4", "float32": "f4",
    "double": "f8", "float64": "f8",
}  # fmt: skip
_PLY_FORMATS = {"ascii": None, "binary_little_endian": "<", "binary_big_endian": ">"}
_PLY_CORNERS = ("vertex_indices", "vertex_index")


def read_mesh(path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    """(V, 3) float64 vertices in the file's own unit, and (F, 3) int64 triangles; None where the file has none.

    Raises:
        InputError: the file is missing, of another kind, damaged, has no vertices or some that are not finite, or has
            triangles of vertices that it lacks.
    """
    suffix = path.suffix.lower()
    if suffix not in (".obj", ".ply"):
        raise InputError(f"{path} is not a mesh that can be read; give .obj or .ply")
    content = _read(path)
    try:
        vertices, faces = _parse_obj(content) if suffix == ".obj" else _parse_ply(content)
    except (ValueError, OverflowError, IndexError) as error:
        raise InputError(f"{path} is damaged or no {suffix[1:]} file: {_reason(error)}") from error
    check_mesh(path, vertices, faces)
    return vertices, faces


def read_arrays(path: Path, names: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Those of the named arrays that an npz holds.

    Raises:
        InputError: the file is missing, no npz, damaged, or holds Python objects or far too much.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            sizes = {info.filename.removesuffix(".npy"): info.file_size for info in archive.infolist()}
        if large := [name for name in names if sizes.get(name, 0) > MAX_BYTES]:
            raise InputError(
                f"{path} has an array {large[0]!r} of over {MAX_BYTES >> 20} MB; cut it into several files"
            )
        with np.load(path, allow_pickle=False) as npz:
            return {name: npz[name] for name in names if name in npz}
    except FileNotFoundError:
        raise InputError(f"{path} does not exist") from None
    except (zipfile.BadZipFile, zlib.error, ValueError, EOFError, OSError, NotImplementedError, MemoryError) as error:
        raise InputError(f"{path} is damaged or no npz file of numbers: {_reason(error)}") from error


def check_mesh(path: Path, vertices: np.ndarray, faces: np.ndarray | None) -> None:
    """Makes sure that (..., V, 3) vertices and (F, 3) triangles belong together.

    Raises:
        InputError: other shapes, no vertices, numbers that are not finite, or triangles of vertices that are not there.
    """
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


def _parse_obj(content: bytes) -> tuple[np.ndarray, np.ndarray | None]:
    lines = [line.split() for line in content.splitlines()]
    rows = [line[1:4] for line in lines if line[:1] == [b"v"]]
    if any(len(row) != 3 for row in rows):
        raise ValueError("a vertex has fewer than three numbers")
    vertices = np.array(rows, "S32").astype(np.float64).reshape(-1, 3)
    polygons = [[int(part.split(b"/")[0]) for part in line[1:]] for line in lines if line[:1] == [b"f"]]
    # Counted from 1, or back from the last vertex, which is -1, where a file has all vertices before its faces.
    shifted = [[corner - 1 if corner > 0 else len(vertices) + corner for corner in corners] for corners in polygons]
    return vertices, _triangles(shifted)


def _triangles(polygons: list[list[int]]) -> np.ndarray | None:
    """(F, 3): every polygon as a fan around its first corner."""
    if any(len(corners) < 3 for corners in polygons):
        raise ValueError("a face has fewer than three corners")
    fans = [(c[0], c[k], c[k + 1]) for c in polygons for k in range(1, len(c) - 1)]
    return np.array(fans, np.int64) if fans else None


def _parse_ply(content: bytes) -> tuple[np.ndarray, np.ndarray | None]:
    end = content.find(b"end_header")
    if not content.startswith(b"ply") or end < 0:
        raise ValueError("it has no header")
    start = content.find(b"\n", end) + 1 or len(content)
    order, elements = _ply_header(content[:end].decode("ascii", "replace"))
    body = _TextBody(content[start:]) if order is None else _BinaryBody(content[start:], order)
    vertices, polygons = None, None
    for name, count, properties in elements:
        columns = body.read(count, properties)
        if name == "vertex":
            if any(axis not in columns or isinstance(columns[axis], list) for axis in "xyz"):
                raise ValueError("its vertices lack x, y or z")
            vertices = np.stack([np.asarray(columns[axis], np.float64) for axis in "xyz"], 1)
        elif name == "face":
            polygons = next((columns[key] for key in _PLY_CORNERS if key in columns), None)
    if vertices is None:
        raise ValueError("it has no vertices")
    if isinstance(polygons, np.ndarray) and polygons.ndim == 2 and polygons.shape[1] == 3:
        return vertices, polygons.astype(np.int64) if len(polygons) else None
    return vertices, None if polygons is None else _triangles([[int(c) for c in corners] for corners in polygons])


_Property = tuple[str, str, str | None]
"""Name, numpy's type, and that of the number of entries where it is a list."""


def _ply_header(text: str) -> tuple[str | None, list[tuple[str, int, list[_Property]]]]:
    order = ""
    elements: list[tuple[str, int, list[_Property]]] = []
    for line in text.splitlines()[1:]:
        words = line.split()
        if words[:1] == ["format"]:
            order = words[1]
        elif words[:1] == ["element"]:
            count = int(words[2])
            if count < 0:
                raise ValueError("its header counts below 0")
            elements.append((words[1], count, []))
        elif words[:2] == ["property", "list"]:
            elements[-1][2].append((words[4], _ply_type(words[3]), _ply_type(words[2])))
        elif words[:1] == ["property"]:
            elements[-1][2].append((words[2], _ply_type(words[1]), None))
    if order not in _PLY_FORMATS:
        raise ValueError(f"its format {order!r} is unknown")
    return _PLY_FORMATS[order], elements


def _ply_type(name: str) -> str:
    if name not in _PLY_TYPES:
        raise ValueError(f"its header names the type {name!r}, which is unknown")
    return _PLY_TYPES[name]


class _TextBody:
    """The numbers of a text ply, in order."""

    def __init__(self, content: bytes) -> None:
        self.words, self.place = content.split(), 0

    def read(self, count: int, properties: list[_Property]) -> dict:
        if all(length is None for _, _, length in properties):
            table = self._take(count * len(properties)).reshape(count, len(properties))
            return {name: table[:, k] for k, (name, _, _) in enumerate(properties)}
        columns: dict[str, list] = {name: [] for name, _, _ in properties}
        for _ in range(min(count, len(self.words) + 1)):  # a count without the numbers ends in an error at once
            for name, _, length in properties:
                entries = 1 if length is None else int(self._take(1)[0])
                columns[name].append(self._take(entries).astype(np.int64 if length else np.float64).tolist())
        return columns

    def _take(self, count: int) -> np.ndarray:
        if not 0 <= count <= len(self.words) - self.place:
            raise ValueError("it breaks off")
        part = self.words[self.place : self.place + count]
        self.place += count
        return np.array(part, "S32").astype(np.float64)


class _BinaryBody:
    """The bytes of a binary ply, in order."""

    def __init__(self, content: bytes, order: str) -> None:
        self.content, self.order, self.place = content, order, 0

    def read(self, count: int, properties: list[_Property]) -> dict:
        if all(length is None for _, _, length in properties):
            rows = self._take(count, np.dtype([(name, self.order + kind) for name, kind, _ in properties]))
            return {name: rows[name] for name, _, _ in properties}
        if len(properties) == 1 and count:  # lists of equal length, such as triangles: in one go
            ((name, kind, length),) = properties
            entries = int(self._take(1, np.dtype(self.order + str(length)), stay=True)[0])
            whole = np.dtype([("entries", self.order + str(length)), ("values", self.order + kind, (entries,))])
            if count * whole.itemsize <= len(self.content) - self.place:
                rows = self._take(count, whole, stay=True)
                if (rows["entries"] == entries).all():
                    self.place += rows.nbytes
                    return {name: rows["values"].reshape(count, entries)}
        columns: dict[str, list] = {name: [] for name, _, _ in properties}
        for _ in range(count):
            for name, kind, length in properties:
                entries = 1 if length is None else int(self._take(1, np.dtype(self.order + length))[0])
                columns[name].append(self._take(entries, np.dtype(self.order + kind)).tolist())
        return columns

    def _take(self, count: int, kind: np.dtype, stay: bool = False) -> np.ndarray:
        if not 0 <= count * kind.itemsize <= len(self.content) - self.place:
            raise ValueError("it breaks off")
        part = np.frombuffer(self.content, kind, count, self.place) if count else np.empty(0, kind)
        self.place += 0 if stay else part.nbytes
        return part


def diagonal(vertices: np.ndarray, faces: np.ndarray | None = None) -> float:
    """Of the box around (V, 3) vertices; of those in triangles only, where these are given."""
    points = vertices if faces is None else vertices[np.unique(faces)]
    return math.dist(points.min(0), points.max(0))


def _read(path: Path) -> bytes:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise InputError(f"{path} is far larger than a mesh of a face ({MAX_BYTES >> 20} MB are read at most)")
        return path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"{path} does not exist") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from error


def _reason(error: BaseException) -> str:
    return " ".join(str(error).split())[:120] or type(error).__name__
