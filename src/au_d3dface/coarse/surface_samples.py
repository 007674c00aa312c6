"""Points on the surface of a face model, and what a picture says of each: its colour, and how far to trust it.

With texture coordinates the points are the texels of a square map, without them the vertices. Maps are (S, S, ...):
the texel in row r and column c is centred at u = (c + 0.5) / S, v = 1 - (r + 0.5) / S, so that row 0 is the top, v = 1.
"""

import numpy as np
import torch
from scipy.spatial import cKDTree
from torch import Tensor
from torch.nn.functional import grid_sample, normalize

from ..face_models import FaceModel
from ..rendering import rasterize
from .face_view import FaceView

GRAZING, FACING = 0.2, 0.6
"""The z component of the normal (1 towards the viewer) up to which a colour counts nothing, and from which fully:
where the surface turns away, a mesh that lies a pixel beside the face shows what is behind it."""

HIDDEN, HIDDEN_PIXELS = 2e-3, 1.5
"""A point is hidden if it lies this many metres plus this many pixels behind what is seen there."""

MIRROR_DISTANCE = 2e-3
"""Metres within which a point must lie for another's mirror image to be it."""


class SurfaceSamples:
    """N points on a mesh, each Σ_i weights[n, i] · vertex(corners[n, i]).

    Args:
        corners: (N, 3) int64, rows of the vertices.
        weights: (N, 3), each row summing to 1.
        size: S of the map whose texels they are, or None where they are vertices.
        texels: (N,) int64, row · S + column of each in that map; None where they are vertices.
    """

    def __init__(self, corners: Tensor, weights: Tensor, size: int | None = None, texels: Tensor | None = None) -> None:
        self.corners, self.weights, self.size, self.texels = corners, weights, size, texels

    @staticmethod
    def of(face_model: FaceModel, size: int) -> "SurfaceSamples":
        """The texels of a map of `size` that the model's uv layout covers, or its vertices where it has no uv."""
        if face_model.uv is None:
            rows = torch.arange(face_model.num_vertices)
            return SurfaceSamples(rows[:, None].expand(-1, 3), torch.tensor([1.0, 0.0, 0.0]).expand(len(rows), 3))
        u, v = face_model.uv.cpu().unbind(1)
        faces = face_model.faces.cpu()
        layout = rasterize(torch.stack([u * size, (1 - v) * size, torch.zeros_like(u)], 1)[None], faces, size, size)
        texels = layout.mask.flatten().nonzero().squeeze(1)
        corners = faces[layout.pixel_to_face.flatten()[texels]]
        return SurfaceSamples(corners, layout.barycentric.reshape(-1, 3)[texels], size, texels)

    def __len__(self) -> int:
        return len(self.corners)

    def part(self, rows: Tensor | slice) -> "SurfaceSamples":
        """Some of the points, in this order, with no place in a map."""
        return SurfaceSamples(self.corners[rows], self.weights[rows])

    def spread(self, count: int) -> Tensor:
        """Rows of about `count` points spread evenly over the map, or over the list of vertices."""
        if self.texels is None or self.size is None:
            return torch.linspace(0, len(self) - 1, min(count, len(self))).round().long()
        step = max(1, round((len(self) / count) ** 0.5))
        row, column = self.texels // self.size, self.texels % self.size
        return ((row % step == step // 2) & (column % step == step // 2)).nonzero().squeeze(1)

    def at(self, values: Tensor) -> Tensor:
        """(..., V, C) values of the vertices to (..., N, C) at the points."""
        first, second, third = (
            values.index_select(-2, self.corners[:, i]) * self.weights[:, i, None] for i in range(3)
        )
        return first + second + third

    def normals(self, vertex_normals: Tensor) -> Tensor:
        """(..., V, 3) normals of the vertices to (..., N, 3) of length 1 (zero at a vertex of no triangle)."""
        return normalize(self.at(vertex_normals), dim=-1)

    def mirror(self, vertices: Tensor) -> Tensor:
        """(N,) int64: the point nearest to each one's mirror image at x = 0, or -1 where none is near.

        Args:
            vertices: (V, 3) metres, the model's mean face.
        """
        points = self.at(vertices.cpu()).numpy()
        distance, nearest = cKDTree(points).query(points * [-1, 1, 1], distance_upper_bound=MIRROR_DISTANCE)
        return torch.from_numpy(np.where(np.isfinite(distance), nearest, -1))

    def observe(self, view: FaceView, image: Tensor) -> tuple[Tensor, Tensor]:
        """Looks the points up in a picture.

        Args:
            view: the mesh in it.
            image: (height, width, 3), what `view.window.cut` gives of the picture.

        Returns:
            (N, 3) colours, and (N,) weights in [0, 1]: 0 where a point is hidden, turned away or outside the picture,
            and the colour is 0 too; 1 where it faces the viewer.
        """
        height, width = image.shape[:2]
        x, y, z = self.at(view.points).unbind(1)
        inside = (x >= 0) & (x <= width) & (y >= 0) & (y <= height)
        pixel = y.long().clamp(0, height - 1) * width + x.long().clamp(0, width - 1)
        surface = view.fragments.depth[0].flatten().index_select(0, pixel)
        seen = inside & (z <= surface + HIDDEN * view.pixels_per_metre + HIDDEN_PIXELS)
        facing = ((self.at(view.normals)[:, 2] - GRAZING) / (FACING - GRAZING)).clamp(0, 1)
        weights = torch.where(seen, facing, 0.0)
        grid = torch.stack([2 * x / width - 1, 2 * y / height - 1], 1)[None, None]
        colors = grid_sample(image.permute(2, 0, 1)[None], grid, "bilinear", "border", align_corners=False)[0, :, 0].T
        return torch.where(weights[:, None] > 0, colors, 0.0), weights
