"""au-d3dface: from ordinary video of a face to a moving 3D face explained by facial action units.

The names below are imported when they are first used, so that `import au_d3dface` is quick.
Importing the model or its config also registers both with transformers' `AutoConfig` and `AutoModel`.
"""

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"

_HOMES = {
    "AUD3DFaceConfig": "configuration_au_d3dface",
    "AUD3DFaceModel": "modeling_au_d3dface",
    "AUD3DFaceForReconstruction": "modeling_au_d3dface",
    "AUD3DFaceGenerationConfig": "generation_au_d3dface",
    "AUD3DFaceVideoProcessor": "video_processing_au_d3dface",
    "AUD3DFacePipeline": "pipeline_au_d3dface",
    "FaceSequence": "face_sequence",
    "VideoTo3DFacePipeline": "transformers_pipeline",
}

__all__ = [
    "AUD3DFaceConfig",
    "AUD3DFaceForReconstruction",
    "AUD3DFaceGenerationConfig",
    "AUD3DFaceModel",
    "AUD3DFacePipeline",
    "AUD3DFaceVideoProcessor",
    "FaceSequence",
    "VideoTo3DFacePipeline",
]

if TYPE_CHECKING:
    from .configuration_au_d3dface import AUD3DFaceConfig
    from .face_sequence import FaceSequence
    from .generation_au_d3dface import AUD3DFaceGenerationConfig
    from .modeling_au_d3dface import AUD3DFaceForReconstruction, AUD3DFaceModel
    from .pipeline_au_d3dface import AUD3DFacePipeline
    from .transformers_pipeline import VideoTo3DFacePipeline
    from .video_processing_au_d3dface import AUD3DFaceVideoProcessor


def __getattr__(name: str):
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)
