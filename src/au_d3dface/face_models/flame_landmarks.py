"""FLAME's 68 points whose outline follows the yaw: what a camera sees as the edge of the face slides over the skin.

The authors' table has the 17 contour points for 79 yaws, one a degree from -39 to 39; the other 51 points are fixed.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from .base import LandmarkEmbedding

LARGEST_YAW = 39
"""Degrees, either way; the outline of a face that turns further stays as it is there."""


@dataclass(frozen=True)
class ContourLandmarks:
    """The 68 points of a turned head.

    Attributes:
        contour: triangles (79, 17) and barycentric (79, 17, 3): rows 0 to 39 for yaws of 0 to 39 degrees, rows 40 to
            78 for -1 to -39.
        inner: triangles (51,) and barycentric (51, 3) of the points that do not slide.
    """

    contour: LandmarkEmbedding
    inner: LandmarkEmbedding

    def __call__(self, vertices: Tensor, faces: Tensor, rotation: Tensor) -> Tensor:
        """The 68 landmarks, 17 of the contour first.

        Args:
            vertices: (..., V, 3).
            faces: (F, 3).
            rotation: (..., 3, 3) of the head, head frame to camera frame; of the same leading dimensions.

        Returns:
            (..., 68, 3), differentiable in the vertices. The choice of the row is not differentiable.
        """
        rows = contour_row(rotation).to(faces.device)
        triangles = self.contour.triangles.long().to(faces.device)[rows]  # (..., 17)
        corners = faces[triangles]  # (..., 17, 3)
        shape = corners.shape
        points = torch.take_along_dim(vertices, corners.flatten(-2)[..., None].expand(*shape[:-2], -1, 3), -2)
        weights = self.contour.barycentric.to(vertices)[rows]
        outline = (points.unflatten(-2, shape[-2:]) * weights[..., None]).sum(-2)
        return torch.cat([outline, self.inner(vertices, faces)], -2)


def contour_row(rotation: Tensor) -> Tensor:
    """(..., 3, 3) rotations of the head to (...) int64 rows of the contour's table, by clamped yaw in whole degrees."""
    level = (rotation[..., 0, 0].square() + rotation[..., 1, 0].square()).sqrt()
    yaw = torch.atan2(-rotation[..., 2, 0], level) * (180 / math.pi)
    degrees = yaw.clamp(-LARGEST_YAW, LARGEST_YAW).round().long()
    return torch.where(degrees < 0, LARGEST_YAW - degrees, degrees)
