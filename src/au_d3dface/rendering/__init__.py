"""Pictures of meshes: rasterizer, spherical-harmonic shading, overlays on video, stills, error maps and strips."""

from .backends import BACKENDS, Rasterizer, load_rasterizer
from .heat_maps import ColourScale, draw_colour_bar, draw_error_map, error_colors, error_maximum, round_ticks
from .labels import LabelBlock, draw_labels
from .overlay import draw_mesh, heat_colors
from .rasterizer import Fragments, interpolate, rasterize
from .renderer import MeshRenderer, Rendering
from .shading import default_lighting, directional_lighting, shade, spherical_harmonics
from .still import DARK, WHITE, View, draw_face, fit_view
from .strips import StripLayout, StripRow, compose_strip, strip_layout
from .texture import sample_texture

__all__ = [
    "BACKENDS",
    "DARK",
    "WHITE",
    "ColourScale",
    "Fragments",
    "LabelBlock",
    "MeshRenderer",
    "Rasterizer",
    "Rendering",
    "StripLayout",
    "StripRow",
    "View",
    "compose_strip",
    "default_lighting",
    "directional_lighting",
    "draw_colour_bar",
    "draw_error_map",
    "draw_face",
    "draw_labels",
    "draw_mesh",
    "error_colors",
    "error_maximum",
    "fit_view",
    "heat_colors",
    "interpolate",
    "load_rasterizer",
    "rasterize",
    "round_ticks",
    "sample_texture",
    "shade",
    "spherical_harmonics",
    "strip_layout",
]
