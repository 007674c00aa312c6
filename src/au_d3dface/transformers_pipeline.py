"""The pipeline behind transformers' own entry, `pipeline("video-to-3d-face", model=...)`. Importing this registers it.

```python
from transformers import pipeline
from au_d3dface import VideoTo3DFacePipeline  # registers the task

pipe = pipeline("video-to-3d-face", model="folder or Hub id")
sequence = pipe("interview.mp4")[0]  # a list, as AUD3DFacePipeline gives
```

With `trust_remote_code=True` a model that was pushed with its remote-code file needs no import.
"""

from os import PathLike
from typing import Any

from transformers.pipelines import PIPELINE_REGISTRY
from transformers.pipelines.base import Pipeline

from .face_sequence import FaceSequence
from .hub.mixin import PushToHub
from .modeling_au_d3dface import AUD3DFaceForReconstruction
from .pipeline_au_d3dface import AUD3DFacePipeline

TASK = "video-to-3d-face"

_LOADING = ("coarse", "face_model", "face_landmarker", "ict_facekit", "flame", "deca", "emoca")


class VideoTo3DFacePipeline(PushToHub, Pipeline):
    """`AUD3DFacePipeline` as a pipeline of transformers.

    Args:
        model: the network.
        options: `coarse`, `face_model`, `face_landmarker`, `ict_facekit`, `flame`, `deca`, `emoca` as of
            `AUD3DFacePipeline.from_pretrained`; `faces`, `neutral`, `au_labels`, `appearance` and settings of the
            decoding as of `AUD3DFacePipeline.reconstruct`, which a call can give too; else as transformers' pipelines.

    Raises:
        AUD3DFaceError: as those two.
    """

    _load_processor = False
    _load_image_processor = False
    _load_video_processor = False  # crops are made on the way, see AUD3DFacePipeline
    _load_feature_extractor = False
    _load_tokenizer = False

    def __init__(self, model: AUD3DFaceForReconstruction, **options: Any):
        loading = {name: options.pop(name) for name in _LOADING if name in options}
        super().__init__(model=model, **options)
        self.inner = AUD3DFacePipeline.from_model(self.model.eval(), **loading)

    def _sanitize_parameters(self, **options: Any) -> tuple[dict, dict, dict]:
        return {}, options, {}

    def preprocess(self, video: str | PathLike[str]) -> dict[str, Any]:
        return {"video": video}

    def _forward(self, inputs: dict[str, Any], **options: Any) -> list[FaceSequence]:
        return self.inner(inputs["video"], **options)

    def postprocess(self, sequences: list[FaceSequence]) -> list[FaceSequence]:
        return sequences

    def push_to_hub(self, repo_id: str, **options: Any):
        """`push_to_hub` of the model, whose repository this pipeline is loaded from."""
        return self.model.push_to_hub(repo_id, **options)

    def save_pretrained(self, save_directory: str | PathLike[str], **options: Any) -> None:
        """`save_pretrained` of `AUD3DFacePipeline`."""
        self.inner.save_pretrained(save_directory, **options)


PIPELINE_REGISTRY.register_pipeline(
    TASK, pipeline_class=VideoTo3DFacePipeline, pt_model=AUD3DFaceForReconstruction, type="multimodal"
)
