"""The face crop that DECA and EMOCA were trained on, and the way back from it to the picture.

A square around the bounding box of 68 landmarks, its side (width + height) / 2 · 1.1 · 1.25 rounded down to whole
pixels, sampled at 224 x 224 points with bilinear interpolation and nothing against aliasing; black outside the picture.
The authors took the 68 landmarks from the detector FAN. Here they are the 68 of the tracked 468 that stand for the same
points, so that no second detector is needed: jaw line, brows, nose, eyes and mouth, without the forehead.
"""

from dataclasses import dataclass

import numpy as np

from ..face_models.ibug68 import IBUG_68_OF_468
from .deca_encoder import CROP_SIZE

LANDMARK_MARGIN, BOX_MARGIN = 1.1, 1.25
"""Factors from the mean side of the landmarks' box to the face, and from the face to the crop."""

_ROWS = np.array(IBUG_68_OF_468)


@dataclass(frozen=True)
class CropBox:
    """The square of a picture that becomes a crop.

    Sample i of the crop (0 to 223) along x lies at left + i · side / 223, along y at top + i · side / 223, counted as
    the authors' code counts: from the middle of the first pixel. (Elsewhere here the middle of a pixel is at 0.5.)

    Attributes:
        left, top: pixels.
        side: whole pixels.
    """

    left: float
    top: float
    side: int

    @property
    def step(self) -> float:
        """Pixels of the picture from one sample of the crop to the next."""
        return self.side / (CROP_SIZE - 1)


def deca_box(landmarks: np.ndarray) -> CropBox:
    """The square of a face.

    Args:
        landmarks: (478, 2 or 3) or (468, 2 or 3) pixels in the image frame.

    Raises:
        ValueError: landmarks that are not finite, or a box of less than one pixel.
    """
    points = landmarks[_ROWS, :2].astype(np.float64) - 0.5
    if not np.isfinite(points).all():
        raise ValueError("a face without finite landmarks cannot be cropped")
    low, high = points.min(0), points.max(0)
    side = int((high - low).sum() / 2 * LANDMARK_MARGIN * BOX_MARGIN)
    if side < 1:
        raise ValueError("a face smaller than a pixel cannot be cropped")
    left, top = (low + high) / 2 - side / 2
    return CropBox(float(left), float(top), side)


def deca_crop(image: np.ndarray, box: CropBox) -> np.ndarray:
    """Cuts the square out of a picture.

    Args:
        image: (H, W, 3) uint8 RGB.
        box: of `deca_box`.

    Returns:
        (3, 224, 224) float32 in [0, 1].
    """
    height, width = image.shape[:2]
    rows, row_weights = _taps(box.top, box.step, height)
    columns, column_weights = _taps(box.left, box.step, width)
    pixels = image[rows[:, None, :, None], columns[None, :, None, :]]  # (2, 2, 224, 224, 3)
    weights = row_weights[:, None, :, None] * column_weights[None, :, None, :]
    crop = np.einsum("abij,abijc->cij", weights.astype(np.float32), pixels.astype(np.float32))
    return crop / np.float32(255)


def _taps(start: float, step: float, length: int) -> tuple[np.ndarray, np.ndarray]:
    """(2, 224) indices of the two pixels that each sample lies between, and their weights: 0 outside the picture."""
    position = start + step * np.arange(CROP_SIZE)
    below = np.floor(position)
    indices = np.stack([below, below + 1])
    weights = np.stack([below + 1 - position, position - below]) * ((indices >= 0) & (indices < length))
    return indices.clip(0, length - 1).astype(np.int64), weights
