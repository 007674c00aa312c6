"""L_img and L_lmk of pictures whose every parameter is known: zero at the true mesh, and a way towards it."""

import pytest
import torch

from au_d3dface.face_models import load_face_model
from au_d3dface.geometry import axis_angle_to_matrix, weak_perspective
from au_d3dface.losses import image_loss, landmark_loss
from au_d3dface.outputs_au_d3dface import AUD3DFaceReconstructionOutput
from au_d3dface.rendering import MeshRenderer
from au_d3dface.training.weak_supervision import WeakSupervision

FRAMES, SIZE = 3, 96


@pytest.fixture(scope="module")
def scene():
    """(vertices (1, T, V, 3), batch) of a face that smiles and turns, as its pictures show it."""
    model = load_face_model("facemesh")
    generator = torch.Generator().manual_seed(0)
    expression = torch.randn(FRAMES, 50, generator=generator)
    vertices = model(torch.zeros(1), expression)
    rotation = axis_angle_to_matrix(0.2 * torch.randn(FRAMES, 3, generator=generator))
    scale, translation = torch.full((FRAMES,), 500.0), torch.tensor([[48.0, 46.0]]).repeat(FRAMES, 1)
    soft = torch.nn.functional.interpolate(torch.rand(1, 3, 9, 9, generator=generator), (64, 64), mode="bicubic")
    texture, lighting = soft[0].permute(1, 2, 0), torch.zeros(FRAMES, 9, 3)
    lighting[:, 0] = 2.5
    lighting[:, 1:3] = 0.3
    shown = MeshRenderer(model.faces, model.uv).heads(
        vertices, rotation, scale, translation, SIZE, SIZE, texture=texture, lighting=lighting
    )
    points = weak_perspective(vertices, rotation, scale, translation)[..., :2]
    batch = {
        "pictures": (shown.image.clamp(0, 1) * 255).round().byte(),
        "skin": shown.alpha.bool(),
        "rotation": rotation,
        "scale": scale,
        "translation": translation,
        "landmarks": points,
        "tracked_landmarks": points + 3.0,
        "visible": torch.ones(FRAMES, 468, dtype=torch.bool),
        "texture": texture,
        "lighting": lighting,
        "frame_mask": torch.tensor([True, True, False]),
    }
    return vertices[None], {name: value[None] for name, value in batch.items()}


def supervision(**options):
    weights = {"image": 2.0, "landmarks": 2.0} | options.pop("weights", {})
    weak = WeakSupervision(load_face_model("facemesh"), weights, SIZE, **options)
    return lambda vertices, batch: weak(AUD3DFaceReconstructionOutput(vertices=vertices), batch)


@pytest.mark.parametrize("points", [68, 468])
def test_the_true_mesh_has_no_loss(scene, points):
    vertices, batch = scene
    wanted = supervision(points=points)(vertices, batch)
    assert image_loss(**wanted["image"]) < 0.003  # pictures are whole numbers of 255
    assert landmark_loss(**wanted["landmarks"]) < 1e-5
    assert wanted["landmarks"]["points"].shape == (1, FRAMES, points, 3)


def test_the_trackers_own_landmarks_on_request(scene):
    vertices, batch = scene
    off = landmark_loss(**supervision(tracked=True)(vertices, batch)["landmarks"])
    assert off.item() == pytest.approx(3 * 2**0.5 * 2 / SIZE, rel=1e-3)


def test_each_person_has_an_offset_of_their_own_in_the_landmarks_alone(scene):
    vertices, batch = scene
    offsets = torch.zeros(3, 68, 3)
    offsets[2, :, 0] = 0.004  # metres to the subject's left: 2 of the picture's 96 pixels at 500 a metre
    moved = batch | {"sequence": torch.tensor([2])}
    wanted = supervision(offsets=offsets)(vertices - torch.tensor([0.004, 0, 0]), moved)
    assert landmark_loss(**wanted["landmarks"]) < 1e-5
    other = supervision(offsets=offsets)(vertices, batch | {"sequence": torch.tensor([2])})
    assert 0.03 < landmark_loss(**other["landmarks"]) < 2 * 2 / SIZE + 1e-4
    assert image_loss(**other["image"]) < 0.003
    assert (
        landmark_loss(**supervision(offsets=offsets)(vertices, batch | {"sequence": torch.tensor([1])})["landmarks"])
        < 1e-5
    )


def test_what_cannot_be_seen_or_is_masked_is_not_compared(scene):
    vertices, batch = scene
    hidden = batch | {"visible": torch.zeros_like(batch["visible"])}
    assert landmark_loss(**supervision(tracked=True)(vertices, hidden)["landmarks"]) == 0
    moved = vertices.clone()
    moved[:, 2] += 0.05  # the frame that is masked
    wanted = supervision()(moved, batch)
    assert image_loss(**wanted["image"]) < 0.003
    assert landmark_loss(**wanted["landmarks"]) < 1e-5


def test_only_terms_with_a_weight_are_made(scene):
    vertices, batch = scene
    assert supervision(weights={"image": 0.0})(vertices, batch).keys() == {"landmarks"}
    assert supervision(weights={"landmarks": 0.0})(vertices, batch).keys() == {"image"}


@pytest.mark.parametrize("term", ["image", "landmarks"])
def test_each_term_alone_leads_back_to_the_true_expression(scene, term):
    """Gradient descent on three coefficients of the expression, from a wrong start."""
    vertices, batch = scene
    model = load_face_model("facemesh")
    weights = {name: float(name == term) for name in ("image", "landmarks")}
    weak, criterion = supervision(weights=weights), {"image": image_loss, "landmarks": landmark_loss}[term]
    basis = model.expression_basis[:3].flatten(1)
    wrong = torch.tensor([1.5, -1.0, 1.0]).requires_grad_()
    optimizer = torch.optim.Adam([wrong], 0.1)
    for step in range(60):
        optimizer.param_groups[0]["lr"] = 0.1 * (1 - step / 60)
        optimizer.zero_grad()
        criterion(**weak(vertices + (wrong @ basis).view(468, 3), batch)[term]).backward()
        optimizer.step()
    assert wrong.detach().abs().max() < 0.15
