"""Errors of moving meshes, in millimetres as the field reports them: corresponding vertices, jitter, lag.

The distance to a surface without correspondence is in `surface`, the regions of the face in `regions`.
"""

import torch
from torch import Tensor


def vertex_distance(vertices: Tensor, reference: Tensor) -> Tensor:
    """Distance of each vertex from the corresponding one, millimetres.

    Args:
        vertices, reference: (..., V, 3) metres, in one frame.

    Returns:
        (..., V).
    """
    return 1000 * (vertices - reference).norm(dim=-1)


def vertex_error(vertices: Tensor, reference: Tensor) -> Tensor:
    """Mean distance of corresponding vertices, millimetres.

    Args:
        vertices, reference: (..., V, 3) metres, in one frame.

    Returns:
        (...), one number a mesh.
    """
    return vertex_distance(vertices, reference).mean(-1)


def displacement_distance(vertices: Tensor, neutral: Tensor, reference: Tensor, reference_neutral: Tensor) -> Tensor:
    """Distance of each vertex's displacement from neutral from the true one, millimetres: the motion without the shape.

    Args:
        vertices, reference: (..., V, 3) metres, in one frame.
        neutral, reference_neutral: (..., V, 3), the same person at rest in each; broadcast against the former.

    Returns:
        (..., V).
    """
    return vertex_distance(vertices - neutral, reference - reference_neutral)


def displacement_error(vertices: Tensor, neutral: Tensor, reference: Tensor, reference_neutral: Tensor) -> Tensor:
    """Mean `displacement_distance` over the vertices, millimetres: (...), one number a mesh."""
    return displacement_distance(vertices, neutral, reference, reference_neutral).mean(-1)


def jitter(vertices: Tensor, mask: Tensor | None = None) -> Tensor:
    """Mean magnitude of the vertices' second difference in time, |x_{j-1} - 2 x_j + x_{j+1}|, millimetres.

    Args:
        vertices: (T, V, 3) metres, T at least 3, evenly spaced.
        mask: (T - 2,) bool, which of the inner frames count (those where the true motion is near zero, say).

    Returns:
        A scalar; NaN where no frame counts.
    """
    second = (vertices[:-2] - 2 * vertices[1:-1] + vertices[2:]).norm(dim=-1).mean(-1)
    return 1000 * (second if mask is None else second[mask]).mean() if second.numel() else torch.tensor(float("nan"))


def lag(estimated: Tensor, true: Tensor, max_lag: int = 5) -> float:
    """By how many samples the estimated motion comes after the true one.

    The shift that correlates them best: at each whole shift, Pearson's r over the samples that overlap, each channel
    less its mean there, all channels pooled; between whole shifts, the top of the parabola through the best and its
    two neighbours. Of equal shifts the one nearest to zero counts.

    Args:
        estimated, true: (T, ...) one signal a channel, such as vertices; evenly spaced, without gaps.
        max_lag: samples; shifts from -max_lag to max_lag are tried. T must be at least max_lag + 3.

    Returns:
        Samples, positive where the estimate is late; `max_lag` itself, without a parabola, where the best shift is the
        outermost; NaN where either does not move in the overlap of any shift.

    Raises:
        ValueError: shapes that differ, or too few samples.
    """
    if estimated.shape != true.shape:
        raise ValueError(f"estimated {tuple(estimated.shape)} and true {tuple(true.shape)} must have one shape")
    if max_lag < 1 or len(true) < max_lag + 3:
        raise ValueError(f"{len(true)} samples are too few for shifts of up to {max_lag}, which must be at least 1")
    x, y = estimated.double().flatten(1), true.double().flatten(1)
    shifts = list(range(-max_lag, max_lag + 1))
    correlation = torch.tensor([_correlation_at(x, y, shift) for shift in shifts])
    if correlation.isnan().any():
        return float("nan")
    best = max(range(len(shifts)), key=lambda k: (round(float(correlation[k]), 12), -abs(shifts[k])))
    if best in (0, len(shifts) - 1):
        return float(shifts[best])
    before, top, after = (float(value) for value in correlation[best - 1 : best + 2])
    bend = before - 2 * top + after
    return shifts[best] + (0.5 * (before - after) / bend if bend < 0 else 0.0)


def _correlation_at(x: Tensor, y: Tensor, shift: int) -> float:
    """Pearson's r of x[t + shift] with y[t], channels pooled; NaN where one of them stands still."""
    count = len(y) - abs(shift)
    x, y = x[max(shift, 0) :][:count], y[max(-shift, 0) :][:count]
    still = any(bool((part == part[:1]).all()) for part in (x, y))
    x, y = x - x.mean(0), y - y.mean(0)
    return float("nan") if still else float((x * y).sum() / (x.norm() * y.norm()))
