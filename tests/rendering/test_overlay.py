import numpy as np
import pytest
import torch

from au_d3dface.rendering import draw_mesh, heat_colors

GREY = np.full((120, 160, 3), 100, np.uint8)


def dome(centre=(80.0, 60.0), radius=40.0, n=9):
    """A bulging square sheet with an opening in the middle, seen from the front."""
    line = torch.linspace(-1, 1, n)
    y, x = torch.meshgrid(line, line, indexing="ij")
    points = torch.stack([x * radius + centre[0], y * radius + centre[1], (x**2 + y**2) * radius * 0.3], -1)
    index = torch.arange(n * n).reshape(n, n)
    a, b, c, d = (index[i : n - 1 + i, j : n - 1 + j] for i, j in ((0, 0), (0, 1), (1, 1), (1, 0)))
    faces = torch.stack([torch.stack([a, c, b], -1), torch.stack([a, d, c], -1)], -2)  # (n-1, n-1, 2, 3)
    kept = torch.ones(n - 1, n - 1, dtype=torch.bool)
    kept[3:5, 3:5] = False
    return points.reshape(-1, 3), faces[kept].reshape(-1, 3)


def test_draws_on_the_mesh_and_nowhere_else():
    points, faces = dome()
    before = GREY.copy()
    drawn = draw_mesh(GREY, points, faces)
    assert np.array_equal(GREY, before)
    assert drawn.dtype == np.uint8
    changed = (drawn != GREY).any(-1)
    assert changed[22:98, 42:118].mean() > 0.9
    assert not changed[:18].any()
    assert not changed[:, :38].any()
    assert not changed[57:62, 76:79].any()  # the opening


def test_lines_run_around_openings():
    points, faces = dome((200.0, 200.0), radius=170.0)
    image = np.full((400, 400, 3), 100, np.uint8)
    drawn = draw_mesh(image, points, faces, opacity=0.0, line_opacity=0.5)[..., 0]
    assert drawn[190, 28:34].max() == 255  # the outline, twice as strong as what is inside
    assert drawn[190, 154:160].max() == 255  # around the opening
    inside = drawn[40:150, 40:150]
    assert 170 < inside.max() <= 178
    assert (inside == 100).mean() > 0.5  # between the lines nothing changes


def test_colours_of_vertices():
    points, faces = dome()
    colours = torch.where(points[:, :1] < 80, torch.tensor([[1.0, 0.0, 0.0]]), torch.tensor([[0.0, 0.0, 1.0]]))
    drawn = draw_mesh(GREY, points, faces, colours, opacity=1.0, line_opacity=0.0)
    assert drawn[60, 50, 0] > 100 > drawn[60, 50, 2]
    assert drawn[60, 110, 2] > 100 > drawn[60, 110, 0]


def test_the_back_is_not_drawn():
    points, faces = dome()
    assert np.array_equal(draw_mesh(GREY, points, faces.flip(-1)), GREY)


@pytest.mark.parametrize("centre", [(0.0, 0.0), (160.0, 60.0), (80.0, 150.0)])
def test_partly_outside(centre):
    points, faces = dome(centre)
    drawn = draw_mesh(GREY, points, faces)
    assert drawn.shape == GREY.shape
    assert (drawn != GREY).any()


@pytest.mark.parametrize("offset", [1e3, -1e3, 1e12, float("nan")])
def test_nothing_to_see(offset):
    points, faces = dome()
    assert np.array_equal(draw_mesh(GREY, points + offset, faces), GREY)


@pytest.mark.parametrize("radius", [0.0, 1e-5, 0.3])
def test_a_face_of_hardly_a_pixel(radius):
    """Its layer has a bounded size."""
    points, faces = dome(radius=radius)
    drawn = draw_mesh(GREY, points, faces)
    assert (drawn != GREY).any(-1).sum() <= 9


def test_a_lost_vertex_takes_only_its_triangles():
    points, faces = dome()
    whole = draw_mesh(GREY, points, faces)
    points[0] = torch.nan
    partly = draw_mesh(GREY, points, faces)
    different = (whole != partly).any(-1)
    assert different.any()
    assert different.sum() < 500


def test_odd_sizes_and_numpy_input():
    points, faces = dome((20.0, 13.0), radius=300.0)  # a face much larger than the picture
    image = np.zeros((27, 41, 3), np.uint8)
    drawn = draw_mesh(image, points.numpy(), faces.numpy(), opacity=0.5)
    assert drawn.shape == image.shape


def test_large_and_small_pictures_look_alike():
    """A large picture is drawn on a coarser layer: its average colour stays that of the small one."""
    points, faces = dome()
    small = draw_mesh(GREY, points, faces, line_opacity=0.0)
    large = draw_mesh(np.full((1200, 1600, 3), 100, np.uint8), points * 10, faces, line_opacity=0.0)
    reduced = large.reshape(120, 10, 160, 10, 3).mean((1, 3))
    assert np.abs(reduced - small)[25:95, 45:115].mean() < 1.5


def test_heat_colours():
    colours = heat_colors(torch.linspace(0, 2, 201), maximum=2.0)
    linear = torch.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)
    luminance = linear @ torch.tensor([0.2126, 0.7152, 0.0722])
    lightness = 116 * luminance ** (1 / 3) - 16  # CIELAB L*
    steps = lightness.diff()
    assert (steps > 0).all()  # told apart in grey
    assert steps.max() < 2.5 * steps.min()
    assert torch.equal(heat_colors(np.array([np.nan, -1.0, 5.0]), 2.0), colours[[0, 0, -1]])
