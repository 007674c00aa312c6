"""One person's mesh in one picture: the part of the picture that it covers, and what is seen there."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate

from ..geometry import vertex_normals, weak_perspective
from ..rendering import Fragments, rasterize


@dataclass(frozen=True)
class Window:
    """A part of a picture, cut out and shrunk by a whole number.

    Attributes:
        left, top, right, bottom: in the picture's pixels, the last two not included.
        step: pixels of the picture, across and down, that make one of the window.
    """

    left: int
    top: int
    right: int
    bottom: int
    step: int

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the shrunk window."""
        return -(-(self.bottom - self.top) // self.step), -(-(self.right - self.left) // self.step)

    def cut(self, image: np.ndarray) -> Tensor:
        """(H, W, 3) uint8 to (height, width, 3) float32 in [0, 1], each the mean of step x step pixels."""
        part = torch.tensor(image[self.top : self.bottom, self.left : self.right])
        part = part.permute(2, 0, 1)[None].float().mul_(1 / 255)
        if self.step > 1:
            part = avg_pool2d(part, self.step, ceil_mode=True)
        return part[0].permute(1, 2, 0)

    def enlarge(self, values: Tensor) -> Tensor:
        """(height, width, ...) of the shrunk window to the picture's pixels in it, each repeated step x step times."""
        if self.step > 1:
            values = values.repeat_interleave(self.step, 0).repeat_interleave(self.step, 1)
        return values[: self.bottom - self.top, : self.right - self.left]

    def stretch(self, values: Tensor) -> Tensor:
        """As `enlarge`, of (height, width, C), but smooth between pixels."""
        if self.step > 1:
            size = (values.shape[0] * self.step, values.shape[1] * self.step)
            values = interpolate(values.permute(2, 0, 1)[None], size, mode="bilinear", align_corners=False)
            values = values[0].permute(1, 2, 0)
        return values[: self.bottom - self.top, : self.right - self.left]

    def paste(self, into: Tensor, values: Tensor) -> None:
        """Writes `enlarge(values)` to its place in a (H, W, ...) picture."""
        into[self.top : self.bottom, self.left : self.right] = self.enlarge(values)


@dataclass(frozen=True)
class FaceView:
    """A mesh in a window about it.

    Attributes:
        window: the part of the picture.
        points: (V, 3) vertices in the window's pixels, x right, y down, z away.
        normals: (V, 3) of length 1, in the camera frame: x right, y up, z to the viewer.
        fragments: what is seen at the window's pixels, a batch of one; triangles that turn away are left out.
        pixels_per_metre: of the window.
    """

    window: Window
    points: Tensor
    normals: Tensor
    fragments: Fragments
    pixels_per_metre: float

    @staticmethod
    def of(
        vertices: Tensor,
        rotation: Tensor,
        scale: Tensor,
        translation: Tensor,
        faces: Tensor,
        height: int,
        width: int,
        largest: int | None = None,
    ) -> "FaceView | None":
        """Looks at a mesh through the camera of Eq. 12.

        Args:
            vertices: (V, 3) metres in the head frame, finite.
            rotation: (3, 3), scale: scalar, translation: (2,): see `CoarseSequence`.
            faces: (F, 3).
            height, width: of the picture.
            largest: pixels that the window's longer side is to have at most; None not to shrink it.

        Returns:
            None where the mesh lies outside the picture.
        """
        points = weak_perspective(vertices, rotation, scale, translation)
        # Two pixels of surroundings; clamped as numbers, since huge ones do not fit an integer.
        (left, top), (right, bottom) = (
            points[:, :2].amin(0).sub(2).floor().clamp(0, 1e6).int().tolist(),
            points[:, :2].amax(0).add(2).ceil().clamp(-1, 1e6).int().tolist(),
        )
        right, bottom = min(right, width), min(bottom, height)
        if left >= right or top >= bottom:
            return None
        longer = max(right - left, bottom - top)
        window = Window(left, top, right, bottom, 1 if largest is None else max(1, -(-longer // largest)))
        points = (points - points.new_tensor([left, top, 0.0])) / window.step
        fragments = rasterize(points[None], faces, *window.size, cull_backfaces=True)
        normals = vertex_normals(vertices, faces) @ rotation.mT
        return FaceView(window, points, normals, fragments, float(scale) / window.step)
