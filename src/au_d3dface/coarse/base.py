"""The interface of a coarse reconstructor: tracked landmarks (and frames) in, one coarse mesh per frame out.

It is frozen, and the same object serves inference, dataset preparation and training.
"""

from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from ..face_models import FaceModel
from ..tracking import TrackedFace


@dataclass
class CoarseSequence:
    """One person's coarse 3D face, frame by frame.

    Vertices are metres in the canonical head frame. The camera of a frame is weak perspective (Eq. 12): a head point x
    lands at pixel  scale · Pr · rotation · x + translation,  Pr = [[1, 0, 0], [0, -1, 0]] (y of the image points down).
    Rows of frames that are not valid hold the neutral face, the identity rotation, scale 1 and translation 0.

    Attributes:
        shape: (S,) identity coefficients, one for the person.
        expression: (T, E) coefficients relative to this person's neutral: S_j = S̄ + expression basis · expression_j,
            where no joint is turned.
        vertices: (T, V, 3), S_j.
        neutral_vertices: (V, 3), S̄: this person at rest.
        rotation: (T, 3, 3), head frame to camera frame (x right, y up, z towards the viewer).
        scale: (T,), pixels per metre.
        translation: (T, 2), pixels.
        valid: (T,) bool.
        residual: (T,), root mean square distance of fitted to tracked landmarks in the image plane, as a fraction of
            the distance between the outer eye corners; NaN where not valid.
        rest_correction: (V, 3) metres, what S̄ and every S_j hold beyond what the landmarks say (`RestCorrection`).
            None where nothing was added.
        pose: (T, P) articulation (jaw, neck, eyes) where the face model has joints, else None.
        texture: albedo in [0, 1], an (S, S, 3) map over the face model's uv (row 0 at v = 1) or (V, 3) at the vertices;
            (A,) coefficients where the reconstructor has a model of albedo (DECA). None where not estimated.
        lighting: (T, 9, 3) spherical harmonics of every frame, for `rendering.shade`; 0 where not valid. None likewise.
        frame_shape: (T, S) what each frame alone says of the identity, where the reconstructor says it (the paper's
            rows of plain DECA and EMOCA use it), else None; `shape` in invalid rows.
    """

    shape: Tensor
    expression: Tensor
    vertices: Tensor
    neutral_vertices: Tensor
    rotation: Tensor
    scale: Tensor
    translation: Tensor
    valid: Tensor
    residual: Tensor
    rest_correction: Tensor | None = None
    pose: Tensor | None = None
    texture: Tensor | None = None
    lighting: Tensor | None = None
    frame_shape: Tensor | None = None

    @property
    def confidence(self) -> Tensor:
        """(T,) in [0, 1], see `fitting_confidence`; 0 where not valid."""
        return torch.where(self.valid, fitting_confidence(self.residual.nan_to_num()), 0.0)


def own_precision() -> AbstractContextManager:
    """No autocast on the CPU, where faces are fitted: normal matrices in bfloat16 are not positive definite."""
    return torch.autocast("cpu", enabled=False)


def fitting_confidence(residual: Tensor) -> Tensor:
    """exp(-residual / 0.05), of a residual as a fraction of the eye distance. Well tracked faces are above 0.8."""
    return torch.exp(-residual / 0.05)


def timeline(values: Tensor, valid: Tensor, empty: Tensor | float) -> Tensor:
    """(K, ...) values of the valid frames to (T, ...), `empty` in the others; `valid` is (T,) bool with K of them."""
    out = torch.empty(len(valid), *values.shape[1:])
    out[:] = empty
    out[valid] = values
    return out


class CoarseReconstructor(Protocol):
    """A frozen per-frame reconstructor.

    Attributes:
        name: what `--coarse` calls it.
        face_model: the model whose vertices it gives.
        needs_frames: whether it wants the pictures too (DECA) or only the landmarks.
        takes_neutral: whether it can take the neutral face from a picture of the person at rest.
    """

    name: str
    face_model: FaceModel
    needs_frames: bool
    takes_neutral: bool

    def __call__(
        self,
        face: TrackedFace,
        neutral_landmarks: Tensor | None = None,
        frames: Iterable[tuple[int, np.ndarray]] | None = None,
    ) -> CoarseSequence:
        """Reconstructs one person.

        Args:
            face: the person's landmarks; frames that are not valid stay in the timeline as invalid rows.
            neutral_landmarks: (478, 3) landmarks of a picture of the same person at rest, from which the neutral face
                is then taken instead of from the clip.
            frames: a stream of (row of the timeline, (H, W, 3) uint8 RGB picture), in order of time. Who needs no
                frames leaves it untouched, so that a video opened by its first picture is not opened.
        """
        ...
