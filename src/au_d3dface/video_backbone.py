"""f^I of section 3.2: torchvision's Video Swin Transformer over a clip, one flattened feature map per frame."""

import math
import pickle
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn
from torchvision.models.video.swin_transformer import (
    ShiftedWindowAttention3d,
    Swin3D_T_Weights,
    SwinTransformer3d,
)
from transformers import initialization as init

from .configuration_au_d3dface import AUD3DFaceConfig
from .errors import CheckpointError


def video_windows(num_frames: int, length: int) -> Iterator[tuple[int, slice]]:
    """The overlapping clips in which long videos are read, and what each gives.

    Video Swin looks both ways in time, so a frame is best read with its neighbours on both sides: clips start every
    L / 2 frames, the last one L before the end, and each gives the frames that are nearer to its middle than to that of
    its neighbours.

    Args:
        num_frames: T. length: L.

    Yields:
        The first frame of a clip, and the frames that it gives, as a slice of the video; in order, without a gap.
    """
    starts = [*range(0, num_frames - length, max(1, length // 2)), max(0, num_frames - length)]
    done = 0
    for start, following in zip(starts, [*starts[1:], None], strict=True):
        end = num_frames if following is None else (following + start + length) // 2  # the middle of the overlap
        yield start, slice(done, end)
        done = end


class AUD3DFaceVideoBackbone(nn.Module):
    """Video Swin without its classifier of Kinetics actions."""

    gradient_checkpointing = False  # transformers sets it, and _gradient_checkpointing_func, where training asks for it

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
        )
        del self.swin.head
        for module in self.modules():
            module._is_video_backbone = True  # so that the network's _init_weights leaves it to init_video_backbone

    def forward(self, pixel_values_videos: Tensor) -> Tensor:
        """(B, T, 3, H, W) normalised crops to (B, T, h · w · C).

        The patch embedding halves time. "twice" shows every frame twice, so that one temporal cell is one frame;
        "repeat" shows frames once (an odd last one twice) and gives each cell to both of its frames.
        """
        num_frames = pixel_values_videos.shape[1]
        x = pixel_values_videos.transpose(1, 2)  # (B, 3, T, H, W)
        if self.config.video_frames == "twice":
            x = x.repeat_interleave(2, dim=2)
        elif num_frames % 2:
            x = torch.cat([x, x[:, :, -1:]], 2)
        swin = self.swin
        x = swin.pos_drop(swin.patch_embed(x))
        for stage in swin.features:
            blocks = stage if isinstance(stage, nn.Sequential) else [stage]  # the others merge patches
            for block in blocks:
                anew = self.gradient_checkpointing and self.training and torch.is_grad_enabled()
                x = self._gradient_checkpointing_func(block.__call__, x) if anew else block(x)
        cells = swin.norm(x).flatten(2)  # (B, cells, h · w · C)
        return cells if self.config.video_frames == "twice" else cells.repeat_interleave(2, dim=1)[:, :num_frames]

    def load_kinetics_weights(self, path: str | Path | None = None):
        """Loads torchvision's Kinetics-400 weights of `swin3d_t`.

        Args:
            path: a local file with torchvision's state dict; None lets torchvision fetch and check its own.

        Raises:
            CheckpointError: they cannot be fetched or read, or are of another network or size.
        """
        weights = Swin3D_T_Weights.KINETICS400_V1
        try:
            if path is None:
                state = weights.get_state_dict(progress=True, check_hash=True)
            else:
                state = torch.load(path, map_location="cpu", weights_only=True)
            state = {key: value for key, value in state.items() if not key.startswith("head.")}
        except (OSError, RuntimeError, EOFError, AttributeError, pickle.UnpicklingError) as error:
            if path is None:
                raise CheckpointError(
                    f"torchvision's weights of Video Swin cannot be fetched from {weights.url} ({error}); without a "
                    "network, give the file itself"
                ) from error
            raise CheckpointError(
                f"{path} cannot be read as weights of Video Swin; give torchvision's file, {weights.url}"
            ) from error
        try:
            self.swin.load_state_dict(state)
        except RuntimeError as error:
            first = str(error).strip().splitlines()[1:2]
            raise CheckpointError(
                f"{path or weights.url} holds no weights of the config's Video Swin: {' '.join(first).strip()[:200]}"
            ) from error


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
