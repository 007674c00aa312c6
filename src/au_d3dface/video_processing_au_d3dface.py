"""Face crops for the video branch: a square around the landmarks, 224 x 224, normalised as Kinetics Video Swin was."""

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, grid_sample
from transformers import AutoVideoProcessor
from transformers.image_utils import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD, PILImageResampling
from transformers.video_processing_utils import BaseVideoProcessor

from .configuration_au_d3dface import AUD3DFaceConfig
from .hub.mixin import PushToHub

BOX_SCALE = 1.1 * 1.25
"""Side of the crop over the mean side of the landmarks' box: DECA's 1.1 from landmarks to face, 1.25 for margin."""


_MEAN_AND_STD = (IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD)
"""The numbers of Swin3D_T_Weights.KINETICS400_V1 too."""


def face_box(landmarks: np.ndarray) -> tuple[float, float, float]:
    """The square crop of a face, as DECA takes it: centre x, centre y and side, pixels.

    The centre is that of the landmarks' bounding box, the side (width + height) / 2 · 1.1 · 1.25.

    Args:
        landmarks: (P, 2 or 3) image pixels.

    Raises:
        ValueError: landmarks that are not finite (a frame without a face) or all in one place.
    """
    points = np.asarray(landmarks, dtype=np.float64)[:, :2]
    if not np.isfinite(points).all():
        raise ValueError("a face without finite landmarks cannot be cropped: leave the frame masked and its crop zero")
    low, high = points.min(0), points.max(0)
    side = float((high - low).mean()) * BOX_SCALE
    if side <= 0:
        raise ValueError("landmarks that all lie in one place have no box")
    x, y = (low + high) / 2
    return float(x), float(y), side


def crop_face(image: np.ndarray, landmarks: np.ndarray, size: int = 224) -> Tensor:
    """Cuts the face out of a picture, without aliasing; black where the square leaves the picture.

    Args:
        image: (H, W, 3) uint8 RGB.
        landmarks: (P, 2 or 3) pixels of this picture.
        size: side of the crop, pixels.

    Returns:
        (3, size, size) uint8: one frame of what [`AUD3DFaceVideoProcessor`] takes.

    Raises:
        ValueError: as `face_box`, or an image of another shape.
    """
    if image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f"image must be (H, W, 3), not {image.shape}")
    x, y, side = face_box(landmarks)
    height, width = image.shape[:2]
    # Only the part of the picture under the square is converted; two pixels of margin keep the interpolation whole.
    left, top = max(0, math.floor(x - side / 2) - 2), max(0, math.floor(y - side / 2) - 2)
    right, bottom = min(width, math.ceil(x + side / 2) + 2), min(height, math.ceil(y + side / 2) + 2)
    if left >= right or top >= bottom:
        return torch.zeros(3, size, size, dtype=torch.uint8)
    part = torch.from_numpy(np.ascontiguousarray(image[top:bottom, left:right])).permute(2, 0, 1)[None].float()
    # Several samples a pixel where the square is larger than the crop, then their mean.
    samples = max(1, math.ceil(side / size))
    steps = (torch.arange(size * samples) + 0.5) / (size * samples) - 0.5
    columns = (x + side * steps - left) / (right - left) * 2 - 1
    rows = (y + side * steps - top) / (bottom - top) * 2 - 1
    grid = torch.stack(torch.meshgrid(rows, columns, indexing="ij")[::-1], -1)[None].float()
    crop = grid_sample(part, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    return avg_pool2d(crop, samples)[0].round().clamp(0, 255).to(torch.uint8)


def normalise_crops(crops: Tensor) -> Tensor:
    """What [`AUD3DFaceVideoProcessor`] does to crops that have their size already, on their device.

    Args:
        crops: (..., 3, H, W) uint8.

    Returns:
        (..., 3, H, W) float32.
    """
    mean, std = (torch.tensor(values, device=crops.device)[:, None, None] for values in _MEAN_AND_STD)
    return (crops.float() / 255 - mean) / std


class AUD3DFaceVideoProcessor(PushToHub, BaseVideoProcessor):
    r"""
    Turns videos of face crops (see `crop_face`) into `pixel_values_videos` (B, T, 3, 224, 224): resized where they have
    another size, scaled to [0, 1], and normalised with the mean and deviation of torchvision's Kinetics-400 weights.

    ```python
    >>> processor = AUD3DFaceVideoProcessor()
    >>> crops = torch.stack([crop_face(image, points) for image, points in zip(images, landmarks)])  # (T, 3, 224, 224)
    >>> pixel_values_videos = processor(crops, return_tensors="pt")["pixel_values_videos"]
    ```
    """

    resample = PILImageResampling.BILINEAR
    image_mean, image_std = _MEAN_AND_STD
    size = {"height": 224, "width": 224}  # noqa: RUF012 (the base class reads it so)
    do_resize = True
    do_center_crop = False
    do_rescale = True
    do_normalize = True
    do_convert_rgb = True
    do_sample_frames = False
    model_input_names = ["pixel_values_videos"]  # noqa: RUF012

    def __init__(self, **options):
        options.pop("auto_map", None)  # of a repository with a remote-code file, which nothing that is saved here has
        super().__init__(**options)


AutoVideoProcessor.register(AUD3DFaceConfig, AUD3DFaceVideoProcessor, exist_ok=True)
