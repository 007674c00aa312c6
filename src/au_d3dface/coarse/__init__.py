"""Frozen per-frame coarse reconstructors behind one interface: landmark fitting (default), DECA, EMOCA."""

from ..errors import UsageError
from ..face_models import FLAME, FaceModel, LinearFLAME
from .base import CoarseReconstructor, CoarseSequence
from .causal import CausalNeutral, CoarseFrame, LandmarkStream
from .dense_fitting import DenseFitting, DenseNeutral
from .landmark_fitting import LandmarkFitting

__all__ = [
    "COARSE_RECONSTRUCTORS",
    "CausalNeutral",
    "CoarseFrame",
    "CoarseReconstructor",
    "CoarseSequence",
    "DenseFitting",
    "DenseNeutral",
    "LandmarkFitting",
    "LandmarkStream",
    "load_coarse",
]

COARSE_RECONSTRUCTORS = ("landmarks",)


def load_coarse(name: str, face_model: FaceModel) -> CoarseReconstructor:
    """The coarse reconstructor of this name, on this face model.

    Raises:
        UsageError: an unknown name, or a face model that it cannot fit.
    """
    if name == "landmarks":
        return LandmarkFitting(LinearFLAME(face_model) if isinstance(face_model, FLAME) else face_model)
    raise UsageError(f"There is no coarse reconstructor {name!r}; choose one of {', '.join(COARSE_RECONSTRUCTORS)}.")
