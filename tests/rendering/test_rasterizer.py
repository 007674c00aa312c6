import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings

from au_d3dface.rendering import interpolate, rasterize

TRIANGLE = torch.tensor([[0, 2, 1]])  # turned so that the corners below are counter-clockwise seen from the camera
CORNERS = torch.tensor([[[1.0, 1.0, 5.0], [9.0, 1.0, 5.0], [1.0, 9.0, 5.0]]])


def by_definition(points, faces, height, width, cull_backfaces=False):
    """Every pixel against every triangle in exact-enough float64: the slow reference."""
    result = torch.full((len(points), height, width), -1)
    for image, vertices in enumerate(points.double()):
        for row in range(height):
            for column in range(width):
                nearest = torch.inf
                for index, face in enumerate(faces):
                    a, b, c = vertices[face] - torch.tensor([column + 0.5, row + 0.5, 0.0])
                    edges = torch.stack([u[0] * v[1] - u[1] * v[0] for u, v in ((b, c), (c, a), (a, b))])
                    area = edges.sum()
                    if not area.isfinite() or area == 0 or (cull_backfaces and area > 0):
                        continue
                    weights = edges / area
                    depth = float((weights * torch.stack([a[2], b[2], c[2]])).sum().float())
                    if (weights >= 0).all() and depth < nearest:
                        nearest, result[image, row, column] = depth, index
    return result


def soup(seed, triangles=20, height=13, width=17, batch=2):
    generator = torch.Generator().manual_seed(seed)
    points = torch.rand(batch, 3 * triangles, 3, generator=generator) * torch.tensor([width, height, 10.0]) * 1.4
    points = points - torch.tensor([0.2 * width, 0.2 * height, 5.0])
    return points, torch.randperm(3 * triangles, generator=generator).reshape(-1, 3)


@pytest.mark.parametrize("cull_backfaces", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_equals_the_definition_on_every_pixel(seed, cull_backfaces):
    points, faces = soup(seed)
    expected = by_definition(points, faces, 13, 17, cull_backfaces)
    fragments = rasterize(points, faces, 13, 17, cull_backfaces)
    assert torch.equal(fragments.pixel_to_face, expected)
    assert 0.3 < fragments.mask.float().mean() <= 1  # the scene is neither empty nor trivial


def test_small_memory_gives_the_same_picture():
    points, faces = soup(3, triangles=60, height=40, width=50)
    whole = rasterize(points, faces, 40, 50)
    parts = rasterize(points, faces, 40, 50, max_candidates=7)
    assert torch.equal(whole.pixel_to_face, parts.pixel_to_face)


def test_barycentric_and_depth_at_pixel_centres():
    points, faces = soup(4)
    fragments = rasterize(points, faces, 13, 17)
    assert torch.allclose(fragments.barycentric[fragments.mask].sum(-1), torch.ones(()), atol=1e-5)
    assert (fragments.barycentric[~fragments.mask] == 0).all()
    assert fragments.depth[~fragments.mask].isinf().all()
    # Interpolating the vertices themselves gives back the pixel's centre and its depth.
    position = interpolate(fragments, faces, points)
    rows, columns = torch.meshgrid(torch.arange(13) + 0.5, torch.arange(17) + 0.5, indexing="ij")
    mask = fragments.mask
    assert torch.allclose(position[..., 0][mask], columns.expand(mask.shape)[mask], atol=1e-3)
    assert torch.allclose(position[..., 1][mask], rows.expand(mask.shape)[mask], atol=1e-3)
    assert torch.allclose(position[..., 2][mask], fragments.depth[mask], atol=1e-4)


def test_attributes_shared_by_all_pictures():
    points, faces = soup(5)
    colours = torch.rand(points.shape[1], 4)
    fragments = rasterize(points, faces, 13, 17)
    assert torch.equal(
        interpolate(fragments, faces, colours), interpolate(fragments, faces, colours.expand(2, -1, -1).contiguous())
    )


def test_pixels_on_the_edge_belong_to_the_triangle():
    square = torch.tensor([[[0.5, 0.5, 1.0], [3.5, 0.5, 1.0], [3.5, 3.5, 1.0], [0.5, 3.5, 1.0]]])
    fragments = rasterize(square, torch.tensor([[0, 1, 2], [0, 2, 3]]), 5, 5)
    assert fragments.mask[0, :4, :4].all()
    assert not fragments.mask[0, 4].any()
    assert not fragments.mask[0, :, 4].any()
    assert (fragments.pixel_to_face[0].diagonal()[:4] == 0).all()  # the shared edge: the first triangle has it


def test_ties_go_to_the_first_triangle():
    fragments = rasterize(CORNERS, torch.tensor([[2, 1, 0], [0, 1, 2], [1, 2, 0]]), 10, 10)
    assert set(fragments.pixel_to_face.unique().tolist()) == {-1, 0}


@pytest.mark.parametrize(("near", "far"), [(-2.0, -1.0), (-1.0, 0.0), (-1.0, 1.0), (0.0, 1e-30), (1e6, 1.0001e6)])
def test_the_nearer_triangle_is_seen(near, far):
    points = torch.cat([CORNERS, CORNERS], 1)
    points[0, :3, 2], points[0, 3:, 2] = far, near
    fragments = rasterize(points, torch.tensor([[0, 1, 2], [3, 4, 5]]), 10, 10)
    assert set(fragments.pixel_to_face.unique().tolist()) == {-1, 1}
    assert torch.allclose(fragments.depth[fragments.mask], torch.tensor(near))


def test_culling_hides_the_back_only():
    assert rasterize(CORNERS, TRIANGLE, 10, 10, cull_backfaces=True).mask.any()
    assert not rasterize(CORNERS, TRIANGLE.flip(-1), 10, 10, cull_backfaces=True).mask.any()
    assert rasterize(CORNERS, TRIANGLE.flip(-1), 10, 10).mask.any()


def test_triangles_that_cannot_be_drawn_are_skipped():
    points = torch.tensor(
        [
            [
                [1, 1, 5],
                [9, 1, 5],
                [1, 9, 5],
                [torch.nan, 3, 1],
                [torch.inf, 3, 1],
                [5, 1, 1],
                [3, 3, torch.nan],
                [2, 2, 1],
            ]
        ]
    )
    faces = torch.tensor([[0, 2, 1], [3, 2, 1], [4, 2, 1], [0, 5, 1], [6, 2, 1], [7, 7, 7], [7, 0, 7]])
    fragments = rasterize(points, faces, 10, 10)
    assert torch.equal(fragments.pixel_to_face, rasterize(CORNERS, TRIANGLE, 10, 10).pixel_to_face)
    assert fragments.barycentric.isfinite().all()


def test_triangles_off_the_picture():
    for offset in ([100.0, 0, 0], [-100.0, 0, 0], [0, 100.0, 0], [0, -100.0, 0], [1e30, 1e30, 0]):
        assert not rasterize(CORNERS + torch.tensor(offset), TRIANGLE, 10, 10).mask.any()
    around = (CORNERS - 5) * 1e4  # much larger than the picture, and over all of it
    assert rasterize(around + torch.tensor([2e4, 2e4, 0]), TRIANGLE, 6, 7).mask.all()


def test_nothing_to_draw():
    fragments = rasterize(CORNERS, torch.zeros((0, 3), dtype=torch.int64), 4, 5)
    assert fragments.pixel_to_face.shape == (1, 4, 5)
    assert not fragments.mask.any()
    assert interpolate(fragments, torch.zeros((0, 3), dtype=torch.int64), CORNERS).abs().sum() == 0


def test_wrong_shapes_are_named():
    with pytest.raises(ValueError, match=r"\(B, V, 3\)"):
        rasterize(CORNERS[0], TRIANGLE, 4, 4)
    with pytest.raises(ValueError, match=r"\(F, 3\)"):
        rasterize(CORNERS, TRIANGLE[0], 4, 4)


@given(st.integers(-6, 6), st.integers(-6, 6), st.integers(0, 1000))
@settings(max_examples=30, deadline=None)
def test_moving_by_whole_pixels_moves_the_picture(right, down, seed):
    points, faces = soup(seed, triangles=8, height=8, width=8, batch=1)
    points = (points * 64).round() / 64  # so that moving rounds nothing
    large = rasterize(points + 8, faces, 24, 24)
    moved = rasterize(points + 8 + torch.tensor([right, down, 0.0]), faces, 24, 24)
    inner = large.pixel_to_face[:, 6:18, 6:18]
    assert torch.equal(moved.pixel_to_face[:, 6 + down : 18 + down, 6 + right : 18 + right], inner)


@given(st.integers(0, 1000))
@settings(max_examples=20, deadline=None)
def test_a_closed_surface_has_no_cracks(seed):
    """A jittered grid of small triangles covers every pixel, whatever the rounding."""
    generator = torch.Generator().manual_seed(seed)
    n = 12
    lines = torch.linspace(-3, 35, n)
    rows, columns = torch.meshgrid(lines, lines, indexing="ij")
    points = torch.stack([columns, rows, torch.zeros(n, n)], -1)
    points = points + torch.randn(n, n, 3, generator=generator) * 0.3
    index = torch.arange(n * n).reshape(n, n)
    a, b, c, d = index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1]
    faces = torch.cat([torch.stack([a, c, b], -1).reshape(-1, 3), torch.stack([a, d, c], -1).reshape(-1, 3)])
    assert rasterize(points.reshape(1, -1, 3), faces, 32, 32, cull_backfaces=True).mask.all()


def test_gradients_reach_points_and_attributes():
    points, faces = soup(6, triangles=4, height=6, width=7, batch=1)
    points = points.double().requires_grad_()
    colours = torch.rand(points.shape[1], 2, dtype=torch.float64, requires_grad=True)

    def picture(points, colours):
        fragments = rasterize(points, faces, 6, 7)
        return interpolate(fragments, faces, colours), fragments.depth[fragments.mask]

    assert torch.autograd.gradcheck(picture, (points, colours), eps=1e-7, atol=1e-5)
