"""Face crops and their normalisation."""

import numpy as np
import pytest
import torch
from transformers import AutoVideoProcessor

from au_d3dface.configuration_au_d3dface import AUD3DFaceConfig
from au_d3dface.video_processing_au_d3dface import AUD3DFaceVideoProcessor, crop_face, face_box


def test_the_box_is_deca_s():
    landmarks = np.array([[100.0, 50.0, 1.0], [180.0, 90.0, 2.0], [120.0, 170.0, 3.0]])  # 80 wide, 120 high
    assert face_box(landmarks) == pytest.approx((140.0, 110.0, 100 * 1.1 * 1.25))


@pytest.mark.parametrize("landmarks", [np.full((3, 2), np.nan), np.ones((3, 2))])
def test_no_face_has_no_box(landmarks):
    with pytest.raises(ValueError, match="landmarks"):
        face_box(landmarks)


@pytest.mark.parametrize("scale", [0.4, 1.0, 3.3])
def test_points_land_where_the_box_says(scale):
    """A picture whose red is its x and green its y: every pixel of the crop tells where it came from."""
    width, height = round(500 * scale), round(400 * scale)
    x, y = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    image = np.stack([x / width * 255, y / height * 255, 0 * x], -1).round().astype(np.uint8)
    landmarks = np.array([[200.0, 120.0], [300.0, 260.0]]) * scale
    crop = crop_face(image, landmarks)
    assert crop.shape == (3, 224, 224)
    assert crop.dtype == torch.uint8
    centre_x, centre_y, side = face_box(landmarks)
    at = ((torch.arange(224) + 0.5) / 224 - 0.5) * side
    assert (crop[0] - (centre_x + at) / width * 255).abs().max() < 2
    assert (crop[1] - ((centre_y + at) / height * 255)[:, None]).abs().max() < 2


def test_outside_of_the_picture_is_black():
    image = np.full((100, 100, 3), 200, np.uint8)
    crop = crop_face(image, np.array([[-20.0, 30.0], [60.0, 110.0]]))
    assert crop[:, :, :60].max() == 0
    assert crop[:, 100, 150].tolist() == [200, 200, 200]
    far = crop_face(image, np.array([[500.0, 500.0], [600.0, 600.0]]))
    assert far.max() == 0


def test_a_large_face_is_not_aliased():
    checkers = np.indices((1500, 1500)).sum(0) % 2 * 255
    image = np.repeat(checkers[..., None], 3, -1).astype(np.uint8)
    crop = crop_face(image, np.array([[250.0, 250.0], [1250.0, 1250.0]]))[0].float()
    assert crop[5:-5, 5:-5].std() < 25, "one-pixel checkers average to grey"
    assert crop[5:-5, 5:-5].mean() == pytest.approx(127.5, abs=3)


def test_gray_pictures_are_refused():
    with pytest.raises(ValueError, match=r"\(H, W, 3\)"):
        crop_face(np.zeros((10, 10), np.uint8), np.array([[0.0, 0.0], [9.0, 9.0]]))


def test_crops_are_normalised_as_kinetics_swin_was():
    crops = torch.randint(0, 256, (5, 3, 224, 224), dtype=torch.uint8)
    pixels = AUD3DFaceVideoProcessor()(crops, return_tensors="pt")["pixel_values_videos"]
    assert pixels.shape == (1, 5, 3, 224, 224)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    expected = (crops / 255 - mean[:, None, None]) / std[:, None, None]
    torch.testing.assert_close(pixels[0], expected, atol=1e-5, rtol=1e-5)


def test_other_sizes_are_resized():
    pixels = AUD3DFaceVideoProcessor()(torch.zeros(2, 3, 100, 80, dtype=torch.uint8), return_tensors="pt")
    assert pixels["pixel_values_videos"].shape == (1, 2, 3, 224, 224)
    small = AUD3DFaceVideoProcessor(size={"height": 32, "width": 32})
    assert small(torch.zeros(2, 3, 9, 9), return_tensors="pt")["pixel_values_videos"].shape == (1, 2, 3, 32, 32)


def test_the_processor_is_saved_and_found_by_the_auto_class(tmp_path):
    AUD3DFaceVideoProcessor(size={"height": 32, "width": 32}).save_pretrained(tmp_path)
    AUD3DFaceConfig().save_pretrained(tmp_path)
    loaded = AutoVideoProcessor.from_pretrained(tmp_path)
    assert type(loaded) is AUD3DFaceVideoProcessor
    assert dict(loaded.size) == {"height": 32, "width": 32}


def test_a_mirrored_picture_gives_the_mirrored_crop():
    """Holds only where samples lie at pixel centres: half a pixel off, and the two differ."""
    image = np.random.default_rng(0).integers(0, 256, (90, 120, 3), dtype=np.uint8)
    landmarks = np.array([[30.0, 20.0], [80.0, 70.0]])
    mirrored = crop_face(image[:, ::-1], landmarks * [-1, 1] + [120, 0])
    difference = crop_face(image, landmarks).flip(-1).int() - mirrored.int()
    assert difference.abs().max() <= 1
