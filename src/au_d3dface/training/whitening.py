"""Training in coordinates in which the mesh's motions are of one size.

Vertices move together, and by very different amounts: a jaw drops by centimetres, a lid tightens by a tenth of a
millimetre. Gradient descent learns the large motions first and the small ones hardly ever. So the layers that read
displacements, E^S of Eq. 1 and the first layer of Eq. 7, are written as weight = Σ^(-1/2) · A while they are trained,
Σ the covariance of what each of them sees. Afterwards the product is stored: the network is the same function.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from ..data.synthetic.pool import SequencePool
from ..modeling_au_d3dface import AUD3DFaceForReconstruction


class _Whitened(nn.Module):
    """weight = root · A, or A · root for a weight that is multiplied from the right."""

    def __init__(self, root: Tensor, right: bool) -> None:
        super().__init__()
        self.register_buffer("root", root)
        self.right = right

    def forward(self, weight: Tensor) -> Tensor:
        return weight @ self.root if self.right else self.root @ weight


@dataclass
class CoarseMotions:
    """Coarse meshes of several frames by their coefficients: as much of a `SequencePool` as is measured.

    Attributes:
        expression: (..., E). valid: (...) bool. expression_basis: (E, V, 3) metres.
    """

    expression: Tensor
    valid: Tensor
    expression_basis: Tensor


def whiten(
    network: AUD3DFaceForReconstruction, pools: Sequence[SequencePool] | Sequence[CoarseMotions], floor: float
) -> None:
    """Writes the input layers of a mesh network in whitened coordinates and starts them anew in these.

    Without the temporal or the spatial module there is one such layer; a network that reads no mesh stays as it is.

    Args:
        pools: whose displacements are measured.
        floor: metres; motions smaller than this stay small.
    """
    config, model = network.config, network.model
    if not config.use_mesh:
        return
    moved = torch.cat([pool.expression[pool.valid] for pool in pools])
    basis = pools[0].expression_basis.flatten(1) / config.displacement_scale
    covariance = basis.T @ (moved.T @ moved / len(moved)) @ basis  # (3V, 3V)
    if config.use_temporal:
        _parametrize(model.motion_encoder, covariance, floor / config.displacement_scale, right=True)
    if config.use_spatial:
        masks = model.au_masks.to(covariance).repeat_interleave(3, dim=1)  # (N, 3V)
        inside = covariance * (masks.T @ masks) / len(masks)  # the mean over AUs of M_k Σ M_k
        _parametrize(model.spatial.tokens, inside, floor / config.displacement_scale, right=False)


def fold(network: AUD3DFaceForReconstruction) -> None:
    """Stores the products as plain weights; nothing is done where no layer was written as one."""
    for module in list(network.modules()):
        for name in list(getattr(module, "parametrizations", {})):
            # torch keeps the product in a class, which copies of the module share, and deletes it there: the network
            # in training must keep its own.
            shared = type(module)
            module.__class__ = type(shared.__name__, shared.__bases__, dict(vars(shared)))
            parametrize.remove_parametrizations(module, name, leave_parametrized=True)


def _parametrize(module: nn.Module, covariance: Tensor, floor: float, right: bool) -> None:
    values, vectors = torch.linalg.eigh(covariance.double())
    values = values.clamp_min(0)
    root = (vectors / (values + floor**2).sqrt()) @ vectors.T
    dimensions = float((values / (values + floor**2)).sum())  # how many motions are above the floor
    parametrize.register_parametrization(module, "weight", _Whitened(root.float(), right), unsafe=True)
    with torch.no_grad():
        module.parametrizations.weight.original.normal_(std=max(dimensions, 1.0) ** -0.5)
