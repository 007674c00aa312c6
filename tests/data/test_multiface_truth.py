"""The true mesh lands on the face in its picture, and comes into the project's head frame, face and rest told apart."""

from pathlib import Path

import numpy as np
import pytest
import torch
from made_meshes import head_of_flame_size
from multiface_layout import FOLDERS, MOUTH, NUM_SKIN, Layout, made_faces, made_head, made_regions
from PIL import Image

from au_d3dface.data.multiface import project_mesh, read_neutral_truth, read_truth, row_head_frame
from au_d3dface.data.multiface.files import read_krt, read_mesh, read_transform
from au_d3dface.data.multiface.head_frame import find_head_frame
from au_d3dface.errors import InputError
from au_d3dface.face_models import FaceMesh, ICTFaceKit
from au_d3dface.geometry import axis_angle_to_matrix, matrix_to_axis_angle, similarity_alignment
from au_d3dface.metrics import REGIONS, facemesh_regions
from au_d3dface.rendering import rasterize

MARKERS = (1, 151, 199)  # the tip of the nose, the middle of the forehead, the chin


def row_of(layout: Layout, expression: str, number: int, camera: str) -> dict:
    """A row as the builder makes it, without the builder."""
    folder = layout.root / FOLDERS["6795937"]
    meshes = folder / "tracked_mesh"
    seen = read_krt(folder / "KRT")[camera]
    return {
        "image": str(folder / "images" / expression / camera / f"{number:06d}.png"),
        "intrinsics": seen.intrinsics,
        "rotation": seen.rotation,
        "translation": seen.translation,
        "transform": read_transform(meshes / expression / f"{number:06d}_transform.txt"),
        "mesh": str(meshes / expression / f"{number:06d}.bin"),
        "neutral_mesh": str(meshes / "E001_Neutral_Eyes_Open" / "000102.bin"),
        "topology": str(meshes / "E001_Neutral_Eyes_Open" / "000102.obj"),
    }


@pytest.fixture(scope="module")
def marked(tmp_path_factory):
    root = tmp_path_factory.mktemp("multiface") / "copy"
    return Layout(root, frames=2, height=1024, width=667, markers=MARKERS).write()


@pytest.mark.parametrize("camera", ["400002", "400015", "400037"])
@pytest.mark.parametrize("number", [1002, 1005])
def test_the_mesh_lands_on_the_face(marked, camera, number):
    row = row_of(marked, "E008_Smile_Mouth_Closed", number, camera)
    points = project_mesh(row)
    image = np.asarray(Image.open(row["image"])).astype(int)
    face = (image != [0, 0, 64]).any(-1)  # what is not the background
    fragments = rasterize(points[None].float(), made_faces(), *face.shape, cull_backfaces=True, perspective=True)
    seen = fragments.mask[0].numpy()
    assert 0.15 < face.mean() < 0.6
    assert (face != seen).mean() < 1e-4
    green = image[..., 1] - image[..., 0]
    for marker in MARKERS:
        x, y = points[marker, :2].tolist()
        left, top = int(x) - 12, int(y) - 12
        window = green[top : top + 25, left : left + 25]
        assert 2 < (window > 100).sum() < 200  # a patch of its own, not all green
        peak = np.unravel_index(window.argmax(), window.shape)
        assert np.hypot(left + peak[1] + 0.5 - x, top + peak[0] + 0.5 - y) < 1.0


def test_the_projection_is_that_of_the_paper(marked):
    row = row_of(marked, "E008_Smile_Mouth_Closed", 1005, "400002")
    intrinsics, rotation, translation = marked.camera("400002")
    pose = marked.pose(1)
    matrix = intrinsics @ np.concatenate(
        [rotation @ pose[:, :3], (rotation @ pose[:, 3] + translation)[:, None]], axis=1
    )
    own = 1000 * read_mesh(Path(row["mesh"])).astype(np.float64)
    expected = own @ matrix[:, :3].T + matrix[:, 3]
    points = project_mesh(row)
    np.testing.assert_allclose(points[:, :2], expected[:, :2] / expected[:, 2:], atol=1e-3)
    np.testing.assert_allclose(points[:, 2], expected[:, 2] / 1000, atol=1e-6)
    moved = project_mesh(row, torch.from_numpy(own / 1000) + 0.01)
    assert (moved - points).norm(dim=-1).min() > 5


@pytest.mark.parametrize("turn", [(0.0, 0.0, 0.0), (np.pi, 0.0, 0.0), (0.15, np.pi / 2, 0.2)])
def test_the_truth_in_the_head_frame(tmp_path, turn):
    """Whatever the mesh's own frame; up to what the identity of the facemesh leaves open in its pose."""
    mesh_rotation = axis_angle_to_matrix(torch.tensor(turn))
    layout = Layout(tmp_path / "copy", frames=2, mesh_rotation=mesh_rotation, pictures=False).write()
    row = row_of(layout, "E008_Smile_Mouth_Closed", 1005, "400015")
    vertices, faces = read_truth(row)
    assert (vertices.shape, vertices.dtype) == ((7306, 3), torch.float32)
    np.testing.assert_array_equal(faces, made_faces())
    frame, neutral = row_head_frame(row), read_neutral_truth(row)
    assert frame.fit < 0.0015
    off = matrix_to_axis_angle(frame.rotation @ mesh_rotation.double()).norm()
    assert off < np.radians(1.0)
    expected, at_rest = made_head(0, 1.0), made_head(0, 0.0)
    assert np.abs(neutral - at_rest).max() < 0.003
    assert np.abs(vertices - expected).max() < 0.003
    # Motion and size are exact: only the frame is found, nothing is fitted to the mesh.
    rotation, scale, _ = similarity_alignment(torch.from_numpy(at_rest), neutral.double())
    assert scale == pytest.approx(1, abs=1e-5)
    motion = torch.from_numpy(expected - at_rest)
    np.testing.assert_allclose(vertices - neutral, motion @ rotation.T, atol=1e-6)
    assert motion.norm(dim=-1).max() > 0.003


def test_the_face_and_its_regions():
    frame = find_head_frame(made_head(3, 0.0), made_faces().numpy(), "it")
    assert (frame.regions[NUM_SKIN:] == -1).all()  # the back of the head, the inside of the mouth, loose vertices
    assert (frame.regions[:NUM_SKIN] >= 0).float().mean() > 0.98
    np.testing.assert_array_equal(frame.face, torch.nonzero(frame.regions >= 0)[:, 0])
    known = made_regions()
    at = np.flatnonzero(known >= 0)
    assert (frame.regions.numpy()[at] == known[at]).mean() > 0.9
    assert {name for row, name in enumerate(REGIONS) if (frame.regions == row).sum() > 100} == set(REGIONS)
    assert MOUTH not in frame.face


def test_no_face():
    ball, faces = head_of_flame_size()
    with pytest.raises(InputError, match=r"No face is found on ball\.bin: .* lies on skin .* name another expression"):
        find_head_frame(ball.numpy(), faces.numpy(), "ball.bin")
    head, inside_out = made_head(0, 0.0), made_faces().numpy()[:, ::-1].copy()
    with pytest.raises(InputError, match=r"No face is found on it: .* 1% lies on skin that faces the same way"):
        find_head_frame(head, inside_out, "it")


@pytest.mark.shared_data
def test_a_head_that_is_not_the_facemesh(shared_data):
    """ICT-FaceKit's face with ears and neck, other people than its mean, in frames of every kind."""
    kit = ICTFaceKit(shared_data / "ict_facekit" / "ict_facekit.npz")
    generator = torch.Generator().manual_seed(1)
    of_facemesh = np.empty(468, int)
    for row, name in enumerate(REGIONS):
        of_facemesh[facemesh_regions()[name].numpy()] = row
    for turn in ((0.0, 0.0, 0.0), (np.pi, 0.1, 0.0), (0.0, 0.2, -np.pi / 2)):
        head = kit(0.7 * torch.randn(100, generator=generator), torch.zeros(57)).double()
        landmarks = kit.landmarks_468(head, kit.faces)
        known, _, _ = similarity_alignment(FaceMesh().template.double(), landmarks)
        rotation = axis_angle_to_matrix(torch.tensor(turn, dtype=torch.float64))
        frame = find_head_frame((head @ rotation.T + 0.1).numpy(), kit.faces.numpy(), "it")
        off = matrix_to_axis_angle(frame.rotation @ rotation @ known).norm()
        assert off < np.radians(1.5)
        # The vertex nearest to a landmark is of the landmark's region, or of the next one near a border.
        nearest = torch.cdist(landmarks, head).argmin(1)
        regions = frame.regions[nearest].numpy()
        assert (regions >= 0).mean() > 0.93
        assert (regions == of_facemesh)[regions >= 0].mean() > 0.8
        ears = torch.tensor([head[:, 0].argmax(), head[:, 0].argmin()])
        assert (frame.regions[ears] == -1).all()
        assert 0.3 < len(frame.face) / len(head) < 0.8
