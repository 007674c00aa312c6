"""Hair, brows and lashes as single hairs: thin ribbons that are rooted in the head's mesh and move with it."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import normalize


@dataclass(frozen=True)
class Strands:
    """S hairs of K points each.

    Attributes:
        roots: (S, 3) int64, the three vertices around each root; weights: (S, 3) barycentric coordinates of the root.
        offsets: (S, K, 3) metres from the root to the points, in the frame of the root's triangle.
        width: (S,) metres at the root; hairs taper to a third of it.
        tone: (S,) brightness against the hair colour, about 1.
    """

    roots: Tensor
    weights: Tensor
    offsets: Tensor
    width: Tensor
    tone: Tensor

    def place(self, vertices: Tensor) -> Tensor:
        """(V, 3) vertices to the (S, K, 3) points of the hairs."""
        corners = vertices[self.roots]
        root = (corners * self.weights[..., None]).sum(1)
        return root[:, None] + self.offsets @ triangle_frames(corners)


def triangle_frames(corners: Tensor) -> Tensor:
    """(S, 3 corners, 3) to (S, 3, 3): rows are the first edge's direction, the one across it, and the normal."""
    first = normalize(corners[:, 1] - corners[:, 0], dim=-1)
    normal = normalize(torch.linalg.cross(first, corners[:, 2] - corners[:, 0]), dim=-1)
    return torch.stack([first, torch.linalg.cross(normal, first), normal], 1)


def grow(
    vertices: Tensor,
    roots: Tensor,
    weights: Tensor,
    steps: Tensor,
    width: Tensor,
    tone: Tensor,
) -> Strands:
    """Hairs with these steps, (S, K - 1, 3) metres from point to point in the head frame of the rest mesh."""
    points = torch.cat([torch.zeros_like(steps[:, :1]), steps.cumsum(1)], 1)
    offsets = points @ triangle_frames(vertices[roots]).transpose(1, 2)
    return Strands(roots, weights, offsets, width, tone)


def scatter_roots(
    vertices: Tensor, faces: Tensor, density: Tensor, count: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Random places on a mesh.

    Args:
        vertices: (V, 3); faces: (F, 3).
        density: (V,) relative density.
        count: S.

    Returns:
        (S, 3) vertices around each root, and its (S, 3) barycentric coordinates.
    """
    a, b, c = vertices[faces].unbind(1)
    area = torch.linalg.cross(b - a, c - a).norm(dim=-1)
    chosen = torch.multinomial(area * density[faces].mean(1), count, replacement=True, generator=generator)
    u, v = torch.rand(2, count, generator=generator)
    over = u + v > 1
    u, v = torch.where(over, 1 - u, u), torch.where(over, 1 - v, v)
    return faces[chosen], torch.stack([1 - u - v, u, v], -1)


def ribbons(points: Tensor, width: Tensor, viewer: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Ribbons along hairs, turned to the viewer.

    Args:
        points: (S, K, 3); width: (S,) at the root; viewer: (3,) position.

    Returns:
        (S · K · 2, 3) vertices, (S · (K - 1) · 2, 3) faces, and (S · K · 2, 3) directions along the hair.
    """
    strands, count = points.shape[:2]
    along = points.diff(dim=1)
    along = normalize(torch.cat([along, along[:, -1:]], 1), dim=-1)
    side = normalize(torch.linalg.cross(along, viewer - points), dim=-1)
    taper = torch.linspace(1, 0.33, count)
    side = side * (0.5 * width[:, None] * taper)[..., None]
    vertices = torch.stack([points - side, points + side], 2).reshape(-1, 3)
    first = (torch.arange(strands)[:, None] * count + torch.arange(count - 1)) * 2
    faces = torch.stack(
        [torch.stack([first, first + 1, first + 3], -1), torch.stack([first, first + 3, first + 2], -1)], 2
    )
    return vertices, faces.reshape(-1, 3), along[:, :, None].expand(-1, -1, 2, -1).reshape(-1, 3)
