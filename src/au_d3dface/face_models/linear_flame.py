"""FLAME without joints, for what fits linear models (`coarse.LandmarkFitting`): the jaw becomes three more expressions.

FLAME's expressions open no mouth; its jaw does. A mode of the jaw is the motion of the whole mesh, pose correctives
included. About x, where the jaw goes one way only, it is exact at rest and at a mouth open by JAW_OPEN; in between it
is off by less than a millimetre, at twice as much by a few, where the other modes help.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from .base import FaceModel
from .flame import FLAME, NUM_POSE

NUM_SHAPE, NUM_EXPRESSION = 100, 50
"""Leading modes that are fitted, as many as DECA has."""

JAW_TURN = (0.15, 0.04, 0.03)
"""Radians about x (which opens the mouth), y and z that count as one standard deviation: one unit of coefficient."""

JAW_OPEN = 0.25
"""Radians about x: the incisors are about 2 cm apart."""

_JAW = slice(6, 9)
"""The jaw in a pose of 15 numbers."""


class LinearFLAME(FaceModel):
    """A linear model of FLAME's mesh: `shape` of 100, `expression` of 50 and then 3 of the jaw, in units of JAW_TURN.

    Everything else is `flame`'s own: template, triangles, landmarks, AU regions.
    """

    name = FLAME.name
    licensed = True

    def __init__(self, flame: FLAME) -> None:
        super().__init__()
        self.flame = flame
        self.register_buffer("template", flame.template)
        self.register_buffer("faces", flame.faces)
        self.register_buffer("uv", flame.uv)
        self.register_buffer("shape_basis", flame.shape_basis[:NUM_SHAPE].contiguous())
        self.register_buffer("expression_basis", torch.cat([flame.expression_basis[:NUM_EXPRESSION], jaw_modes(flame)]))
        self.landmarks_68, self.landmarks_468 = flame.landmarks_68, flame.landmarks_468

    def au_masks(self, action_units: Sequence[int]) -> Tensor:
        return self.flame.au_masks(action_units)


def jaw_modes(flame: FLAME) -> Tensor:
    """(3, V, 3) metres: what the jaw moves when it turns by JAW_TURN about each of its axes."""
    x, y, z = JAW_TURN
    turns = flame.template.new_tensor([[JAW_OPEN, 0, 0], [0, y, 0], [0, 0, z], [0, 0, 0], [0, -y, 0], [0, 0, -z]])
    pose = turns.new_zeros(6, NUM_POSE)
    pose[:, _JAW] = turns
    none = pose.new_zeros(0)
    to, back = flame(none, none, pose).unflatten(0, (2, 3))
    return (to - back) * turns.new_tensor([x / JAW_OPEN, 0.5, 0.5])[:, None, None]
