"""Rotations, cameras, normals, rigid alignment in torch; nearest points of surfaces and alignment to them in numpy."""

from .alignment import similarity_alignment
from .cameras import pinhole, weak_perspective
from .nearest import nearest_on_surface
from .normals import triangle_normals, vertex_normals
from .rotations import axis_angle_to_matrix, matrix_to_axis_angle, matrix_to_openface_angles
from .surface_alignment import ICPResult, ICPSettings, Similarity, icp
from .triangle_surface import Nearest, TriangleSurface, closest_on_triangles

__all__ = [
    "ICPResult",
    "ICPSettings",
    "Nearest",
    "Similarity",
    "TriangleSurface",
    "axis_angle_to_matrix",
    "closest_on_triangles",
    "icp",
    "matrix_to_axis_angle",
    "matrix_to_openface_angles",
    "nearest_on_surface",
    "pinhole",
    "similarity_alignment",
    "triangle_normals",
    "vertex_normals",
    "weak_perspective",
]
