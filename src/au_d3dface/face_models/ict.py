"""ICT-FaceKit (USC ICT, MIT licence) as a face model: 9,409 face vertices, or the whole head with eyes and teeth.

The kit is linear: neutral + Σ identity_i · w_i + Σ expression_i · w_i. Its files give centimetres with y up and z
forward; here everything is metres in the head frame, whose origin is the point midway between the outermost points of
the two ears of the neutral head (near the head's middle, on the axis about which a head nods). The facemesh model
shares this origin.
"""

import json
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..errors import CheckpointError
from .base import FaceModel, LandmarkEmbedding
from .ibug68 import IBUG_68_OF_468
from .ict_files import NUM_VERTICES, read_ict_facekit

PARTS = {
    "face": slice(0, 9409),
    "neck": slice(9409, 11248),
    "sockets": slice(11248, 14062),
    "gums": slice(14062, 17039),
    "teeth": slice(17039, 21451),
    "eyeballs": slice(21451, 24591),
    "occlusion": slice(24591, 25351),
    "lashes": slice(25351, 26719),
}
"""Ranges of vertices of the whole head. `occlusion` (tear fluid, eye blend and shadow shells) is not skin: leave it out
of a render."""

AU_SHAPES: dict[int, dict[str, float]] = {
    1: {"browInnerUp": 1.0},
    2: {"browOuterUp": 1.0},
    4: {"browDown": 1.0},
    5: {"eyeWide": 1.0},
    6: {"cheekSquint": 0.8, "cheekRaiser": 0.7, "eyeSquint": 0.3},
    7: {"eyeSquint": 1.0, "eyeBlink": 0.15},
    9: {"noseSneer": 1.0, "browDown": 0.2},
    10: {"mouthUpperUp": 1.0, "noseSneer": 0.1},
    12: {"mouthSmile": 1.0},
    14: {"mouthDimple": 1.0},
    15: {"mouthFrown": 1.0},
    17: {"mouthShrugLower": 0.9, "mouthShrugUpper": 0.3},
    20: {"mouthStretch": 1.0},
    23: {"mouthPress": 0.3, "mouthRollLower": 0.45, "mouthRollUpper": 0.45, "mouthPucker": 0.2},
    24: {"mouthPress": 1.0, "mouthShrugLower": 0.15},
    25: {"mouthLowerDown": 0.6, "mouthUpperUp": 0.3, "jawOpen": 0.06},
    26: {"jawOpen": 0.5},
    28: {"mouthRollLower": 1.0, "mouthRollUpper": 1.0, "jawOpen": 0.1},
    45: {"eyeBlink": 1.0},
}
"""Stems of the expression shapes, with their weights at the AU's intensity 5 (activation 1)."""

_MASK_LEVEL = 0.2
"""A vertex is in an AU's region where it moves at least this share of the AU's largest motion."""


class ICTFaceKit(FaceModel):
    """The ICT-FaceKit morphable face.

    `shape` is up to 100 identity weights, w ~ N(0, 1); `expression` is the 57 shape weights in 0-1, in the order of
    `expression_names`. `sides` of an AU are the subject's left, then right. `uv` are the kit's own for the face, whose
    vertices have one place in the picture each. The whole head has none: there, parts lie in tiles side by side (u up
    to 6.99), and vertices on seams have several places, which one place in [0, 1] a vertex cannot say.

    Args:
        path: the folder of the kit's OBJ files, or one npz of it with the arrays `neutral` (26719, 3), `identity_delta`
            (100, 26719, 3), `expression_delta` (57, 26719, 3), all centimetres, `expression_names` (57,), `faces_quads`
            (F, 4) with -1 as the fourth corner of a triangle and, where it has them, `uv` (U, 2) and `faces_uv` (F, 4).
        part: "face" (9,409 vertices: face, ears, front of the neck) or "head" (all 26,719 vertices).

    Raises:
        CheckpointError: a file is missing, not the kit's, or damaged.
        ValueError: another part.
    """

    name = "ict"

    def __init__(self, path: str | Path, part: str = "face") -> None:
        super().__init__()
        if part not in ("face", "head"):
            raise ValueError(f"part is 'face' or 'head', not {part!r}")
        arrays = read_ict_facekit(Path(path))
        kept = PARTS["face"].stop if part == "face" else NUM_VERTICES
        neutral = arrays["neutral"]
        face = neutral[PARTS["face"]]
        origin = (face[face[:, 0].argmax()] + face[face[:, 0].argmin()]) / 2
        origin[0] = 0.0
        quads = torch.from_numpy(arrays["faces_quads"].astype(np.int64))
        triangles = torch.cat([quads[:, :3], quads[quads[:, 3] >= 0][:, [0, 2, 3]]])
        # Every buffer is kept in a state dict, so that a model can be saved and loaded without the kit's file.
        self.register_buffer("template", torch.from_numpy((neutral[:kept] - origin) * 0.01))
        self.register_buffer("shape_basis", torch.from_numpy(arrays["identity_delta"][:, :kept] * np.float32(0.01)))
        self.register_buffer(
            "expression_basis", torch.from_numpy(arrays["expression_delta"][:, :kept] * np.float32(0.01))
        )
        self.register_buffer("faces", triangles[(triangles < kept).all(1)])
        self.register_buffer("uv", _vertex_uv(arrays, kept))
        self.part = part
        self.expression_names: tuple[str, ...] = tuple(str(name) for name in arrays["expression_names"])
        missing = {s for shapes in AU_SHAPES.values() for s in shapes if not self._halves(s)}
        if missing:
            raise CheckpointError(f"{path} has no expression shape {sorted(missing)[0]!r}; take the kit's own names.")
        self.landmarks_468 = _embedding_468(arrays, triangles, self.faces)
        self.landmarks_68 = None
        if self.landmarks_468 is not None:
            rows = torch.tensor(IBUG_68_OF_468)
            self.landmarks_68 = LandmarkEmbedding(
                self.landmarks_468.triangles[rows], self.landmarks_468.barycentric[rows]
            )

    def _halves(self, stem: str) -> list[tuple[int, float, float]]:
        """Rows of the expression basis of a stem, each with its shares of the left and of the right side."""
        names = self.expression_names
        if f"{stem}_L" in names and f"{stem}_R" in names:
            return [(names.index(f"{stem}_L"), 1.0, 0.0), (names.index(f"{stem}_R"), 0.0, 1.0)]
        # A shape without halves follows the mean of both sides.
        return [(names.index(stem), 0.5, 0.5)] if stem in names else []

    def au_to_expression(self, action_units: Sequence[int]) -> Tensor:
        """The linear map from AU activations to expression weights.

        Args:
            action_units: N numbers of AUs, of `AU_SHAPES`.

        Returns:
            (N, 2 sides, E): expression weights = Σ_k Σ_side activation[k, side] · map[k, side]. Sides are the subject's
            left, right; activation 1 is intensity 5.

        Raises:
            ValueError: an action unit without shapes.
        """
        result = self.template.new_zeros(len(action_units), 2, self.expression_basis.shape[0])
        for row, number in enumerate(action_units):
            if number not in AU_SHAPES:
                raise ValueError(f"AU{number:02d} has no ICT-FaceKit shapes")
            for stem, weight in AU_SHAPES[number].items():
                for index, left, right in self._halves(stem):
                    result[row, 0, index] += weight * left
                    result[row, 1, index] += weight * right
        return result

    def au_displacements(self, action_units: Sequence[int]) -> Tensor:
        """(N, 2 sides, V, 3) metres: the motion of each half of each AU at activation 1."""
        return torch.tensordot(self.au_to_expression(action_units), self.expression_basis, dims=1)

    def au_masks(self, action_units: Sequence[int]) -> Tensor:
        """(N, V) in {0, 1}: where an AU moves the face by at least a fifth of its largest motion.

        Raises:
            ValueError: an action unit without shapes.
        """
        size = self.au_displacements(action_units).sum(1).norm(dim=-1)
        return (size >= _MASK_LEVEL * size.amax(1, keepdim=True)).to(self.template.dtype)


def _vertex_uv(arrays: Mapping[str, np.ndarray], count: int) -> Tensor | None:
    """(count, 2) texture coordinates of the first vertices, or None where they are not one in [0, 1] a vertex."""
    if "uv" not in arrays or "faces_uv" not in arrays:
        return None
    kept = (arrays["faces_quads"] < count).all(1, keepdims=True) & (arrays["faces_quads"] >= 0)
    vertices, places = arrays["faces_quads"][kept], arrays["uv"][arrays["faces_uv"][kept]]
    uv = np.full((count, 2), np.nan, np.float32)
    uv[vertices] = places
    if not ((uv >= 0) & (uv <= 1)).all() or (uv[vertices] != places.astype(np.float32)).any():
        return None
    return torch.from_numpy(uv)


def _embedding_468(arrays: Mapping[str, np.ndarray], triangles: Tensor, faces: Tensor) -> LandmarkEmbedding | None:
    """MediaPipe's 468 points on the kit's surface, from the asset that `training.learn_ict_embedding` computed.

    The asset names the three vertices of each point, not a row of faces, so it does not depend on how quads are cut.
    """
    asset = files(__package__).joinpath("ict_landmarks_468.json")
    if not asset.is_file():
        return None
    stored = json.loads(asset.read_text())
    vertices = torch.tensor(stored["vertices"])  # (468, 3)
    weights = torch.tensor(stored["barycentric"], dtype=torch.float32)
    rows = {tuple(sorted(corners)): row for row, corners in enumerate(faces.tolist())}
    found, order = [], []
    for corners in vertices.tolist():
        row = rows.get(tuple(sorted(corners)))
        if row is None:
            raise CheckpointError("The kit's faces do not hold the triangles of its landmarks: another mesh topology.")
        found.append(row)
        order.append([corners.index(v) for v in faces[row].tolist()])
    return LandmarkEmbedding(torch.tensor(found), torch.take_along_dim(weights, torch.tensor(order), 1))
