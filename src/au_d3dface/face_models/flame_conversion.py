"""Turning the authors' files of FLAME into the one that `FLAME` reads: `au-d3dface assets convert flame FILE...`.

Files are known by what is in them, so their names matter only for telling the release, and in folders, where those are
taken that have the authors' names. What the authors give no file for, AU regions and the 468 landmarks, is derived
(`flame_regions`).
"""

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..assets.converted import write_converted
from ..errors import CheckpointError, UsageError
from .base import LandmarkEmbedding
from .flame import JOINTS, KIND, NUM_EXPRESSION, NUM_FACES, NUM_SHAPE, NUM_VERTICES, VERSIONS
from .flame_albedo import read_albedo
from .flame_regions import derive
from .restricted_pickle import load_npy, load_npz, load_pickle
from .texture_obj import read_texture_coordinates

MODEL_NAMES = ("generic_model.pkl", "flame2023.pkl", "flame2023_no_jaw.pkl", "flame2023_Open.pkl")
OTHER_NAMES = (
    *("landmark_embedding.npy", "mediapipe_landmark_embedding.npz", "FLAME_masks.pkl", "head_template.obj"),
    *("FLAME_texture.npz", "FLAME_albedo_from_BFM.npz"),
)
"""The authors' names of the model, and of what goes with it."""

_NAMED_VERSIONS = {
    "2023-open": r"2023.*open",
    "2023-no-jaw": r"2023.*no.?jaw",
    "2023": "2023",
    "2020": "2020",
    "2019": "2019",
    "2017": "2017",
}
_MODEL_ARRAYS = {
    "v_template": (NUM_VERTICES, 3),
    "shapedirs": (NUM_VERTICES, 3, NUM_SHAPE + NUM_EXPRESSION),
    "posedirs": (NUM_VERTICES, 3, 9 * (len(JOINTS) - 1)),
    "J_regressor": (len(JOINTS), NUM_VERTICES),
    "weights": (NUM_VERTICES, len(JOINTS)),
    "kintree_table": (2, len(JOINTS)),
    "f": (NUM_FACES, 3),
}
_LANDMARK_ARRAYS = {
    "static_lmk_faces_idx": (51,),
    "static_lmk_bary_coords": (51, 3),
    "dynamic_lmk_faces_idx": (79, 17),
    "dynamic_lmk_bary_coords": (79, 17, 3),
    "full_lmk_faces_idx": (1, 68),
    "full_lmk_bary_coords": (1, 68, 3),
}
_MEDIAPIPE_ARRAYS = ("lmk_face_idx", "lmk_b_coords", "landmark_indices")


@dataclass
class _Found:
    """Tensors so far, what is known about them and the files they came from; albedo models, each a file of its own."""

    tensors: dict[str, Tensor] = field(default_factory=dict)
    information: dict[str, Any] = field(default_factory=dict)
    sources: list[Path] = field(default_factory=list)
    albedos: list[tuple[Path, str, dict[str, Tensor]]] = field(default_factory=list)
    mediapipe: tuple[np.ndarray, LandmarkEmbedding] | None = None


def convert_flame(paths: Sequence[Path], folder: Path, version: str | None = None) -> list[Path]:
    """Converts FLAME's files.

    Args:
        paths: files, or folders with files of the authors' names; one model among them.
        folder: for `flame.safetensors` and the albedo models; made where it is missing.
        version: the release, one of VERSIONS; None if the model's file name tells it.

    Returns:
        The files written.

    Raises:
        UsageError: no model, several of them, or a release that nobody told.
        CheckpointError: a file that is missing, damaged, hostile, or something else.
        OutputError: the folder cannot be written.
    """
    if version is not None and version not in VERSIONS:
        raise UsageError(f"there is no FLAME {version!r}; choose one of {', '.join(VERSIONS)}")
    found = _Found()
    texture = None
    for path in _listed(paths):
        if path.suffix == ".obj":
            texture = path  # its triangles are compared with the model's, which may come later
        else:
            _READERS.get(path.suffix, _read_unknown)(path, found)
    if "template" not in found.tensors and not found.albedos:
        raise UsageError("none of these files is FLAME's model: give its generic_model.pkl or flame2023.pkl too")
    written = []
    if "template" in found.tensors:
        if texture is not None:
            faces = found.tensors["faces"].numpy()
            coordinates, corners = read_texture_coordinates(texture, faces, NUM_VERTICES)
            found.tensors |= {"texture_coordinates": coordinates, "texture_faces": corners}
            found.sources.append(texture)
        model = found.information.pop("model")
        found.information["version"] = _version(model, version)
        _derive(found)
        written.append(
            write_converted(folder / f"{KIND}.safetensors", KIND, found.tensors, found.information, found.sources)
        )
    for path, name, tensors in found.albedos:
        written.append(write_converted(folder / f"{name}.safetensors", name, tensors, {}, [path]))
    return written


def _listed(paths: Sequence[Path]) -> list[Path]:
    """The files to read: those given, and those of the authors' names in folders given."""
    listed: list[Path] = []
    for path in paths:
        if not path.is_dir():
            listed.append(path)
            continue
        inside = [path / name for name in (*MODEL_NAMES, *OTHER_NAMES) if (path / name).is_file()]
        if not inside:
            raise UsageError(f"{path} has none of FLAME's files, {', '.join((*MODEL_NAMES, *OTHER_NAMES))}")
        listed += inside
    return listed


def _read_unknown(path: Path, found: _Found) -> None:
    if not path.exists():
        raise CheckpointError(f"{path} does not exist.")
    raise CheckpointError(f"{path} is no file of FLAME: those end in .pkl, .npy, .npz or .obj.")


def _read_pkl(path: Path, found: _Found) -> None:
    content = load_pickle(path)
    if isinstance(content, dict) and "v_template" in content:
        _read_model(path, content, found)
    elif isinstance(content, dict) and content and all(isinstance(name, str) for name in content):
        _read_masks(path, content, found)
    else:
        raise CheckpointError(f"{path} is a pickle, but neither FLAME's model nor its masks.")


def _read_model(path: Path, content: dict[str, Any], found: _Found) -> None:
    if "template" in found.tensors:
        raise UsageError(f"{path} and {found.information['model']} are both models of FLAME: give one of them")
    arrays = {name: _checked(path, content, name, shape) for name, shape in _MODEL_ARRAYS.items()}
    _check_model(path, arrays)
    parents = arrays["kintree_table"][0].astype(np.int64)
    parents[0] = -1  # the authors' is 2³² - 1
    directions = arrays["shapedirs"].transpose(2, 0, 1).astype(np.float32)
    found.tensors |= {
        "template": torch.from_numpy(arrays["v_template"].astype(np.float32)),
        "shape_basis": torch.from_numpy(directions[:NUM_SHAPE]),
        "expression_basis": torch.from_numpy(directions[NUM_SHAPE:]),
        "pose_basis": torch.from_numpy(arrays["posedirs"].transpose(2, 0, 1).astype(np.float32)),
        "joint_regressor": torch.from_numpy(arrays["J_regressor"].astype(np.float32)),
        "skinning_weights": torch.from_numpy(arrays["weights"].astype(np.float32)),
        "parents": torch.from_numpy(parents),
        "faces": torch.from_numpy(arrays["f"].astype(np.int64)),
    }
    # Says of two conversions whether their coefficients mean the same, whatever their files were called.
    found.information |= {"model": path, "basis_sha256": hashlib.sha256(directions.tobytes()).hexdigest()}
    found.sources.append(path)


def _check_model(path: Path, arrays: dict[str, np.ndarray]) -> None:
    parents = arrays["kintree_table"][0].astype(np.int64).tolist()
    size = np.ptp(arrays["v_template"], axis=0).max()
    if arrays["f"].min() < 0 or arrays["f"].max() >= NUM_VERTICES:
        raise CheckpointError(f"{path} has triangles that point outside its vertices; take it from its authors again.")
    if parents[1:] != [0, 1, 1, 1]:
        raise CheckpointError(f"{path} has joints that hang together as {parents}, which FLAME's do not.")
    if not np.allclose(arrays["weights"].sum(1), 1, atol=1e-3):
        raise CheckpointError(f"{path} has skinning weights that do not add up to 1; take it from its authors again.")
    if not 0.1 < size < 1:
        raise CheckpointError(f"{path} has a head of {size:.3g} m, so it is not in metres as FLAME's models are.")


def _read_masks(path: Path, content: dict[str, Any], found: _Found) -> None:
    rows = torch.zeros(len(content), NUM_VERTICES, dtype=torch.uint8)
    for row, (name, vertices) in zip(rows, content.items(), strict=True):
        indices = np.asarray(vertices)
        if indices.dtype.kind not in "iu" or indices.ndim != 1 or not len(indices):
            raise CheckpointError(f"{path} is a pickle, but neither FLAME's model nor its masks: {name!r} is no mask.")
        if indices.min() < 0 or indices.max() >= NUM_VERTICES:
            raise CheckpointError(f"{path} has a mask {name!r} that points outside FLAME's {NUM_VERTICES:,} vertices.")
        row[torch.from_numpy(indices.astype(np.int64))] = 1
    found.tensors["regions"] = rows
    found.information["regions"] = list(content)
    found.sources.append(path)


def _read_landmarks(path: Path, found: _Found) -> None:
    content = load_npy(path)
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} is an array, but not FLAME's landmark_embedding.npy.")
    arrays = {name: _checked(path, content, name, shape) for name, shape in _LANDMARK_ARRAYS.items()}
    for name, kind in (("static", "static"), ("contour", "dynamic"), ("68", "full")):
        triangles, weights = arrays[f"{kind}_lmk_faces_idx"], arrays[f"{kind}_lmk_bary_coords"]
        if kind == "full":
            triangles, weights = triangles[0], weights[0]
        found.tensors |= _embedding(path, name, triangles, weights)
    found.sources.append(path)


def _read_npz(path: Path, found: _Found) -> None:
    content = load_npz(path, (*_MEDIAPIPE_ARRAYS,)) if path.exists() else _read_unknown(path, found)
    if content and all(name in content for name in _MEDIAPIPE_ARRAYS):
        triangles, weights, landmarks = (np.asarray(content[name]) for name in _MEDIAPIPE_ARRAYS)
        count = len(landmarks)
        if landmarks.ndim != 1 or not count or landmarks.min() < 0 or landmarks.max() >= 468:
            raise CheckpointError(f"{path} names landmarks that are not among MediaPipe's 468.")
        if triangles.shape != (count,) or weights.shape != (count, 3):
            raise CheckpointError(f"{path} has another number of points than of landmarks.")
        tensors = _embedding(path, "468", triangles, weights)
        embedding = LandmarkEmbedding(tensors["landmarks_468_triangles"], tensors["landmarks_468_barycentric"])
        found.mediapipe = landmarks.astype(np.int64), embedding
        found.sources.append(path)
    else:
        found.albedos.append((path, *read_albedo(path)))  # says what is wrong if it is none either


def _embedding(path: Path, name: str, triangles: np.ndarray, weights: np.ndarray) -> dict[str, Tensor]:
    if triangles.dtype.kind not in "iu" or triangles.min() < 0 or triangles.max() >= NUM_FACES:
        raise CheckpointError(f"{path} has landmarks on triangles that FLAME does not have.")
    if not np.allclose(weights.sum(-1), 1, atol=1e-3):
        raise CheckpointError(f"{path} has landmarks whose barycentric coordinates do not add up to 1.")
    return {
        f"landmarks_{name}_triangles": torch.from_numpy(triangles.astype(np.int64)),
        f"landmarks_{name}_barycentric": torch.from_numpy(weights.astype(np.float32)),
    }


def _checked(path: Path, content: dict[str, Any], name: str, shape: tuple[int, ...]) -> np.ndarray:
    if name not in content:
        raise CheckpointError(f"{path} lacks the array {name!r}, so it is not FLAME's, or not whole.")
    array = np.asarray(content[name])
    if array.dtype.kind not in "biuf" or array.shape != shape:
        raise CheckpointError(f"{path} has an array {name!r} of shape {array.shape}, where FLAME's is {shape}.")
    if not np.isfinite(array).all():
        raise CheckpointError(f"{path} holds numbers that are not finite in {name!r}; take it from its authors again.")
    return array


def _version(path: Path, version: str | None) -> str:
    """The release: the one told, which the file's name must not contradict, or the one of the name."""
    named = next((found for found, words in _NAMED_VERSIONS.items() if re.search(words, path.name, re.I)), None)
    if version is None and named is None:
        raise UsageError(
            f"the name of {path} does not tell which FLAME it is, and its content cannot: say it with --version "
            f"({', '.join(VERSIONS)}), since coefficients of one are other faces in another"
        )
    if version is not None and named is not None and not named.startswith(version) and not version.startswith(named):
        raise UsageError(f"the name of {path} says that it is FLAME {named}, and --version says {version}")
    return version or str(named)


def _derive(found: _Found) -> None:
    """AU regions and the 468 landmarks, where there are landmarks to derive them from."""
    tensors = found.tensors
    if "landmarks_68_triangles" not in tensors:
        return
    landmarks = LandmarkEmbedding(tensors["landmarks_68_triangles"], tensors["landmarks_68_barycentric"])
    try:
        made = derive(tensors["template"], tensors["faces"], tensors["skinning_weights"], landmarks)
    except ValueError as error:
        path = next(source for source in found.sources if source.suffix == ".npy")
        raise CheckpointError(f"{path} has landmarks that are not where this FLAME has its face: {error}.") from error
    tensors["au_regions"] = made.au_regions
    derived = made.landmarks_468
    if found.mediapipe is not None:
        rows, own = found.mediapipe
        derived.triangles[rows], derived.barycentric[rows] = own.triangles, own.barycentric
    tensors |= {"landmarks_468_triangles": derived.triangles, "landmarks_468_barycentric": derived.barycentric}
    found.information["landmarks_468"] = {"of the user": 0 if found.mediapipe is None else len(found.mediapipe[0])}


_READERS: dict[str, Callable[[Path, _Found], None]] = {
    ".pkl": _read_pkl,
    ".npy": _read_landmarks,
    ".npz": _read_npz,
}
