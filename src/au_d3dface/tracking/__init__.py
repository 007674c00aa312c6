"""Faces and landmarks in a video: detection, identity through time, gaps."""

from .base import NUM_FACE_LANDMARKS, NUM_LANDMARKS, LandmarkTracker, TrackedFace, TrackedVideo

__all__ = ["NUM_FACE_LANDMARKS", "NUM_LANDMARKS", "LandmarkTracker", "TrackedFace", "TrackedVideo"]
