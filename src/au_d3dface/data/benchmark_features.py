"""What a frozen Video Swin says of a benchmark, made once: a file a sequence, with features of every phase of its runs.

A network with a frozen video branch is trained and scored on these; no picture is read for it again.
"""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ..errors import InputError
from ..export.files import output_errors
from ..modeling_au_d3dface import AUD3DFaceModel
from ..video_processing_au_d3dface import normalise_crops

if TYPE_CHECKING:
    from .benchmark_clips import CoefficientSequence

PART = 20
"""Crops that are in memory at a time, beside those that Video Swin looks at."""


class SequenceFeatures:
    """The features of one sequence.

    Args:
        path: of `build_features`.
        size: F, numbers a frame.
    """

    def __init__(self, path: Path, size: int) -> None:
        self.path, self.size = path, size

    def __call__(self, number: int, start: int, length: int) -> Tensor:
        """(length, F) float32 of some entries of a clip of the sequence; 0 beyond its end.

        Args:
            number: of the clip among the sequence's. start: the first entry.

        Raises:
            InputError: the file is missing or damaged.
        """
        features = torch.zeros(length, self.size)
        try:
            with safe_open(self.path, "pt") as archive:
                found = archive.get_slice(str(number))[start : start + length]
            features[: len(found)] = found
        except (OSError, SafetensorError, RuntimeError, TypeError) as error:
            raise InputError(f"{self.path} is damaged ({error}); delete it to make it anew") from error
        return features


@torch.no_grad()
def build_features(sequence: "CoefficientSequence", model: AUD3DFaceModel, path: Path) -> None:
    """Reads a sequence with the video branch of a model and writes its features in half precision, whole or not at all.

    Args:
        sequence: with `crops`.
        model: in evaluation mode; nothing of it is trained here.

    Raises:
        InputError: a picture cannot be read.
        OutputError: the file cannot be written.
    """
    assert sequence.crops is not None
    crops, features = sequence.crops, {}

    def parts(rows: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        for some in rows.split(PART):
            at = some.clamp_min(0)
            mask = (some >= 0) & sequence.usable[at]
            yield normalise_crops(crops(at, mask)[None].to(model.device)), mask[None].to(model.device)

    for number, clip in enumerate(sequence.clips):
        read = model.video_backbone.read(parts(torch.from_numpy(clip.rows)))
        features[str(number)] = torch.cat([part[0].half().cpu() for part in read])
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with output_errors(path.parent):
        try:
            save_file(features, temporary)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


def features_name(sequence: "CoefficientSequence", video: str) -> str:
    """A file name that differs where features do: by weights, frames, faces, and where the faces are in the pictures.

    Args:
        video: of `video_digest`.
    """
    assert sequence.crops is not None
    digest = hashlib.sha256(video.encode())
    for path in sequence.crops.pictures:
        digest.update(f"{'' if path is None else Path(path).name}\n".encode())
    for tensor in (sequence.usable, sequence.crops.corners):
        digest.update(tensor.numpy().tobytes())
    for clip in sequence.clips:
        digest.update(clip.rows.tobytes())
    return f"{sequence.name}-features-{digest.hexdigest()[:16]}.safetensors"
