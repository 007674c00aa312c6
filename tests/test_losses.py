"""Every term against its equation, by hand, and what is unknown counts for nothing."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from au_d3dface.configuration_au_d3dface import AUD3DFaceConfig
from au_d3dface.losses import (
    ReconstructionLoss,
    au_loss,
    balanced_class_weights,
    image_loss,
    intensity_loss,
    landmark_loss,
    smoothness_loss,
    vertex_loss,
)
from au_d3dface.outputs_au_d3dface import AUD3DFaceReconstructionOutput


def output(batch=2, frames=5, units=3, vertices=4, size=6, seed=0):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(batch, frames, units, generator=generator)
    return AUD3DFaceReconstructionOutput(
        vertices=torch.randn(batch, frames, vertices, 3, generator=generator) * 0.01,
        au_logits=logits,
        au_probabilities=logits.sigmoid(),
        au_intensities=5 * torch.rand(batch, frames, units, generator=generator),
        temporal_embeddings=torch.randn(batch, frames, size, generator=generator),
    )


def test_smoothness_is_eq_14():
    z = torch.tensor([[[0.0, 0.0], [1.0, -2.0], [1.0, 0.0]]])  # changes: |1| + |-2|, then |0| + |2|
    assert smoothness_loss(z, reduction="sum") == 5
    assert smoothness_loss(z) == 5 / 4
    assert smoothness_loss(z, torch.tensor([[True, True, False]])) == 3 / 2
    assert smoothness_loss(z, torch.tensor([[True, False, True]])) == 0
    assert smoothness_loss(z[:, :1]) == 0
    with pytest.raises(ValueError, match="reduction"):
        smoothness_loss(z, reduction="max")


def test_cross_entropy_is_eq_15_over_known_labels():
    probabilities = torch.tensor([[[0.9, 0.2, 0.6], [0.3, 0.7, 0.5]]])
    labels = torch.tensor([[[1, 0, -1], [-1, 1, 0]]])
    terms = [-math.log(0.9), -math.log(0.8), -math.log(0.7), -math.log(0.5)]
    assert au_loss(probabilities.logit(), labels).item() == pytest.approx(sum(terms) / 4, rel=1e-5)
    weights = torch.tensor([2.0, 0.5, 1.0])
    weighted = 2 * terms[0] + 0.5 * terms[1] + 0.5 * terms[2] + terms[3]
    assert au_loss(probabilities.logit(), labels, class_weights=weights).item() == pytest.approx(weighted / 4, rel=1e-5)
    first = au_loss(probabilities.logit(), labels, torch.tensor([[True, False]]))
    assert first.item() == pytest.approx(sum(terms[:2]) / 2, rel=1e-5)


def test_class_weights_are_those_that_others_published_for_bp4d():
    published = torch.tensor([1.133, 1.520, 1.309, 0.552, 0.507, 0.443, 0.474, 0.535, 1.496, 0.750, 1.583, 1.699])
    weights = balanced_class_weights((0.1 / published).tolist())  # rates are known up to a factor
    torch.testing.assert_close(weights, published, atol=2e-3, rtol=0)
    assert balanced_class_weights([0.2, 0.2]).tolist() == [1, 1]
    with pytest.raises(ValueError, match="never occurs"):
        balanced_class_weights([0.2, 0.0])


def test_intensity_is_the_squared_error_of_known_levels():
    levels = torch.tensor([[[0.0, 3.0, -1.0]]])
    assert intensity_loss(torch.tensor([[[1.0, 1.0, 5.0]]]), levels) == (1 + 4) / 2


def test_vertices_are_compared_in_place_or_as_displacements():
    true = torch.zeros(1, 2, 3, 3)
    moved = true + torch.tensor([0.003, 0.0, 0.004])
    assert vertex_loss(moved, true).item() == pytest.approx(0.005**2)
    assert vertex_loss(moved, true, unit=0.005).item() == pytest.approx(1)
    neutral = torch.zeros(1, 3, 3)
    shifted = neutral + torch.tensor([0.003, 0.0, 0.004])
    assert vertex_loss(moved, true, None, shifted, neutral).item() == pytest.approx(0, abs=1e-12)
    moved[:, 1] = torch.nan
    assert vertex_loss(moved, true, torch.tensor([[True, False]]), unit=0.005).item() == pytest.approx(1)
    with pytest.raises(ValueError, match="both neutral faces"):
        vertex_loss(moved, true, None, shifted)


def test_landmarks_are_eq_12_and_13():
    points = torch.tensor([[[[0.01, 0.02, 0.0], [0.0, 0.0, 0.05]]]])
    eye = torch.eye(3).expand(1, 1, 3, 3)
    camera = {"rotation": eye, "scale": torch.full((1, 1), 1000.0), "translation": torch.tensor([[[100.0, 60.0]]])}
    # x = 1000 · 0.01 + 100, y = -1000 · 0.02 + 60; the second at the translation itself
    exact = torch.tensor([[[[110.0, 40.0], [100.0, 60.0]]]])
    assert landmark_loss(points, **camera, landmarks=exact, image_size=(120, 200)).item() == pytest.approx(0, abs=2e-6)
    off = exact + torch.tensor([[30.0, 24.0], [0.0, 0.0]])  # 0.3 and 0.4 of [-1, 1]
    loss = landmark_loss(points, **camera, landmarks=off, image_size=(120, 200))
    assert loss.item() == pytest.approx(0.25, rel=1e-4)
    known = torch.tensor([[[True, False]]])
    masked = landmark_loss(points, **camera, landmarks=off, image_size=(120, 200), landmark_mask=known)
    assert masked.item() == pytest.approx(0.5, rel=1e-4)


def test_pictures_are_eq_13_inside_the_skin_mask():
    images = torch.zeros(1, 3, 2, 2, 3)
    rendered = images.clone()
    rendered[0, 0, 0, 0] = torch.tensor([0.3, 0.0, 0.6])  # mean over channels 0.3
    rendered[0, 0, 1, 1] = 9.0  # not skin
    rendered[0, 1] = 0.2
    rendered[0, 2] = torch.nan  # a frame without skin
    skin = torch.tensor([[[[1, 1], [1, 0]], [[0, 1], [0, 0]], [[0, 0], [0, 0]]]], dtype=torch.bool)
    assert image_loss(rendered, images, skin).item() == pytest.approx((0.3 / 3 + 0.2) / 2)
    first = torch.tensor([[True, False, True]])
    assert image_loss(rendered, images, skin, first).item() == pytest.approx(0.1)
    free = rendered.requires_grad_()
    nothing = image_loss(free, images, torch.zeros_like(skin))
    nothing.backward()
    assert nothing == 0
    assert not free.grad.any()


def test_terms_are_computed_in_full_precision_under_autocast_and_from_halves():
    generator = torch.Generator().manual_seed(0)
    images, rendered = torch.rand(2, 1, 2, 96, 96, 3, generator=generator)
    skin = torch.rand(1, 2, 96, 96, generator=generator) < 0.8
    points = torch.randn(1, 2, 68, 3, generator=generator) * 0.05
    camera = {"rotation": torch.eye(3).expand(1, 2, 3, 3), "scale": torch.full((1, 2), 999.0)}
    camera |= {
        "translation": torch.full((1, 2, 2), 111.0),
        "landmarks": 224 * torch.rand(1, 2, 68, 2, generator=generator),
    }
    expected = [image_loss(rendered, images, skin), landmark_loss(points, **camera, image_size=(224, 224))]
    with torch.autocast("cpu", torch.bfloat16):
        found = [image_loss(rendered, images, skin), landmark_loss(points, **camera, image_size=(224, 224))]
    for value, wanted in zip(found, expected, strict=True):
        assert value.dtype == torch.float32
        torch.testing.assert_close(value, wanted)
    half = image_loss(rendered.bfloat16(), images, skin)
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, expected[0], rtol=5e-3, atol=0)
    logits = torch.tensor([[[300.0, -300.0]]], dtype=torch.bfloat16, requires_grad=True)
    for term in (au_loss(logits, torch.tensor([[[0.0, 1.0]]])), smoothness_loss(logits.expand(1, 3, 2))):
        term.backward()
        assert term.isfinite()
        assert logits.grad.isfinite().all()


@settings(deadline=None, max_examples=30)
@given(mask=st.lists(st.lists(st.booleans(), min_size=5, max_size=5), min_size=2, max_size=2), seed=st.integers(0, 99))
def test_what_is_masked_or_unknown_changes_no_term_and_gets_no_gradient(mask, seed):
    mask, generator = torch.tensor(mask), torch.Generator().manual_seed(seed)
    loss = ReconstructionLoss(AUD3DFaceConfig(action_units=(1, 2, 4)), vertices=1.0)
    labels = torch.randint(-1, 2, (2, 5, 3), generator=generator).float()
    levels = torch.randint(-1, 6, (2, 5, 3), generator=generator).float()
    true = torch.randn(2, 5, 4, 3, generator=generator) * 0.01
    names = ("vertices", "au_logits", "au_intensities", "temporal_embeddings")
    one = output(seed=seed)
    for name in names:
        one[name].requires_grad_()
    other = output(seed=seed)
    for name in names:
        inside = mask.view(2, 5, *[1] * (other[name].ndim - 2))
        other[name] = torch.where(inside, other[name], 1e3)
    terms = loss(one, labels, levels, mask, true)
    for name, value in loss(other, labels, levels, mask, true).items():
        torch.testing.assert_close(terms[name], value)
    terms["loss"].backward()
    for name in names:
        assert one[name].grad.isfinite().all()
        assert not one[name].grad[~mask].any()


def test_the_sum_is_eq_11_and_every_term_has_its_name():
    config = AUD3DFaceConfig(action_units=(1, 2, 4), au_positive_rates=(0.1, 0.2, 0.4))
    loss = ReconstructionLoss(config, vertices=3.0)
    labels, levels = torch.ones(2, 5, 3), torch.full((2, 5, 3), 2.0)
    points, camera = torch.zeros(2, 5, 4, 3), (torch.eye(3).expand(2, 5, 3, 3), torch.ones(2, 5), torch.ones(2, 5, 2))
    landmarks = {
        "points": points,
        "rotation": camera[0],
        "scale": camera[1],
        "translation": camera[2],
        "landmarks": torch.zeros(2, 5, 4, 2),
        "image_size": (2, 2),
    }
    image = {
        "rendered": torch.full((2, 5, 4, 4, 3), 0.5),
        "images": torch.ones(2, 5, 4, 4, 3),
        "skin_mask": torch.ones(2, 5, 4, 4, dtype=torch.bool),
    }
    terms = loss(output(), labels, levels, None, torch.zeros(2, 5, 4, 3), image=image, landmarks=landmarks)
    assert terms.keys() == {"loss", "smooth", "au", "intensity", "vertices", "landmarks", "image"}
    expected = terms["smooth"] + 5 * terms["au"] + 2 * terms["landmarks"] + 2 * terms["image"]
    expected = expected + terms["intensity"] + 3 * terms["vertices"]  # these two are not the paper's
    torch.testing.assert_close(terms["loss"], expected)
    assert terms["landmarks"].item() == pytest.approx(math.sqrt(2))
    weights = balanced_class_weights(config.au_positive_rates)
    torch.testing.assert_close(terms["au"], au_loss(output().au_logits, labels, None, weights))
    assert loss(output(), labels).keys() == {"loss", "smooth", "au"}


def test_switches_of_the_config_reach_the_loss():
    units = {"action_units": (1, 2, 4)}
    static = ReconstructionLoss(AUD3DFaceConfig(**units, use_temporal=False, predict_intensity=False))
    labels = torch.ones(2, 5, 3)
    assert static(output(), labels, labels).keys() == {"loss", "au"}
    printed = ReconstructionLoss(AUD3DFaceConfig(**units, au_class_weights=None, smooth_reduction="sum"))
    terms = printed(output(), labels)
    torch.testing.assert_close(terms["au"], au_loss(output().au_logits, labels))
    torch.testing.assert_close(terms["smooth"], smoothness_loss(output().temporal_embeddings, reduction="sum"))
    given_weights = ReconstructionLoss(AUD3DFaceConfig(**units, au_class_weights=(1, 2, 3)))
    assert given_weights.class_weights.tolist() == [1, 2, 3]
