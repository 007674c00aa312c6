"""The interface of a linear 3D face model, and what every one of them shares.

vertices = template + shape basis · shape + expression basis · expression, in metres, in the canonical head frame
(x to the subject's left, y up, z out of the face).
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class LandmarkEmbedding:
    """Landmarks as points on a mesh: landmark l = Σ_i barycentric[l, i] · vertex(faces[triangles[l], i]).

    Attributes:
        triangles: (L,) int64, rows of the model's `faces`.
        barycentric: (L, 3) float32, each row summing to 1.
    """

    triangles: Tensor
    barycentric: Tensor

    def __call__(self, vertices: Tensor, faces: Tensor) -> Tensor:
        """(..., V, 3) vertices and (F, 3) faces to (..., L, 3) landmarks; differentiable in the vertices."""
        corners = vertices[..., faces[self.triangles.to(faces.device)], :]  # (..., L, 3 corners, 3)
        return (corners * self.barycentric.to(vertices)[..., None]).sum(-2)


class FaceModel(nn.Module, ABC):
    """A linear 3D face model: identity (`shape`) and `expression` coefficients in, vertices out.

    Subclasses fill the buffers below and may override `forward` where a pose articulates the mesh (FLAME).

    Attributes:
        name: what `--face-model` and a checkpoint call it.
        licensed: whether its mesh may not be passed on, so that checkpoints hold its checksum instead.
        template: (V, 3) float32, metres, the mean face at rest.
        shape_basis: (S, V, 3) metres per unit of coefficient; coefficients have unit variance over people.
        expression_basis: (E, V, 3) metres per unit of coefficient.
        faces: (F, 3) int64 triangles, counter-clockwise seen from outside.
        uv: (V, 2) float32 in [0, 1] with v up, or None.
        landmarks_68, landmarks_468: `LandmarkEmbedding`s of the iBUG 68 and MediaPipe 468 points, or None.
    """

    name: str
    licensed: bool = False
    template: Tensor
    shape_basis: Tensor
    expression_basis: Tensor
    faces: Tensor
    uv: Tensor | None
    landmarks_68: LandmarkEmbedding | None
    landmarks_468: LandmarkEmbedding | None

    @property
    def num_vertices(self) -> int:
        return self.template.shape[0]

    def forward(self, shape: Tensor, expression: Tensor, pose: Tensor | None = None) -> Tensor:
        """Vertices of faces with these coefficients.

        Args:
            shape: (..., S) identity coefficients, in standard deviations over people; fewer than S are zero-padded.
            expression: (..., E) expression coefficients, broadcast against `shape`.
            pose: articulation of jaw, neck and eyes for models that have it; must be None here.

        Returns:
            (..., V, 3) metres in the canonical head frame, differentiable.

        Raises:
            ValueError: a pose is given to a model without joints.
        """
        if pose is not None:
            raise ValueError(f"the face model {self.name!r} has no joints, so it takes no pose")
        identity = torch.tensordot(shape, self.shape_basis[: shape.shape[-1]], dims=1)
        motion = torch.tensordot(expression, self.expression_basis[: expression.shape[-1]], dims=1)
        return self.template + identity + motion

    @abstractmethod
    def au_masks(self, action_units: Sequence[int]) -> Tensor:
        """M_k of Eq. 7: (N, V) float32 masks in {0, 1} of the facial region of each action unit.

        Raises:
            ValueError: an action unit for which this model has no region.
        """
