"""A picture of a mesh as papers show them: the surface alone, smoothly shaded on a plain ground, without stairs.

The camera is the weak perspective of Eq. 12, so that meshes can stand exactly where the face is in a frame of the
video, or fill a picture of their own (`fit_view`). Pictures drawn through one `View` are of one scale and comparable.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from ..geometry import vertex_normals, weak_perspective
from .rasterizer import interpolate, rasterize
from .shading import default_lighting, shade

WHITE, DARK = (1.0, 1.0, 1.0), (0.11, 0.13, 0.16)
"""Grounds for pictures."""

CLAY = (0.88, 0.87, 0.86)
"""Colour of a mesh whose vertices have none."""

_SAMPLES = 3
"""A pixel is the mean of so many samples along each side."""

_BACK = 0.45
"""The back of a surface, seen through an opening or beside a turned mask, is so much as bright as a front would be."""

Array = Tensor | np.ndarray


@dataclass(frozen=True)
class View:
    """A camera: pixel = scale · Pr · rotation · vertex + translation.

    Attributes:
        rotation: (3, 3) head frame to camera frame (x right, y up, z towards the viewer).
        scale: pixels per metre.
        translation: (2,) pixels from the top left corner.
    """

    rotation: Tensor
    scale: float
    translation: Tensor

    def points(self, vertices: Array) -> Tensor:
        """(V, 3) metres to (V, 3): x right and y down in pixels, z away."""
        vertices = torch.as_tensor(vertices, dtype=torch.float32)
        return weak_perspective(vertices, self.rotation, torch.tensor(self.scale), self.translation)


def fit_view(vertices: Array, height: int, width: int, rotation: Array | None = None, margin: float = 0.05) -> View:
    """The view in which all these vertices fill a picture of so many pixels.

    Args:
        vertices: (..., V, 3) metres, head frame; of many frames, for one view of all. Those not finite do not count.
        rotation: (3, 3), or None to look at the face from the front.
        margin: share of the picture that stays free on each side.

    Returns:
        A view; of nothing in particular where the vertices have no extent.
    """
    turned = torch.eye(3) if rotation is None else torch.as_tensor(rotation, dtype=torch.float32)
    points = (torch.as_tensor(vertices, dtype=torch.float32).reshape(-1, 3) @ turned.T)[:, :2]
    points = points[points.isfinite().all(-1)]
    size, flip = torch.tensor([float(width), float(height)]), torch.tensor([1.0, -1.0])
    if not len(points):
        return View(turned, 1.0, size / 2)
    low, high = points.amin(0), points.amax(0)
    extent = (high - low).clamp_min(1e-9)
    scale = float(((1 - 2 * margin) * size / extent).amin())
    return View(turned, scale, size / 2 - scale * flip * (low + high) / 2)


@torch.inference_mode()
def draw_face(
    vertices: Array,
    faces: Array,
    height: int,
    width: int,
    colors: Array | None = None,
    view: View | None = None,
    background: tuple[float, float, float] = WHITE,
    relief: float = 1.0,
) -> np.ndarray:
    """A mesh on a plain ground.

    Both sides of the surface are drawn, the back darker: a mask turned aside shows its inside, as a real one would, and
    the inside of a head shows through an open mouth.

    Args:
        vertices: (V, 3) metres, head frame. Vertices that are not finite take their triangles with them.
        faces: (F, 3) counter-clockwise seen from outside.
        height, width: of the picture, pixels.
        colors: (V, 3) red, green and blue in [0, 1] of the vertices, or None for clay.
        view: where the mesh is seen from; from the front and as large as fits where not given.
        background: red, green and blue in [0, 1].
        relief: how much light and shade there is: 0 for bare colours, 1 for the whole `default_lighting`.

    Returns:
        (height, width, 3) uint8. A mesh without triangles, or without extent, leaves the ground.
    """
    view = view or fit_view(vertices, height, width)
    points = _SAMPLES * view.points(vertices)
    faces = torch.as_tensor(faces, dtype=torch.int64)
    faces = faces[points.isfinite().all(-1)[faces].all(-1)]  # else the normals of neighbours would be lost as well
    points = points.nan_to_num(0.0, 0.0, 0.0)
    fragments = rasterize(points[None], faces, _SAMPLES * height, _SAMPLES * width)
    normals = vertex_normals(points * torch.tensor([1.0, -1.0, -1.0]), faces)
    attributes = torch.tensor(CLAY).expand(len(points), 3) if colors is None else torch.as_tensor(colors)
    seen = interpolate(fragments, faces, torch.cat([normals, attributes.float()], -1))[0]
    mask = fragments.mask[0]
    towards = _towards_viewer(points, faces)[fragments.pixel_to_face[0].clamp_min(0)] if len(faces) else mask
    side = torch.where(towards, 1.0, -1.0)[..., None]
    light = 1 + relief * (shade(side * normalize(seen[..., :3], dim=-1), default_lighting()) - 1)
    colour = seen[..., 3:] * light * torch.where(side > 0, 1.0, _BACK)
    picture = torch.where(mask[..., None], colour.clamp(0, 1), torch.tensor(background))
    picture = picture.reshape(height, _SAMPLES, width, _SAMPLES, 3).mean((1, 3))
    return (255 * picture).round().to(torch.uint8).numpy()


def _towards_viewer(points: Tensor, faces: Tensor) -> Tensor:
    """(F,) bool, whether a triangle shows its front."""
    a, b, c = points[faces][..., :2].unbind(1)
    (ux, uy), (vx, vy) = (b - a).unbind(-1), (c - a).unbind(-1)
    return ux * vy - uy * vx < 0  # the y axis points down
