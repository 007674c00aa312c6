"""Carries a displacement known at the landmarks to every vertex of a face model."""

import torch
from torch import Tensor

from ..face_models import FaceModel

LENGTH = 0.02
"""Metres over which neighbouring displacements are alike."""

NOISE = 0.3
"""Standard deviation of a landmark's displacement that is noise, relative to that of the part that is carried."""


class DetailInterpolator:
    """Gaussian-process regression from L landmarks to V vertices: K(V, L) (K(L, L) + NOISE² I)⁻¹.

    The kernel is exp(-d / LENGTH) between points of the template: it does not overshoot between landmarks or beyond
    them, and a vertex far from every landmark (the back of a head) stays where the face model puts it.
    """

    def __init__(self, face_model: FaceModel, landmarks: Tensor) -> None:
        points, template = landmarks.double(), face_model.template.double()
        inner = _kernel(points, points)
        inner.diagonal().add_(NOISE**2)
        self.matrix = torch.linalg.solve(inner, _kernel(points, template)).T.float()  # (V, L)

    def __call__(self, displacement: Tensor) -> Tensor:
        """(..., L, 3) metres to (..., V, 3)."""
        return self.matrix @ displacement


def _kernel(a: Tensor, b: Tensor) -> Tensor:
    return torch.exp(-torch.cdist(a, b) / LENGTH)
