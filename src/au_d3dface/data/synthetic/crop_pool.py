"""Face crops of rendered sequences, for the video branch: `CropPool`, and `FeaturePool` of a frozen Video Swin.

Both go with a `SequencePool` of the same sequences in the same order, and `SyntheticClips` takes them beside it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ...modeling_au_d3dface import AUD3DFaceModel
from ...video_processing_au_d3dface import crop_face, normalise_crops
from .rendered_sequences import StoredSequences
from .stored_pictures import StoredPictures
from .tensor_file import TensorFile


@dataclass
class CropPool(TensorFile):
    """Crops as the pipeline cuts them.

    Attributes:
        crops: (n, T, 3, S, S) uint8 RGB, zero where there is no face.
    """

    crops: Tensor

    def clip(self, index: int, frames: slice) -> dict[str, Tensor]:
        """`crops` (T, 3, S, S) uint8 of some frames of a sequence; they are normalised on the device."""
        return {"crops": self.crops[index, frames]}


@dataclass
class FeaturePool(TensorFile):
    """What a frozen Video Swin says of a `CropPool`.

    Attributes:
        features: (n, T, F) float16, f^I of section 3.2, flattened, in overlapping windows over the whole sequence.
    """

    features: Tensor

    def clip(self, index: int, frames: slice) -> dict[str, Tensor]:
        """`video_features` (T, F) float32 of some frames of a sequence."""
        return {"video_features": self.features[index, frames].float()}


def build_crop_pool(folder: str | Path, size: int, progress: Callable[[int], object] = lambda done: None) -> CropPool:
    """Cuts the faces out of the pictures of every sequence of a folder.

    Args:
        folder: as `rendered_sequences --pictures` writes it.
        size: S, pixels a side: `config.image_size`.
        progress: called with 1 for every sequence done.

    Raises:
        InputError: the folder holds no pictures or a damaged shard.
    """
    sequences, stored = StoredSequences(folder), StoredPictures(folder)
    crops = torch.zeros(len(sequences), stored.num_frames, 3, size, size, dtype=torch.uint8)
    for index in range(len(sequences)):
        face = sequences(index).face
        for frame, picture in enumerate(stored.pictures(index)):
            if face.valid[frame]:
                crops[index, frame] = crop_face(picture, np.asarray(face.landmarks[frame]), size)
        progress(1)
    return CropPool(crops)


@torch.no_grad()
def build_feature_pool(
    crops: CropPool, valid: Tensor, model: AUD3DFaceModel, progress: Callable[[int], object] = lambda done: None
) -> FeaturePool:
    """Reads every sequence with the video branch of a model.

    Args:
        valid: (n, T) bool, frames with a face.
        model: in evaluation mode; nothing of it is trained here.
        progress: called with 1 for every sequence done.
    """
    features = torch.zeros(*valid.shape, model.config.video_feature_size, dtype=torch.float16)
    for index, mask in enumerate(valid):
        pixels = normalise_crops(crops.crops[index : index + 1].to(model.device))
        features[index] = model.video_features(pixels, mask[None].to(model.device))[0].half().cpu()
        progress(1)
    return FeaturePool(features)
