"""f^I of a long video, crop by crop: what `AUD3DFaceModel.video_features` gives, without holding all pixels."""

from collections.abc import Iterable

import torch
from torch import Tensor

from .modeling_au_d3dface import AUD3DFaceModel
from .video_backbone import video_windows
from .video_processing_au_d3dface import normalise_crops


@torch.no_grad()
def streamed_video_features(model: AUD3DFaceModel, crops: Iterable[Tensor | None], num_frames: int) -> Tensor:
    """Reads a video once, in order; beside the result, memory holds L crops.

    The result takes h · w · C numbers a frame, 150 kB with `swin3d_t` at 224 pixels in single precision: 90 MB a minute
    at 10 frames a second, where the pixels themselves would take 360 MB.

    Args:
        model: with a video branch, in evaluation mode.
        crops: T of (3, H, W) uint8, see `crop_face`; None where there is no face.
        num_frames: T, which decides where the last clip begins.

    Returns:
        (1, T, h · w · C) on the model's device: the numbers of `video_features` over all frames at once.

    Raises:
        ValueError: fewer crops than frames, or one of another size.
    """
    config = model.config
    shape = (3, config.image_size, config.image_size)
    stream, held, first = iter(crops), [], 0  # the crops from `first` on that a clip still needs
    features = torch.empty(1, num_frames, config.video_feature_size, dtype=model.dtype, device=model.device)
    for start, given in video_windows(num_frames, config.clip_length):
        held, first = held[start - first :], start
        while first + len(held) < min(start + config.clip_length, num_frames):
            crop = next(stream, _END)
            if crop is _END:
                raise ValueError(f"the video ended after {first + len(held)} crops of {num_frames}")
            if crop is not None and tuple(crop.shape) != shape:
                raise ValueError(f"a crop must be {shape}, not {tuple(crop.shape)}")
            held.append(crop)
        seen = torch.tensor([crop is not None for crop in held], device=model.device)
        pictures = torch.stack([torch.zeros(shape, dtype=torch.uint8) if crop is None else crop for crop in held])
        pixels = normalise_crops(pictures.to(model.device)).masked_fill(~seen[:, None, None, None], 0.0)
        clip = model.video_backbone(pixels[None].to(model.dtype))
        features[:, given] = clip[:, given.start - start : given.stop - start]
    return features


_END = object()
