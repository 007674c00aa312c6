"""The labels that the network is fed in training (Eq. 2), made as unreliable as they are in use.

With true labels fed back, the network learns to copy the last one and at inference sticks to its own mistakes
(exposure bias). So the fed labels are corrupted, and in a growing share of clips they are the network's own decisions
(scheduled sampling; in parallel over frames, as in Mihaylova and Martins, "Scheduled sampling for transformers", 2019).
The targets of the losses stay the true labels.
"""

import torch
from torch import Tensor, nn

from ..modeling_au_d3dface import AUD3DFaceForReconstruction
from ..outputs_au_d3dface import AUD3DFaceReconstructionOutput


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


class FeedbackForward(nn.Module):
    """The teacher-forced pass in which some clips are fed the network's own decisions.

    Only the temporal module reads labels, so meshes and video are read once: the decisions come from passes of the
    temporal module alone, without gradients, first on the labels as given, then on the decisions of the pass before. A
    module of its own, so that what wraps models for many processes wraps all of it.
    """

    def __init__(self, network: AUD3DFaceForReconstruction, passes: int = 2) -> None:
        super().__init__()
        self.network, self.passes = network, passes

    def forward(
        self,
        vertices: Tensor,
        neutral_vertices: Tensor,
        au_labels: Tensor,
        frame_mask: Tensor,
        own: Tensor,
        pixel_values_videos: Tensor | None = None,
        video_features: Tensor | None = None,
    ) -> AUD3DFaceReconstructionOutput:
        """As `AUD3DFaceForReconstruction.forward`.

        Args:
            vertices (B, T, V, 3), neutral_vertices (B, V, 3), au_labels (B, T, N), frame_mask (B, T): of the batch.
            own: (B,) bool, the clips that are fed the network's decisions instead of `au_labels`.
            pixel_values_videos (B, T, 3, H, W) or video_features (B, T, F): where the network reads video.
        """
        network, model = self.network, self.network.model
        mask = frame_mask.bool()
        displacement = model.displacement(vertices, neutral_vertices, mask)
        spatial = model.spatial_embeddings(displacement, mask)
        temporal = model.frame_features(displacement, pixel_values_videos, mask, video_features)
        if network.config.use_temporal:
            keys = model.temporal.feature_keys(temporal, 0)
            labels = model.known_labels(au_labels, None, mask)
            if own.any():
                labels = self._own_decisions(labels, keys, spatial, mask, own)
            temporal, _ = model.temporal(labels, keys, mask, None)
        elif temporal is None:
            temporal = torch.zeros_like(spatial[:, :, 0])
        logits = network.au_head(temporal, spatial)
        return AUD3DFaceReconstructionOutput(
            vertices=network.refine(temporal, spatial, vertices, neutral_vertices, mask),
            au_logits=logits,
            au_probabilities=logits.sigmoid(),
            au_intensities=network.intensities(temporal, spatial),
            temporal_embeddings=temporal,
            spatial_embeddings=spatial,
        )

    @torch.no_grad()
    def _own_decisions(self, labels: Tensor, keys: list, spatial: Tensor, mask: Tensor, own: Tensor) -> Tensor:
        given, rates = labels, labels.new_tensor(self.network.config.au_positive_rates)
        device = labels.device.type
        # Before PyTorch 2.10 autocast kept weights that it had cast here, without gradients, for the pass that learns.
        with torch.autocast(device, enabled=torch.is_autocast_enabled(device), cache_enabled=False):
            for _ in range(self.passes):
                temporal, _ = self.network.model.temporal(labels, keys, mask, None)
                decided = (self.network.au_head(temporal, spatial) >= 0).to(labels)
                decided = torch.where(mask[..., None], decided, rates)
                labels = torch.where(own[:, None, None], decided, given)
        return labels
