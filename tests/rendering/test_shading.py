import math

import pytest
import torch
from torch.nn.functional import normalize

from au_d3dface.rendering import default_lighting, directional_lighting, shade, spherical_harmonics


def sphere(count=20_000, seed=0):
    return normalize(torch.randn(count, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64), dim=-1)


def test_terms_are_orthogonal_over_the_sphere():
    """The factors are those of orthonormal harmonics times 1, 2π/3 and π/4 for the orders 0, 1 and 2."""
    terms = spherical_harmonics(sphere(400_000))
    gram = 4 * math.pi * terms.T @ terms / len(terms)
    orders = torch.tensor([1.0, *(2 * math.pi / 3,) * 3, *(math.pi / 4,) * 5], dtype=torch.float64)
    assert torch.allclose(gram, torch.diag(orders**2), atol=0.04)


def test_terms_by_hand():
    terms = spherical_harmonics(torch.tensor([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]))
    assert terms[0].tolist() == pytest.approx([0.28209, 0, 0, 1.02333, 0, 0, 0, 0, 0.49542], abs=1e-4)
    assert terms[1].tolist() == pytest.approx([0.28209, 1.02333, 0, 0, 0, 0, 0, 0.42904, -0.24771], abs=1e-4)


def test_directional_light_is_the_clamped_cosine_to_second_order():
    normals = sphere()
    direction = normalize(torch.tensor([[0.3, -0.5, 0.7]], dtype=torch.float64), dim=-1)
    colour = torch.tensor([[1.0, 0.5, 0.25]], dtype=torch.float64)
    light = shade(normals, directional_lighting(3 * direction, colour, torch.zeros(3, dtype=torch.float64)))
    cosine = normals @ direction[0]
    expected = 0.25 + cosine / 2 + 5 / 32 * (3 * cosine**2 - 1)
    assert torch.allclose(light, expected[:, None] * colour, atol=1e-6)
    assert (light[:, 0] - cosine.clamp_min(0)).abs().max() < 0.1


def test_ambient_light_is_the_same_everywhere():
    lighting = directional_lighting(torch.zeros(0, 3), torch.zeros(0, 3), torch.tensor([0.2, 0.3, 0.4]))
    assert torch.allclose(shade(sphere().float(), lighting), torch.tensor([0.2, 0.3, 0.4]))


def test_one_light_for_each_picture():
    normals = sphere(24).float().reshape(2, 3, 4, 3)
    lighting = torch.randn(2, 9, 3)
    both = shade(normals, lighting)
    assert both.shape == (2, 3, 4, 3)
    for image in range(2):
        assert torch.allclose(both[image], shade(normals[image], lighting[image]), atol=1e-6)


def test_default_light_neither_burns_nor_drowns():
    seen = sphere().float()
    seen = seen[seen[:, 2] > 0.2]
    light = shade(seen, default_lighting())
    assert light.min() > 0.2
    assert light.max() < 1.15
    assert 0.7 < shade(torch.tensor([0.0, 0.0, 1.0]), default_lighting()).mean() < 1
