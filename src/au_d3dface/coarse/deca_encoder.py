"""DECA's coefficient encoder, and EMOCA's second one: a face crop in, 236 numbers by name out.

Each encoder is a ResNet-50 (torchvision's body, whose keys are the checkpoint's) and two linear layers. Attributes have
the checkpoints' own names, so that a state dict of theirs fits without a table: `E_flame.encoder.conv1.weight`,
`E_flame.layers.0.weight`, ..., and with EMOCA the same below `E_expression`.
"""

from dataclasses import dataclass, fields

import torch
from torch import Tensor, nn
from torchvision.models import resnet50

CROP_SIZE = 224
"""Side of the crop that the encoders take, pixels."""

COEFFICIENT_SIZES = {
    "shape": 100,
    "texture": 50,
    "expression": 50,
    "rotation": 3,
    "jaw": 3,
    "camera": 3,
    "lighting": 27,
}
"""The numbers of a frame, in the encoder's order."""

EXPRESSION_OUTPUTS = (50, 53)
"""What EMOCA's second encoder gives, by version: expression, or expression and jaw."""


@dataclass
class DECACoefficients:
    """What DECA says of T face crops.

    Attributes:
        shape: (T, 100) identity, FLAME's first 100.
        texture: (T, 50) albedo, of the texture model that DECA was trained with.
        expression: (T, 50), FLAME's first 50.
        rotation: (T, 3) of the whole head about FLAME's root joint, axis-angle, radians.
        jaw: (T, 3) of the jaw joint, axis-angle, radians.
        camera: (T, 3), s, tx, ty: a point (x, y) in metres lands at s · (x + tx), -s · (y + ty) in the crop, whose
            sides are at -1 and 1, y down.
        lighting: (T, 27) spherical harmonics, nine terms of three colours each: `rendering.shade` takes them as (9, 3).
    """

    shape: Tensor
    texture: Tensor
    expression: Tensor
    rotation: Tensor
    jaw: Tensor
    camera: Tensor
    lighting: Tensor

    @classmethod
    def split(cls, code: Tensor) -> "DECACoefficients":
        """(T, 236) numbers of the encoder by name."""
        return cls(*code.split(list(COEFFICIENT_SIZES.values()), -1))

    @property
    def code(self) -> Tensor:
        """(T, 236), the numbers in the encoder's order again."""
        return torch.cat([getattr(self, field.name) for field in fields(self)], -1)


class CoefficientEncoder(nn.Module):
    """ResNet-50 to 2,048 features, then 1,024, then `outputs` numbers.

    Takes (B, 3, 224, 224) RGB in [0, 1], with neither mean nor deviation taken off.
    """

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.encoder = resnet50(weights=None)
        self.encoder.fc = nn.Identity()
        self.layers = nn.Sequential(nn.Linear(2048, 1024), nn.ReLU(), nn.Linear(1024, outputs))

    def forward(self, crops: Tensor) -> Tensor:
        return self.layers(self.encoder(crops))


class DECAEncoder(nn.Module):
    """DECA's encoder of coefficients (not that of its detail layer)."""

    def __init__(self) -> None:
        super().__init__()
        self.E_flame = CoefficientEncoder(sum(COEFFICIENT_SIZES.values()))

    def forward(self, crops: Tensor) -> DECACoefficients:
        """(B, 3, 224, 224) RGB in [0, 1] to B frames' coefficients, in the crops' precision."""
        return DECACoefficients.split(self.E_flame(crops))


class EMOCAEncoder(DECAEncoder):
    """DECA's encoder, and EMOCA's of expression (50 outputs) or of expression and jaw (53), which replaces it."""

    def __init__(self, outputs: int = 50) -> None:
        super().__init__()
        if outputs not in EXPRESSION_OUTPUTS:
            raise ValueError(f"EMOCA's expression encoder gives 50 or 53 numbers, not {outputs}")
        self.E_expression = CoefficientEncoder(outputs)

    def forward(self, crops: Tensor) -> DECACoefficients:
        coefficients = super().forward(crops)
        expression = self.E_expression(crops)
        coefficients.expression = expression[:, :50]
        if expression.shape[1] == 53:
            coefficients.jaw = expression[:, 50:]
        return coefficients
