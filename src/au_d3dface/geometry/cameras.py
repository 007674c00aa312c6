"""Cameras: metres in the head (or world) frame to pixels, differentiable in the points and in every parameter."""

import torch
from torch import Tensor


def weak_perspective(points: Tensor, rotation: Tensor, scale: Tensor, translation: Tensor) -> Tensor:
    """The camera of Eq. 12, X = s · Pr · R · x + t, with the depth kept as a third coordinate.

    Args:
        points: (..., V, 3) metres in the head frame.
        rotation: (..., 3, 3) head frame to camera frame.
        scale: (...) pixels per metre.
        translation: (..., 2) pixels.

    Returns:
        (..., V, 3): x right and y down in pixels, z away from the camera in pixels (zero at the head's origin).
    """
    camera = points @ rotation.transpose(-1, -2) * scale[..., None, None]
    image = camera * camera.new_tensor([1.0, -1.0, -1.0])
    offset = translation.new_zeros((*translation.shape[:-1], 3))
    offset[..., :2] = translation
    return image + offset[..., None, :]


def pinhole(points: Tensor, rotation: Tensor, translation: Tensor, intrinsics: Tensor) -> Tensor:
    """A perspective camera: c = R x + t in a frame with x right, y down, z forward, then K c / c_z.

    This is the frame of OpenCV's calibration and of Multiface's KRT file, unlike the camera frame of
    `weak_perspective` (y up, z to the viewer).

    Args:
        points: (..., V, 3) metres.
        rotation: (..., 3, 3) and translation: (..., 3) metres, to the camera's frame.
        intrinsics: (..., 3, 3), K, pixels; its last row is (0, 0, 1).

    Returns:
        (..., V, 3): x right and y down in pixels, z the distance from the camera's plane in metres. Points in or behind
        that plane have no image: their x and y mean nothing (`rasterize` with `perspective` leaves them out).
    """
    camera = points @ rotation.transpose(-1, -2) + translation[..., None, :]
    depth = camera[..., 2:]
    safe = torch.where(depth == 0, torch.finfo(depth.dtype).tiny, depth)
    return torch.cat([(camera @ intrinsics.transpose(-1, -2))[..., :2] / safe, depth], -1)
