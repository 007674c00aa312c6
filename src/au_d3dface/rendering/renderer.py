"""The differentiable renderer of Eq. 13: projected meshes, a texture and light in, pictures out.

    points ──rasterizer──▶ fragments ──▶ albedo (uv map or vertex colours) · light (spherical harmonics of the normals)

Gradients flow to the vertices through barycentric coordinates and normals, to texture, vertex colours and light. None
flow through the outline or through what hides what; the loss needs none (see `rasterize`).
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import normalize

from ..geometry import vertex_normals, weak_perspective
from .backends import load_rasterizer
from .rasterizer import Fragments, interpolate_seen
from .shading import spherical_harmonics
from .texture import sample_texture


@dataclass
class Rendering:
    """B pictures of H x W pixels; all zero where nothing is seen.

    Attributes:
        image: (B, H, W, 3), albedo times light, values as in the picture (DECA's convention: no gamma); not clamped.
        alpha: (B, H, W), 1 where the mesh is seen, 0 elsewhere; no gradient.
        normals: (B, H, W, 3), unit length, in the frame of those given.
        fragments: what is seen, with barycentric coordinates and depth.
    """

    image: Tensor
    alpha: Tensor
    normals: Tensor
    fragments: Fragments


class MeshRenderer:
    """Renders meshes of one topology.

    Args:
        faces: (F, 3) int64, counter-clockwise seen from outside.
        uv: (V, 2) in [0, 1] with v up, for uv maps; None where there are only vertex colours.
        uv_faces: (F, 3) rows of `uv` at each triangle's corners, where a seam gives a vertex several places in the map
            (FLAME; `uv` is then (U, 2)); None where they are those of `faces`.
        backend: of `backends.BACKENDS`.
        cull_backfaces: whether triangles that turn their back to the camera are left out.

    Raises:
        UsageError, MissingDependencyError: as `load_rasterizer`.
    """

    def __init__(
        self,
        faces: Tensor,
        uv: Tensor | None = None,
        uv_faces: Tensor | None = None,
        backend: str = "torch",
        cull_backfaces: bool = True,
    ) -> None:
        self.faces, self.uv, self.cull_backfaces = faces, uv, cull_backfaces
        self.uv_faces = faces if uv_faces is None else uv_faces
        self.rasterize = load_rasterizer(backend)

    def __call__(
        self,
        points: Tensor,
        normals: Tensor,
        height: int,
        width: int,
        *,
        texture: Tensor | None = None,
        colors: Tensor | None = None,
        lighting: Tensor | None = None,
        perspective: bool = False,
    ) -> Rendering:
        """Pictures of B meshes.

        Args:
            points: (B, V, 3) in pixels and depth, from `geometry.weak_perspective` or, with `perspective`, `pinhole`.
            normals: (B, V, 3) at the vertices, in the frame of the light: for DECA's light those of the head after its
                rotation, x right in the picture, y up, z to the viewer. Interpolated and made unit length at the pixels
                (DECA leaves them shorter between vertices, and lets no gradient through them: detach them for that).
            height, width: pixels.
            texture: (S, R, 3) or (B, S, R, 3) albedo map over `uv`, its first row at v = 1; bilinear, held at borders.
            colors: (V, 3) or (B, V, 3) albedo of the vertices, in place of a map. With neither, albedo is 1.
            lighting: (9, 3) or (B, 9, 3) coefficients of `shade`; None shows the albedo itself.

        Raises:
            ValueError: both a map and vertex colours, or a map for a mesh without uv.
        """
        if texture is not None and colors is not None:
            raise ValueError("a mesh has a texture map or vertex colours, not both")
        if texture is not None and self.uv is None:
            raise ValueError("a texture map needs the uv coordinates of the mesh")
        fragments = self.rasterize(points, self.faces, height, width, self.cull_backfaces, perspective)
        pixels, values = interpolate_seen(fragments, self.faces, normals)
        unit = normalize(values, dim=-1)
        counts = fragments.mask.flatten(1).sum(1).tolist()  # pixels come picture by picture
        if texture is not None:
            places = interpolate_seen(fragments, self.uv_faces, self.uv.to(normals))[1]  # type: ignore[union-attr]
            albedo = _sample(texture, places, counts)
        elif colors is not None:
            albedo = interpolate_seen(fragments, self.faces, colors.to(normals))[1]
        else:
            albedo = torch.ones_like(unit)
        color = albedo if lighting is None else albedo * _shade(unit, lighting.to(unit), counts)
        shape = fragments.pixel_to_face.shape
        image, normal_image = (
            points.new_zeros(shape.numel(), 3).index_put((pixels,), value).reshape(*shape, 3)
            for value in (color.to(points.dtype), unit)
        )
        return Rendering(image, fragments.mask.to(points.dtype), normal_image, fragments)

    def heads(
        self,
        vertices: Tensor,
        rotation: Tensor,
        scale: Tensor,
        translation: Tensor,
        height: int,
        width: int,
        **paint: Any,
    ) -> Rendering:
        """Pictures of heads before the weak-perspective camera of Eq. 12, as a coarse reconstructor gives it.

        Args:
            vertices: (B, V, 3) metres in the head frame.
            rotation: (B, 3, 3), scale: (B,) pixels per metre, translation: (B, 2) pixels.
            paint: `texture`, `colors`, `lighting` of the call above.
        """
        points = weak_perspective(vertices, rotation, scale, translation)
        normals = vertex_normals(vertices, self.faces) @ rotation.mT
        return self(points, normals, height, width, **paint)


def _sample(texture: Tensor, uv: Tensor, counts: list[int]) -> Tensor:
    """(P, 3) colours of a map, or of one for each picture, at (P, 2) uv; `counts` are the pixels of each picture."""
    if texture.ndim == 3:
        return sample_texture(texture.to(uv), uv)
    return torch.cat([sample_texture(one.to(uv), part) for one, part in zip(texture, uv.split(counts), strict=True)])


def _shade(normals: Tensor, lighting: Tensor, counts: list[int]) -> Tensor:
    """(P, 3) light reflected by a white surface: `shade` for the pixels of B pictures, with one light or one each."""
    terms = spherical_harmonics(normals)
    if lighting.ndim == 2:
        return terms @ lighting
    return torch.cat([part @ light for part, light in zip(terms.split(counts), lighting, strict=True)])
