"""Faces and landmarks in a video: detection, identity through time, gaps."""

from .base import NUM_FACE_LANDMARKS, NUM_LANDMARKS, LandmarkTracker, TrackedFace, TrackedVideo
from .topology import boundary_loops, face_mesh_triangles, landmarks_68, mirror_indices

__all__ = [
    "NUM_FACE_LANDMARKS",
    "NUM_LANDMARKS",
    "LandmarkTracker",
    "TrackedFace",
    "TrackedVideo",
    "boundary_loops",
    "face_mesh_triangles",
    "landmarks_68",
    "mirror_indices",
]
