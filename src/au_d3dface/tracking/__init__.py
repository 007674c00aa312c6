"""Faces and landmarks in a video: detection, identity through time, gaps."""

from .base import NUM_FACE_LANDMARKS, NUM_LANDMARKS, LandmarkTracker, TrackedFace, TrackedVideo
from .identities import FaceIdentities
from .mediapipe_tracker import MediaPipeFaceLandmarker, MediaPipeFaceMesh, load_tracker
from .topology import boundary_loops, face_mesh_triangles, landmarks_68, mirror_indices
from .track import iterate_faces, track_faces

__all__ = [
    "NUM_FACE_LANDMARKS",
    "NUM_LANDMARKS",
    "FaceIdentities",
    "LandmarkTracker",
    "MediaPipeFaceLandmarker",
    "MediaPipeFaceMesh",
    "TrackedFace",
    "TrackedVideo",
    "boundary_loops",
    "face_mesh_triangles",
    "iterate_faces",
    "landmarks_68",
    "load_tracker",
    "mirror_indices",
    "track_faces",
]
