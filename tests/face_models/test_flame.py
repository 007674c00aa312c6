"""The FLAME layer: its formula, broadcasting, gradients, head pose, landmarks, and the rule for licensed meshes."""

import copy
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from made_flame import made_flame
from safetensors.torch import load_file, save_file

from au_d3dface import AUD3DFaceConfig, AUD3DFaceForReconstruction, facs
from au_d3dface.checkpoints import give_face_model, load_checkpoint
from au_d3dface.errors import CheckpointError, UsageError
from au_d3dface.face_models import FLAME
from au_d3dface.face_models.flame_landmarks import contour_row
from au_d3dface.face_models.ibug68 import IBUG_68_OF_468
from au_d3dface.face_models.skinning import CHUNK, skin
from au_d3dface.geometry import axis_angle_to_matrix
from au_d3dface.modeling_au_d3dface import face_model_checksum
from au_d3dface.pipeline_au_d3dface import AUD3DFacePipeline


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_flame(tmp_path_factory.mktemp("flame"))


@pytest.fixture(scope="module")
def flame(folder: Path) -> FLAME:
    return FLAME(folder)


@pytest.fixture(scope="module")
def precise(flame: FLAME) -> FLAME:
    return copy.deepcopy(flame).double()


def draw(*sizes: int, seed: int = 0, scale: float = 1.0) -> torch.Tensor:
    return scale * torch.randn(*sizes, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def by_the_formula(model: FLAME, shape: torch.Tensor, expression: torch.Tensor, pose: torch.Tensor) -> torch.Tensor:
    """One face, joint by joint and with 4 x 4 matrices, as Loper et al. (SMPL, 2015) write it."""
    shaped = model.template + torch.einsum("k,kvc->vc", shape, model.shape_basis[: len(shape)])
    shaped = shaped + torch.einsum("k,kvc->vc", expression, model.expression_basis[: len(expression)])
    joints = model.joint_regressor @ shaped
    rotations = [axis_angle_to_matrix(pose[3 * j : 3 * j + 3]) for j in range(5)]
    correctives = torch.cat([(rotation - torch.eye(3)).flatten() for rotation in rotations[1:]])
    posed = shaped + torch.einsum("k,kvc->vc", correctives, model.pose_basis)
    moved = torch.zeros_like(posed)
    world: list[torch.Tensor] = []
    for j, parent in enumerate((-1, 0, 1, 1, 1)):
        local = torch.eye(4, dtype=posed.dtype)
        local[:3, :3] = rotations[j]
        local[:3, 3] = joints[j] - (joints[parent] if parent >= 0 else 0)
        world.append(world[parent] @ local if parent >= 0 else local)
        around = posed - joints[j]
        placed = around @ world[j][:3, :3].T + world[j][:3, 3]
        moved = moved + model.skinning_weights[:, j : j + 1] * placed
    return moved


@pytest.mark.parametrize(("num_shape", "num_expression"), [(100, 50), (300, 100), (3, 0)])
def test_the_formula(precise: FLAME, num_shape: int, num_expression: int) -> None:
    shape, expression, pose = draw(4, num_shape), draw(4, num_expression, seed=1), draw(4, 15, seed=2, scale=0.5)
    found = precise(shape, expression, pose)
    assert found.shape == (4, 5023, 3)
    assert found.is_contiguous()
    for row in range(4):
        expected = by_the_formula(precise, shape[row], expression[row], pose[row])
        torch.testing.assert_close(found[row], expected, atol=5e-8, rtol=0)  # joints are stored as float32


def test_float32_is_within_a_micrometre(flame: FLAME, precise: FLAME) -> None:
    inputs = draw(9, 100), draw(9, 50, seed=1), draw(9, 15, seed=2, scale=0.5)
    torch.testing.assert_close(
        flame(*(tensor.float() for tensor in inputs)).double(), precise(*inputs), atol=1e-6, rtol=0
    )


def test_no_pose_is_the_pose_of_rest(flame: FLAME) -> None:
    shape, expression = draw(2, 100).float(), draw(2, 50, seed=1).float()
    at_rest = flame(shape, expression)
    torch.testing.assert_close(at_rest, flame(shape, expression, torch.zeros(15)), atol=1e-6, rtol=0)
    assert torch.equal(flame(torch.zeros(1), torch.zeros(1)), flame.template)


def test_decas_six_numbers_are_global_and_jaw(precise: FLAME) -> None:
    pose = draw(3, 6, scale=0.3)
    full = torch.zeros(3, 15, dtype=torch.float64)
    full[:, :3], full[:, 6:9] = pose[:, :3], pose[:, 3:]
    assert torch.equal(precise.full_pose(pose), full)
    shape, expression = draw(3, 100), draw(3, 50, seed=1)
    assert torch.equal(precise(shape, expression, pose), precise(shape, expression, full))


@pytest.mark.parametrize(
    ("shape", "expression", "pose"),
    [
        ((100,), (7, 50), (7, 15)),
        ((7, 100), (50,), (6,)),
        ((100,), (50,), (7, 6)),
        ((2, 1, 100), (7, 50), (15,)),
        ((100,), (2, 7, 50), (7, 6)),
        ((100,), (50,), (15,)),
        ((0, 100), (0, 50), (0, 15)),
        ((100,), (0, 50), None),
        ((2, 1, 100), (7, 50), None),
    ],
)
def test_leading_dimensions_are_broadcast(precise: FLAME, shape, expression, pose) -> None:
    given = [
        None if size is None else draw(*size, seed=i, scale=0.3) for i, size in enumerate((shape, expression, pose))
    ]
    lead = torch.broadcast_shapes(*(tensor.shape[:-1] for tensor in given if tensor is not None))
    whole = [None if tensor is None else tensor.expand(*lead, -1).contiguous() for tensor in given]
    found = precise(*given)
    assert found.shape == (*lead, 5023, 3)
    torch.testing.assert_close(found, precise(*whole), atol=1e-12, rtol=0)


def test_gradients_of_the_layer_are_those_of_the_formula(precise: FLAME) -> None:
    inputs = [tensor.requires_grad_() for tensor in (draw(20), draw(10, seed=1), draw(15, seed=2, scale=0.3))]
    pull = draw(5023, 3, seed=3)
    found = torch.autograd.grad((precise(*inputs) * pull).sum(), inputs)
    expected = torch.autograd.grad((by_the_formula(precise, *inputs) * pull).sum(), inputs)
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-7, rtol=1e-6)


def test_gradients_of_skinning_over_chunks() -> None:
    count = CHUNK + 3
    posed, transforms = draw(count, 3, 4).requires_grad_(), draw(count, 2, 3, 4, seed=1).requires_grad_()
    weights = torch.rand(4, 2, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda p, t: skin(p, t, weights), (posed, transforms))


def test_gradients_at_rest_are_finite(flame: FLAME) -> None:
    pose = torch.zeros(15, requires_grad=True)
    flame(torch.zeros(5), torch.zeros(5), pose).square().sum().backward()
    assert pose.grad.isfinite().all()


@pytest.mark.parametrize("size", [5, 7, 16])
def test_a_pose_of_another_size(flame: FLAME, size: int) -> None:
    with pytest.raises(ValueError, match=f"15 numbers, or 6.* not {size}"):
        flame(torch.zeros(1), torch.zeros(1), torch.zeros(size))


def test_too_many_coefficients(flame: FLAME) -> None:
    with pytest.raises(ValueError, match="300 shape coefficients, not 301"):
        flame(torch.zeros(301), torch.zeros(1))
    with pytest.raises(ValueError, match="100 expression coefficients, not 101"):
        flame(torch.zeros(1), torch.zeros(101), torch.zeros(15))


def test_head_pose_is_taken_out(precise: FLAME) -> None:
    shape, expression, pose = draw(100), draw(4, 50, seed=1), draw(4, 15, seed=2, scale=0.6)
    rest, rotation, translation = precise.separate_head_pose(shape, expression, pose)
    assert rest[:, :3].abs().max() == 0
    assert torch.equal(rest[:, 3:], pose[:, 3:])
    again = precise(shape, expression, rest) @ rotation.mT + translation[:, None]
    torch.testing.assert_close(again, precise(shape, expression, pose), atol=5e-8, rtol=0)  # weights sum to about 1


def test_the_jaw_moves_the_chin_and_not_the_forehead(flame: FLAME) -> None:
    pose = torch.zeros(15)
    pose[6] = 0.3
    motion = flame(torch.zeros(1), torch.zeros(1), pose) - flame.template
    chin = flame.skinning_weights[:, 2] > 0.8
    assert motion[chin, 1].mean() < -0.003  # an open mouth has its chin lower
    neck = flame.skinning_weights[:, 0] > 0.9
    assert motion[neck].abs().max() < 0.01


def test_the_contours_rows_follow_the_yaw() -> None:
    degrees = torch.tensor([0.0, 0.4, 1.0, 39.0, 60.0, -1.0, -38.6, -39.0, -80.0])
    rotation = axis_angle_to_matrix(torch.stack([0 * degrees, degrees * math.pi / 180, 0 * degrees], -1))
    assert contour_row(rotation).tolist() == [0, 0, 1, 39, 39, 40, 78, 78, 78]
    nod = axis_angle_to_matrix(torch.tensor([0.5, 0.0, 0.0]))
    assert contour_row(nod).item() == 0


def test_landmarks_with_a_contour_that_slides(flame: FLAME) -> None:
    vertices = flame(draw(2, 3, 10).float(), torch.zeros(1))
    yaw = torch.tensor([[0.0, 10.0, 45.0], [-10.0, -45.0, 3.0]]) * math.pi / 180
    rotation = axis_angle_to_matrix(torch.stack([0 * yaw, yaw, 0 * yaw], -1))
    points = flame.contour_landmarks(vertices, flame.faces, rotation)
    assert points.shape == (2, 3, 68, 3)
    torch.testing.assert_close(points[..., 17:, :], flame.landmarks_68(vertices, flame.faces)[..., 17:, :])
    table = flame.contour_landmarks.contour
    for index, row in {(0, 0): 0, (0, 1): 10, (0, 2): 39, (1, 0): 49, (1, 1): 78}.items():
        corners = vertices[index][flame.faces[table.triangles[row]]]  # (17, 3 corners, 3)
        expected = (corners * table.barycentric[row][..., None]).sum(1)
        torch.testing.assert_close(points[index][:17], expected)


def test_regions_of_the_action_units(flame: FLAME) -> None:
    masks = flame.au_masks(facs.ALL)
    assert masks.shape == (19, 5023)
    assert set(masks.unique().tolist()) == {0.0, 1.0}
    assert (masks.sum(1) >= 8).all()
    left = (masks * (flame.template[:, 0] > 1e-4)).sum(1)
    right = (masks * (flame.template[:, 0] < -1e-4)).sum(1)
    assert ((left - right).abs() <= 0.1 * (left + right)).all()
    height = (masks @ flame.template[:, 1]) / masks.sum(1)
    by_number = dict(zip(facs.ALL, height.tolist(), strict=True))
    assert by_number[1] > by_number[45] > by_number[9] > by_number[12] > by_number[17]
    eyeballs = flame.skinning_weights[:, 3:].sum(1) > 0.99
    assert not masks[:, eyeballs].any()
    assert torch.equal(flame.au_masks([12]), masks[list(facs.ALL).index(12)][None])
    with pytest.raises(ValueError, match="AU99"):
        flame.au_masks([99])


def test_the_468_landmarks_agree_with_the_68(flame: FLAME) -> None:
    points = flame.landmarks_468(flame.template, flame.faces)
    assert points.shape == (468, 3)
    own = points[list(IBUG_68_OF_468)]
    apart = (own - flame.landmarks_68(flame.template, flame.faces)).norm(dim=-1)
    assert apart[17:60].max() < 0.002  # brows, nose, eyes, outer lips; the outlines of two meshes differ
    lower = flame.skinning_weights[flame.faces[flame.landmarks_468.triangles[[14, 87, 317]]], 2].mean(1)
    upper = flame.skinning_weights[flame.faces[flame.landmarks_468.triangles[[13, 82, 312]]], 2].mean(1)
    assert (lower > 0.5).all()
    assert (upper <= 0.5).all()


def test_it_is_saved_and_moved_as_any_module(flame: FLAME, folder: Path) -> None:
    other = FLAME(folder)
    other.shape_basis.zero_()
    other.load_state_dict(flame.state_dict())
    assert torch.equal(other.shape_basis, flame.shape_basis)
    half = copy.deepcopy(flame).to(torch.bfloat16)
    assert (
        half(torch.zeros(2, 3).bfloat16(), torch.zeros(2, 3).bfloat16(), torch.zeros(2, 6).bfloat16()).dtype
        == torch.bfloat16
    )


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"template": torch.zeros(3, 3)}, "'template' is (3, 3)"),
        ({"template": None}, "'template' is missing"),
        ({"faces": torch.full((9976, 3), 5023)}, "points outside the mesh"),
        ({"parents": torch.tensor([-1, 0, 1, 4, 1])}, "hang on no earlier joint"),
        ({"skinning_weights": torch.full((5023, 5), math.nan)}, "not finite"),
    ],
)
def test_a_damaged_converted_file(change: dict, words: str, folder: Path, tmp_path: Path) -> None:
    tensors = load_file(folder / "flame.safetensors") | change
    from safetensors import safe_open

    with safe_open(folder / "flame.safetensors", "pt") as stored:
        header = stored.metadata()
    path = tmp_path / "flame.safetensors"
    save_file({name: tensor for name, tensor in tensors.items() if tensor is not None}, path, header)
    with pytest.raises(CheckpointError) as caught:
        FLAME(path)
    assert words in str(caught.value)


# --- a licensed mesh stays out of checkpoints ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def checkpoint(flame: FLAME, tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = AUD3DFaceConfig(
        num_vertices=5023,
        num_faces=9976,
        face_model="flame",
        face_model_checksum=face_model_checksum(flame.template, flame.faces),
        hidden_size=16,
        intermediate_size=16,
        num_attention_heads=2,
        num_temporal_layers=1,
        num_spatial_layers=1,
    )
    network = AUD3DFaceForReconstruction(config)
    network.set_face_model(flame.template, flame.faces, flame.au_masks(config.action_units))
    path = tmp_path_factory.mktemp("checkpoint")
    network.save_pretrained(path)
    return path


def test_a_checkpoint_holds_the_checksum_and_the_user_brings_the_mesh(checkpoint: Path, folder: Path) -> None:
    assert not {"template", "faces", "au_masks"} & {
        name.split(".")[-1] for name in load_file(checkpoint / "model.safetensors")
    }
    pipeline = AUD3DFacePipeline.from_pretrained(checkpoint, flame=folder, device="cpu")
    assert torch.equal(pipeline.model.base_model.template, FLAME(folder).template)
    assert pipeline.coarse.face_model.name == "flame"
    vertices = pipeline.model.base_model.template.expand(1, 4, -1, -1)
    assert pipeline.model.generate(vertices=vertices, neutral_vertices=vertices[:, 0]).vertices.shape == (1, 4, 5023, 3)


def test_another_mesh_is_refused(checkpoint: Path, tmp_path: Path) -> None:
    other = FLAME(made_flame(tmp_path, seed=1))
    other.template.mul_(1.01)
    with pytest.raises(CheckpointError, match=r"'flame' does not fit the checkpoint.*checksum differs"):
        give_face_model(load_checkpoint(checkpoint, "cpu"), other)


def test_a_path_for_another_face_model(folder: Path) -> None:
    with pytest.raises(UsageError, match="a path of FLAME goes with the face model 'flame'"):
        AUD3DFacePipeline.from_pretrained(flame=folder)
    with pytest.raises(CheckpointError, match="trained on the face model 'facemesh'"):
        AUD3DFacePipeline.from_pretrained(face_model="flame", flame=folder)


def test_the_made_files_are_of_the_authors_layout(flame: FLAME) -> None:
    assert flame.faces.shape == (9976, 3)
    np.testing.assert_allclose(flame.skinning_weights.sum(1).numpy(), 1, atol=1e-6)
    np.testing.assert_allclose(flame.joint_regressor.sum(1).numpy(), 1, atol=1e-6)
