"""FLAME files that are wrong, renamed, cut or hostile, and pickles damaged one instruction at a time."""

import os
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
from made_flame import NUM_FACES, NUM_VERTICES, write_landmarks, write_model


class Hostile:
    """Runs a program when it is unpickled by something that runs programs."""

    def __reduce__(self):
        return os.system, ("touch /tmp/never",)


def _model(path: Path, arrays: dict, **changes) -> Path:
    small = {"shapedirs": np.zeros((NUM_VERTICES, 3, 400), np.int8)}  # what takes the time
    changed = {name: value for name, value in (arrays | small | changes).items() if value is not None}
    return write_model(path, changed, chumpy=changes.get("v_template", 0) is not None)


def with_bytes(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def _npy(path: Path, value: object) -> Path:
    np.save(path, value, allow_pickle=True)
    return path


def _npz(path: Path, **content: np.ndarray) -> Path:
    np.savez(path, **content)
    return path


def _masks(path: Path, value: object) -> Path:
    return with_bytes(path, pickle.dumps(value, 2))


def _cut(path: Path, source: Path, share: float) -> Path:
    content = source.read_bytes()
    return with_bytes(path, content[: int(len(content) * share)])


Make = Callable[[Path, dict, dict, Path], Path]
"""Called as make(folder, arrays, landmarks, good files); returns the bad file."""

BAD_FILES: dict[str, tuple[Make, str]] = {
    "a model that is not there": (lambda d, a, m, f: d / "generic_model.pkl", "does not exist"),
    "an empty model": (lambda d, a, m, f: with_bytes(d / "generic_model.pkl", b""), "damaged or of another kind"),
    "a model cut in the middle": (lambda d, a, m, f: _cut(d / "g.pkl", f / "generic_model.pkl", 0.5), "damaged"),
    "a model without its last byte": (
        lambda d, a, m, f: with_bytes(d / "g.pkl", (f / "generic_model.pkl").read_bytes()[:-1]),
        "damaged",
    ),
    "a web page saved as a model": (
        lambda d, a, m, f: with_bytes(d / "generic_model.pkl", b"<!DOCTYPE html><html>Sign in</html>"),
        "damaged or of another kind",
    ),
    "a model that runs a program": (
        lambda d, a, m, f: _masks(d / "generic_model.pkl", {"v_template": a["v_template"], "extra": Hostile()}),
        "wants to use posix.system, which",
    ),
    "a model of another topology (SMPL)": (
        lambda d, a, m, f: _model(d / "g.pkl", a, v_template=np.zeros((6890, 3))),
        "'v_template' of shape (6890, 3), where FLAME's is (5023, 3)",
    ),
    "a model with 10 shapes": (
        lambda d, a, m, f: _model(d / "g.pkl", a, shapedirs=a["shapedirs"][:, :, :10]),
        "'shapedirs' of shape (5023, 3, 10)",
    ),
    "a model without skinning weights": (
        lambda d, a, m, f: _model(d / "g.pkl", a, weights=None),
        "lacks the array 'weights'",
    ),
    "a model with NaN": (
        lambda d, a, m, f: _model(d / "g.pkl", a, v_template=np.full((NUM_VERTICES, 3), np.nan)),
        "not finite in 'v_template'",
    ),
    "a model in millimetres": (
        lambda d, a, m, f: _model(d / "g.pkl", a, v_template=1000 * a["v_template"]),
        "not in metres",
    ),
    "a model whose triangles point outside": (
        lambda d, a, m, f: _model(d / "g.pkl", a, f=a["f"] + 9),
        "triangles that point outside",
    ),
    "a model with other joints": (
        lambda d, a, m, f: _model(d / "g.pkl", a, kintree_table=np.array([[-1, 0, 1, 2, 3], range(5)])),
        "hang together as [-1, 0, 1, 2, 3]",
    ),
    "a model with halved weights": (lambda d, a, m, f: _model(d / "g.pkl", a, weights=a["weights"] / 2), "add up to 1"),
    "masks named as the model": (
        lambda d, a, m, f: _masks(d / "generic_model.pkl", [1, 2, 3]),
        "neither FLAME's model nor its masks",
    ),
    "landmarks named as the model": (
        lambda d, a, m, f: with_bytes(d / "generic_model.pkl", (f / "landmark_embedding.npy").read_bytes()),
        "damaged or of another kind",
    ),
    "the model named as landmarks": (
        lambda d, a, m, f: with_bytes(d / "landmark_embedding.npy", (f / "generic_model.pkl").read_bytes()),
        "damaged or of another kind",
    ),
    "landmarks that run a program": (
        lambda d, a, m, f: _npy(d / "landmark_embedding.npy", np.array(dict(m, extra=Hostile()), object)),
        "wants to use posix.system, which",
    ),
    "landmarks cut in the middle": (
        lambda d, a, m, f: _cut(d / "landmark_embedding.npy", f / "landmark_embedding.npy", 0.5),
        "damaged",
    ),
    "landmarks that are a plain array": (
        lambda d, a, m, f: _npy(d / "landmark_embedding.npy", np.zeros((68, 3))),
        "an array, but not FLAME's landmark_embedding.npy",
    ),
    "landmarks without the contour": (
        lambda d, a, m, f: write_landmarks(
            d / "l.npy", {name: value for name, value in m.items() if "dynamic" not in name}
        ),
        "lacks the array 'dynamic_lmk_faces_idx'",
    ),
    "landmarks of another mesh": (
        lambda d, a, m, f: write_landmarks(d / "l.npy", dict(m, static_lmk_faces_idx=np.full(51, NUM_FACES))),
        "landmarks on triangles that FLAME does not have",
    ),
    "landmarks all in one place": (
        lambda d, a, m, f: write_landmarks(d / "l.npy", dict(m, full_lmk_faces_idx=np.zeros((1, 68), int))),
        "landmarks that are not where this FLAME has its face: no vertex is in the region of AU05",
    ),
    "masks that point outside": (
        lambda d, a, m, f: _masks(d / "FLAME_masks.pkl", {"face": np.array([NUM_VERTICES])}),
        "a mask 'face' that points outside",
    ),
    "masks of texts": (lambda d, a, m, f: _masks(d / "FLAME_masks.pkl", {"face": "all"}), "'face' is no mask"),
    "another program's npz": (
        lambda d, a, m, f: _npz(d / "a.npz", x=np.zeros(3)),
        "none of the arrays of FLAME's textures",
    ),
    "textures of another size": (
        lambda d, a, m, f: _npz(d / "FLAME_texture.npz", mean=np.zeros((8, 8, 3)), tex_dir=np.zeros((8, 8, 3, 2))),
        "maps that are not 512 x 512",
    ),
    "textures cut in the middle": (
        lambda d, a, m, f: _cut(_npz(d / "t.npz", mean=np.zeros(999)), d / "t.npz", 0.5),
        "not a whole npz file",
    ),
    "MediaPipe points on other landmarks": (
        lambda d, a, m, f: _npz(
            d / "m.npz",
            lmk_face_idx=np.arange(2),
            lmk_b_coords=np.ones((2, 3)) / 3,
            landmark_indices=np.array([3, 468]),
        ),
        "not among MediaPipe's 468",
    ),
    "an OBJ of another mesh": (
        lambda d, a, m, f: with_bytes(d / "head_template.obj", b"v 0 0 0\nvt 0 0\nf 1/1 1/1 1/1\n"),
        "has 1 vertices and 1 faces, where FLAME's mesh has 5,023",
    ),
    "an OBJ without texture coordinates": (
        lambda d, a, m, f: with_bytes(d / "head_template.obj", b"v 0 0 0\nf 1 1 1\n"),
        "not triangles with texture coordinates",
    ),
    "a file of another kind": (lambda d, a, m, f: with_bytes(d / "deca_model.tar", b"x"), "is no file of FLAME"),
}
"""By what each is, how it is made, and words of the sentence that the user reads."""


def array_state(shape: bytes, code: bytes, data: bytes) -> bytes:
    """A pickle of a numpy array with this state, in the words of protocol 0 to 2."""
    return (
        b"\x80\x02cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR(I1\n"
        + shape
        + b"cnumpy\ndtype\n("
        b"S'" + code + b"'\nI0\nI1\ntR(I3\nS'<'\nNNNI-1\nI-1\nI0\ntbI00\n" + data + b"tb."
    )


NUMBERS = b"S'" + b"\\x00" * 8 + b"'\n"
DAMAGED_PICKLES = {
    "empty": b"",
    "text": b"hello",
    "end missing": pickle.dumps([1, 2])[:-1],
    "memory": b"\x80\x02]r\xff\xff\xff\x7f.",
    "length": b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x7fabc.",
    "larger array": array_state(b"(I100\nt", b"f8", NUMBERS),
    "negative array": array_state(b"(I-1\nt", b"f8", NUMBERS),
    "shape of texts": array_state(b"(S'1'\nt", b"f8", NUMBERS),
    "objects as bytes": array_state(b"(I1\nt", b"O8", NUMBERS),
    "record": array_state(b"(I1\nt", b"V8", NUMBERS),
    "contains itself": b"\x80\x02]q\x00h\x00a.",
    "deep": b"\x80\x02" + b"]" * 1000 + b"a" * 999 + b".",
    "function": b"\x80\x02cnumpy.core.multiarray\n_reconstruct\n.",
    "class": b"\x80\x02cnumpy\nndarray\n.",
    "state of a function": b"\x80\x02cnumpy.core.multiarray\n_reconstruct\nN}X\x04\x00\x00\x00callNs\x86b.",
    "state of a class": b"\x80\x02cchumpy.ch\nCh\nN}X\x0c\x00\x00\x00__setstate__Ns\x86b.",
    "state of a dict": b"\x80\x02}N}X\x01\x00\x00\x00aNs\x86b.",
    "extension": b"\x80\x02\x82\x01.",
    "persistent": b"\x80\x02Pabc\n.",
    "object of another class": b"\x80\x02ccopy_reg\n_reconstructor\n(c__builtin__\nset\nc__builtin__\nobject\nNtR.",
    "stack": b"\x80\x020.",
    "unhashable": b"\x80\x02}]Ns.",
}
"""The bytes of pickles that are no good, by what is wrong with them."""
