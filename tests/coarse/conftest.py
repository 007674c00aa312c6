"""A small linear face made here, and what a tracker would see of it."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor

from au_d3dface.coarse import LandmarkFitting
from au_d3dface.face_models import FaceModel, LandmarkEmbedding
from au_d3dface.geometry import axis_angle_to_matrix, weak_perspective
from au_d3dface.tracking import TrackedFace

SPECIAL = {
    33: (-0.045, 0.03),
    263: (0.045, 0.03),
    159: (-0.03, 0.034),
    145: (-0.03, 0.026),
    386: (0.03, 0.034),
    374: (0.03, 0.026),
    13: (0.0, -0.0397),
    14: (0.0, -0.0403),
    82: (-0.01, -0.0397),
    87: (-0.01, -0.0403),
    312: (0.01, -0.0397),
    317: (0.01, -0.0403),
    61: (-0.025, -0.04),
    291: (0.025, -0.04),
}
"""Eye corners, lids and lips (x, y in metres): the landmarks whose numbers the fitting knows."""


class SmallFace(FaceModel):
    """468 landmarks, each the middle of a triangle of its own; smooth random identity and expression modes."""

    name = "small"

    def __init__(self, num_shape: int = 6, num_expression: int = 8) -> None:
        super().__init__()
        random = np.random.default_rng(0)
        plane = random.uniform(-1, 1, (468, 2)) * (0.065, 0.085)
        for index, point in SPECIAL.items():
            plane[index] = point
        x, y = plane.T
        landmarks = np.stack([x, y, 0.06 * np.sqrt(np.maximum(0.0, 1 - (x / 0.09) ** 2 - (y / 0.11) ** 2))], -1)
        corners = random.normal(size=(468, 3, 3)) * 1e-3
        vertices = (landmarks[:, None] + corners - corners.mean(1, keepdims=True)).reshape(-1, 3)

        def modes(count: int, size: float, length: float) -> Tensor:
            centres = vertices[random.integers(0, len(vertices), (count, 3))]  # three bumps a mode
            distance = np.linalg.norm(vertices[None, None] - centres[:, :, None], axis=-1)
            bumps = np.exp(-(distance**2) / (2 * length**2))  # (count, 3, V)
            field = np.einsum("mbv,mbx->mvx", bumps, random.normal(size=(count, 3, 3)))
            return torch.tensor(field / np.sqrt((field**2).sum(-1).mean(-1))[:, None, None] * size).float()

        self.template = torch.tensor(vertices).float()
        self.shape_basis = modes(num_shape, 2e-3, 0.04)
        self.expression_basis = modes(num_expression, 1.5e-3, 0.02)
        lips = [v for i in (13, 14, 82, 87, 312, 317) for v in range(3 * i, 3 * i + 3)]
        # Neighbouring lips move together, save in mode 0, which parts them: what rest is told by.
        for basis in (self.shape_basis, self.expression_basis):
            basis[:, lips] = 0.0
        self.expression_basis[0, lips, 1] = torch.tensor([0.002, -0.002]).repeat_interleave(3).repeat(3)
        self.faces = torch.arange(len(vertices)).view(-1, 3)
        self.uv = self.landmarks_68 = None
        self.landmarks_468 = LandmarkEmbedding(torch.arange(468), torch.full((468, 3), 1 / 3))

    def au_masks(self, action_units):
        return torch.ones(len(action_units), self.num_vertices)  # fitting asks for none


@dataclass
class Truth:
    """Frames of a `SmallFace` with known everything; `landmarks` (T, 478, 3) as a tracker would give them."""

    shape: Tensor
    expression: Tensor
    rotation: Tensor
    scale: Tensor
    translation: Tensor
    neutral: Tensor
    vertices: Tensor
    landmarks: Tensor

    def face(self, valid: np.ndarray | None = None) -> TrackedFace:
        landmarks = self.landmarks.numpy().copy()
        valid = np.ones(len(landmarks), bool) if valid is None else valid
        landmarks[~valid] = np.nan
        return TrackedFace(0, landmarks, valid)


def film(
    model: FaceModel, expression: Tensor, *, pixels_per_metre: float = 2000.0, noise: float = 0.0, size: float = 1.0
) -> Truth:
    """What a tracker sees of a person with these (T, E) expressions, who turns the head a little.

    `noise` in pixels; `size` enlarges the person, whose irises stay 11.7 mm.
    """
    random = torch.Generator().manual_seed(1)
    frames = len(expression)
    shape = torch.randn(model.shape_basis.shape[0], generator=random).clamp(-2, 2)
    phase = torch.linspace(0, 5, frames)[:, None] + torch.tensor([0.0, 1.0, 2.0])
    rotation = axis_angle_to_matrix(0.2 * torch.sin(phase))
    scale = pixels_per_metre * (1 + 0.05 * torch.sin(phase[:, 0]))
    translation = torch.stack([320 + 20 * torch.sin(phase[:, 1]), 240 + 20 * torch.cos(phase[:, 1])], -1)
    neutral = size * model(shape, torch.zeros(expression.shape[1]))
    vertices = size * model(shape, expression)
    seen = weak_perspective(vertices, rotation, scale, translation)
    eyes = model.landmarks_468(neutral, model.faces)[[33, 263]]
    irises = eyes.mean(0) + torch.tensor([[-0.03, 0, 0.01], [0.03, 0, 0.01]])[:, None]
    radius = 0.0117 / 2
    ring = radius * torch.tensor([[0, 0, 0], [1, 0, 0], [0, 1, 0], [-1, 0, 0], [0, -1, 0]], dtype=torch.float32)
    irises = weak_perspective((irises + ring).view(1, 10, 3).expand(frames, -1, -1), rotation, scale, translation)
    landmarks = torch.cat([model.landmarks_468(seen, model.faces), irises], 1)
    landmarks = landmarks + noise * torch.randn(landmarks.shape, generator=random)
    return Truth(shape, expression, rotation, scale, translation, neutral, vertices, landmarks)


def act(frames: int, num_expression: int = 8, rest: float = 0.4, strength: float = 2.0) -> Tensor:
    """(T, E): at rest for the first part of the clip, then an expression that comes, stays and sways."""
    time = torch.linspace(0, 1, frames)
    envelope = ((time - rest) / 0.1).clamp(0, 1)[:, None]
    direction = torch.tensor([1.0, -0.5, 0.8, 0.0, 0.6, -0.7, 0.3, 0.0])[:num_expression]
    return strength * envelope * (direction + 0.2 * torch.sin(20 * time)[:, None])


@pytest.fixture(scope="session")
def small_face() -> SmallFace:
    return SmallFace()


@pytest.fixture(scope="session")
def fitting(small_face: SmallFace) -> LandmarkFitting:
    return LandmarkFitting(small_face)


@pytest.fixture(scope="session")
def make_film(small_face: SmallFace):
    """`film` of the small face."""

    def make(expression: Tensor, **how: float) -> Truth:
        return film(small_face, expression, **how)

    return make


@pytest.fixture(scope="session")
def make_film_of():
    """`film` of any face model."""
    return film


@pytest.fixture(scope="session")
def make_act():
    return act
