"""Which points of a surface are seen: on squares whose answer is plain, and on the real head."""

import numpy as np
import pytest
import torch

from au_d3dface.data.synthetic.film import Film, visible_points
from au_d3dface.data.synthetic.filming import RenderSettings, load_head, random_person
from au_d3dface.data.synthetic.scenes import Camera
from au_d3dface.geometry import axis_angle_to_matrix

SIZE = 256
# A large square at z = 0 and a small one 3 cm before its middle, both facing the viewer; metres.
LARGE = [[-0.1, -0.1, 0], [0.1, -0.1, 0], [0.1, 0.1, 0], [-0.1, 0.1, 0]]
SMALL = [[-0.02, -0.02, 0.03], [0.02, -0.02, 0.03], [0.02, 0.02, 0.03], [-0.02, 0.02, 0.03]]
FACES = torch.tensor([[0, 1, 2], [0, 2, 3], [4, 5, 6], [4, 6, 7]])


def seen(points, normals=None, rotation=None, centre=(128.0, 128.0)) -> list[bool]:
    """Of points on the squares, 1200 pixels per metre, from half a metre."""
    camera = Camera(np.eye(3) if rotation is None else rotation, 0.5, 1200.0, np.array(centre))
    points = torch.tensor(points)
    normals = torch.tensor([[0.0, 0.0, 1.0]]).expand_as(points) if normals is None else torch.tensor(normals)
    return visible_points(points, normals, torch.tensor(LARGE + SMALL), FACES, camera, SIZE, SIZE).tolist()


def test_what_lies_behind_something_is_hidden():
    assert seen([[0.0, 0.0, 0.03], [0.0, 0.0, 0.0], [0.06, 0.0, 0.0], [0.0, -0.06, 0.0]]) == [True, False, True, True]
    assert seen([[0.0, 0.0, 0.029], [0.0, 0.0, 0.027]]) == [True, False]  # the thickness is 2 mm


def test_perspective_and_pose_decide_what_is_hidden():
    """The small square is nearer, so it hides more than its own 0.02: up to 0.02 · 0.5 / 0.47 = 0.0213."""
    assert seen([[0.0, 0.01, 0.0], [0.0, 0.0203, 0.0], [0.0, 0.022, 0.0]]) == [False, False, True]
    # Turned to the picture's right, it lies before what is farther right on the large one.
    turned = axis_angle_to_matrix(torch.tensor([0.0, 0.6, 0.0], dtype=torch.float64)).numpy()
    places = [[-0.01, 0.0, 0.0], [0.01, 0.0, 0.0], [0.03, 0.0, 0.0]]
    assert seen(places) == [False, False, True]
    assert seen(places, rotation=turned) == [True, False, False]


def test_what_is_turned_away_or_outside_the_picture_is_not_seen():
    point = [0.06, 0.0, 0.0]
    assert seen([point, point], [[0.0, 0.0, 2.0], [0.0, 0.0, -2.0]]) == [True, False]
    # The camera is half a metre away, so a surface that looks straight up is seen below the middle alone.
    assert seen([[0.0, -0.06, 0.0], [0.0, 0.06, 0.0]], [[0.0, 1.0, 0.0], [0.0, 1.0, 0.0]]) == [True, False]
    assert seen([[-0.05, 0.0, 0.0], [0.05, 0.0, 0.0]], centre=(40.0, 128.0)) == [False, True]
    assert seen([[0.05, 0.05, 0.0], [0.05, -0.05, 0.0]], centre=(128.0, 40.0)) == [False, True]


@pytest.mark.shared_data
def test_a_turned_head_hides_its_far_cheek(ict_facekit):
    """Facing the camera both cheeks and the nose's sides are seen; turned, the far ones are hidden."""
    head, painter = load_head(ict_facekit)
    rng = np.random.default_rng(0)
    person = random_person(rng, head, RenderSettings(size=160))
    film = Film(head)
    for yaw in (0.0, 0.7, -0.7):
        film.add(person.film(rng, painter, person.rest, np.array([0.0, yaw, 0.0]), person.scale, np.zeros(2)))
    front, to_right, to_left = film.visible  # of the picture; its left shows the subject's right
    near_ears = [127, 234, 93], [356, 454, 323]  # the subject's right and left
    cheeks = [205, 118, 50], [425, 347, 280]
    assert front[cheeks[0] + cheeks[1]].all()
    assert front.mean() > 0.85
    for turned, near, far in ((to_right, 0, 1), (to_left, 1, 0)):
        assert turned[near_ears[near] + cheeks[near]].all()
        assert not turned[near_ears[far]].any()
        assert 0.5 < turned.mean() < 0.85
    assert np.abs(film.rotation[1] @ film.rotation[2] - np.eye(3)).max() < 1e-6
    assert film.rotation[1][0, 2] > 0.6  # the nose points to the picture's right
