"""Pictures of meshes: rasterizer, spherical-harmonic shading, overlays on video."""

from .rasterizer import Fragments, interpolate, rasterize

__all__ = ["Fragments", "interpolate", "rasterize"]
