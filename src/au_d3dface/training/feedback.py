"""The labels that the network is fed in training (Eq. 2), made as unreliable as they are in use.

With true labels fed back, the network learns to copy the last one and at inference sticks to its own mistakes
(exposure bias). So the fed labels are corrupted, and in a growing share of clips they are the network's own decisions (scheduled
sampling; in parallel over frames, as in Mihaylova and Martins, "Scheduled sampling for transformers", 2019). The targets
of the losses stay the true labels.
"""

import torch
from torch import Tensor


def corrupt_labels(labels: Tensor, flip: float, unknown: float, generator: torch.Generator | None = None) -> Tensor:
    """Flips and hides labels, some one by one and some in stretches, as wrong decisions come in use.

    Args:
        labels: (B, T, N) 0, 1 or -1.
        flip: share flipped, on average.
        unknown: share made unknown, on average.

    Returns:
        (B, T, N), a new tensor; unknown labels stay unknown.
    """

    def draw(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator).to(labels.device)

    batch, frames, units = labels.shape
    out = labels.clone()
    if flip > 0:
        single = draw(batch, frames, units) < flip / 2
        # A stretch covers a quarter of the clip and 2 in 8 positions of its start reach any one frame.
        start = (draw(batch, 1, units) * frames).long()
        time = torch.arange(frames, device=labels.device)[None, :, None]
        stretch = (time >= start) & (time < start + max(1, frames // 4)) & (draw(batch, 1, units) < 2 * flip)
        out = torch.where((single | stretch) & (out >= 0), 1 - out, out)
    if unknown > 0:
        single = draw(batch, frames, units) < unknown / 2
        whole = draw(batch, 1, units) < unknown / 2
        out = torch.where(single | whole, -1, out)
    return out
