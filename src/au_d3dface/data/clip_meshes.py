"""Meshes of a batch from its coefficients, on the device of the batch.

A clip of L frames travels as coefficients and the meshes that it has one of, not as 2 L meshes: from data set to batch,
between processes, and from CPU to GPU. This is the first thing that a training step does on the device.
"""

import torch
from torch import Tensor, nn

from ..face_models import FaceModel


class ClipMeshes(nn.Module):
    """Coarse meshes S_j, and true ones where they are known.

    S_j = rest_vertices + expression · expression_basis. True meshes of synthetic sequences are
    true_neutral + (weights · geometry) · alignmentᵀ, see `SequencePool`.

    Args:
        expression_basis: (E, V, 3) metres, of the face model.
        geometry: (K, V, 3) metres, true displacement at weight 1 of each shape; None where no truth is known.
    """

    expression_basis: Tensor
    geometry: Tensor | None

    def __init__(self, expression_basis: Tensor, geometry: Tensor | None = None) -> None:
        super().__init__()
        self.register_buffer("expression_basis", expression_basis, persistent=False)
        self.register_buffer("geometry", geometry, persistent=False)

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """The batch, with `vertices` (B, T, V, 3) added, and `true_vertices` (B, T, V, 3) where it has `weights`.

        Args:
            batch: `expression` (B, T, E), `rest_vertices` (B, V, 3); perhaps `weights` (B, T, K), `true_neutral`
                (B, V, 3) and `alignment` (B, 3, 3).
        """
        motion = torch.tensordot(batch["expression"], self.expression_basis, dims=1)
        meshes = {"vertices": batch["rest_vertices"][:, None] + motion}
        if "weights" in batch and self.geometry is not None:
            true_motion = torch.tensordot(batch["weights"], self.geometry, dims=1) @ batch["alignment"].mT[:, None]
            meshes["true_vertices"] = batch["true_neutral"][:, None] + true_motion
        return batch | meshes


class FLAMEClipMeshes(nn.Module):
    """Coarse meshes of FLAME with its jaw, which is not linear: S_j = FLAME(shape, expression, pose).

    Args:
        flame: `face_models.FLAME`.
    """

    def __init__(self, flame: FaceModel) -> None:
        super().__init__()
        self.flame = flame

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """The batch, with `vertices` (B, T, V, 3) added.

        Args:
            batch: `shape` (B, S), `expression` (B, T, E), `pose` (B, T, P) as `CoarseSequence` has them.
        """
        shape = batch["shape"][:, None].expand(-1, batch["expression"].shape[1], -1)
        return batch | {"vertices": self.flame(shape, batch["expression"], batch["pose"])}
