"""Linear 3D face models behind one interface: facemesh (bundled), ict (MIT), flame (licensed)."""

from pathlib import Path

from ..errors import UsageError
from .base import FaceModel, LandmarkEmbedding
from .facemesh import FaceMesh
from .flame import FLAME, find_flame
from .ict import ICTFaceKit
from .ict_files import find_ict_facekit
from .linear_flame import LinearFLAME

__all__ = [
    "FACE_MODELS",
    "FLAME",
    "FaceMesh",
    "FaceModel",
    "ICTFaceKit",
    "LandmarkEmbedding",
    "LinearFLAME",
    "find_flame",
    "find_ict_facekit",
    "load_face_model",
]

FACE_MODELS = ("facemesh", "ict", "flame")


def load_face_model(name: str, path: str | Path | None = None, part: str = "face") -> FaceModel:
    """The face model of this name.

    Args:
        name: "facemesh" (bundled; `path` may name another file of its kind), "ict" or "flame".
        path: for "ict", ICT-FaceKit's folder of OBJ files or its npz; for "flame", what `assets convert` wrote; None
            for where `find_ict_facekit` or `find_flame` find it.
        part: for "ict", "face" or "head".

    Raises:
        UsageError: an unknown name.
        CheckpointError: the model's file is missing or damaged.
    """
    if name == "facemesh":
        return FaceMesh(path)
    if name == "ict":
        return ICTFaceKit(find_ict_facekit(path), part)
    if name == "flame":
        return FLAME(path)
    raise UsageError(f"There is no face model {name!r}; choose one of {', '.join(FACE_MODELS)}.")
