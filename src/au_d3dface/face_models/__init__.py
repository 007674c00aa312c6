"""Linear 3D face models behind one interface: facemesh (bundled), ict (MIT), flame (licensed)."""

from .base import FaceModel, LandmarkEmbedding

__all__ = ["FaceModel", "LandmarkEmbedding"]
