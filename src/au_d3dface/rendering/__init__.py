"""Pictures of meshes: rasterizer, spherical-harmonic shading, overlays on video."""

from .labels import LabelBlock, draw_labels
from .overlay import draw_mesh, heat_colors
from .rasterizer import Fragments, interpolate, rasterize
from .shading import default_lighting, directional_lighting, shade, spherical_harmonics

__all__ = [
    "Fragments",
    "LabelBlock",
    "default_lighting",
    "directional_lighting",
    "draw_labels",
    "draw_mesh",
    "heat_colors",
    "interpolate",
    "rasterize",
    "shade",
    "spherical_harmonics",
]
