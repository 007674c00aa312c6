"""Pictures of meshes alone: where the mesh is, which side of it, and what is drawn of broken ones."""

import numpy as np
import pytest
import torch

from au_d3dface.face_models import FaceMesh
from au_d3dface.geometry import axis_angle_to_matrix
from au_d3dface.rendering import DARK, WHITE, draw_face, fit_view


@pytest.fixture(scope="module")
def face():
    model = FaceMesh()
    return model.template, model.faces


def dense_sheet(rows: int, columns: int):
    """A bulging sheet of rows · columns vertices, 0.2 m high."""
    y, x = torch.meshgrid(torch.linspace(0.1, -0.1, rows), torch.linspace(-0.08, 0.08, columns), indexing="ij")
    corner = torch.arange(rows * columns).reshape(rows, columns)
    a, b, c, d = corner[1:, :-1], corner[1:, 1:], corner[:-1, 1:], corner[:-1, :-1]
    faces = torch.cat([torch.stack(part, -1).reshape(-1, 3) for part in ((a, b, c), (a, c, d))])
    return torch.stack([x, y, 0.05 - 4 * x**2 - 2 * y**2], -1).reshape(-1, 3), faces


def drawn(picture, ground=255):
    return (picture != ground).any(-1)


def test_a_face_fills_its_picture_and_is_smooth_at_its_border(face):
    picture = draw_face(*face, 200, 160)
    assert picture.shape == (200, 160, 3)
    assert picture.dtype == np.uint8
    rows, columns = np.nonzero(drawn(picture))
    # The view leaves a twentieth on each side of the direction that is tight.
    assert abs(rows.min() - 10) <= 1 or abs(columns.min() - 8) <= 1
    assert rows.min() >= 9
    assert rows.max() <= 190
    assert columns.min() >= 7
    assert columns.max() <= 152
    assert abs((columns.min() + columns.max() + 1) / 2 - 80) <= 1
    steps = len(np.unique(picture[drawn(picture)].sum(-1)))
    assert steps > 100  # light and shade, not one flat colour
    assert ((picture[..., 0] > 225) & (picture[..., 0] < 255)).any()  # a border between the face and white


@pytest.mark.parametrize("count", [(71, 71), (97, 97)])  # about as many vertices as FLAME's and ICT-FaceKit's faces
def test_dense_meshes(count):
    vertices, faces = dense_sheet(*count)
    assert drawn(draw_face(vertices, faces, 96, 96)).mean() > 0.6


def test_grounds(face):
    white, dark = (draw_face(*face, 64, 64, background=ground) for ground in (WHITE, DARK))
    assert (white[0, 0] == 255).all()
    assert np.array_equal(dark[0, 0], np.round(255 * np.array(DARK)).astype(np.uint8))
    assert np.array_equal(white[30, 40], dark[30, 40])  # on the face


def test_the_front_is_brighter_than_the_back():
    vertices, faces = dense_sheet(9, 9)
    front, back = draw_face(vertices, faces, 64, 64), draw_face(vertices, faces.flip(-1), 64, 64)
    assert np.array_equal(drawn(front), drawn(back))
    middle = slice(24, 40)
    assert 0.3 < back[middle, middle].mean() / front[middle, middle].mean() < 0.6


def test_turning_shows_the_side(face):
    vertices, faces = face
    turned = axis_angle_to_matrix(torch.tensor([0.0, 1.2, 0.0]))
    view = fit_view(vertices, 100, 100)
    frontal = draw_face(vertices, faces, 100, 100, view=view)
    side = draw_face(vertices, faces, 100, 100, view=fit_view(vertices, 100, 100, turned))
    extents = [
        np.ptp(np.nonzero(drawn(picture))[1]) / np.ptp(np.nonzero(drawn(picture))[0]) for picture in (frontal, side)
    ]
    assert extents[1] < 0.85 * extents[0]


def test_one_view_keeps_sizes_comparable(face):
    vertices, faces = face
    view = fit_view(torch.stack([vertices, 0.5 * vertices]), 100, 100)
    large, small = (drawn(draw_face(scale * vertices, faces, 100, 100, view=view)).sum() for scale in (1.0, 0.5))
    assert small / large == pytest.approx(0.25, abs=0.02)


def test_bare_colours(face):
    vertices, faces = face
    colours = torch.where(vertices[:, :1] > 0, torch.tensor([1.0, 0.0, 0.0]), torch.tensor([0.0, 0.0, 1.0]))
    picture = draw_face(vertices, faces, 100, 100, colours.numpy(), relief=0.0)
    assert tuple(picture[60, 70]) == (255, 0, 0)  # the subject's left is right in the picture
    assert tuple(picture[60, 30]) == (0, 0, 255)


def test_a_lost_vertex_takes_only_its_triangles(face):
    vertices, faces = face
    view = fit_view(vertices, 100, 100)
    broken = vertices.clone()
    broken[0], broken[17] = torch.nan, torch.inf
    whole, partly = (draw_face(mesh, faces, 100, 100, view=view) for mesh in (vertices, broken))
    gone = drawn(whole) & ~drawn(partly)
    assert 0 < gone.sum() < 400
    near = np.zeros((100, 100), bool)
    for lost in (0, 17):
        x, y = view.points(vertices)[lost, :2].round().int().tolist()
        near[max(0, y - 18) : y + 18, max(0, x - 18) : x + 18] = True
    assert np.array_equal(whole[~near], partly[~near])
    assert fit_view(broken, 100, 100).scale == pytest.approx(view.scale, rel=0.1)


@pytest.mark.parametrize("change", [lambda v: v * 0, lambda v: v * torch.nan, lambda v: v + 1e12])
def test_nothing_to_see(face, change):
    vertices, faces = face
    view = fit_view(vertices, 40, 50)
    assert (draw_face(change(vertices), faces, 40, 50, view=view) == 255).all()
    assert draw_face(change(vertices), faces, 40, 50).shape == (40, 50, 3)


def test_no_triangles(face):
    assert (draw_face(face[0], torch.zeros(0, 3, dtype=torch.int64), 20, 20) == 255).all()
    assert (draw_face(np.zeros((0, 3)), np.zeros((0, 3), int), 20, 20) == 255).all()
