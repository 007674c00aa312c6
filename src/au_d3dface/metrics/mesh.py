"""Distances between meshes of one topology, in millimetres as the field reports them."""

import torch
from torch import Tensor


def vertex_error(vertices: Tensor, reference: Tensor) -> Tensor:
    """Mean distance of corresponding vertices, millimetres.

    Args:
        vertices, reference: (..., V, 3) metres, in one frame.

    Returns:
        (...), one number a mesh.
    """
    return 1000 * (vertices - reference).norm(dim=-1).mean(-1)


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
