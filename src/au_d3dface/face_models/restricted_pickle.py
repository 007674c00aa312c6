"""Reading pickles without running them: numbers, texts, containers and arrays come out, nothing else is ever built.

A pickle names functions and classes to call. Here none of them is imported: each name that a file of FLAME may use
(numpy's, scipy.sparse's, chumpy's, and torch's, which DECA's landmarks have) has a small stand-in below, and any other
name ends the reading with a sentence that tells it. Sizes are bounded by the size of the file.
"""

import io
import math
import pickle
import pickletools
import re
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse
import torch

from ..errors import CheckpointError

MAX_BYTES = 512 * 2**20
"""Of a pickle, ten times what FLAME's have; textures, which are no pickles, may be larger."""

MAX_ARCHIVE_BYTES = 4 * 2**30
_MAX_DEPTH = 50
_MAX_DENSE = 2**24
"""Nested containers, and numbers in a sparse matrix that is written out."""

_NPY = b"\x93NUMPY"


class _RefusedError(Exception):
    """What is wrong with a file, as the end of a sentence that begins with its path."""


def load_pickle(path: Path) -> Any:
    """The content of a pickle of any protocol, texts of Python 2 as latin1.

    Returns:
        dicts, lists, tuples, sets, texts, bytes, numbers and numpy arrays; sparse matrices, chumpy's and torch's arrays
        are numpy arrays too.

    Raises:
        CheckpointError: the file is missing, too large, damaged, no pickle, or names something that it has no need of.
    """
    with _refusals(path):
        return _unpickle(_read(path))


def load_npy(path: Path) -> Any:
    """The content of an npy file: an array, or what an array of pickled objects holds, read as `load_pickle` does.

    Raises:
        CheckpointError: as `load_pickle`.
    """
    with _refusals(path):
        return _parse_npy(_read(path))


def load_npz(path: Path, names: tuple[str, ...]) -> dict[str, Any]:
    """Arrays of an npz, those of `names` that it has; pickled objects among them are read as `load_pickle` does.

    Raises:
        CheckpointError: as `load_pickle`.
    """
    with _refusals(path), zipfile.ZipFile(path) as archive:
        found = {name: archive.getinfo(f"{name}.npy") for name in names if f"{name}.npy" in archive.namelist()}
        if sum(member.file_size for member in found.values()) > MAX_ARCHIVE_BYTES:
            raise _RefusedError("unpacks to far more than a file of FLAME")
        return {name: _parse_npy(archive.read(member)) for name, member in found.items()}


@contextmanager
def _refusals(path: Path) -> Iterator[None]:
    """Turns everything that a damaged or hostile file can cause into one sentence."""
    try:
        yield
    except _RefusedError as error:
        raise CheckpointError(f"{path} {error}.") from error
    except zipfile.BadZipFile as error:
        raise CheckpointError(f"{path} is not a whole npz file; take it from its authors again.") from error
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror or error}.") from error
    # What unpickling can raise on bad data is not a short list: its documentation names these and says "and others".
    except (
        pickle.UnpicklingError,
        zlib.error,
        NotImplementedError,
        RuntimeError,
        MemoryError,
        ArithmeticError,
        AttributeError,
        LookupError,
        EOFError,
        TypeError,
        ValueError,
    ) as error:
        reason = " ".join(str(error).split())[:150] or type(error).__name__
        raise CheckpointError(
            f"{path} is damaged or of another kind ({reason}); take it from its authors again."
        ) from error


def _read(path: Path) -> bytes:
    if not path.exists():
        raise _RefusedError("does not exist")
    if not path.is_file():
        raise _RefusedError("is not a file")
    if path.stat().st_size > MAX_BYTES:
        raise _RefusedError(f"is larger than {MAX_BYTES // 2**20} MB, so it is no file of FLAME")
    return path.read_bytes()


def _parse_npy(data: bytes) -> Any:
    stream = io.BytesIO(data)
    version = np.lib.format.read_magic(stream)
    read_header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    if version not in read_header:
        raise _RefusedError(f"is of version {version[0]} of the npy format, which FLAME's files are not")
    shape, fortran, dtype = read_header[version](stream)
    if not dtype.hasobject:
        return _array(shape, dtype, fortran, data[stream.tell() :])
    value = _unpickle(data[stream.tell() :])
    return value.item() if isinstance(value, np.ndarray) and value.shape == () else value


def _array(shape: Any, dtype: np.dtype, fortran: bool, data: bytes) -> np.ndarray:
    if any(type(size) is not int or size < 0 for size in shape):
        raise _RefusedError("holds an array whose shape is no shape")
    if math.prod(shape) * dtype.itemsize != len(data):
        raise _RefusedError("is cut short, or holds an array of another size than it says")
    return np.frombuffer(data, dtype).reshape(shape, order="F" if fortran else "C").copy()


def _unpickle(data: bytes) -> Any:
    # Python's reader makes room for as many remembered objects as the largest number in the file says. Writers number
    # them in turn, so that none is higher than what went before.
    for count, (opcode, argument, _) in enumerate(pickletools.genops(data)):
        if opcode.name in ("PUT", "BINPUT", "LONG_BINPUT") and int(argument) > count:
            raise _RefusedError("is damaged or made to fill the memory")
    return _plain(_Unpickler(io.BytesIO(data), encoding="latin1").load(), {}, 0)


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        # Newer numpy and scipy have an underscore in the names of the modules.
        module = module.replace("numpy._core.", "numpy.core.").replace("scipy.sparse._", "scipy.sparse.")
        stand_in = _STAND_INS.get(f"{module}.{name}")
        if stand_in is None:
            raise _RefusedError(
                f"wants to use {module}.{name}, which a file of FLAME has no need of, so nothing of it was loaded; "
                "take it from its authors again"
            )
        return stand_in


class _Function:
    """Stands in for a function. Nothing can be set on it, so that a file cannot change what the next one meets."""

    __slots__ = ("call",)

    def __init__(self, call: Callable[..., Any]) -> None:
        object.__setattr__(self, "call", call)

    def __call__(self, *arguments: Any) -> Any:
        return self.call(*arguments)

    def __setattr__(self, name: str, value: Any) -> None:
        raise _RefusedError("sets attributes of a function, which a file of FLAME has no need of")

    def __setstate__(self, state: Any) -> None:
        raise _RefusedError("sets the state of a function, which a file of FLAME has no need of")


class _State:
    """Stands in for an object: keeps its state, which `_plain` understands.

    A class defines `__setstate__`, so a file that sets a state on the class itself reaches that function without an
    object, which fails; it never gets to set attributes.
    """

    __slots__ = ("state",)

    def __setstate__(self, state: Any) -> None:
        self.state = state


class _Chumpy(_State):
    """chumpy.ch.Ch: an array `x` among much else."""

    __slots__ = ()


class _Select(_State):
    """chumpy.reordering.Select: elements `idxs` of the flattened `a`, in the shape `preferred_shape`."""

    __slots__ = ()


class _Sparse(_State):
    """scipy.sparse.csc_matrix: `data`, `indices`, `indptr` and `_shape`."""

    __slots__ = ()
    form = scipy.sparse.csc_matrix


class _SparseRows(_Sparse):
    __slots__ = ()
    form = scipy.sparse.csr_matrix


class _NdArray(_State):
    """numpy.ndarray: version, shape, dtype, whether columns come first, and bytes or a list of objects."""

    __slots__ = ()


class _DType(_State):
    """numpy.dtype: plain numbers, texts, and objects (which are then read as everything here)."""

    __slots__ = ("code",)

    def __init__(self, code: Any = "", *_: Any) -> None:
        self.code, self.state = code, None

    def real(self) -> np.dtype:
        if not isinstance(self.code, str) or not re.fullmatch(r"[?biufSUO]\d{0,6}", self.code):
            raise _RefusedError(f"holds an array of {self.code!r}, which a file of FLAME has no need of")
        order = self.state[1] if isinstance(self.state, tuple) and len(self.state) > 1 else "="
        if order not in ("<", ">", "|", "="):
            raise _RefusedError("holds an array whose byte order cannot be read")
        return np.dtype(self.code).newbyteorder(order)


def _dtype(value: Any) -> np.dtype:
    if not isinstance(value, _DType):
        raise _RefusedError("holds an array of no known type")
    return value.real()


def _bytes(data: Any) -> bytes:
    # Python 2's bytes are texts here, read as latin1.
    return data.encode("latin1") if isinstance(data, str) else bytes(data)


def _new_array(kind: Any, shape: Any, code: Any) -> _NdArray:
    if kind is not _NdArray:
        raise _RefusedError("makes an array of another class, which a file of FLAME has no need of")
    return _NdArray()


def _new_object(kind: Any, base: Any, state: Any) -> Any:
    if not (isinstance(kind, type) and issubclass(kind, _State) and base is _Object and state is None):
        raise _RefusedError("makes an object of another class, which a file of FLAME has no need of")
    return kind.__new__(kind)


def _scalar(dtype: Any, data: Any) -> Any:
    real = _dtype(dtype)
    if real.hasobject:
        raise _RefusedError("holds a number that is an object")
    return _array((), real, False, _bytes(data))[()]


def _from_buffer(data: Any, dtype: Any, shape: Any, order: Any) -> np.ndarray:
    real = _dtype(dtype)
    if real.hasobject:
        raise _RefusedError("holds numbers that are objects")
    return _array(tuple(shape), real, order == "F", _bytes(data))


def _storage(data: Any) -> Any:
    return torch.load(io.BytesIO(_bytes(data)), weights_only=True, map_location="cpu")


def _tensor(storage: Any, offset: Any, size: Any, stride: Any, *_: Any) -> np.ndarray:
    if not isinstance(storage, torch.storage.TypedStorage):
        raise _RefusedError("holds a tensor without numbers")
    with warnings.catch_warnings(action="ignore"):  # torch wants such storages to be made by nobody but itself
        numbers = torch.tensor([], dtype=storage.dtype).set_(storage)
    extent = 1 + offset + sum((count - 1) * step for count, step in zip(size, stride, strict=True))
    if min(offset, *size, *stride, 0) < 0 or max(extent, math.prod(size)) > len(numbers):
        raise _RefusedError("holds a tensor that is larger than its numbers")
    return numbers.as_strided(tuple(size), tuple(stride), offset).numpy().copy()


def _plain(value: Any, known: dict[int, Any], depth: int) -> Any:
    """The value with stand-ins replaced by what they stand for.

    Args:
        known: results by the id of what they were made from, so that what occurs twice is made once; None while it is
            being made.
        depth: containers around it.
    """
    if not isinstance(value, _State | dict | list | tuple | set):
        if isinstance(value, _Function | type | _Object):
            raise _RefusedError("holds a function or class where numbers belong")
        return value
    if id(value) in known:
        if known[id(value)] is None:
            raise _RefusedError("holds something that contains itself")
        return known[id(value)]
    if depth > _MAX_DEPTH:
        raise _RefusedError(f"nests containers more than {_MAX_DEPTH} deep")
    known[id(value)] = None

    def inner(part: Any) -> Any:
        return _plain(part, known, depth + 1)

    if isinstance(value, dict):
        result: Any = {inner(key): inner(item) for key, item in value.items()}
    elif isinstance(value, list | tuple | set):
        result = type(value)(inner(item) for item in value)
    else:
        result = _object(value, inner)
    known[id(value)] = result
    return result


def _object(value: _State, inner: Callable[[Any], Any]) -> Any:
    if isinstance(value, _DType):
        return value.real()
    state = getattr(value, "state", None)
    if isinstance(value, _NdArray):
        if not (isinstance(state, tuple) and len(state) == 5 and isinstance(state[1], tuple)):
            raise _RefusedError("holds an array that cannot be read")
        _, shape, dtype, fortran, data = state
        real = _dtype(dtype)
        if not real.hasobject:
            return _array(shape, real, bool(fortran), _bytes(data))
        if not isinstance(data, list) or math.prod(shape) != len(data):
            raise _RefusedError("holds an array of objects that cannot be read")
        result = np.empty(len(data), object)
        for row, item in enumerate(data):
            result[row] = inner(item)
        return result.reshape(shape, order="F" if fortran else "C")
    if not isinstance(state, dict):
        raise _RefusedError("holds an object that cannot be read")
    state = {key: inner(item) for key, item in state.items() if key in _KEPT}
    if isinstance(value, _Sparse):
        shape = state.get("_shape", state.get("shape"))
        if math.prod(shape) > _MAX_DENSE:
            raise _RefusedError("holds a sparse matrix of more numbers than FLAME's have")
        matrix = value.form((state["data"], state["indices"], state["indptr"]), shape)
        matrix.check_format(full_check=True)  # type: ignore[attr-defined]
        return matrix.toarray()
    if isinstance(value, _Select):
        chosen = np.asarray(state["a"]).ravel()[np.asarray(state["idxs"])]
        return chosen.reshape(state["preferred_shape"]) if "preferred_shape" in state else chosen
    return np.asarray(state["x"])


_KEPT = ("x", "a", "idxs", "preferred_shape", "data", "indices", "indptr", "_shape", "shape")
"""Parts of an object's state that are read; chumpy keeps caches and lists of what depends on what besides."""


class _Object:
    """Stands in for Python's object, from which old pickles make theirs."""

    __slots__ = ()

    def __setstate__(self, state: Any) -> None:
        raise _RefusedError("sets the state of nothing")


_STAND_INS: dict[str, Any] = {
    "numpy.ndarray": _NdArray,
    "numpy.dtype": _DType,
    "numpy.core.multiarray._reconstruct": _Function(_new_array),
    "numpy.core.multiarray.scalar": _Function(_scalar),
    "numpy.core.numeric._frombuffer": _Function(_from_buffer),
    "scipy.sparse.csc.csc_matrix": _Sparse,
    "scipy.sparse.csr.csr_matrix": _SparseRows,
    "chumpy.ch.Ch": _Chumpy,
    "chumpy.Ch": _Chumpy,
    "chumpy.reordering.Select": _Select,
    "torch._utils._rebuild_tensor_v2": _Function(_tensor),
    "torch.storage._load_from_bytes": _Function(_storage),
    "collections.OrderedDict": _Function(lambda *pairs: dict(*pairs)),
    "_codecs.encode": _Function(lambda text, encoding="latin1": text.encode("latin1")),
}
for _module in ("__builtin__", "builtins"):
    _STAND_INS[f"{_module}.object"] = _Object
    _STAND_INS[f"{_module}.set"] = _Function(lambda items=(): set(items))
    _STAND_INS[f"{_module}.bytes"] = _Function(lambda data=b"": _bytes(data))
for _module in ("copy_reg", "copyreg"):
    _STAND_INS[f"{_module}._reconstructor"] = _Function(_new_object)
