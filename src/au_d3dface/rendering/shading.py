"""Spherical-harmonic shading of the second order, in DECA's convention.

Reflected light of a matt surface: colour(n) = albedo · Σ_k l_k · Y_k(n), with nine terms Y_k of the unit normal n and a
coefficient l_k for each colour channel (Ramamoorthi and Hanrahan, "An efficient representation for irradiance
environment maps", 2001). The factors below are DECA's, so its 27 lighting numbers are `lighting` (9, 3) here.
"""

import math

import torch
from torch import Tensor

_CONSTANT = 1 / math.sqrt(4 * math.pi)
_LINEAR = (2 * math.pi / 3) * math.sqrt(3 / (4 * math.pi))
_PRODUCT = (math.pi / 4) * 3 * math.sqrt(5 / (12 * math.pi))
_FACTORS = (
    _CONSTANT,
    *(_LINEAR,) * 3,
    *(_PRODUCT,) * 3,
    _PRODUCT / 2,
    (math.pi / 4) * 0.5 * math.sqrt(5 / (4 * math.pi)),
)


def spherical_harmonics(normals: Tensor) -> Tensor:
    """The nine terms 1, x, y, z, xy, xz, yz, x² - y², 3z² - 1, each with its factor.

    Args:
        normals: (..., 3) unit length, in the frame of the light.

    Returns:
        (..., 9).
    """
    x, y, z = normals.unbind(-1)
    terms = torch.stack([torch.ones_like(x), x, y, z, x * y, x * z, y * z, x * x - y * y, 3 * z * z - 1], -1)
    return terms * terms.new_tensor(_FACTORS)


def shade(normals: Tensor, lighting: Tensor) -> Tensor:
    """Light reflected by a white surface; multiply by the albedo. Works for vertices and for pixels.

    Args:
        normals: (B, ..., 3) or (..., 3) unit length. Where a mesh is seen by DECA's camera, these are its normals in
            the head frame after the head's rotation: x right in the picture, y up, z to the viewer.
        lighting: (9, 3), or (B, 9, 3) with one light for each of B pictures.

    Returns:
        The shape of `normals`, the last axis being red, green and blue. Not clamped: the second order can undershoot
        zero slightly on the dark side.
    """
    terms = spherical_harmonics(normals)
    if lighting.ndim == 2:
        return terms @ lighting
    return (terms.flatten(1, -2) @ lighting).reshape(*terms.shape[:-1], 3)


def directional_lighting(directions: Tensor, colours: Tensor, ambient: Tensor) -> Tensor:
    """Coefficients of lights far away, and of light from everywhere.

    A light from the unit direction d reflects max(0, n · d) ≈ 1/4 + (n · d) / 2 + 5/32 (3 (n · d)² - 1), the first
    three orders of the clamped cosine.

    Args:
        directions: (L, 3) from the surface to the light; need not have unit length.
        colours: (L, 3) what a white surface that faces the light reflects.
        ambient: (3,) what it reflects in any direction.

    Returns:
        (9, 3) `lighting` for `shade`.
    """
    x, y, z = torch.nn.functional.normalize(directions, dim=-1).unbind(-1)
    second = 15 / 32
    terms = torch.stack(
        [
            torch.full_like(x, 0.25),
            *(0.5 * x, 0.5 * y, 0.5 * z),
            *(second * 2 * x * y, second * 2 * x * z, second * 2 * y * z),
            second * 0.5 * (x * x - y * y),
            second / 6 * (3 * z * z - 1),
        ],
        -1,
    )
    lighting = terms.T @ colours
    lighting[0] += ambient
    return lighting / lighting.new_tensor(_FACTORS)[:, None]


def default_lighting() -> Tensor:
    """(9, 3): a pleasant light for faces: a warm key from above left, a cool fill from the right, and some from around.

    A white surface that faces the viewer is about as bright as its albedo. The frame is that of the camera: x right in
    the picture, y up, z to the viewer.
    """
    return directional_lighting(
        torch.tensor([[-0.5, 0.6, 0.8], [0.9, 0.1, 0.5], [0.0, 1.0, -0.6]]),
        torch.tensor([[0.62, 0.59, 0.55], [0.20, 0.22, 0.25], [0.12, 0.12, 0.13]]),
        torch.tensor([0.30, 0.30, 0.31]),
    )
