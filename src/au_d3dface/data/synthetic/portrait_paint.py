"""The portrait's colours: skin, lips, eyes, teeth and cloth as functions of the place on the rest head.

Places are in the head frame, metres; colours are linear RGB albedo.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import grid_sample, normalize

Colour = tuple[float, float, float]


@dataclass(frozen=True)
class Look:
    """Colours of one person, linear RGB albedo."""

    skin: Colour = (0.53, 0.305, 0.215)
    lips: Colour = (0.39, 0.135, 0.125)
    hair: Colour = (0.045, 0.026, 0.015)
    brow: Colour = (0.058, 0.036, 0.024)
    lash: Colour = (0.012, 0.009, 0.008)
    iris: Colour = (0.115, 0.065, 0.030)
    cloth: Colour = (0.055, 0.105, 0.135)


# The lips' border, the subject's left half from the middle outwards: x, upper y, lower y.
_LIPS = torch.tensor(
    [
        [0.0000, -0.0515, -0.0705],
        [0.0073, -0.0509, -0.0703],
        [0.0125, -0.0525, -0.0692],
        [0.0175, -0.0548, -0.0673],
        [0.0253, -0.0619, -0.0621],
    ]
)
# Brow line of the subject's left side, from the nose outwards.
BROW_X = torch.tensor([0.0125, 0.0245, 0.0375, 0.0490, 0.0570])
_BROW_Y = torch.tensor([0.0300, 0.0345, 0.0355, 0.0325, 0.0265])
_EYE_X, _EYE_Y = 0.03095, 0.00945


def smooth(x: Tensor) -> Tensor:
    """0 below 0, 1 above 1, smooth between."""
    x = x.clamp(0, 1)
    return x * x * (3 - 2 * x)


def piecewise(x: Tensor, knots: Tensor, values: Tensor) -> Tensor:
    """Piecewise linear interpolation, constant beyond the ends."""
    x = x.clamp(float(knots[0]), float(knots[-1])).contiguous()
    cell = torch.searchsorted(knots.contiguous(), x).clamp(1, len(knots) - 1)
    share = (x - knots[cell - 1]) / (knots[cell] - knots[cell - 1])
    return values[cell - 1] + share * (values[cell] - values[cell - 1])


def brow_line(x: Tensor) -> Tensor:
    """Height of the middle of the brow, by the distance from the face's middle."""
    return piecewise(x, BROW_X, _BROW_Y)


def blob(place: Tensor, centre: Colour, radius: Colour) -> Tensor:
    """A soft spot on both halves of the face, 1 in its middle."""
    offset = (torch.cat([place[:, :1].abs(), place[:, 1:]], 1) - torch.tensor(centre)) / torch.tensor(radius)
    return torch.exp(-(offset**2).sum(-1))


class Noise:
    """Smooth noise in space, in about -1 to 1, one unit from one bump to the next."""

    def __init__(self, seed: int, size: int = 48) -> None:
        values = torch.randn(1, 3, size, size, size, generator=torch.Generator().manual_seed(seed)) * 0.6
        # The last layer repeats the first, so that the lattice can be walked around.
        for axis in (2, 3, 4):
            values = torch.cat([values, values.narrow(axis, 0, 1)], axis)
        self._values, self._size = values, size

    def vector(self, place: Tensor) -> Tensor:
        """(P, 3) to (P, 3)."""
        place = place + torch.tensor([7.3, 11.1, 17.7])
        whole = place.floor()
        share = place - whole
        share = share * share * (3 - 2 * share)
        wrapped = torch.remainder(whole, self._size) + share
        grid = (wrapped / self._size * 2 - 1).reshape(1, -1, 1, 1, 3)
        return grid_sample(self._values, grid, align_corners=True)[0, :, :, 0, 0].T

    def __call__(self, place: Tensor) -> Tensor:
        """(P, 3) to (P,)."""
        return self.vector(place)[:, 0]


def cloth_weight(rest: Tensor) -> Tensor:
    """(V,) 0 on skin to 1 under the shirt, whose collar runs round the base of the neck."""
    return smooth(_below_neckline(rest) / 0.003 + 0.5)


def _below_neckline(place: Tensor) -> Tensor:
    """Metres under the border of the shirt."""
    line = piecewise(
        place[:, 2], torch.tensor([-0.09, -0.02, 0.03, 0.08]), torch.tensor([-0.105, -0.117, -0.135, -0.150])
    )
    return line - place[:, 1]


# Height above which the scalp has hair, by depth z: nape, behind the ear, temple, forehead's corner, forehead.
_HAIRLINE_Z = torch.tensor([-0.080, -0.035, 0.004, 0.030, 0.052, 0.075, 0.100])
_HAIRLINE_Y = torch.tensor([-0.105, -0.075, 0.000, 0.012, 0.060, 0.076, 0.080])


def scalp_weight(rest: Tensor) -> Tensor:
    """(V,) 0 on skin to 1 on the scalp, soft over a centimetre."""
    line = piecewise(rest[:, 2], _HAIRLINE_Z, _HAIRLINE_Y)
    x = rest[:, 0].abs()
    ear = (x > 0.0745) & (rest[:, 2] < 0.026) & (rest[:, 2] > -0.032) & (rest[:, 1] < 0.036)
    return torch.where(ear, 0.0, smooth((rest[:, 1] - line + 0.004) / 0.010))


def surface(
    place: Tensor, normal: Tensor, part: Tensor, parts: dict[str, int], look: Look, noise: Noise, raised: float
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Material of pixels.

    Args:
        place: (P, 3) on the rest head. normal: (P, 3) camera frame. part: (P,) of `parts`. raised: 0-1, raised brows.

    Returns:
        albedo (P, 3), gloss (P,), sharpness of highlights (P,), normal (P, 3).
    """
    albedo, gloss, sharpness, bumps = _skin(place, look, noise, raised)
    normal = normalize(normal + bumps, dim=-1)
    x, y, z = place.unbind(-1)

    hidden = (part == parts["sockets"]) | (part == parts["gums"])
    mouth = hidden & (y < -0.02)
    flesh = torch.tensor([0.34, 0.11, 0.10]) * (1 + 0.15 * noise(place * 250))[:, None]
    flesh = flesh * (0.25 + 0.75 * smooth((z - 0.03) / 0.07))[:, None]
    albedo = torch.where(mouth[:, None], flesh, albedo)
    rim = hidden & (y >= -0.02)  # inside of the lids
    albedo = torch.where(rim[:, None], torch.tensor(look.skin) * torch.tensor([0.92, 0.66, 0.62]), albedo)
    gloss = torch.where(rim, 0.12, torch.where(mouth, 0.10, gloss))
    sharpness = torch.where(hidden, 60.0, sharpness)

    teeth = part == parts["teeth"]
    enamel = torch.tensor([0.70, 0.64, 0.53]) * (1 + 0.03 * noise(place * 400))[:, None]
    albedo = torch.where(teeth[:, None], enamel * (0.35 + 0.65 * smooth((z - 0.055) / 0.055))[:, None], albedo)
    gloss, sharpness = torch.where(teeth, 0.14, gloss), torch.where(teeth, 90.0, sharpness)

    eye = part == parts["eyeballs"]
    if eye.any():
        albedo[eye] = _eye(place[eye], normal[eye], look, noise)
        iris = torch.hypot(x.abs() - _EYE_X, y - _EYE_Y) < 0.0064
        gloss, sharpness = torch.where(eye, torch.where(iris, 0.9, 0.25), gloss), torch.where(eye, 500.0, sharpness)
    return albedo.clamp(0.002, 1), gloss, sharpness, normal


def _skin(place: Tensor, look: Look, noise: Noise, raised: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    x, y, z = place[:, 0].abs(), place[:, 1], place[:, 2]
    front = z > 0.05
    coarse, middle, fine = noise(place * 55), noise(place * 170), noise(place * 650)
    albedo = torch.tensor(look.skin) * (1 + 0.045 * coarse + 0.035 * middle + 0.05 * fine)[:, None]
    # Blood near the surface: cheeks, nose, ears, chin, around the nostrils; uneven, as it is.
    blood = 0.75 * blob(place, (0.046, -0.022, 0.09), (0.021, 0.020, 0.05))
    blood = blood + 0.85 * blob(place, (0.0, -0.020, 0.135), (0.013, 0.012, 0.02))
    blood = blood + 0.5 * blob(place, (0.0135, -0.030, 0.115), (0.008, 0.009, 0.02))
    blood = blood + 0.35 * blob(place, (0.0, -0.090, 0.11), (0.016, 0.012, 0.03))
    blood = blood + 0.7 * smooth((x - 0.076) / 0.008) * (z < 0.03)
    blood = blood + 0.30 * blob(place, (0.031, -0.001, 0.105), (0.018, 0.006, 0.03))
    blood = (blood * (1 + 0.35 * coarse + 0.3 * middle)).clamp(0, 1.2)
    albedo = albedo * (1 - blood[:, None] * torch.tensor([0.06, 0.27, 0.25]))
    # Paler forehead, greyer jaw (the shadow of a shaved beard), darker lids.
    albedo = albedo * (1 + 0.06 * blob(place, (0.0, 0.060, 0.11), (0.05, 0.025, 0.06)))[:, None]
    beard = smooth((-y - 0.042 + 0.45 * (x - 0.035).clamp_min(0)) / 0.022) * smooth((0.135 + y) / 0.02)
    beard = beard * smooth((z - 0.005) / 0.03) * (0.85 + 0.25 * middle + 0.3 * fine)
    albedo = albedo * (1 - beard.clamp(0, 1)[:, None] * torch.tensor([0.10, 0.12, 0.10]))
    lid = blob(place, (0.033, 0.0155, 0.10), (0.018, 0.0075, 0.03))
    under = blob(place, (0.028, -0.005, 0.10), (0.014, 0.005, 0.03))
    albedo = albedo * (
        1 - lid[:, None] * torch.tensor([0.13, 0.19, 0.17]) - under[:, None] * torch.tensor([0.08, 0.10, 0.06])
    )
    # A few freckles and moles.
    spots = smooth((noise(place * 420 + 5) - 0.75) / 0.35) * blob(place, (0.035, -0.012, 0.10), (0.03, 0.018, 0.05))
    albedo = albedo * (1 - 0.22 * spots[:, None] * torch.tensor([0.6, 1.0, 1.2]))
    # Skin between the hairs of the brows, and scalp between the hairs of the head.
    brow = (
        smooth((0.0050 - (y - brow_line(x)).abs()) / 0.004) * smooth((x - 0.010) / 0.006) * smooth((0.060 - x) / 0.012)
    )
    albedo = _over(albedo, torch.tensor(look.brow) * 2.2, 0.38 * brow * front)

    lips = (
        piecewise(x.clamp_max(0.0253), _LIPS[:, 0], _LIPS[:, 1]),
        piecewise(x.clamp_max(0.0253), _LIPS[:, 0], _LIPS[:, 2]),
    )
    inside = torch.minimum((lips[0] - y) / 0.0022 + 0.35, (y - lips[1]) / 0.0026 + 0.35)
    inside = smooth(inside) * smooth((0.0272 - x) / 0.003) * front
    grooves = noise(place * torch.tensor([900.0, 160.0, 160.0]))
    lip = torch.tensor(look.lips) * (1 + 0.10 * grooves + 0.06 * middle)[:, None]
    albedo = _over(albedo, lip, 0.85 * inside)

    albedo = _over(albedo, torch.tensor(look.hair) * 1.6, 0.8 * scalp_weight(place) * (1 + 0.3 * middle).clamp(0, 1.2))
    cloth = cloth_weight(place) * (y < -0.10)
    below = _below_neckline(place)
    knit = 1 + 0.10 * torch.sin(place[:, 0] * 2600) * torch.sin(y * 2600) + 0.10 * middle
    rib = torch.where(below < 0.013, 0.88 + 0.14 * torch.sin(torch.atan2(place[:, 0], z + 0.02) * 90), 1.0)
    seam = 1 - 0.35 * torch.exp(-(((below - 0.0135) / 0.0009) ** 2))
    albedo = _over(albedo, torch.tensor(look.cloth) * (knit * rib * seam)[:, None], cloth)

    oily = blob(place, (0.0, 0.055, 0.12), (0.04, 0.02, 0.05)) + blob(place, (0.0, -0.005, 0.13), (0.012, 0.03, 0.04))
    gloss = (0.050 + 0.030 * oily) * (1 + 0.5 * middle + 0.5 * fine)
    gloss = gloss * (1 - inside) + 0.11 * inside * (1 + 0.5 * grooves)
    gloss = (gloss * (1 - cloth) * (1 - 0.5 * beard.clamp(0, 1))).clamp_min(0)
    sharpness = 14 + 10 * oily + 26 * inside
    bumps = 0.035 * noise.vector(place * 420) + 0.02 * noise.vector(place * 900)
    bumps[:, 0] += 0.10 * inside * grooves
    if raised > 0:  # lines across the forehead
        wave = place[:, 1] + 0.0025 * torch.cos(x * 45) + 0.0012 * coarse
        strength = smooth((y - 0.044) / 0.008) * smooth((0.078 - y) / 0.008) * smooth((0.046 - x) / 0.02) * front
        bumps[:, 1] += 0.30 * raised * strength * torch.sin(2 * math.pi * wave / 0.0095)
    return albedo, gloss, sharpness, bumps * (1 - 0.5 * cloth)[:, None]


def _eye(place: Tensor, normal: Tensor, look: Look, noise: Noise) -> Tensor:
    dx, dy = place[:, 0].abs() - _EYE_X, place[:, 1] - _EYE_Y
    radius, angle = torch.hypot(dx, dy), torch.atan2(dy, dx)
    ring = torch.stack([angle.cos() * 3, angle.sin() * 3, torch.zeros_like(angle)], -1)
    white = torch.tensor([0.66, 0.615, 0.58]) * (1 + 0.03 * noise(place * 500))[:, None]
    white = _over(white, torch.tensor([0.56, 0.33, 0.29]), 0.55 * smooth((dx.abs() - 0.0085) / 0.006))
    fibres = noise(ring * 6 + radius[:, None] * 120) + 0.6 * noise(ring * 14 + radius[:, None] * 60 + 9)
    iris = torch.tensor(look.iris) * (1.05 + 0.42 * fibres)[:, None]
    warm = torch.tensor([0.20, 0.10, 0.032])
    iris = _over(iris, warm, 0.45 * smooth((0.0041 - radius) / 0.0014))
    # Light that entered through the cornea gathers opposite the key.
    iris = iris * (1 + 0.55 * ((0.45 * _signed(place, dx) - dy * 0.8) / 0.005))[:, None].clamp(0.5, 1.7)
    eye = _over(white, iris, smooth((0.00615 - radius) / 0.0007))
    limbus = torch.exp(-(((radius - 0.00575) / 0.00055) ** 2))
    eye = _over(eye, torch.tensor([0.03, 0.022, 0.018]), 0.75 * limbus)
    return _over(eye, torch.tensor([0.004, 0.004, 0.004]), smooth((0.00225 - radius) / 0.0004))


def _signed(place: Tensor, dx: Tensor) -> Tensor:
    """Offset from the middle of the eye to the picture's right."""
    return dx * place[:, 0].sign()


def _over(base: Tensor, top: Tensor, opacity: Tensor) -> Tensor:
    return base + (top - base) * opacity[:, None]


def background(size: int) -> Tensor:
    """(size, size, 3): a wall, lighter behind one shoulder."""
    line = (torch.arange(size) + 0.5) / size
    y, x = torch.meshgrid(line, line, indexing="ij")
    glow = torch.exp(-(((x - 0.70) / 0.55) ** 2 + ((y - 0.45) / 0.6) ** 2))
    return torch.tensor([0.16, 0.17, 0.18]) + glow[..., None] * torch.tensor([0.22, 0.22, 0.215])


def develop(picture: Tensor) -> np.ndarray:
    """Linear light to uint8 sRGB, highlights rolled off."""
    exposed = picture.clamp_min(0) * 0.86
    rolled = torch.where(exposed < 0.6, exposed, 0.6 + 0.4 * (1 - torch.exp(-(exposed - 0.6) / 0.4)))
    srgb = torch.where(rolled <= 0.0031308, 12.92 * rolled, 1.055 * rolled ** (1 / 2.4) - 0.055)
    return (srgb.clamp(0, 1) * 255).round().to(torch.uint8).numpy()
