"""Scenes: light, camera and colours by their laws; with the real kit, a face that the tracker finds where it is."""

from pathlib import Path

import numpy as np
import pytest
import torch

from au_d3dface.data.synthetic.picture_tracking import PictureTracker
from au_d3dface.data.synthetic.scenes import (
    Camera,
    HeadPainter,
    Lighting,
    euler_rotation,
    random_appearance,
    random_background,
    random_camera,
    random_lighting,
)
from au_d3dface.data.synthetic.tracked_renders import PER_PERSON, POSES, random_faces, random_identity, render_person
from au_d3dface.data.synthetic.tracker_response import load_tracker_response
from au_d3dface.face_models import ICTFaceKit


def test_light_comes_from_its_direction() -> None:
    light = Lighting(np.zeros(3), np.array([[0.0, 0.0, 1.0]]), np.ones((1, 3)))
    normals = torch.tensor([[0.0, 0, 1], [0, 0.6, 0.8], [0, 1, 0], [0, 0, -1]])
    shade = light.shade(normals)[:, 0]
    assert shade[0] > shade[1] > shade[2]
    # The clamped cosine itself, to what order 2 leaves out.
    torch.testing.assert_close(shade, normals[:, 2].clamp_min(0), atol=0.1, rtol=0)


def test_camera_projects_as_a_pinhole() -> None:
    camera = Camera(np.eye(3), distance=1.0, scale=500.0, centre=np.array([100.0, 80.0]))
    points = camera.project(torch.tensor([[0.0, 0, 0], [0.1, 0, 0], [0, 0.1, 0], [0.1, 0, 0.5]]))
    torch.testing.assert_close(points[0], torch.tensor([100.0, 80, 0]))
    torch.testing.assert_close(points[1, :2], torch.tensor([150.0, 80]))
    torch.testing.assert_close(points[2, :2], torch.tensor([100.0, 30]))
    torch.testing.assert_close(points[3], torch.tensor([200.0, 80, -250]))  # half as far, twice as large, nearer


def test_turns() -> None:
    nose = np.array([0.0, 0.0, 1.0])
    assert (euler_rotation(0.3, 0, 0) @ nose)[0] > 0  # to the subject's left, the picture's right
    assert (euler_rotation(0, 0.3, 0) @ nose)[1] < 0  # down
    np.testing.assert_allclose(np.linalg.det(euler_rotation(0.3, -0.2, 0.1)), 1)


def test_same_seed_same_scene() -> None:
    for sample in (random_appearance, random_lighting, random_camera, random_identity):
        first, second = (sample(np.random.default_rng(5)) for _ in range(2))
        np.testing.assert_equal(
            vars(first) if hasattr(first, "__dict__") else first,
            vars(second) if hasattr(second, "__dict__") else second,
        )
    other = random_background(np.random.default_rng(6), 32, 48)
    assert other.shape == (32, 48, 3)
    assert 0 < other.min() <= other.max() <= 1


def test_skin_covers_the_human_range() -> None:
    skins = np.array([random_appearance(np.random.default_rng(i)).skin for i in range(200)])
    lightness = skins @ [0.2126, 0.7152, 0.0722]
    assert lightness.min() < 0.1
    assert lightness.max() > 0.55
    assert (skins[:, 0] > skins[:, 2]).all()


def test_faces_of_a_person() -> None:
    names = load_tracker_response().expression_names
    faces = [face for seed in range(20) for face in random_faces(np.random.default_rng(seed), names)]
    assert len(faces) == 20 * PER_PERSON
    for face in faces:
        assert face.at_rest == (not face.action_units.any() and not face.other.any())
        assert 0 <= face.action_units.min() <= face.action_units.max() <= 1
        assert 0 <= face.pose < POSES
    seen = np.stack([face.action_units for face in faces]).max(-1) > 0
    assert seen.any(0).all()  # every AU occurs
    assert (seen.sum(1) > 1).mean() > 0.2  # and so do combinations


@pytest.fixture(scope="module")
def head(shared_data: Path) -> ICTFaceKit:
    return ICTFaceKit(shared_data / "ict_facekit" / "ict_facekit.npz", part="head")


@pytest.mark.shared_data
def test_the_tracker_finds_the_face_where_it_is(head: ICTFaceKit) -> None:
    painter, tracker = HeadPainter(head), PictureTracker()
    rest = torch.zeros(len(head.expression_names))
    smile = rest + head.au_to_expression([12])[0].sum(0)
    centre = 128 - 256 / 0.27 * (euler_rotation(0.1, 0, 0) @ np.array([0.0, -0.01, 0.09]))[:2] * np.array([1, -1])
    camera = Camera(euler_rotation(0.1, 0, 0), 1.0, 256 / 0.27, centre)
    tracked = []
    for expression in (rest, smile):
        rng = np.random.default_rng(1)
        vertices = head(torch.zeros(100), expression)
        scene = random_appearance(rng), random_lighting(rng), camera, random_background(rng, 256, 256)
        picture = painter.render(vertices, *scene)
        assert picture.shape == (256, 256, 3)
        assert picture.dtype == np.uint8
        points = tracker(picture)
        assert points is not None
        true = camera.project(head.landmarks_468(vertices, head.faces))[:, :2].numpy()
        width = np.ptp(true[:, 0])
        assert np.median(np.linalg.norm(points[:468, :2] - true, axis=1)) < 0.03 * width
        tracked.append(points)
    tracker.close()
    mouth = [np.linalg.norm(p[291, :2] - p[61, :2]) / np.linalg.norm(p[263, :2] - p[33, :2]) for p in tracked]
    assert mouth[1] > 1.08 * mouth[0]  # a smile widens the mouth


@pytest.mark.shared_data
@pytest.mark.slow  # 17 renders, tracked
def test_a_person_renders_the_same_again(head: ICTFaceKit) -> None:
    rows = []
    for _ in range(2):
        tracker = PictureTracker()
        rows.append(render_person(3, 0, head, HeadPainter(head), tracker, size=192))
        tracker.close()
    assert rows[0]["found"].sum() >= PER_PERSON - 1
    for key in rows[0]:
        np.testing.assert_array_equal(rows[0][key], rows[1][key], err_msg=key)


def test_a_painter_needs_the_whole_head() -> None:
    class Face:
        part = "face"

    with pytest.raises(ValueError, match="whole head"):
        HeadPainter(Face())  # type: ignore[arg-type]
