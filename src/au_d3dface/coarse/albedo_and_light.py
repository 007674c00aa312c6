"""Colours of surface points in many pictures, taken apart: colour = albedo · light, robustly.

Of frame f, point p and channel c:

    colour[f, p, c] ≈ albedo[p, c] · Σ_k lighting[f, k, c] · Y_k(normal[f, p]),

the nine terms of `rendering.spherical_harmonics`. Given one factor, the other is a weighted least-squares solution; the
weights of what does not fit (a hand, a highlight) fall as residuals grow. Only the product is seen, so that a factor
can move from one to the other: the light is scaled so that a white surface that faces the viewer is seen as white, and
it takes all the shading that it can explain with a face of one colour.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from ..rendering import spherical_harmonics

TERMS = 9
WHITE = float(spherical_harmonics(torch.tensor([0.0, 0.0, 1.0]))[0])
"""Y_0, which is the same in all directions: an even light of 1 / WHITE shows a white surface as white."""

LEAST_SCALE = 0.012
"""Residuals are not taken for smaller than this (of a colour in [0, 1]): the noise of compressed video."""

DARK = 0.1
"""A frame is dark whose light is less than this share of the brightest frame's."""

CLIP_RIDGE, COLOR_RIDGE, FRAME_RIDGE = 0.02, 0.1, 0.05
"""Ridges, as shares of the mean diagonal of the normal equations: on the light of the clip, towards an even light and
then towards a colourless one, and on the light of a frame, towards the clip's. All on the directed terms alone."""


def tukey(residual: Tensor, scale: Tensor | float) -> Tensor:
    """Weights in [0, 1] of residuals: near 1 below `scale`, 0 from 4.685 times as much."""
    return (1 - (residual / (4.685 * scale)).square()).clamp_min(0).square()


def even_light() -> Tensor:
    """(9, 3): the same from everywhere, in which a white surface is white."""
    lighting = torch.zeros(TERMS, 3)
    lighting[0] = 1 / WHITE
    return lighting


def irradiance(terms: Tensor, lighting: Tensor) -> Tensor:
    """(F, P, 9) and (F, 9, 3) to (F, P, 3): what a white surface shows."""
    return torch.bmm(terms, lighting)


def misfit(colors: Tensor, modelled: Tensor) -> Tensor:
    """(..., 3) each to (...): root mean square over the channels."""
    return (colors - modelled).square().mean(-1).sqrt()


def fit_lighting(
    terms: Tensor,
    colors: Tensor,
    weights: Tensor,
    albedo: Tensor,
    clip: Tensor | None = None,
    spread: Tensor | None = None,
    iterations: int = 4,
) -> tuple[Tensor, Tensor]:
    """The light of every frame, the albedo being known.

    Args:
        terms: (F, P, 9) spherical harmonics of the normals.
        colors: (F, P, 3).
        weights: (F, P) trust in each, 0 where not seen.
        albedo: (P, 3).
        clip: (9, 3) the light of the clip; None to find it from these frames.
        spread: (P,) standard deviation of the colours of each point; None to find one for each frame.
        iterations: of reweighting.

    Returns:
        (F, 9, 3), and the clip's (9, 3). A frame in which nothing is seen has the light of the clip.
    """
    ridge = torch.ones(TERMS)
    ridge[0] = 0.0
    known = clip is not None
    if clip is None:
        clip = even_light()
    lighting = clip * _gain(colors, albedo * (terms @ clip), weights)
    for step in range(iterations):
        residual = misfit(colors, albedo * irradiance(terms, lighting))
        scale = _frame_scales(residual, weights) if spread is None else spread.clamp_min(LEAST_SCALE)
        trust = weights * tukey(residual, scale * max(1.0, 2.0 - step))
        weighted = trust[..., None] * albedo.square()  # (F, P, 3)
        left = torch.einsum("fpk,fpc,fpl->fckl", terms, weighted, terms)
        right = torch.einsum("fpk,fpc->fkc", terms, trust[..., None] * albedo * colors)
        size = left.diagonal(dim1=-2, dim2=-1).mean(-1)  # (F, 3)
        if not known:
            # Of one shape in all frames, times a gain of each: a frame faded to black says nothing of the shape.
            gain = _gain(colors, albedo * (terms @ clip), trust)
            whole = ((left * gain.square().mT[..., None]).sum(0)[None], (right * gain).sum(0)[None])
            pull = ridge * whole[0].diagonal(dim1=-2, dim2=-1).mean(-1)[..., None]
            clip = _solve(*whole, CLIP_RIDGE * pull + 1e-4, clip[None, :1] * WHITE * even_light())[0]
            # Lights differ less in colour than in brightness: a red lip must not become a red light from below.
            grey = (clip / clip[:1].clamp_min(1e-6)).mean(1, keepdim=True) * clip[:1]
            clip = _solve(*whole, COLOR_RIDGE * pull + 1e-4, grey[None])[0]
        # A frame brighter or darker than the rest differs in one factor first of all.
        centre = clip * _gain(colors, albedo * (terms @ clip), trust)
        # The small part of the ridge is for frames with too few points to say anything.
        lighting = _solve(left, right, FRAME_RIDGE * ridge * size[..., None] + 1e-4, centre)
    return lighting, clip


def fit_albedo(
    terms: Tensor, colors: Tensor, weights: Tensor, lighting: Tensor, iterations: int = 4
) -> tuple[Tensor, Tensor, Tensor]:
    """The albedo of every point, the light being known: from the median over the frames to a reweighted mean.

    Args:
        terms: (F, P, 9), colors: (F, P, 3), weights: (F, P), as for `fit_lighting`.
        lighting: (F, 9, 3).
        iterations: of reweighting.

    Returns:
        (P, 3) albedo in [0, 1], (P,) the sum of the weights that it rests on, and (P,) the robust standard deviation of
        colours about the model. All 0 where a point is never seen.
    """
    light = irradiance(terms, lighting)
    usable = (weights[..., None] > 0) & (light > 0.05)
    albedo = torch.where(usable, colors / light.clamp_min(0.05), torch.nan).nanmedian(0).values.nan_to_num(0.0)
    trust = weights
    for _ in range(iterations):
        residual = misfit(colors, albedo * light)
        spread = 1.4826 * torch.where(weights > 0, residual, torch.nan).nanmedian(0).values.nan_to_num(0.0)
        trust = weights * tukey(residual, spread.clamp_min(LEAST_SCALE))
        weighted = trust[..., None] * light
        albedo = ((weighted * colors).sum(0) / (weighted * light).sum(0).clamp_min(1e-6)).clamp(0, 1)
    return albedo, trust.sum(0), spread


def factorise(
    terms: Tensor,
    colors: Tensor,
    weights: Tensor,
    rounds: int = 8,
    progress: Callable[[], object] = lambda: None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Albedo and light of the same points and frames, by turns, from a face of one colour.

    Args:
        terms: (F, P, 9), colors: (F, P, 3), weights: (F, P), as for `fit_lighting`.
        rounds: how many turns.
        progress: called at each turn; what it raises ends the work.

    Returns:
        (P, 3) albedo, (F, 9, 3) lighting, and the clip's (9, 3).
    """
    seen = colors[weights > 0]
    albedo = (seen.median(0).values if len(seen) else torch.zeros(3)).expand(colors.shape[1], 3)
    for _ in range(rounds):
        progress()
        lighting, clip = fit_lighting(terms, colors, weights, albedo)
        lighting, clip = lighting / _white(lighting), clip / _white(clip[None])
        albedo = fit_albedo(terms, colors, weights, lighting)[0]
    return albedo, lighting, clip


def _white(lighting: Tensor) -> Tensor:
    """(3,): what a white surface facing the viewer shows, the median of the frames that are not dark; 1 if all are."""
    front = (spherical_harmonics(torch.tensor([0.0, 0.0, 1.0])) @ lighting).clamp_min(0)  # (F, 3)
    brightness = front.mean(1)
    bright = front[brightness >= DARK * brightness.max()].median(0).values
    return torch.where(bright > 1e-3, bright, 1.0)


def _gain(colors: Tensor, modelled: Tensor, weights: Tensor) -> Tensor:
    """(F, 1, 3): median of how much brighter the points of a frame are than modelled; 1 where nothing is seen."""
    usable = (weights[..., None] > 0) & (modelled > 0.02)
    ratio = torch.where(usable, colors / modelled.clamp_min(0.02), torch.nan)
    return ratio.nanmedian(1, keepdim=True).values.nan_to_num(1.0)


def _frame_scales(residual: Tensor, weights: Tensor) -> Tensor:
    """(F, 1): robust standard deviation of the residuals in each frame."""
    middle = torch.where(weights > 0, residual, torch.nan).nanmedian(1, keepdim=True).values
    return (1.4826 * middle.nan_to_num(0.0)).clamp_min(LEAST_SCALE)


def _solve(left: Tensor, right: Tensor, ridge: Tensor, centre: Tensor) -> Tensor:
    """Normal equations (F, C, 9, 9) and (F, 9, C), with ridges (F, C, 9) about (F, 9, C) centres, to (F, 9, C)."""
    matrix = left.double() + torch.diag_embed(ridge.double())
    vector = right.double().mT + ridge.double() * centre.double().mT
    return torch.linalg.solve(matrix, vector[..., None])[..., 0].mT.float()
