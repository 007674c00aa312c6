"""FLAME files made here: the authors' layout and true sizes, smooth random bases on a bumpy head, nothing of FLAME.

The head has two eyeballs as parts of their own. Its landmarks are where the bundled facemesh, laid against the head,
comes nearest to it.
"""

import contextlib
import pickle
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse
from scipy.spatial import ConvexHull

from au_d3dface.face_models import FaceMesh
from au_d3dface.face_models.flame_conversion import convert_flame
from au_d3dface.face_models.ibug68 import IBUG_68_OF_468
from au_d3dface.geometry import nearest_on_surface

NUM_VERTICES, NUM_FACES, NUM_EYEBALL = 5023, 9976, 100
NECK, JAW, LEFT_EYE, RIGHT_EYE = 1, 2, 3, 4


def made_arrays(seed: int = 0) -> dict[str, Any]:
    """The arrays of a model, as `generic_model.pkl` names them, float64."""
    rng = np.random.default_rng(seed)
    eyeball, eyeball_faces = _ball(NUM_EYEBALL)
    # A closed mesh of V vertices has 2 V - 4 triangles: three closed parts have 12 fewer than twice the vertices, so
    # 10,034; FLAME's open mesh has 9,976, so the head loses those of the neck's end.
    head, head_faces = _ball(NUM_VERTICES - 2 * NUM_EYEBALL)
    bump = 1 + 0.03 * np.cos(7 * np.arccos(head[:, 1]))
    head = head * bump[:, None] * [0.078, 0.12, 0.1]
    spare = len(head_faces) + 2 * len(eyeball_faces) - NUM_FACES
    head_faces = head_faces[np.argsort(head[head_faces].mean(1)[:, 1])[spare:]]
    eyes = [np.array([side * 0.03, 0.03, 0.05]) + 0.012 * eyeball for side in (1, -1)]
    template = np.concatenate([head, *eyes])
    starts = np.cumsum([0, len(head), NUM_EYEBALL])
    parts = (head_faces, eyeball_faces, eyeball_faces)
    faces = np.concatenate([rows + start for rows, start in zip(parts, starts, strict=True)])
    order = rng.permutation(NUM_FACES)  # the authors' eyeballs do not come last either
    joints = np.array([[0, -0.08, -0.02], [0, -0.06, -0.02], [0, -0.02, 0.0], [0.03, 0.03, 0.05], [-0.03, 0.03, 0.05]])
    return {
        "v_template": template,
        "f": faces[order].astype(np.uint32),
        "shapedirs": _no_head_pose(
            template, np.concatenate([_smooth(rng, template, 300, 2e-3), _smooth(rng, template, 100, 1e-3)], -1)
        ),
        "posedirs": _smooth(rng, template, 36, 1e-3),
        "J_regressor": _regressor(template, joints),
        "weights": _weights(template, starts),
        "kintree_table": np.array([[2**32 - 1, 0, 1, 1, 1], [0, 1, 2, 3, 4]]),
        "J": joints,
        "bs_style": "lbs",
        "bs_type": "lrotmin",
    }


def write_model(path: Path, arrays: dict[str, Any], chumpy: bool = True, protocol: int = 2) -> Path:
    """Writes a model's pickle: bases as chumpy's arrays, and the joint regressor sparse, as the authors' is."""
    content = dict(arrays, J_regressor=scipy.sparse.csc_matrix(arrays["J_regressor"]))
    with made_chumpy() as Ch:
        if chumpy:
            for name in ("v_template", "shapedirs", "posedirs"):
                content[name] = Ch(content[name])
        path.write_bytes(pickle.dumps(content, protocol))
    return path


def made_landmarks(arrays: dict[str, Any], seed: int = 1) -> dict[str, np.ndarray]:
    """The content of `landmark_embedding.npy`; the outline slides from row to row."""
    rng = np.random.default_rng(seed)
    vertices, faces = arrays["v_template"], arrays["f"].astype(np.int64)
    skin = faces[faces.max(1) < NUM_VERTICES - 2 * NUM_EYEBALL]
    points = FaceMesh().template.double().numpy()[list(IBUG_68_OF_468)]
    corners, weights, _ = nearest_on_surface(points, vertices, skin)
    rows = {tuple(face): row for row, face in enumerate(faces.tolist())}
    triangles = np.array([rows[tuple(face)] for face in corners.tolist()])
    outline = rng.choice(len(faces), (79, 17))
    slid = rng.dirichlet((1, 1, 1), (79, 17))
    return {
        "static_lmk_faces_idx": triangles[17:],
        "static_lmk_bary_coords": weights[17:],
        "dynamic_lmk_faces_idx": outline,
        "dynamic_lmk_bary_coords": slid,
        "full_lmk_faces_idx": triangles[None],
        "full_lmk_bary_coords": weights[None],
    }


def write_landmarks(path: Path, landmarks: dict[str, np.ndarray]) -> Path:
    """Writes `landmark_embedding.npy`: a dict pickled into an array of no dimensions."""
    np.save(path, np.array(landmarks, object), allow_pickle=True)
    return path


def write_flame_files(folder: Path, seed: int = 0) -> Path:
    """Writes `generic_model.pkl` and `landmark_embedding.npy` into a folder, and returns it."""
    folder.mkdir(parents=True, exist_ok=True)
    arrays = made_arrays(seed)
    write_model(folder / "generic_model.pkl", arrays)
    write_landmarks(folder / "landmark_embedding.npy", made_landmarks(arrays))
    return folder


def made_flame(folder: Path, version: str = "2020", seed: int = 0) -> Path:
    """Writes those files into a folder, converts them into its `converted`, and returns that."""
    convert_flame([write_flame_files(folder, seed)], folder / "converted", version)
    return folder / "converted"


@contextlib.contextmanager
def made_chumpy() -> Iterator[type]:
    """A module `chumpy.ch` with the class Ch, as long as the block lasts: what pickles of the authors refer to."""

    class Ch:
        def __init__(self, x: np.ndarray) -> None:
            # chumpy keeps more than the array; a reader has to leave it out.
            self.__dict__ |= {"x": x, "_dirty_vars": {"x"}, "_itr": None, "_depends_on_deps": {}, "_make_dense": False}

    Ch.__module__, Ch.__qualname__ = "chumpy.ch", "Ch"
    package, module = types.ModuleType("chumpy"), types.ModuleType("chumpy.ch")
    module.Ch = package.Ch = Ch
    kept = {name: sys.modules.get(name) for name in ("chumpy", "chumpy.ch")}
    sys.modules |= {"chumpy": package, "chumpy.ch": module}
    try:
        yield Ch
    finally:
        for name, before in kept.items():
            sys.modules.pop(name)
            if before is not None:
                sys.modules[name] = before


def _ball(count: int) -> tuple[np.ndarray, np.ndarray]:
    """(count, 3) points spread evenly over a ball, the same left and right, and triangles that face outwards."""
    half, odd = divmod(count, 2)
    place = np.arange(count) + 0.5
    height, around = np.arccos(1 - 2 * place / count), np.pi * (1 + 5**0.5) * place
    spread = np.stack([np.sin(height) * np.sin(around), np.cos(height), np.sin(height) * np.cos(around)], 1)
    left = spread[np.argsort(-spread[:, 0])[:half]]
    ball = np.concatenate([left, left * [-1, 1, 1], np.array([[0.0, 1.0, 0.0]])[:odd]])
    faces = ConvexHull(ball).simplices
    a, b, c = ball[faces[:, 0]], ball[faces[:, 1]], ball[faces[:, 2]]
    inward = (np.cross(b - a, c - a) * (a + b + c)).sum(1) < 0
    faces[inward] = faces[inward][:, ::-1]
    return ball, faces.astype(np.int64)


def _smooth(rng: np.random.Generator, template: np.ndarray, count: int, size: float) -> np.ndarray:
    """(V, 3, count) displacements that change slowly over the head, the first of about `size` metres, then less."""
    sizes = size / (1 + np.arange(count) / 5)
    waves, phases = rng.normal(0, 25, (3, count * 3)), rng.uniform(0, 2 * np.pi, count * 3)
    return sizes * np.sin(template @ waves + phases).reshape(len(template), 3, count)


def _no_head_pose(template: np.ndarray, modes: np.ndarray) -> np.ndarray:
    """(V, 3, K) modes without what moves or turns the head as a whole, which the authors' have none of either."""
    axes = np.eye(3)
    rigid = [np.broadcast_to(axis, template.shape) for axis in axes] + [np.cross(axis, template) for axis in axes]
    directions, _ = np.linalg.qr(np.stack(rigid, -1).reshape(-1, 6))
    flat = modes.reshape(len(directions), -1)
    return (flat - directions @ (directions.T @ flat)).reshape(modes.shape)


def _regressor(template: np.ndarray, joints: np.ndarray) -> np.ndarray:
    """(5, V): each joint as a mean of the 50 vertices nearest to it, weighted."""
    distance = np.linalg.norm(template - joints[:, None], axis=-1)
    weights = np.where(distance <= np.sort(distance, 1)[:, 49:50], 1 / distance, 0)
    return weights / weights.sum(1, keepdims=True)


def _weights(template: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """(V, 5), each row adding up to 1: eyeballs turn with their joint, chin with the jaw, the neck's end stays."""
    y, z = template[:, 1], template[:, 2]
    head = 1 / (1 + np.exp(-(y + 0.08) / 0.01))
    jaw = head / (1 + np.exp(((y + 0.045) / 0.003).clip(-50, 50))) / (1 + np.exp(-(z - 0.02) / 0.01))
    weights = np.stack([1 - head, head - jaw, jaw, 0 * y, 0 * y], 1)
    for joint, (start, stop) in zip((LEFT_EYE, RIGHT_EYE), ((starts[1], starts[2]), (starts[2], None)), strict=True):
        weights[start:stop] = np.eye(5)[joint]
    return weights
