"""The rasterizer of pytorch3d behind the interface of `rasterize`. Imported only where that package is there.

pytorch3d looks along +z with x to the left and y up, the picture's shorter side reaching from -1 to 1; pixels are
turned into that frame and back. On a CPU it looks at every triangle for every pixel.
"""

import torch
from pytorch3d.renderer.mesh.rasterize_meshes import rasterize_meshes
from pytorch3d.structures import Meshes
from torch import Tensor

from .rasterizer import Fragments


def rasterize_with_pytorch3d(
    points: Tensor,
    faces: Tensor,
    height: int,
    width: int,
    cull_backfaces: bool = False,
    perspective: bool = False,
) -> Fragments:
    """See `rasterize` for arguments, result and errors. Computed in float32, whatever the points are.

    Triangles with a corner that is NaN, infinite or, in perspective, not before the camera are left out beforehand,
    picture by picture: pytorch3d has no rule for the former and would cut the latter.
    """
    if points.ndim != 3 or points.shape[-1] != 3 or faces.ndim != 2 or faces.shape[-1] != 3:
        raise ValueError(f"expected points (B, V, 3) and faces (F, 3), got {(*points.shape,)} and {(*faces.shape,)}")
    usable = points.isfinite().all(-1)
    if perspective:
        usable = usable & (points[..., 2] > 0)
    rows = [usable[i][faces].all(-1).nonzero().squeeze(-1) for i in range(len(points))]
    half = min(height, width) / 2
    middle = points.new_tensor([width / 2, height / 2])
    place = torch.where(usable[..., None], points, 0.0)
    # Orthographic depths may be negative, and what is behind z = 0 is not drawn: they start at 1.
    lift = place.new_zeros(()) if perspective else 1 - place[..., 2].detach().amin().clamp_max(0)
    view = torch.cat([(middle - place[..., :2]) / half, place[..., 2:] + lift], -1).float()
    packed, _, barycentric, _ = rasterize_meshes(
        Meshes(list(view), [faces[kept] for kept in rows]),
        image_size=(height, width),
        blur_radius=0.0,
        faces_per_pixel=1,
        perspective_correct=perspective,
        cull_backfaces=cull_backfaces,
    )
    seen = (packed[..., 0] >= 0).nonzero(as_tuple=True)
    # Packed indices count the triangles of all pictures, without those left out.
    nearest = torch.cat(rows)[packed[..., 0][seen]]
    # pytorch3d adds 1e-8 to twice a triangle's area, which its weights lack in their sum: on small triangles, 1e-3.
    weights = barycentric[..., 0, :][seen].to(points.dtype)
    weights = weights / weights.sum(-1, keepdim=True)
    shape = (len(points), height, width)
    return Fragments(
        torch.full(shape, -1, device=points.device).index_put(seen, nearest),
        points.new_zeros(*shape, 3).index_put(seen, weights),
        points.new_full(shape, torch.inf).index_put(
            seen, (weights * points[seen[0][:, None], faces[nearest], 2]).sum(-1)
        ),
    )
