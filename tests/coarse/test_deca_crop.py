"""DECA's crop: the square, the sampling, and what lies outside the picture."""

import numpy as np
import pytest
from scipy.ndimage import map_coordinates

from au_d3dface.coarse.deca_crop import CropBox, deca_box, deca_crop
from au_d3dface.face_models.ibug68 import IBUG_68_OF_468


def landmarks_with_box(left: float, top: float, right: float, bottom: float) -> np.ndarray:
    """(478, 3) whose 68 lie in this box and touch its sides; the others are far away."""
    points = np.full((478, 3), -500.0, np.float32)
    inside = np.random.default_rng(0).uniform((left, top), (right, bottom), (68, 2))
    inside[:4] = [[left, top], [right, bottom], [left, bottom], [right, top]]
    points[list(IBUG_68_OF_468), :2] = inside
    return points


def picture(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_the_square_is_around_the_68_landmarks_and_no_others():
    box = deca_box(landmarks_with_box(100.5, 50.5, 180.5, 150.5))
    assert box.side == int((80 + 100) / 2 * 1.1 * 1.25) == 123  # rounded down: 123.75
    # The middle of the box, counted from the middle of the first pixel.
    assert (box.left + box.side / 2, box.top + box.side / 2) == pytest.approx((140, 100))


@pytest.mark.parametrize(
    "box",
    [
        CropBox(30.25, 21.5, 150),
        CropBox(12.0, 8.0, 223),
        CropBox(-40.3, -10.75, 120),
        CropBox(-30.5, -60.25, 500),
        CropBox(150.1, 100.9, 30),
    ],
    ids=["inside", "pixel by pixel", "over the corner", "larger than the picture", "enlarged"],
)
def test_sampling_is_bilinear_and_black_outside(box):
    image = picture(180, 240)
    crop = deca_crop(image, box)
    assert crop.shape == (3, 224, 224)
    assert crop.dtype == np.float32
    steps = np.arange(224) * box.side / 223
    where = np.stack(np.meshgrid(box.top + steps, box.left + steps, indexing="ij"))
    padded = np.pad(image, ((2, 2), (2, 2), (0, 0))).astype(float) / 255  # so that the edge fades into black
    for channel in range(3):
        expected = map_coordinates(padded[..., channel], where + 2, order=1, mode="constant")
        np.testing.assert_allclose(crop[channel], expected, atol=1e-6)


def test_a_square_of_223_pixels_at_whole_pixels_is_the_picture_itself():
    image = picture(300, 300)
    crop = deca_crop(image, CropBox(12.0, 8.0, 223))
    assert np.array_equal((crop * 255).round().astype(np.uint8).transpose(1, 2, 0), image[8:232, 12:236])


def test_a_square_far_outside_is_black():
    assert not deca_crop(picture(50, 60), CropBox(500.0, -900.0, 80)).any()


def test_landmarks_without_a_crop():
    lost = landmarks_with_box(100, 50, 180, 150)
    lost[IBUG_68_OF_468[3], 1] = np.nan
    with pytest.raises(ValueError, match="finite"):
        deca_box(lost)
    with pytest.raises(ValueError, match="smaller than a pixel"):
        deca_box(landmarks_with_box(100, 50, 100.2, 50.2))
