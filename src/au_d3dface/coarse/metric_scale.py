"""Metric size of a face from its irises."""

import math

import torch
from torch import Tensor

IRIS_DIAMETER = 0.0117
"""Horizontal diameter of a human iris, metres; 0.5 mm of standard deviation over people."""

IRIS_SPREAD = 0.0005 / IRIS_DIAMETER
IRIS_PIXEL_ERROR = 0.35
"""Pixels by which a clip's mean iris diameter is taken to be off: what averaging over frames does not remove."""

SIZE_SPREAD = 0.05
"""Relative standard deviation of face size over people, at equal shape."""

_HORIZONTAL = ((469, 471), (474, 476))


def iris_diameters(landmarks: Tensor) -> Tensor:
    """(T, 478, 3) landmarks to (T,) pixels: horizontal diameter in the image, mean of both eyes.

    The horizontal one, because lids hide the upper and lower edge.
    """
    ends = [(landmarks[:, a, :2] - landmarks[:, b, :2]).norm(dim=-1) for a, b in _HORIZONTAL]
    return torch.stack(ends).mean(0)


def size_factor(landmarks: Tensor, rotation: Tensor, scale: Tensor, weights: Tensor) -> float:
    """How much larger than the fitted face the person really is, by the irises' evidence.

    The observed ratio of iris diameter to IRIS_DIAMETER is a weighted median over frames. It counts by its precision
    (spread of irises over people, pixels of error) against that of the face model's own size: on a face 65 pixels
    wide, an iris of 5.5 pixels says little, on a large one about as much as the model.

    Args:
        landmarks: (T, 478, 3), image frame.
        rotation: (T, 3, 3) and scale: (T,), pixels per metre, as fitted with the face model's own size.
        weights: (T,) confidence in each frame.

    Returns:
        The factor by which to enlarge the fitted face; 1 where the irises are not finite.
    """
    shortening = rotation[:, :2, 0].norm(dim=-1).clamp_min(0.3)  # of the head's x axis, in the image
    diameters = iris_diameters(landmarks) / shortening
    usable = torch.isfinite(diameters) & (diameters > 0)
    if not usable.any():
        return 1.0
    diameters, weights = diameters[usable], weights[usable]
    # scale · IRIS_DIAMETER is the iris's size in pixels if the model's size is right.
    ratio, order = (scale[usable] * IRIS_DIAMETER / diameters).log().sort()
    cumulative = weights[order].cumsum(0)
    observed = ratio[torch.searchsorted(cumulative, cumulative[-1:] / 2).clamp_max(len(ratio) - 1)].item()
    error = math.hypot(IRIS_SPREAD, IRIS_PIXEL_ERROR / diameters.median().item())
    return math.exp(observed * SIZE_SPREAD**2 / (SIZE_SPREAD**2 + error**2))
