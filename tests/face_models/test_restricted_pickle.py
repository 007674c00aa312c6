"""The restricted reader of pickles: what it reads, and what it refuses without running any of it."""

import contextlib
import io
import os
import pickle
import struct
import warnings
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse
import torch
from bad_flame_files import DAMAGED_PICKLES
from hypothesis import given, settings
from hypothesis import strategies as st
from made_flame import made_chumpy

from au_d3dface.errors import CheckpointError
from au_d3dface.face_models import restricted_pickle
from au_d3dface.face_models.restricted_pickle import load_npy, load_npz, load_pickle


def dumped(folder: Path, value: object, protocol: int = 2) -> Path:
    path = folder / "value.pkl"
    path.write_bytes(pickle.dumps(value, protocol))
    return path


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_what_flames_files_hold(protocol: int, tmp_path: Path) -> None:
    value = {
        "floats": np.arange(6, dtype=np.float64).reshape(2, 3),
        "columns first": np.asfortranarray(np.arange(6, dtype=np.float32).reshape(2, 3)),
        "other bytes": np.arange(3, dtype=">i4"),
        "number": np.float64(1.5),
        "sparse": scipy.sparse.csc_matrix(np.eye(3)),
        "rows": scipy.sparse.csr_matrix(np.eye(2)),
        "objects": np.array([np.arange(2), "text", None], object),
        "ordered": OrderedDict(a=1),
        "plain": [1, 2.5, "lbs", (True, None), {3}, b"\x00\xff"],
    }
    found = load_pickle(dumped(tmp_path, value, protocol))
    for name in ("floats", "columns first", "other bytes", "number"):
        assert np.array_equal(found[name], value[name])
        assert found[name].dtype == value[name].dtype
    assert np.array_equal(found["sparse"], np.eye(3))
    assert np.array_equal(found["rows"], np.eye(2))
    assert np.array_equal(found["objects"][0], [0, 1])
    assert found["objects"][1:].tolist() == ["text", None]
    assert found["ordered"] == {"a": 1}
    assert found["plain"] == value["plain"]


@pytest.mark.parametrize("protocol", [0, 1, 2, 4])
def test_chumpy_is_an_array(protocol: int, tmp_path: Path) -> None:
    with made_chumpy() as Ch:
        path = dumped(tmp_path, {"v": Ch(np.arange(3.0))}, protocol)
    assert np.array_equal(load_pickle(path)["v"], [0, 1, 2])


def test_a_pickle_of_python_2(tmp_path: Path) -> None:
    # What Python 2 writes for {'v': numpy.array([1.0, 2.0])}: bytes are texts.
    numbers = struct.pack("<2d", 1.0, 2.0)
    path = tmp_path / "two.pkl"
    path.write_bytes(
        b"\x80\x02}q\x00U\x01vq\x01cnumpy.core.multiarray\n_reconstruct\nq\x02cnumpy\nndarray\nq\x03K\x00\x85U\x01b\x87"
        b"Rq\x04(K\x01K\x02\x85cnumpy\ndtype\nq\x05U\x02f8K\x00K\x01\x87Rq\x06(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff"
        b"\xff\xffK\x00tb\x89U\x10" + numbers + b"tbs."
    )
    assert load_pickle(path)["v"].tolist() == [1.0, 2.0]


def test_decas_landmarks_hold_tensors_of_torch(tmp_path: Path) -> None:
    path = tmp_path / "landmarks.npy"
    tensor = torch.arange(12).reshape(3, 4).T
    buffer = io.BytesIO()
    # An old tensor's pickle has its numbers as a file of torch inside.
    with warnings.catch_warnings(action="ignore"):
        torch.save(tensor.storage(), buffer, _use_new_zipfile_serialization=False)

    class Storage:
        def __reduce__(self):
            return torch.storage._load_from_bytes, (buffer.getvalue(),)

    class Old:
        def __reduce__(self):
            return torch._utils._rebuild_tensor_v2, (Storage(), 0, (4, 3), (1, 4), False, OrderedDict())

    np.save(path, np.array({"dynamic": Old(), "static": np.ones(2)}, object), allow_pickle=True)
    found = load_npy(path)
    assert found["dynamic"].tolist() == tensor.tolist()
    assert found["static"].tolist() == [1, 1]


class Runs:
    """A pickle of it calls a function."""

    def __init__(self, function, *arguments) -> None:
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize(
    ("function", "arguments", "name"),
    [
        (os.system, ("touch {}",), "posix.system"),
        (eval, ("open('{}', 'w')",), "builtins.eval"),
        (exec, ("open('{}', 'w')",), "builtins.exec"),
        (getattr, (np, "load"), "builtins.getattr"),
        (np.load, ("{}",), "numpy.load"),
        (np.save, ("{}", 1), "numpy.save"),
        (torch.load, ("{}",), "torch.serialization.load"),
        (open, ("{}", "w"), "io.open"),
        (scipy.sparse.save_npz, ("{}", 1), "scipy.sparse.matrix_io.save_npz"),
        (pickle.loads, (b"N.",), "_pickle.loads"),
    ],
)
@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_a_hostile_pickle_is_refused_by_name(function, arguments, name, protocol, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    filled = [part.format(mark) if isinstance(part, str) else None if part is np else part for part in arguments]
    path = dumped(tmp_path, {"v_template": Runs(function, *filled)}, protocol)
    shown = name
    if protocol < 3:  # Python 2's names
        shown = name.replace("builtins", "__builtin__").replace("_pickle", "pickle")
    with pytest.raises(CheckpointError) as caught:
        load_pickle(path)
    assert f"{path} wants to use {shown}, which" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not mark.exists()


@pytest.mark.parametrize("inside", ["pickle", "file of torch"])
def test_a_hostile_pickle_inside_a_tensor(inside: str, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    hostile = Runs(os.system, f"touch {mark}")
    buffer = io.BytesIO()
    torch.save(hostile, buffer)
    content = pickle.dumps(hostile) if inside == "pickle" else buffer.getvalue()
    path = dumped(tmp_path, Runs(torch.storage._load_from_bytes, content))
    with pytest.raises(CheckpointError, match="damaged or of another kind"):
        load_pickle(path)
    assert not mark.exists()


def test_hostile_objects_in_an_npy_and_an_npz(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    array = np.array([Runs(os.system, f"touch {mark}")], object)
    np.save(tmp_path / "a.npy", array, allow_pickle=True)
    np.savez(tmp_path / "a.npz", mean=array)
    for load in (lambda: load_npy(tmp_path / "a.npy"), lambda: load_npz(tmp_path / "a.npz", ("mean",))):
        with pytest.raises(CheckpointError, match=r"posix\.system"):
            load()
    assert not mark.exists()


@pytest.mark.parametrize("name", DAMAGED_PICKLES)
def test_damaged_pickles_end_in_one_sentence(name: str, tmp_path: Path) -> None:
    path = tmp_path / "value.pkl"
    path.write_bytes(DAMAGED_PICKLES[name])
    with pytest.raises(CheckpointError) as caught:
        load_pickle(path)
    assert str(caught.value).startswith(f"{path} ")
    assert "\n" not in str(caught.value)
    # Nothing that a file did is left for the next one.
    assert load_pickle(dumped(tmp_path, np.arange(2))).tolist() == [0, 1]


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_changed_bytes_never_escape(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    with made_chumpy() as Ch:
        value = {"v": Ch(np.arange(3.0)), "J": scipy.sparse.csc_matrix(np.eye(2)), "s": "text"}
        content = bytearray(pickle.dumps(value, data.draw(st.sampled_from([0, 2, 4]))))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("changed") / "value.pkl"
    path.write_bytes(bytes(content))
    with contextlib.suppress(CheckpointError):  # anything else is an escape
        load_pickle(path)


def test_a_sparse_matrix_that_would_fill_the_memory(tmp_path: Path) -> None:
    huge = scipy.sparse.csc_matrix((2**20, 2**20))
    huge.indptr = np.zeros(2, np.int32)
    with pytest.raises(CheckpointError, match="more numbers"):
        load_pickle(dumped(tmp_path, huge))


def test_sparse_indices_outside_the_matrix(tmp_path: Path) -> None:
    matrix = scipy.sparse.csc_matrix(np.eye(3))
    matrix.indices[:] = 77
    with pytest.raises(CheckpointError, match="damaged"):
        load_pickle(dumped(tmp_path, matrix))


def test_files_that_are_missing_too_large_or_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CheckpointError, match="does not exist"):
        load_pickle(tmp_path / "none.pkl")
    with pytest.raises(CheckpointError, match="not a file"):
        load_pickle(tmp_path)
    path = dumped(tmp_path, [1])
    monkeypatch.setattr(restricted_pickle, "MAX_BYTES", 3)
    with pytest.raises(CheckpointError, match="larger than"):
        load_pickle(path)


def test_an_npz_that_unpacks_to_too_much_or_is_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.npz"
    np.savez_compressed(path, mean=np.zeros(10_000), other=np.zeros(3))
    assert load_npz(path, ("mean",))["mean"].shape == (10_000,)
    assert load_npz(path, ("MU",)) == {}
    monkeypatch.setattr(restricted_pickle, "MAX_ARCHIVE_BYTES", 5_000)
    with pytest.raises(CheckpointError, match="unpacks to far more"):
        load_npz(path, ("mean",))
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(CheckpointError, match="not a whole npz"):
        load_npz(path, ("mean",))
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("mean.npy", b"no array")
    with pytest.raises(CheckpointError, match="damaged"):
        load_npz(path, ("mean",))
