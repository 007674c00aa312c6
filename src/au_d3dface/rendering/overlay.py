"""Drawing the mesh on the face in a picture, and motion as colour.

Pictures are (H, W, 3) uint8 RGB. The mesh is a shaded, see-through surface with thin lines along its edges and stronger
ones around its openings, so that eyes, lips and outline show whether it sits on the face.
"""

import numpy as np
import torch
from torch import Tensor

from ..geometry import vertex_normals
from .rasterizer import Fragments, interpolate, rasterize
from .shading import default_lighting, shade

SURFACE = (0.20, 0.72, 0.90)
"""Colour of a mesh whose vertices have none."""

_WORKING_SIZE = (240.0, 600.0)
"""A face is drawn at between these many pixels: smaller ones with finer samples, larger ones stretched (for speed)."""


_HEAT = ((0.10, 0.36, 0.61), (0.51, 0.41, 0.79), (0.90, 0.45, 0.62), (1.00, 0.65, 0.34), (0.98, 0.86, 0.39))
"""Anchors whose CIELAB lightness rises evenly from 38 to 88, to be told apart in grey and by the colour-blind too."""

_FADING_HEIGHT = 8.0
"""Pixels: lines of triangles less high than this are fainter."""


@torch.inference_mode()
def draw_mesh(
    image: np.ndarray,
    points: Tensor | np.ndarray,
    faces: Tensor | np.ndarray,
    colors: Tensor | np.ndarray | None = None,
    opacity: float = 0.3,
    line_opacity: float = 0.5,
) -> np.ndarray:
    """The picture with a mesh drawn over it. Only the mesh's surroundings are computed.

    Args:
        image: (H, W, 3) uint8 RGB.
        points: (V, 3) x and y in the picture's pixels, z away from the camera in the same pixels. Vertices that are not
            finite take their triangles with them.
        faces: (F, 3) counter-clockwise seen from outside; triangles that turn away are not drawn.
        colors: (V, 3) red, green and blue in [0, 1] of the vertices, or None for one colour.
        opacity: of the surface, 0 to 1.
        line_opacity: of the lines along edges, 0 to 1; those around openings are twice as strong.

    Returns:
        (H, W, 3) uint8, a new array.
    """
    points = torch.as_tensor(points, dtype=torch.float32)
    faces = torch.as_tensor(faces, dtype=torch.int64)
    result = image.copy()
    used = points[faces.unique()]
    used = used[used.isfinite().all(-1)]
    if not len(used):
        return result
    height, width = image.shape[:2]
    low, high = used[:, :2].amin(0), used[:, :2].amax(0)
    left, top = (max(0, int(v)) for v in (low - 1).floor().clamp(-1e6, 1e6))
    right, bottom = (min(n, int(v)) for v, n in zip((high + 1).ceil().clamp(-1e6, 1e6), (width, height), strict=True))
    if left >= right or top >= bottom:
        return result
    extent = max(1.0, float((high - low).max()))  # less than a pixel needs no finer samples
    scale = float(np.clip(1.0, _WORKING_SIZE[0] / extent, _WORKING_SIZE[1] / extent))
    # The layer covers exactly the picture's pixels left:right, top:bottom, at its own resolution.
    columns, rows = max(1, round((right - left) * scale)), max(1, round((bottom - top) * scale))
    stretch = torch.tensor([columns / (right - left), rows / (bottom - top), scale])
    local = (points - torch.tensor([left, top, 0.0])) * stretch
    layer = _mesh_layer(local, faces, colors, rows, columns, opacity, line_opacity)
    if (columns, rows) != (right - left, bottom - top):
        size = (bottom - top, right - left)
        layer = torch.nn.functional.interpolate(
            layer.permute(2, 0, 1)[None], size, mode="bilinear", align_corners=False, antialias=True
        )[0].permute(1, 2, 0)
    window = torch.from_numpy(result[top:bottom, left:right])
    blended = layer[..., :3] * 255 + window * (1 - layer[..., 3:])
    window.copy_(blended.round_().clamp_(0, 255))
    return result


def _mesh_layer(
    points: Tensor,
    faces: Tensor,
    colors: Tensor | np.ndarray | None,
    height: int,
    width: int,
    opacity: float,
    line_opacity: float,
) -> Tensor:
    """(height, width, 4): colours times opacity, and opacity."""
    flip = torch.tensor([1.0, -1.0, -1.0])
    light = shade(vertex_normals(points * flip, faces), default_lighting())
    if colors is None:
        albedo = torch.tensor(SURFACE)
    else:
        albedo = torch.as_tensor(colors, dtype=torch.float32)
    fragments = rasterize(points[None], faces, height, width, cull_backfaces=True)
    surface = interpolate(fragments, faces, (albedo * light).clamp(0, 1))[0]
    surface_alpha = opacity * fragments.mask[0].float()
    lines = _lines(points, faces, fragments, line_opacity)
    remaining = surface_alpha * (1 - lines)
    return torch.cat([lines[..., None] + remaining[..., None] * surface, (lines + remaining)[..., None]], -1)


def _lines(points: Tensor, faces: Tensor, fragments: Fragments, opacity: float) -> Tensor:
    """(H, W) opacity of the lines along edges: a pixel wide and two around openings, fading over one pixel."""
    corners = points[faces][..., :2]
    edges = corners.roll(1, 1) - corners.roll(-1, 1)  # edge i is opposite corner i
    area = (edges[:, 0, 0] * edges[:, 1, 1] - edges[:, 0, 1] * edges[:, 1, 0]).abs()
    heights = area[:, None] / edges.norm(dim=-1).clamp_min(1e-6)  # pixels from corner i to the edge opposite
    # An edge of one triangle only runs around an opening of the mesh.
    ends = torch.stack([faces.roll(1, 1), faces.roll(-1, 1)], -1).sort(-1).values
    _, which, count = (ends[..., 0] * len(points) + ends[..., 1]).unique(return_inverse=True, return_counts=True)
    border = (count == 1)[which].float()  # (F, 3)
    # Where triangles are tiny, lines would run together into fog: they fade.
    spacing = heights.amin(-1, keepdim=True) / _FADING_HEIGHT
    strength = (opacity * torch.maximum(spacing.clamp_max(1), 2 * border)).clamp_max(1)
    half_width = 1.0 + border  # with half of the fading; a line inside is half in this triangle and half in the next

    triangle = fragments.pixel_to_face.reshape(-1)
    seen = (triangle >= 0).nonzero().squeeze(-1)
    triangle = triangle.index_select(0, seen)
    barycentric = fragments.barycentric.reshape(-1, 3).index_select(0, seen).T
    strongest = torch.zeros(len(seen))
    for i in range(3):
        distance = barycentric[i] * heights[:, i].index_select(0, triangle)  # pixels from the edge
        cover = (half_width[:, i].index_select(0, triangle) - distance).clamp_(0, 1)
        strongest = strongest.maximum(cover * strength[:, i].index_select(0, triangle))
    return (
        torch.zeros(fragments.pixel_to_face.numel())
        .index_copy_(0, seen, strongest)
        .reshape(fragments.pixel_to_face.shape[1:])
    )


def heat_colors(values: Tensor | np.ndarray, maximum: float) -> Tensor:
    """Colours for amounts: blue at rest, over violet, red and orange to yellow; the lightness rises evenly throughout.

    Args:
        values: (V,) amounts, such as metres of motion from neutral; NaN counts as 0.
        maximum: the amount that is yellow, above 0; larger ones are yellow too.

    Returns:
        (V, 3) float32 in [0, 1].
    """
    values = torch.as_tensor(values, dtype=torch.float32).nan_to_num(0.0)
    ramp = values.new_tensor(_HEAT)
    position = (values / maximum).clamp(0, 1) * (len(ramp) - 1)
    lower = position.floor().long().clamp_max(len(ramp) - 2)
    share = (position - lower)[:, None]
    return ramp[lower] * (1 - share) + ramp[lower + 1] * share
