"""f^I of section 3.2: torchvision's Video Swin Transformer over a clip, one flattened feature map per frame; long
videos in overlapping clips, as their frames come."""

import math
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn
from torchvision.models.swin_transformer import SwinTransformerBlock
from torchvision.models.video.swin_transformer import ShiftedWindowAttention3d, SwinTransformer3d
from transformers import initialization as init
from transformers.modeling_layers import GradientCheckpointingLayer

from .configuration_au_d3dface import AUD3DFaceConfig
from .errors import CheckpointError
from .kinetics_weights import fetch_kinetics_weights, read_swin_weights


class AUD3DFaceVideoBlock(GradientCheckpointingLayer, SwinTransformerBlock):
    """torchvision's block, with activation checkpointing by choice."""


class AUD3DFaceVideoBackbone(nn.Module):
    """Video Swin without its classifier of Kinetics actions."""

    def __init__(self, config: AUD3DFaceConfig):
        super().__init__()
        self.config = config
        self.swin = SwinTransformer3d(
            patch_size=[2, 4, 4],
            embed_dim=config.video_embed_dim,
            depths=list(config.video_depths),
            num_heads=list(config.video_num_heads),
            window_size=list(config.video_window_size),
            stochastic_depth_prob=config.video_stochastic_depth,
            num_classes=1,
            block=partial(AUD3DFaceVideoBlock, attn_layer=ShiftedWindowAttention3d),
        )
        del self.swin.head
        for module in self.modules():
            module._is_video_backbone = True  # so that the network's _init_weights leaves it to init_video_backbone

    def forward(self, pixel_values_videos: Tensor, frame_mask: Tensor | None = None) -> Tensor:
        """(B, T, 3, H, W) normalised crops to (B, T, h · w · C); crops where frame_mask (B, T) is false read as zeros.

        The patch embedding halves time. "twice" shows every frame twice, so that one temporal cell is one frame;
        "repeat" shows frames once (an odd last one twice) and gives each cell to both of its frames.
        """
        num_frames = pixel_values_videos.shape[1]
        if frame_mask is not None:
            pixel_values_videos = pixel_values_videos.masked_fill(~frame_mask.bool()[..., None, None, None], 0.0)
        x = pixel_values_videos.transpose(1, 2).to(self.swin.norm.weight.dtype)  # (B, 3, T, H, W)
        if self.config.video_frames == "twice":
            x = x.repeat_interleave(2, dim=2)
        elif num_frames % 2:
            x = torch.cat([x, x[:, :, -1:]], 2)
        swin = self.swin
        cells = swin.norm(swin.features(swin.pos_drop(swin.patch_embed(x)))).flatten(2)  # (B, cells, h · w · C)
        return cells if self.config.video_frames == "twice" else cells.repeat_interleave(2, dim=1)[:, :num_frames]

    def read(self, parts: Iterable[tuple[Tensor, Tensor]]) -> Iterator[Tensor]:
        """f^I of a video of any length, whose frames may come in parts of any length with the same result.

        Clips of L = `config.clip_length` frames begin every L // 2 frames, and the last one ends with the video; each
        gives the frames from the middle of its overlap with the clip before to that with the clip after.

        Args:
            parts: pixel_values_videos (B, n, 3, H, W) and frame_mask (B, n) of frames in order. At most L + L // 2
                frames (and at least L + 1) are kept of them, beside the part that is being read.

        Yields:
            (B, m, h · w · C) of the frames that are finished, in order.
        """
        length, hop = self.config.clip_length, max(1, self.config.clip_length // 2)
        held: list[tuple[Tensor, Tensor]] = []
        first = 0  # of the frames held, the one that is to be given next
        clip: Tensor | None = None  # of the first L held: how many of it count depends on where the next clip begins

        def clip_of_held() -> Tensor:
            pixels, mask = zip(*held[:length], strict=True)
            return self(torch.stack(pixels, 1), torch.stack(mask, 1))

        for pixels, mask in parts:
            for frame in zip(pixels.unbind(1), mask.unbind(1), strict=True):
                if len(held) == length:
                    clip = clip_of_held()
                held.append(frame)
                if len(held) == length + hop:
                    middle = (hop + length) // 2
                    yield clip[:, first:middle]
                    first, clip = middle - hop, None
                    del held[:hop]
        if clip is not None:
            rest = len(held) - length
            middle = (rest + length) // 2
            yield clip[:, first:middle]
            first = middle - rest
            del held[:rest]
        if held:
            yield clip_of_held()[:, first:]

    def load_kinetics_weights(self, path: str | Path | None = None):
        """Loads torchvision's Kinetics-400 weights of `swin3d_t`.

        Args:
            path: a local file with torchvision's state dict; None fetches it as torchvision does, into torch's cache.

        Raises:
            MissingDependencyError: the weights cannot be fetched.
            CheckpointError: the file is missing or damaged, or its weights are of another network or size.
        """
        path = fetch_kinetics_weights() if path is None else Path(path)
        try:
            self.swin.load_state_dict(read_swin_weights(path))
        except RuntimeError as error:
            reason = " ".join(str(error).split())[:300]
            raise CheckpointError(f"{path} holds no weights of the config's Video Swin: {reason}") from error


def init_video_backbone(module: nn.Module):
    """torchvision's own initialisation of one module, written out: where a checkpoint has no video branch,
    from_pretrained leaves the branch's memory undefined and calls this."""
    if isinstance(module, nn.Linear):
        init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            init.zeros_(module.bias)
    elif isinstance(module, nn.LayerNorm):
        init.ones_(module.weight)
        init.zeros_(module.bias)
    elif isinstance(module, nn.Conv3d):
        init.kaiming_uniform_(module.weight, a=math.sqrt(5))
        bound = module.weight[0].numel() ** -0.5
        init.uniform_(module.bias, -bound, bound)
    elif isinstance(module, ShiftedWindowAttention3d):
        init.trunc_normal_(module.relative_position_bias_table, std=0.02)
        with torch.device("cpu"):
            fresh = ShiftedWindowAttention3d(1, module.window_size, module.shift_size, 1)
        init.copy_(module.relative_position_index, fresh.relative_position_index)
