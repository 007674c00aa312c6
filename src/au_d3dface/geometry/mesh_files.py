"""Mesh files of other programs: vertices and triangles of .obj and .ply (text and binary), whatever else is in them.

Only positions and faces are read; polygons become fans of triangles. Sizes that a file claims are checked against what
it holds before anything is made of them.
"""

import struct
from pathlib import Path

import numpy as np

from ..errors import InputError

MESH_SUFFIXES = (".obj", ".ply")

_MOST_BYTES = 512 * 2**20
_PLY_TYPES = {
    **{"char": "b", "int8": "b", "uchar": "B", "uint8": "B", "short": "h", "int16": "h", "ushort": "H", "uint16": "H"},
    **{"int": "i", "int32": "i", "uint": "I", "uint32": "I", "float": "f", "float32": "f"},
    **{"double": "d", "float64": "d"},
}


def read_mesh_file(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Vertices (V, 3) float64 in the file's own unit, and (F, 3) int64 triangles, of an .obj or .ply file.

    F is 0 where the file holds points alone. Coordinates may be anything, not finite ones too: whoever measures says.

    Raises:
        InputError: the file is missing, of another kind, damaged, or names vertices that it does not hold.
    """
    content = _content(path)
    try:
        vertices, polygons = _read_ply(content) if path.suffix.lower() == ".ply" else _read_obj(content)
    except (ValueError, IndexError, KeyError, struct.error, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read as a mesh ({error}); write it again") from error
    if not len(vertices):
        raise InputError(f"{path} holds no vertices; write it again")
    faces = _triangles(polygons)
    if len(faces) and (faces.min() < 0 or faces.max() >= len(vertices)):
        raise InputError(f"{path} has faces of vertices that it does not hold; it was cut off: write it again")
    return vertices, faces


def _content(path: Path) -> bytes:
    if path.suffix.lower() not in MESH_SUFFIXES:
        raise InputError(f"{path} is no mesh file that can be read; give {' or '.join(MESH_SUFFIXES)}")
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise InputError(f"{path} is far larger than a mesh of a face; give another")
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror or error}); check its name") from error


def _read_obj(content: bytes) -> tuple[np.ndarray, list[list[int]]]:
    vertices, polygons = [], []
    for line in content.decode("utf-8-sig", "replace").splitlines():
        words = line.split()
        if words[:1] == ["v"]:
            vertices.append([float(word) for word in words[1:4]])
        elif words[:1] == ["f"]:
            corners = [int(word.split("/")[0]) for word in words[1:]]
            if 0 in corners or len(corners) < 3:
                raise ValueError(f"a face is {line.strip()[:40]!r}")
            # Negative numbers count from the last vertex so far.
            polygons.append([corner - 1 if corner > 0 else len(vertices) + corner for corner in corners])
    if any(len(vertex) != 3 for vertex in vertices):
        raise ValueError("a vertex has not three numbers")
    return np.array(vertices, np.float64).reshape(-1, 3), polygons


def _read_ply(content: bytes) -> tuple[np.ndarray, list[list[int]]]:
    end = content.find(b"end_header")
    if not content.startswith(b"ply") or end < 0:
        raise ValueError("it has no head of a ply file")
    start = content.index(b"\n", end) + 1
    lines = [line.split() for line in content[:end].decode("ascii").splitlines()]
    order = next(words[1] for words in lines if words[:1] == ["format"])
    if order not in ("ascii", "binary_little_endian", "binary_big_endian"):
        raise ValueError(f"its format is {order!r}")
    elements: list[tuple[str, int, list[list[str]]]] = []
    for words in lines:
        if words[:1] == ["element"]:
            elements.append((words[1], int(words[2]), []))
        elif words[:1] == ["property"]:
            elements[-1][2].append(words[1:])
    if any(count < 0 or count > len(content) for _, count, _ in elements):
        raise ValueError("it claims more than it holds")
    body = content[start:]
    rows = _ply_text(body, elements) if order == "ascii" else _ply_binary(body, elements, order)
    return rows


def _ply_text(body: bytes, elements: list) -> tuple[np.ndarray, list[list[int]]]:
    lines = iter(body.decode("ascii").splitlines())
    vertices, polygons = np.empty((0, 3)), []
    for name, count, properties in elements:
        words = [next(lines, "").split() for _ in range(count)]
        if name == "vertex":
            columns = [[found[-1] for found in properties].index(axis) for axis in "xyz"]
            vertices = np.array([[float(row[column]) for column in columns] for row in words]).reshape(-1, 3)
        elif name == "face":
            if properties[0][0] != "list":
                raise ValueError("its faces do not begin with a list of vertices")
            for row in words:
                corners = [int(word) for word in row[1 : 1 + int(row[0])]]
                if len(corners) != int(row[0]):
                    raise ValueError("it breaks off within its faces")
                polygons.append(corners)
    return vertices, polygons


def _ply_binary(body: bytes, elements: list, order: str) -> tuple[np.ndarray, list[list[int]]]:
    sign, at = "<" if order == "binary_little_endian" else ">", 0
    vertices, polygons = np.empty((0, 3)), []
    for name, count, properties in elements:
        if all(found[0] != "list" for found in properties):
            dtype = np.dtype([(found[1], sign + _PLY_TYPES[found[0]]) for found in properties])
            if at + count * dtype.itemsize > len(body):
                raise ValueError(f"it breaks off within its {name} rows")
            rows = np.frombuffer(body, dtype, count, at)
            at += count * dtype.itemsize
            if name == "vertex":
                vertices = np.stack([rows[axis].astype(np.float64) for axis in "xyz"], 1)
            continue
        for _ in range(count):
            for place, found in enumerate(properties):
                if found[0] != "list":
                    at += np.dtype(sign + _PLY_TYPES[found[0]]).itemsize
                    continue
                (length,) = struct.unpack_from(sign + _PLY_TYPES[found[1]], body, at)
                at += struct.calcsize(sign + _PLY_TYPES[found[1]])
                layout = f"{sign}{length}{_PLY_TYPES[found[2]]}"
                values = struct.unpack_from(layout, body, at)
                at += struct.calcsize(layout)
                if name == "face" and place == 0:
                    polygons.append([int(value) for value in values])
    return vertices, polygons


def _triangles(polygons: list[list[int]]) -> np.ndarray:
    fans = [[row[0], row[k], row[k + 1]] for row in polygons for k in range(1, len(row) - 1)]
    return np.array(fans, np.int64).reshape(-1, 3)
