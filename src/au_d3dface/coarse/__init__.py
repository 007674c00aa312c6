"""Frozen per-frame coarse reconstructors behind one interface: landmark fitting (default), DECA, EMOCA."""

from pathlib import Path

from ..errors import UsageError
from ..face_models import FLAME, FaceModel, LinearFLAME
from .appearance import Appearance, AppearanceEstimator, estimate_appearance
from .base import CoarseReconstructor, CoarseSequence, own_precision
from .causal import CausalNeutral, CoarseFrame, LandmarkStream
from .deca import DECA
from .deca_files import load_encoder
from .dense_fitting import DenseFitting, DenseNeutral
from .emoca import EMOCA
from .landmark_fitting import LandmarkFitting
from .skin_mask import SkinMasker, SkinPlaces, SkinSegmenter

__all__ = [
    "COARSE_RECONSTRUCTORS",
    "DECA",
    "EMOCA",
    "Appearance",
    "AppearanceEstimator",
    "CausalNeutral",
    "CoarseFrame",
    "CoarseReconstructor",
    "CoarseSequence",
    "DenseFitting",
    "DenseNeutral",
    "LandmarkFitting",
    "LandmarkStream",
    "SkinMasker",
    "SkinPlaces",
    "SkinSegmenter",
    "estimate_appearance",
    "load_coarse",
    "own_precision",
]

COARSE_RECONSTRUCTORS = ("landmarks", "deca", "emoca")


def load_coarse(name: str, face_model: FaceModel, path: str | Path | None = None) -> CoarseReconstructor:
    """The coarse reconstructor of this name, on this face model.

    Args:
        name: one of COARSE_RECONSTRUCTORS.
        face_model: the model that it gives coefficients of; FLAME for "deca" and "emoca".
        path: for "deca" and "emoca", the converted file or its folder; None for where `load_encoder` finds it.

    Raises:
        UsageError: an unknown name, or a face model that it cannot fit.
        CheckpointError: its file is missing or damaged, or made for another release of the face model.
    """
    if name == "landmarks":
        return LandmarkFitting(LinearFLAME(face_model) if isinstance(face_model, FLAME) else face_model)
    if name == "deca":
        return DECA(load_encoder(name, path), face_model)
    if name == "emoca":
        return EMOCA(load_encoder(name, path), face_model)
    raise UsageError(f"There is no coarse reconstructor {name!r}; choose one of {', '.join(COARSE_RECONSTRUCTORS)}.")
