"""Pictures of meshes: rasterizer, spherical-harmonic shading, overlays on video."""

from .backends import BACKENDS, Rasterizer, load_rasterizer
from .labels import LabelBlock, draw_labels
from .overlay import draw_mesh, heat_colors
from .rasterizer import Fragments, interpolate, rasterize
from .renderer import MeshRenderer, Rendering
from .shading import default_lighting, directional_lighting, shade, spherical_harmonics

__all__ = [
    "BACKENDS",
    "Fragments",
    "LabelBlock",
    "MeshRenderer",
    "Rasterizer",
    "Rendering",
    "default_lighting",
    "directional_lighting",
    "draw_labels",
    "draw_mesh",
    "heat_colors",
    "interpolate",
    "load_rasterizer",
    "rasterize",
    "shade",
    "spherical_harmonics",
]
