"""Training D of Eq. 9 within the motions of the face model.

Pictures and a few landmarks say nothing of most vertices' depth, and little of cheeks and forehead. So while it is
trained, D is written as weight = M · A: its motions are combinations of the face model's expressions, each as large as
it is in the coarse meshes, and what a landmark says moves the skin around it too. Afterwards the product is stored: D
is a plain linear layer.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from ..data.synthetic.pool import SequencePool
from ..modeling_au_d3dface import AUD3DFaceForReconstruction
from .whitening import CoarseMotions


class _Spanned(nn.Module):
    """(E, ...) to (3V, ...): M · A."""

    def __init__(self, motions: Tensor) -> None:
        super().__init__()
        self.register_buffer("motions", motions)

    def forward(self, coefficients: Tensor) -> Tensor:
        return self.motions @ coefficients

    def right_inverse(self, weight: Tensor) -> Tensor:
        return torch.linalg.lstsq(self.motions, weight.reshape(len(weight), -1)).solution.reshape(-1, *weight.shape[1:])


def span_motions(network: AUD3DFaceForReconstruction, pools: Sequence[SequencePool] | Sequence[CoarseMotions]) -> None:
    """Writes D as combinations of the expressions of the pools' face model, each of the standard deviation that its
    coefficient has in their coarse meshes. `whitening.fold` stores the products."""
    basis = pools[0].expression_basis.flatten(1)  # (E, 3V)
    spread = torch.cat([pool.expression[pool.valid] for pool in pools]).std(0)
    motions = (basis * spread[:, None]).T / network.config.displacement_scale
    for name in ("weight", "bias"):
        parametrize.register_parametrization(network.motion_decoder, name, _Spanned(motions), unsafe=True)
