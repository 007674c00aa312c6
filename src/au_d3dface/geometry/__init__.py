"""Rotations, cameras, normals, nearest points, rigid alignment and mesh files, in torch."""

from .alignment import similarity_alignment
from .cameras import pinhole, weak_perspective
from .nearest import nearest_on_surface
from .normals import triangle_normals, vertex_normals
from .rotations import axis_angle_to_matrix, matrix_to_axis_angle, matrix_to_openface_angles

__all__ = [
    "axis_angle_to_matrix",
    "matrix_to_axis_angle",
    "matrix_to_openface_angles",
    "nearest_on_surface",
    "pinhole",
    "similarity_alignment",
    "triangle_normals",
    "vertex_normals",
    "weak_perspective",
]
