"""A small kit with ICT-FaceKit's layout, made here: an ellipsoid for a face, two shapes that really move it."""

import json
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

NUM_VERTICES, NUM_FACE = 26719, 9409
STEMS = (
    *("browInnerUp", "browOuterUp", "browDown", "eyeWide", "cheekSquint", "cheekRaiser", "eyeSquint", "eyeBlink"),
    *("noseSneer", "mouthUpperUp", "mouthSmile", "mouthDimple", "mouthFrown", "mouthStretch", "mouthPress"),
    "mouthLowerDown",
)
WHOLE = (
    "mouthShrugLower",
    "mouthShrugUpper",
    "mouthRollLower",
    "mouthRollUpper",
    "mouthPucker",
    "jawOpen",
    "mouthClose",
)


def kit_arrays() -> dict[str, np.ndarray]:
    """The arrays of a kit: halves of a stem move their side outwards, whole shapes move everything down."""
    rng = np.random.default_rng(0)
    neutral = np.zeros((NUM_VERTICES, 3), np.float32)
    around, up = rng.uniform(-1.5, 1.5, NUM_FACE), rng.uniform(-1, 1, NUM_FACE)
    neutral[:NUM_FACE] = np.stack(
        [9 * np.sin(around) * np.cos(up), 12 * np.sin(up), 10 * np.cos(around) * np.cos(up)], 1
    )
    neutral[0], neutral[1] = (9.5, 2.0, -1.0), (-9.5, 2.0, -1.0)  # the ears
    names = [f"{stem}_{side}" for stem in STEMS for side in "LR"] + list(WHOLE)
    expression = np.zeros((len(names), NUM_VERTICES, 3), np.float32)
    for row, name in enumerate(names):
        if name.endswith("_L"):
            expression[row, :NUM_FACE, 0] = np.clip(neutral[:NUM_FACE, 0], 0, None) / 9
        elif name.endswith("_R"):
            expression[row, :NUM_FACE, 0] = np.clip(neutral[:NUM_FACE, 0], None, 0) / 9
        else:
            expression[row, :NUM_FACE, 1] = -1
    identity = np.zeros((2, NUM_VERTICES, 3), np.float32)
    identity[0, :, 0], identity[1, :, 1] = 0.3, 0.2
    asset = json.loads(files("au_d3dface.face_models").joinpath("ict_landmarks_468.json").read_text())
    triangles = np.concatenate([np.array(asset["vertices"]), np.full((468, 1), -1)], 1)
    quads = np.array([[2, 3, 4, 5], [NUM_FACE, NUM_FACE + 1, NUM_FACE + 2, NUM_FACE + 3]])
    return {
        "neutral": neutral,
        "identity_delta": identity,
        "expression_delta": expression,
        "expression_names": np.array(names),
        "faces_quads": np.concatenate([quads, np.unique(triangles, axis=0)]).astype(np.int32),
    }


@pytest.fixture(scope="session")
def arrays() -> dict[str, np.ndarray]:
    return kit_arrays()


@pytest.fixture(scope="session")
def kit_path(arrays: dict[str, np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("kit") / "kit.npz"
    np.savez(path, **arrays)
    return path
