"""Where the portrait's hair, brows and lashes grow, and which way.

Places are on the rest head in the head frame, metres: x to the subject's left, y up, z out of the face.
"""

import torch
from torch import Tensor
from torch.nn.functional import normalize

from ...face_models.ict import PARTS
from .portrait_paint import BROW_X, Noise, brow_line, piecewise, smooth
from .strands import Strands, grow, scatter_roots

_PARTING = 0.034

_BROW_HEIGHT = torch.tensor([0.0042, 0.0046, 0.0040, 0.0028, 0.0012])
"""Half the height of the brow at `BROW_X`."""

_EYE = torch.tensor([0.03095, 0.00945, 0.0925])
"""Middle of the left eyeball."""


def hair_strands(
    neutral: Tensor,
    rest: Tensor,
    normals: Tensor,
    faces: Tensor,
    scalp: Tensor,
    noise: Noise,
    generator: torch.Generator,
    count: int = 11_000,
) -> Strands:
    """Short hair with a side parting, brushed up and back from the forehead."""
    density = scalp**1.5 * torch.where(rest[:, 2] < -0.045, 0.25, 1.0)
    roots, weights = scatter_roots(neutral, faces, density, count, generator)
    place = (rest[roots] * weights[..., None]).sum(1)
    normal = normalize((normals[roots] * weights[..., None]).sum(1), dim=-1)
    x, y, z = place.unbind(-1)
    top = smooth((y - 0.045) / 0.045)
    side = torch.where(x < _PARTING, -1.0, 1.0)
    zero = torch.zeros_like(x)
    above = normalize(torch.stack([0.75 * side, zero + 0.25, -0.55 + 0.3 * (z > 0.06)], -1), dim=-1)
    forward = smooth((z + 0.01) / 0.05)
    below = normalize(torch.stack([zero, zero - 1.0, -0.7 + 0.5 * forward], -1), dim=-1)
    comb = top[:, None] * above + (1 - top)[:, None] * below
    # Neighbours lean the same way, in locks; each hair is a little its own.
    locks = noise.vector(place * 60) * 0.55 + noise.vector(place * 220) * 0.35
    comb = comb + locks + 0.10 * torch.randn(count, 3, generator=generator)
    vary = 0.8 + 0.35 * torch.rand(count, generator=generator)
    edge = 0.45 + 0.55 * (scalp[roots] * weights).sum(1)
    flank = smooth((x.abs() - 0.038) / 0.035)  # where the round head turns down, hair lies close and is shorter
    length = (0.010 + 0.033 * top) * (1 - 0.45 * flank) * vary * edge * (1 + 0.35 * noise(place * 70))
    steps = []
    for step in range(7):
        share = (step + 0.5) / 7
        bend = 0.30 + 0.75 * share**0.7
        lift = (1 - bend) * (0.35 + 0.9 * top) * (1 - 0.4 * flank)
        across = comb - (comb * normal).sum(-1, keepdim=True) * normal
        across = normalize(across, dim=-1)
        sag = torch.stack([zero, -(0.25 + 0.9 * flank) * share * top, zero], -1)
        direction = normalize(lift[:, None] * normal + bend * across + sag, dim=-1)
        # Longer hairs leave the tangent plane of a round head: what rises above it is drawn in a little.
        direction = normalize(direction - ((0.35 + 0.45 * flank) * share)[:, None] * normal, dim=-1)
        steps.append(direction * (length / 7)[:, None])
    tone = (0.72 + 0.5 * torch.rand(count, generator=generator)) * (1 + 0.35 * noise(place * 130))
    width = (0.00045 + 0.00025 * torch.rand(count, generator=generator)) * (2 * edge - 1).clamp(0.35, 1)
    return grow(neutral, roots, weights, torch.stack(steps, 1), width, tone)


def brow_strands(neutral: Tensor, rest: Tensor, faces: Tensor, generator: torch.Generator, count: int = 620) -> Strands:
    """Two brows: upright hairs near the nose that lie down outwards."""
    x = rest[:, 0].abs()
    line = brow_line(x)
    height = piecewise(x, BROW_X, _BROW_HEIGHT)
    inside = smooth((height - (rest[:, 1] - line).abs()) / 0.0025 + 0.5)
    inside = inside * (x > 0.011) * (x < 0.0585) * (rest[:, 2] > 0.06) * (rest[:, 1] > 0.015)
    roots, weights = scatter_roots(neutral, faces, inside, count, generator)
    place = (rest[roots] * weights[..., None]).sum(1)
    x, side = place[:, 0].abs(), place[:, 0].sign()
    along = ((x - 0.0125) / 0.0445).clamp(0, 1)
    above = (place[:, 1] - brow_line(x)) / 0.004
    angle = 1.25 - 1.55 * smooth(along * 1.5) - 0.35 * above.clamp(-1, 1) - 0.25 * along
    angle = angle + 0.16 * torch.randn(count, generator=generator)
    outward = torch.stack([side * angle.cos(), angle.sin(), -0.45 * along - 0.05], -1)
    length = (0.0052 + 0.0025 * along) * (0.75 + 0.4 * torch.rand(count, generator=generator))
    corners = neutral[roots]
    normal = normalize(torch.linalg.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), dim=-1)
    flat = normalize(outward - (outward * normal).sum(-1, keepdim=True) * normal, dim=-1)
    steps = [normalize(flat + lift * normal, dim=-1) * (length / 4)[:, None] for lift in (0.45, 0.2, 0.05, -0.05)]
    width = torch.full((count,), 0.00034)
    return grow(
        neutral, roots, weights, torch.stack(steps, 1), width, 0.8 + 0.4 * torch.rand(count, generator=generator)
    )


def lash_strands(rest: Tensor, generator: torch.Generator) -> Strands:
    """Single lashes along the kit's eyelash sheets, whose inner border lies on the lids."""
    start, size = PARTS["lashes"].start, 114
    everything = []
    for sheet, number, reach in ((0, 74, 0.75), (6, 74, 0.75), (3, 26, 0.5), (9, 26, 0.5)):
        index = torch.arange(start + sheet * size, start + (sheet + 1) * size)
        centre = _EYE * torch.tensor([1.0 if sheet < 6 else -1.0, 1.0, 1.0])
        relative = rest[index] - centre
        across = relative[:, 0]
        distance = relative.norm(dim=-1)
        bounds = torch.linspace(float(across.min()) - 1e-6, float(across.max()) + 1e-6, 13)
        cell = torch.bucketize(across.contiguous(), bounds) - 1
        inner, outer = [], []
        for column in range(12):
            members = (cell == column).nonzero().squeeze(-1)
            if len(members) >= 2:
                inner.append(int(index[members[distance[members].argmin()]]))
                outer.append(int(index[members[distance[members].argmax()]]))
        inner, outer = torch.tensor(inner), torch.tensor(outer)
        position = (0.06 + 0.88 * torch.rand(number, generator=generator)) * (len(inner) - 1.001)
        left = position.long()
        share = position - left
        roots = torch.stack([inner[left], inner[left + 1], outer[left]], -1)
        weights = torch.stack([1 - share, share, torch.zeros_like(share)], -1)
        tip = rest[outer[left]] * (1 - share)[:, None] + rest[outer[left + 1]] * share[:, None]
        reach_each = reach * (0.7 + 0.45 * torch.rand(number, generator=generator))
        whole = (tip - (rest[roots] * weights[..., None]).sum(1)) * reach_each[:, None]
        whole = whole + 0.0006 * torch.randn(number, 3, generator=generator)
        steps = (whole / 4)[:, None].expand(-1, 4, -1)
        everything.append(
            grow(
                rest,
                roots,
                weights,
                steps,
                torch.full((number,), 0.00030 if reach > 0.6 else 0.00018),
                torch.ones(number),
            )
        )
    return Strands(*(torch.cat([getattr(part, name) for part in everything]) for name in Strands.__dataclass_fields__))
