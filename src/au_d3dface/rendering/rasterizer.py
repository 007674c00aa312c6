"""A rasterizer in pure torch: which triangle is seen at which pixel, and where on it.

Each triangle is cut into the rows of pixels of its bounding box, each row into the pixels that can lie inside; those
candidates are tested by edge functions, and the nearest one wins its pixel by a scatter-minimum over depth and triangle
index packed in one integer. The work grows with the pixels that are covered, not with triangles times pixels, and the
decision is exact: edge functions are float64 and change only their sign from one triangle to its neighbour, so a closed
surface has no cracks.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

_EMPTY = torch.iinfo(torch.int64).max


@dataclass
class Fragments:
    """What is seen at every pixel of B pictures.

    Attributes:
        pixel_to_face: (B, H, W) int64, row of `faces`; -1 where nothing is seen.
        barycentric: (B, H, W, 3) weights of the triangle's corners at the pixel's centre, on the triangle in space, in
            the dtype of the points and differentiable in them; 0 where nothing is seen.
        depth: (B, H, W) depth at the pixel's centre, differentiable; infinite where nothing is seen.
    """

    pixel_to_face: Tensor
    barycentric: Tensor
    depth: Tensor

    @property
    def mask(self) -> Tensor:
        """(B, H, W) bool, where something is seen."""
        return self.pixel_to_face >= 0


def rasterize(
    points: Tensor,
    faces: Tensor,
    height: int,
    width: int,
    cull_backfaces: bool = False,
    perspective: bool = False,
    max_candidates: int = 262_144,
) -> Fragments:
    """Rasterizes a triangle mesh that is already projected to the picture.

    A pixel belongs to a triangle when its centre lies inside or on an edge; of several the nearest wins, and at equal
    depth (float32) the one that comes first in `faces`. Triangles without area and triangles with a corner that is NaN
    or infinite are skipped, and in perspective those with a corner in or behind the camera's plane; what lies outside
    the picture is not seen.

    Which triangle is seen at a pixel has no derivative, so the outline and what hides what give no gradient. Eq. 13
    needs none: the renderer of DECA has none either. A soft rasterizer that gives some would return `Fragments` too.

    Args:
        points: (B, V, 3): x right and y down in pixels from the top left corner of the top left pixel, so that the
            centre of column c is at c + 0.5; z away from the camera, in any unit. In perspective, z is the distance
            from the camera's plane (`geometry.pinhole`); else depth is linear in the picture (`weak_perspective`).
        faces: (F, 3) int64, counter-clockwise seen from outside.
        height, width: of the picture, pixels.
        cull_backfaces: skips the triangles that turn their back to the camera.
        perspective: whether the points come from a perspective camera.
        max_candidates: bound on the pairs of pixel and triangle looked at together, which bounds the memory: about
            200 bytes each. At least one triangle is always looked at.

    Returns:
        `Fragments` of B pictures.

    Raises:
        ValueError: points or faces of another shape.
    """
    if points.ndim != 3 or points.shape[-1] != 3 or faces.ndim != 2 or faces.shape[-1] != 3:
        raise ValueError(f"expected points (B, V, 3) and faces (F, 3), got {(*points.shape,)} and {(*faces.shape,)}")
    with torch.no_grad():
        flat = points.detach()
        if perspective:  # -1 / z grows with depth and, unlike depth itself, is linear in the picture
            x, y, z = flat.unbind(-1)
            flat = torch.stack([x, y, torch.where(z > 0, -1 / z, torch.nan)], -1)
        nearest = _nearest_faces(flat, faces, height, width, cull_backfaces, max_candidates)
    seen = (nearest >= 0).nonzero().squeeze(-1)
    image = torch.div(seen, height * width, rounding_mode="floor")
    line = torch.div(seen, width, rounding_mode="floor")
    column, row = seen - line * width, line - image * height
    corners = faces.index_select(0, nearest.index_select(0, seen)).T + image * points.shape[1]
    x, y, z = _take(points.reshape(-1, 3).T, corners)  # (3 corners, P) each
    weights = _barycentric(x.double() - (column + 0.5), y.double() - (row + 0.5)).to(points.dtype)
    if perspective:
        weights = weights / z
        weights = weights / weights.sum(0)
    barycentric = points.new_zeros((nearest.numel(), 3)).index_put((seen,), weights.T)
    depth = points.new_full((nearest.numel(),), torch.inf).index_put((seen,), (weights * z).sum(0))
    shape = (points.shape[0], height, width)
    return Fragments(nearest.reshape(shape), barycentric.reshape(*shape, 3), depth.reshape(shape))


def interpolate(fragments: Fragments, faces: Tensor, attributes: Tensor) -> Tensor:
    """Values given at the vertices, at every pixel.

    Args:
        fragments: of B pictures.
        faces: (F, 3), as given to `rasterize`.
        attributes: (B, V, C), or (V, C) for all pictures alike.

    Returns:
        (B, H, W, C), zero where nothing is seen; differentiable in the attributes and, through the barycentric
        coordinates, in the points.
    """
    pixels, values = interpolate_seen(fragments, faces, attributes)
    shape = fragments.pixel_to_face.shape
    picture = values.new_zeros((shape.numel(), values.shape[-1])).index_put((pixels,), values)
    return picture.reshape(*shape, values.shape[-1])


def interpolate_seen(fragments: Fragments, faces: Tensor, attributes: Tensor) -> tuple[Tensor, Tensor]:
    """`interpolate` at the P pixels where something is seen: their (P,) places in B · H · W, and (P, C) values."""
    height, width = fragments.pixel_to_face.shape[1:]
    nearest = fragments.pixel_to_face.reshape(-1)
    seen = (nearest >= 0).nonzero().squeeze(-1)
    corners = faces.index_select(0, nearest.index_select(0, seen)).T
    if attributes.ndim == 3:
        corners = corners + torch.div(seen, height * width, rounding_mode="floor") * attributes.shape[1]
    weights = fragments.barycentric.reshape(-1, 3).index_select(0, seen).to(attributes.dtype)
    table = attributes.reshape(-1, attributes.shape[-1])
    return seen, sum(weights[:, i, None] * table.index_select(0, corners[i]) for i in range(3))  # type: ignore[return-value]


# Below, the long axis (triangles, rows of pixels, pixels) is the last one, and coordinates and corners come before it:
# on a CPU that is several times as fast as an inner axis of three.


def _take(table: Tensor, index: Tensor) -> Tensor:
    """(K, N) and an index of any shape into N to (K, *index.shape)."""
    return torch.stack([row.index_select(0, index.reshape(-1)) for row in table]).unflatten(-1, index.shape)


def _cross(x: Tensor, y: Tensor) -> Tensor:
    """Corners (3, P) to (3, P): for each corner, the cross product of the next one and the one after that."""
    return torch.stack([x[i] * y[j] - y[i] * x[j] for i, j in ((1, 2), (2, 0), (0, 1))])


def _barycentric(x: Tensor, y: Tensor) -> Tensor:
    """Corners (3, P) about the pixels' centres to (3, P): the areas opposite them, as shares of their sum."""
    areas = _cross(x, y)
    return areas / areas.sum(0)


def _nearest_faces(
    points: Tensor, faces: Tensor, height: int, width: int, cull_backfaces: bool, max_candidates: int
) -> Tensor:
    """(B · H · W,) int64: the row of `faces` seen at every pixel, -1 for none."""
    offsets = torch.arange(len(points), device=points.device)[:, None] * points.shape[1]
    x, y, z = _take(points.reshape(-1, 3).T, (faces.T[:, None] + offsets).reshape(3, -1))  # (3 corners, T = B · F)
    left, right, top, bottom = x.amin(0), x.amax(0), y.amin(0), y.amax(0)
    # First and last pixel whose centre is in the box; clamped as numbers, since huge ones do not fit an integer.
    first_column, last_column = (left - 0.5).ceil().clamp(0, width), (right - 0.5).floor().clamp(-1, width - 1)
    first_row, last_row = (top - 0.5).ceil().clamp(0, height), (bottom - 0.5).floor().clamp(-1, height - 1)
    finite = (right - left + bottom - top + z.sum(0)).isfinite()
    triangle = (finite & (first_column <= last_column) & (first_row <= last_row)).nonzero().squeeze(-1)

    corner = torch.cat([x, y, z])[:, triangle].double()
    x, y, z = corner[0:3], corner[3:6], corner[6:9]
    # Edge i is opposite corner i: slope_i · x + rise_i · y + offset_i is twice the area between it and the pixel.
    slope, rise = y.roll(-1, 0) - y.roll(1, 0), x.roll(1, 0) - x.roll(-1, 0)
    offset = _cross(x, y)
    area = offset.sum(0)
    # The y axis points down, so a triangle that is counter-clockwise seen from the camera has a negative area here.
    alive = ((area < 0) if cull_backfaces else (area != 0)).nonzero().squeeze(-1)
    edges = torch.cat([slope, rise, offset]) * area.sign()  # inside is positive on all three edges
    edges_and_depths = _take(torch.cat([edges, z]), alive)  # (12, T)
    triangle = triangle.index_select(0, alive)
    boxes = _take(torch.stack([first_column, last_column, first_row, last_row]), triangle).long()  # (4, T)

    best = torch.full((points.shape[0] * height * width,), _EMPTY, dtype=torch.int64, device=points.device)
    candidates = ((boxes[1] - boxes[0] + 1) * (boxes[3] - boxes[2] + 1)).cumsum(0)
    begin = looked_at = 0
    while begin < len(triangle):
        end = max(int(torch.searchsorted(candidates, looked_at + max_candidates, right=True)), begin + 1)
        part = slice(begin, end)
        _scatter(best, triangle[part], edges_and_depths[:, part], boxes[:, part], len(faces), height, width)
        begin, looked_at = end, int(candidates[end - 1])
    return torch.where(best == _EMPTY, -1, best & 0xFFFFFFFF)


def _scatter(
    best: Tensor, triangle: Tensor, edges_and_depths: Tensor, boxes: Tensor, num_faces: int, height: int, width: int
) -> None:
    """Lowers `best` (B · H · W,) to the packed depth and index of the nearest of these triangles at every pixel."""
    # One entry per triangle and row of pixels of its box.
    owner, row = _expand(boxes[3] - boxes[2] + 1)
    first_column, last_column, first_row, _ = _take(boxes, owner)
    row = row + first_row
    table = _take(edges_and_depths, owner)
    slope, offset, depths = table[0:3], table[3:6] * (row + 0.5) + table[6:9], table[9:12]
    # Where the row crosses each edge; a thousandth of a pixel of margin leaves the decision to the exact test below.
    crossing = -offset / slope - 0.5
    left = torch.where(slope > 0, crossing, -torch.inf).amax(0) - 1e-3
    right = torch.where(slope < 0, crossing, torch.inf).amin(0) + 1e-3
    begin = left.clamp(0, width).ceil().long().maximum(first_column)
    end = right.clamp(-1, width - 1).floor().long().minimum(last_column)
    # One entry per pixel of each row.
    span, column = _expand((end - begin + 1).clamp_min(0))
    column = column + begin.index_select(0, span)
    table = _take(torch.cat([slope, offset, depths]), span)
    areas = table[0:3] * (column + 0.5) + table[3:6]
    total = areas.sum(0)
    depth = ((areas * table[6:9]).sum(0) / total).float() + 0.0  # + 0 turns -0 into 0
    inside = ((areas.amin(0) >= 0) & (total > 0)).nonzero().squeeze(-1)
    # The bits of a float, read as an integer, grow with the float once those of negative numbers are turned around.
    bits = depth.index_select(0, inside).view(torch.int32)
    key = torch.where(bits < 0, bits ^ 0x7FFFFFFF, bits).long()
    image = torch.div(triangle, num_faces, rounding_mode="floor")
    line = (image * height).index_select(0, owner) + row
    span = span.index_select(0, inside)
    pixel = line.index_select(0, span) * width + column.index_select(0, inside)
    face = (triangle - image * num_faces).index_select(0, owner.index_select(0, span))
    best.scatter_reduce_(0, pixel, (key << 32) | face, "amin")


def _expand(counts: Tensor) -> tuple[Tensor, Tensor]:
    """(N,) counts to two (Σ counts,) tensors: the entry that each copy is of, and the number of the copy from 0."""
    owner = torch.repeat_interleave(counts)
    start = counts.cumsum(0) - counts
    return owner, torch.arange(len(owner), device=counts.device) - start.index_select(0, owner)
