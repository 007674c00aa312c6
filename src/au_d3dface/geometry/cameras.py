"""Cameras."""

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
