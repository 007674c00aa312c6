"""The code of this model is the Python package au-d3dface: this file only hands its classes to transformers."""

try:
    from au_d3dface import (
        AUD3DFaceConfig,
        AUD3DFaceForReconstruction,
        AUD3DFaceModel,
        AUD3DFaceVideoProcessor,
        VideoTo3DFacePipeline,
    )
except ModuleNotFoundError as error:
    if error.name != "au_d3dface":
        raise
    raise ImportError(
        "This model runs with the Python package au-d3dface, which is not installed here: pip install au-d3dface"
    ) from None

__all__ = [
    "AUD3DFaceConfig",
    "AUD3DFaceForReconstruction",
    "AUD3DFaceModel",
    "AUD3DFaceVideoProcessor",
    "VideoTo3DFacePipeline",
]
