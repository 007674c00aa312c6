"""The bundled face model: anatomy, symmetry, texture coordinates, landmarks, and damaged files."""

import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from au_d3dface import facs
from au_d3dface.errors import CheckpointError
from au_d3dface.face_models import FaceMesh
from au_d3dface.face_models.ibug68 import IBUG_68_OF_468
from au_d3dface.geometry import triangle_normals
from au_d3dface.tracking.topology import face_mesh_triangles, landmarks_68, mirror_indices

ASSET = Path(str(files("au_d3dface.face_models").joinpath("facemesh.safetensors")))
FLIP = torch.tensor([-1.0, 1.0, 1.0])


@pytest.fixture(scope="module")
def model() -> FaceMesh:
    return FaceMesh()


@pytest.fixture(scope="module")
def mirror() -> torch.Tensor:
    return torch.from_numpy(mirror_indices())


def test_triangles_are_those_of_the_tracker(model: FaceMesh) -> None:
    assert torch.equal(model.faces, torch.from_numpy(face_mesh_triangles()))


def test_loading_needs_no_tracker() -> None:
    code = "import sys; from au_d3dface.face_models import FaceMesh; FaceMesh(); sys.exit('mediapipe' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_asset_is_small() -> None:
    assert ASSET.stat().st_size < 1.5e6


def test_template_is_a_human_face_in_metres(model: FaceMesh) -> None:
    t = model.template
    assert 0.085 < t[263, 0] - t[33, 0] < 0.100  # outer eye corners
    assert 0.10 < t[10, 1] - t[152, 1] < 0.20  # forehead to chin
    assert t[:, 2].argmax() in (1, 4)  # the tip of the nose
    assert (triangle_normals(t, model.faces)[:, 2] > 0).float().mean() > 0.95


def test_template_is_symmetric(model: FaceMesh, mirror: torch.Tensor) -> None:
    assert (model.template[mirror] * FLIP - model.template).abs().max() < 1e-5


@pytest.mark.parametrize("basis", ["shape_basis", "expression_basis"])
def test_modes_are_symmetric_or_antisymmetric(model: FaceMesh, mirror: torch.Tensor, basis: str) -> None:
    modes = getattr(model, basis)
    assert modes.shape == (50, 468, 3)
    overlap = (modes[:, mirror] * FLIP * modes).sum((1, 2)) / modes.square().sum((1, 2))
    assert (overlap.abs() > 0.95).float().mean() > 0.9  # modes of nearly the same variance may mix
    assert (overlap[:10].abs() > 0.99).all()


def test_identity_modes_are_orthogonal_and_ordered(model: FaceMesh) -> None:
    modes = model.shape_basis.flatten(1)
    length = modes.norm(dim=1)
    assert (length[1:] <= length[:-1] + 1e-7).all()
    assert (modes @ modes.T / length / length[:, None] - torch.eye(50)).abs().max() < 1e-3


def test_expression_modes_are_independent(model: FaceMesh) -> None:
    modes = model.expression_basis.flatten(1)
    assert torch.linalg.matrix_rank(modes / modes.norm(dim=1, keepdim=True), rtol=0.05) == 50


def test_a_standard_deviation_of_identity_is_millimetres(model: FaceMesh) -> None:
    rms = model.shape_basis.square().sum((0, 2)).mean().sqrt()
    assert 0.001 < rms < 0.006


def test_regions(model: FaceMesh, mirror: torch.Tensor) -> None:
    masks = model.au_masks(facs.ALL)
    assert torch.equal(masks, masks[:, mirror])
    assert ((masks == 0) | (masks == 1)).all()
    assert ((masks.sum(1) >= 15) & (masks.sum(1) <= 220)).all()
    inside = {1: (107, 336), 2: (105, 334), 4: (66, 296), 5: (159, 386), 6: (50, 280), 7: (145, 374), 9: (129, 358),
              10: (0,), 12: (61, 291), 14: (61, 291), 15: (61, 291), 17: (199,), 20: (61, 291), 23: (13, 14),
              24: (14,), 25: (13, 14), 26: (152,), 28: (13, 14), 45: (159, 386)}  # fmt: skip
    for row, number in enumerate(facs.ALL):
        assert masks[row, list(inside[number])].all(), facs.label(number)
    assert masks[facs.ALL.index(1), [152, 13, 50]].sum() == 0
    assert masks[facs.ALL.index(26), [10, 159, 107]].sum() == 0


def test_regions_follow_the_order_asked_for(model: FaceMesh) -> None:
    assert torch.equal(model.au_masks([26, 1]), model.au_masks([1, 26]).flip(0))
    with pytest.raises(ValueError, match="AU99"):
        model.au_masks([99])


def test_texture_coordinates_do_not_fold(model: FaceMesh) -> None:
    corners = model.uv[model.faces]
    a, b = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    assert (a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0] > 0).all()
    assert model.uv.min() >= 0
    assert model.uv.max() <= 1
    assert model.uv[10, 1] > model.uv[152, 1]  # v is up


def test_landmarks(model: FaceMesh) -> None:
    torch.testing.assert_close(model.landmarks_468(model.template, model.faces), model.template)
    assert tuple(landmarks_68().tolist()) == IBUG_68_OF_468
    torch.testing.assert_close(
        model.landmarks_68(model.template, model.faces), model.template[torch.from_numpy(landmarks_68())]
    )


@settings(deadline=None, max_examples=20)
@given(st.floats(-3, 3), st.floats(-3, 3))
def test_linear_and_padded(a: float, b: float) -> None:
    model = FaceMesh()
    shape, expression = torch.tensor([[a, b]]), torch.tensor([[b, a, 1.0]])
    full = torch.zeros(1, 50)
    full[:, :2] = shape
    torch.testing.assert_close(model(shape, expression), model(full, expression))
    zero = torch.zeros(1, 1)
    parts = model(shape, zero) + model(zero, expression) - model(zero, zero)
    torch.testing.assert_close(model(shape, expression), parts, atol=1e-6, rtol=0)


def test_differentiable_and_batched(model: FaceMesh) -> None:
    shape = torch.zeros(2, 1, 50, requires_grad=True)
    vertices = model(shape, torch.zeros(2, 3, 50))
    assert vertices.shape == (2, 3, 468, 3)
    vertices.square().sum().backward()
    assert shape.grad is not None
    assert shape.grad.abs().sum() > 0
    with pytest.raises(ValueError, match="no joints"):
        model(shape, torch.zeros(1, 50), torch.zeros(3))


def test_a_state_dict_holds_everything(model: FaceMesh, tmp_path: Path) -> None:
    assert {"template", "shape_basis", "expression_basis", "faces", "uv", "au_regions"} <= set(model.state_dict())
    path = tmp_path / "copy.safetensors"
    save_file(load_file(ASSET), path)
    copy = FaceMesh(path)
    for name, value in model.state_dict().items():
        assert torch.equal(value, copy.state_dict()[name]), name


def test_damaged_files(tmp_path: Path) -> None:
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(ASSET.read_bytes()[:1000])
    other = tmp_path / "other.safetensors"
    save_file({"template": torch.zeros(5023, 3)}, other)
    empty = tmp_path / "empty.safetensors"
    empty.touch()
    cases = {tmp_path / "missing.safetensors": "does not exist", cut: "not a readable", empty: "not a readable",
             other: "not a facemesh"}  # fmt: skip
    for path, words in cases.items():
        with pytest.raises(CheckpointError, match=words) as caught:
            FaceMesh(path)
        assert str(path) in str(caught.value)
