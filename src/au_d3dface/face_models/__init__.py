"""Linear 3D face models behind one interface: facemesh (bundled), ict (MIT), flame (licensed)."""

from pathlib import Path

from ..errors import UsageError
from .base import FaceModel, LandmarkEmbedding
from .facemesh import FaceMesh
from .ict import ICTFaceKit

__all__ = ["FACE_MODELS", "FaceMesh", "FaceModel", "ICTFaceKit", "LandmarkEmbedding", "load_face_model"]

FACE_MODELS = ("facemesh", "ict")


def load_face_model(name: str, path: str | Path | None = None, part: str = "face") -> FaceModel:
    """The face model of this name.

    Args:
        name: "facemesh" (bundled; `path` may name another file of its kind) or "ict".
        path: the npz of ICT-FaceKit for "ict".
        part: for "ict", "face" or "head".

    Raises:
        UsageError: an unknown name, or "ict" without a path.
        CheckpointError: the model's file is missing or damaged.
    """
    if name == "facemesh":
        return FaceMesh(path)
    if name == "ict":
        if path is None:
            raise UsageError("The face model 'ict' needs the path of ICT-FaceKit's npz.")
        return ICTFaceKit(path, part)
    raise UsageError(f"There is no face model {name!r}; choose one of {', '.join(FACE_MODELS)}.")
