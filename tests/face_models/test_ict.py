"""ICT-FaceKit: units, frame, AU shapes, masks, landmarks, and files that are not the kit."""

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial import cKDTree

from au_d3dface import facs
from au_d3dface.errors import CheckpointError
from au_d3dface.face_models import ICTFaceKit
from au_d3dface.face_models.ict import AU_SHAPES


@pytest.fixture(scope="module")
def kit(kit_path: Path) -> ICTFaceKit:
    return ICTFaceKit(kit_path)


def test_metres_around_the_point_between_the_ears(kit: ICTFaceKit, kit_arrays: dict[str, np.ndarray]) -> None:
    assert kit.template.shape == (9409, 3)
    expected = (kit_arrays["neutral"][:9409] - np.array([0, 2.0, -1.0])) / 100
    np.testing.assert_allclose(kit.template.numpy(), expected, atol=1e-6)


def test_quads_become_two_triangles_and_other_parts_stay_out_of_the_face(kit: ICTFaceKit, kit_path: Path) -> None:
    triangles = {tuple(t) for t in kit.faces.tolist()}
    assert {(2, 3, 4), (2, 4, 5)} <= triangles
    assert kit.faces.max() < 9409
    head = ICTFaceKit(kit_path, part="head")
    assert len(head.template) == 26719
    assert len(head.faces) == len(kit.faces) + 2


def test_forward_is_the_kits_formula(kit: ICTFaceKit, kit_arrays: dict[str, np.ndarray]) -> None:
    shape, expression = torch.tensor([0.5, -1.0]), torch.rand(len(kit.expression_names))
    moved = kit_arrays["expression_delta"][:, :9409] * expression.numpy()[:, None, None]
    expected = kit.template.numpy() + moved.sum(0) / 100 + np.array([0.15, -0.2, 0.0]) / 100
    np.testing.assert_allclose(kit(shape, expression).numpy(), expected, atol=1e-6)


def test_each_half_of_an_au_moves_its_side(kit: ICTFaceKit) -> None:
    left, right = kit.au_displacements([12])[0]
    x = kit.template[:, 0]
    assert left[x < 0].abs().max() == 0
    assert right[x > 0].abs().max() == 0
    assert left[:, 0].max() > 0.005  # the subject's left is +x


def test_whole_shapes_follow_the_mean_of_both_sides(kit: ICTFaceKit) -> None:
    weights = kit.au_to_expression([26])[0]
    jaw = kit.expression_names.index("jawOpen")
    assert weights[0, jaw] == weights[1, jaw] == pytest.approx(AU_SHAPES[26]["jawOpen"] / 2)


def test_every_au_has_shapes_and_a_region(kit: ICTFaceKit) -> None:
    assert tuple(AU_SHAPES) == facs.ALL
    masks = kit.au_masks(facs.ALL)
    assert set(masks.unique().tolist()) <= {0.0, 1.0}
    assert (masks.sum(1) > 0).all()
    with pytest.raises(ValueError, match="AU99"):
        kit.au_masks([99])


def test_landmarks_lie_on_their_triangles(kit: ICTFaceKit) -> None:
    points = kit.landmarks_468(kit.template, kit.faces)
    corners = kit.template[kit.faces[kit.landmarks_468.triangles]]
    assert points.shape == (468, 3)
    assert (points <= corners.amax(1) + 1e-5).all()
    assert (points >= corners.amin(1) - 1e-5).all()
    assert kit.landmarks_468.barycentric.sum(1).sub(1).abs().max() < 1e-3
    assert torch.equal(kit.landmarks_68(kit.template, kit.faces)[30], points[4])  # the tip of the nose


def write_kit(path: Path, arrays: dict[str, np.ndarray]) -> Path:
    np.savez(path, **arrays)
    return path


def test_files_that_are_not_the_kit(kit_arrays: dict[str, np.ndarray], tmp_path: Path) -> None:
    text = tmp_path / "text.npz"
    text.write_text("not a zip")
    single = tmp_path / "single.npz"
    with open(single, "wb") as file:
        np.save(file, np.zeros(3))
    small = {**kit_arrays, "identity_delta": kit_arrays["identity_delta"][:1, :10]}
    cases = {
        tmp_path / "missing.npz": "does not exist",
        text: "not a readable npz",
        single: "single array",
        write_kit(tmp_path / "other.npz", {"x": np.zeros(3)}): "lacks the array 'neutral'",
        write_kit(tmp_path / "shape.npz", small): "shape",
        write_kit(tmp_path / "faces.npz", {**kit_arrays, "faces_quads": kit_arrays["faces_quads"] + 99999}): "outside",
        write_kit(tmp_path / "topology.npz", {**kit_arrays, "faces_quads": kit_arrays["faces_quads"][:2]}): "topology",
        write_kit(
            tmp_path / "names.npz",
            {**kit_arrays, "expression_names": np.array(["a"] * len(kit_arrays["expression_names"]))},
        ): "no expression shape",
    }
    for path, words in cases.items():
        with pytest.raises(CheckpointError, match=words) as caught:
            ICTFaceKit(path)
        assert "\n" not in str(caught.value)


def test_unknown_part(kit_path: Path) -> None:
    with pytest.raises(ValueError, match="part"):
        ICTFaceKit(kit_path, part="nose")


def test_inner_lips_lie_each_on_their_own_lip(kit: ICTFaceKit) -> None:
    corners = kit.faces[kit.landmarks_468.triangles]
    upper = corners[[191, 80, 81, 82, 13, 312, 311, 310, 415]].unique()
    lower = corners[[95, 88, 178, 87, 14, 317, 402, 318, 324]].unique()
    assert not set(upper.tolist()) & set(lower.tolist())


@pytest.fixture(scope="module")
def real_kit(shared_data: Path) -> ICTFaceKit:
    return ICTFaceKit(shared_data / "ict_facekit" / "ict_facekit.npz")


@pytest.mark.shared_data
def test_regions_of_the_real_kit_are_the_same_left_and_right(real_kit: ICTFaceKit) -> None:
    template = real_kit.template.numpy()
    distance, mirror = cKDTree(template).query(template * [-1, 1, 1])
    assert distance.max() < 1e-4
    masks = real_kit.au_masks(facs.ALL)
    different = (masks != masks[:, mirror]).sum(1) / masks.sum(1)
    assert different.max() < 0.02  # the kit's own halves are not quite alike
    assert ((masks.mean(1) > 0.03) & (masks.mean(1) < 0.5)).all()


@pytest.mark.shared_data
def test_the_jaw_takes_the_lower_lip_along_and_not_the_upper_one(real_kit: ICTFaceKit) -> None:
    jaw = real_kit.expression_basis[real_kit.expression_names.index("jawOpen")]
    motion = real_kit.landmarks_468(jaw, real_kit.faces).norm(dim=-1)
    upper, lower = motion[[191, 80, 81, 82, 13, 312, 311, 310, 415]], motion[[95, 88, 178, 87, 14, 317, 402, 318, 324]]
    assert (lower > 2 * upper).all()
    assert lower[4] > 0.03 > 0.005 > upper[4]


@pytest.mark.shared_data
def test_texture_coordinates_of_the_real_kit(real_kit: ICTFaceKit, shared_data: Path) -> None:
    assert real_kit.uv.shape == (9409, 2)
    assert 0 <= real_kit.uv.min() < 0.01 < 0.99 < real_kit.uv.max() <= 1
    assert real_kit.uv[real_kit.template[:, 1].argmax(), 1] > real_kit.uv[real_kit.template[:, 1].argmin(), 1]
    assert ICTFaceKit(shared_data / "ict_facekit" / "ict_facekit.npz", part="head").uv is None


@pytest.mark.shared_data
def test_the_real_kit(real_kit: ICTFaceKit) -> None:
    kit = real_kit
    assert kit.template.shape == (9409, 3)
    assert kit.faces.shape == (18461, 3)
    smile = kit.landmarks_468(kit.au_displacements([12])[0].sum(0), kit.faces)
    assert smile[61, 1] > 0.004  # lip corners rise and part
    assert smile[291, 0] > 0.002 > -0.002 > smile[61, 0]
    points = kit.landmarks_468(kit.template, kit.faces)
    assert points[4, 2] == points[:, 2].max()  # the nose is in front
    assert points[454, 0] > 0.06 > -0.06 > points[234, 0]
    blink = kit.landmarks_468(kit.au_displacements([45])[0].sum(0), kit.faces)
    opening, lid = points[159, 1] - points[145, 1], blink[145, 1] - blink[159, 1]
    assert 0.7 < lid / opening < 1.4  # the lids meet
