"""A face model seen at its 468 landmarks, and how much each landmark says about head pose."""

import torch
from torch import Tensor

from ..errors import UsageError
from ..face_models import FaceModel

RIGID_UNIT = 0.02
"""One unit of a rigid parameter moves the face by about a millimetre, as one unit of expression does: it conditions
the normal equations for float32. Radians (and metres per 0.05 m) per unit."""

MISFIT = 0.1
"""Share of a landmark's mobility that the expression basis is taken to miss: what moves most is trusted least."""

NOISE = 1e-3
"""Metres by which a landmark that never moves is still off, from person to person: the floor of the weights."""


class LandmarkBasis:
    """Template, identity and expression bases at L = 468 landmarks (0 to 467 of MediaPipe's mesh).

    Attributes:
        template: (L, 3) metres, head frame.
        shape: (S, L, 3) metres per unit.
        expression: (E, L, 3) metres per unit.
        weights: (L,) in (0, 1], near 1 where expression hardly moves the face: NOISE² / (NOISE² + (MISFIT m)²), with m
            the root of the landmark's variance under unit-variance expression coefficients.
    """

    def __init__(self, face_model: FaceModel) -> None:
        embedding = face_model.landmarks_468
        if embedding is None:
            raise UsageError(
                f"the face model {face_model.name!r} has no embedding of the 468 landmarks, so landmarks cannot be "
                "fitted with it; choose another face model or another coarse reconstructor"
            )
        faces = face_model.faces
        self.template = embedding(face_model.template, faces).float()
        self.shape = embedding(face_model.shape_basis, faces).float()
        self.expression = embedding(face_model.expression_basis, faces).float()
        mobility = self.expression.square().sum((0, 2))
        self.weights = NOISE**2 / (NOISE**2 + MISFIT**2 * mobility)

    @property
    def num_landmarks(self) -> int:
        return self.template.shape[0]

    def to(self, device: torch.device | str) -> "LandmarkBasis":
        """The same bases on a device (in place)."""
        for name in ("template", "shape", "expression", "weights"):
            setattr(self, name, getattr(self, name).to(device))
        return self


def rigid_directions(points: Tensor) -> Tensor:
    """Velocities of points under the seven parameters of a similarity, in units of RIGID_UNIT.

    Args:
        points: (L, 3) metres.

    Returns:
        (7, L, 3): rotation about x, y, z (radians), translation along x, y, z (0.05 m), relative scale.
    """
    axes = torch.eye(3, dtype=points.dtype, device=points.device)
    rotation = torch.linalg.cross(axes[:, None].expand(-1, points.shape[0], -1), points.expand(3, -1, -1))
    translation = 0.05 * axes[:, None].expand(-1, points.shape[0], -1)
    return RIGID_UNIT * torch.cat([rotation, translation, points[None]])
