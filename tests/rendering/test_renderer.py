"""Pictures whose every value is known, derivatives against finite differences, and what is defined at the edges."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from made_meshes import facemesh, in_picture, random_rotations

from au_d3dface.geometry import axis_angle_to_matrix, pinhole, vertex_normals, weak_perspective
from au_d3dface.losses import image_loss
from au_d3dface.rendering import MeshRenderer, interpolate, rasterize, shade

SQUARE = torch.tensor([[0.0, 0, 0], [0, 8, 0], [8, 8, 0], [8, 0, 0]])  # the picture's pixels 0-8, facing the camera
TRIANGLES = torch.tensor([[0, 1, 2], [0, 2, 3]])
UV = torch.tensor([[0.0, 1], [0, 0], [1, 0], [1, 1]])
FACING = torch.tensor([0.0, 0, 1]).expand(1, 4, 3)


def light(batch=None, seed=0):
    generator = torch.Generator().manual_seed(seed)
    shape = (9, 3) if batch is None else (batch, 9, 3)
    values = 0.2 * torch.randn(shape, generator=generator)
    values[..., 0, :] += 3.0
    return values


def test_a_map_over_the_whole_picture_comes_back_pixel_by_pixel():
    texture = torch.rand(8, 8, 3, generator=torch.Generator().manual_seed(0))
    rendering = MeshRenderer(TRIANGLES, UV)(SQUARE[None], FACING, 8, 8, texture=texture)
    assert torch.allclose(rendering.image[0], texture, atol=1e-6)
    assert (rendering.alpha == 1).all()
    assert torch.allclose(rendering.normals[0, ..., 2], torch.ones(8, 8))
    two = MeshRenderer(TRIANGLES, UV)(
        SQUARE.expand(2, -1, -1), FACING.expand(2, -1, -1), 8, 8, texture=torch.stack([texture, texture.flip(0)])
    )
    assert torch.allclose(two.image[1], texture.flip(0), atol=1e-6)


def test_a_seam_gives_a_vertex_several_places_in_the_map():
    """The second triangle takes its colours from the right half of the map, the first from the left."""
    texture = torch.zeros(8, 16, 3)
    texture[:, 8:] = 1.0
    uv = torch.tensor([[0.1, 0.5], [0.2, 0.5], [0.9, 0.5], [0.8, 0.5]])
    seam = torch.tensor([[0, 1, 1], [2, 3, 3]])
    picture = MeshRenderer(TRIANGLES, uv, seam)(SQUARE[None], FACING, 8, 8, texture=texture).image[0, ..., 0]
    assert picture[6, 1] == 0
    assert picture[1, 6] == 1
    assert set(picture.unique().tolist()) == {0.0, 1.0}  # no blend across


def test_colour_is_albedo_times_light_of_the_normal():
    normals = torch.nn.functional.normalize(torch.tensor([0.3, -0.4, 0.8]), dim=0).expand(2, 4, 3)
    lights = light(2)
    albedo = torch.tensor([0.7, 0.5, 0.4])
    renderer = MeshRenderer(TRIANGLES)
    picture = renderer(SQUARE.expand(2, -1, -1), normals, 8, 8, colors=albedo.expand(4, 3), lighting=lights).image
    expected = albedo * shade(normals[:, :1], lights)[:, 0]
    assert torch.allclose(picture, expected[:, None, None].expand_as(picture), atol=1e-6)
    same = renderer(SQUARE.expand(2, -1, -1), normals, 8, 8, colors=albedo.expand(4, 3), lighting=lights[0]).image
    assert torch.allclose(same[1], same[0])
    white = renderer(SQUARE[None], normals[:1], 8, 8, lighting=lights[0]).image
    assert torch.allclose(white[0, 0, 0] * albedo, picture[0, 0, 0], atol=1e-6)


def test_maps_and_colours_exclude_each_other():
    with pytest.raises(ValueError, match="not both"):
        MeshRenderer(TRIANGLES, UV)(SQUARE[None], FACING, 8, 8, texture=torch.ones(4, 4, 3), colors=torch.ones(4, 3))
    with pytest.raises(ValueError, match="needs the uv"):
        MeshRenderer(TRIANGLES)(SQUARE[None], FACING, 8, 8, texture=torch.ones(4, 4, 3))


def test_heads_are_seen_by_the_camera_of_eq_12():
    vertices, faces = facemesh()
    rotation, scale, shift = (
        random_rotations(2, 0, 0.3),
        torch.tensor([300.0, 350.0]),
        torch.tensor([[32.0, 30], [30, 33]]),
    )
    heads = vertices.expand(2, -1, -1)
    seen = MeshRenderer(faces).heads(heads, rotation, scale, shift, 64, 64, lighting=light(2))
    points = weak_perspective(heads, rotation, scale, shift)
    expected = rasterize(points, faces, 64, 64, cull_backfaces=True)
    assert torch.equal(seen.fragments.pixel_to_face, expected.pixel_to_face)
    normals = interpolate(expected, faces, vertex_normals(heads, faces) @ rotation.mT)
    cosine = (torch.nn.functional.normalize(normals, dim=-1) * seen.normals).sum(-1)[expected.mask]
    assert (cosine > 0.9999).all()


def test_perspective_interpolates_on_the_triangle_in_space():
    """A floor that recedes from the camera: what is interpolated is linear in space, not in the picture."""
    floor = torch.tensor([[-1.0, 1, 1], [1, 1, 1], [1, 1, 9], [-1, 1, 9]], dtype=torch.float64)
    faces = torch.tensor([[0, 1, 2], [0, 2, 3]])
    intrinsics = torch.tensor([[10.0, 0, 8], [0, 10, 0], [0, 0, 1]], dtype=torch.float64)
    points = pinhole(floor[None], torch.eye(3, dtype=torch.float64), torch.zeros(3, dtype=torch.float64), intrinsics)
    fragments = rasterize(points, faces, 12, 16, perspective=True)
    place = interpolate(fragments, faces, floor)
    rows, columns = torch.meshgrid(torch.arange(12) + 0.5, torch.arange(16) + 0.5, indexing="ij")
    mask = fragments.mask[0]
    assert mask.sum() > 50
    # The ray through a pixel meets the floor y = 1 at depth 10 / row.
    assert torch.allclose(place[0, ..., 2][mask], (10 / rows.double())[mask])
    assert torch.allclose(place[0, ..., 0][mask], ((columns.double() - 8) / rows.double())[mask])
    assert torch.allclose(fragments.depth[0][mask], place[0, ..., 2][mask])


def test_perspective_decides_by_depth_in_space():
    # Before the near end of a receding triangle, but behind where linear depth in the picture would have it.
    slope = torch.tensor([[0.0, 0, 1], [0, 20, 1], [20, 10, 100]])
    plate = torch.tensor([[8.0, 8, 10], [8, 12, 10], [12, 12, 10]])
    fragments = rasterize(
        torch.cat([slope, plate])[None], torch.tensor([[0, 1, 2], [3, 4, 5]]), 20, 20, perspective=True
    )
    # At column 9.5 the slope lies at 1 / (0.525 + 0.475 / 100) = 1.9 metres: nearer than the plate at 10.
    assert fragments.pixel_to_face[0, 10, 9] == 0
    assert fragments.depth[0, 10, 9] == pytest.approx(1 / (0.525 + 0.475 / 100), rel=1e-4)


def gradients_are_right(function, *inputs):
    return torch.autograd.gradcheck(function, inputs, eps=1e-6, atol=1e-5, rtol=1e-4)


@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_derivatives_of_cameras_shading_and_barycentrics(seed):
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape):
        return torch.randn(shape, generator=generator, dtype=torch.float64).requires_grad_()

    turn, points = draw(3), draw(4, 3)
    assert gradients_are_right(
        lambda p, r, s, t: weak_perspective(p, axis_angle_to_matrix(r), s, t), points, turn, draw(), draw(2)
    )
    assert gradients_are_right(
        lambda p, r, t, k: pinhole(p, axis_angle_to_matrix(r), t + p.new_tensor([0, 0, 9.0]), k),
        points, turn, draw(3), draw(3, 3),
    )  # fmt: skip
    assert gradients_are_right(
        lambda n, k: shade(torch.nn.functional.normalize(n, dim=-1), k), draw(2, 4, 3), draw(2, 9, 3)
    )
    corners = torch.tensor([[1.2, 1.1, 3], [1.7, 6.2, 4], [6.3, 2.4, 5]], dtype=torch.float64)
    corners = (corners + 0.05 * torch.randn(3, 3, generator=generator)).requires_grad_()
    for perspective in (False, True):

        def fragments(p, perspective=perspective):
            found = rasterize(p[None], torch.tensor([[0, 1, 2]]), 8, 8, perspective=perspective)
            return found.barycentric, torch.where(found.mask, found.depth, 0.0)

        assert gradients_are_right(fragments, corners)


def test_derivative_of_the_image_loss_through_vertices_away_from_outlines():
    """Central differences of L_img, over pixels whose triangle does not change with the step."""
    vertices, faces = facemesh()
    vertices = vertices.double()
    generator = torch.Generator().manual_seed(3)
    colors = torch.rand(468, 3, generator=generator, dtype=torch.float64)
    target = torch.rand(1, 1, 48, 48, 3, generator=generator, dtype=torch.float64)
    renderer = MeshRenderer(faces)
    camera = (
        torch.eye(3, dtype=torch.float64)[None],
        torch.tensor([230.0]).double(),
        torch.tensor([[24.0, 24]]).double(),
    )
    step = 1e-7 * torch.randn(468, 3, generator=generator, dtype=torch.float64)
    moved = [vertices + sign * step for sign in (-1, 1)]
    triangles = [renderer.heads(v[None], *camera, 48, 48).fragments.pixel_to_face for v in (vertices, *moved)]
    steady = (triangles[0] == triangles[1]) & (triangles[0] == triangles[2]) & (triangles[0] >= 0)
    assert steady.sum() > 500

    def loss(v):
        picture = renderer.heads(v[None], *camera, 48, 48, colors=colors, lighting=light().double()).image
        return image_loss(picture[None], target, steady[None])

    free = vertices.clone().requires_grad_()
    (slope,) = torch.autograd.grad(loss(free), free)
    difference = loss(moved[1]) - loss(moved[0])
    assert difference.item() == pytest.approx(float(2 * (slope * step).sum()), rel=1e-4)


def test_gradients_reach_texture_light_and_vertices():
    vertices, faces = facemesh()
    texture = torch.full((16, 16, 3), 0.5, requires_grad=True)
    lighting = light().requires_grad_()
    points = in_picture(vertices, 32, 0).requires_grad_()
    uv = (vertices[:, :2] - vertices[:, :2].amin(0)) / (vertices[:, :2].amax(0) - vertices[:, :2].amin(0))
    picture = MeshRenderer(faces, uv)(
        points, vertex_normals(vertices, faces)[None], 32, 32, texture=texture, lighting=lighting
    )
    picture.image.square().sum().backward()
    for gradient in (texture.grad, lighting.grad):
        assert gradient.isfinite().all()
        assert gradient.abs().max() > 0
    assert points.grad.isfinite().all()


@pytest.mark.parametrize("place", ["outside", "behind", "nan", "flat"])
def test_what_cannot_be_seen_is_not_and_gives_no_gradient(place):
    vertices, faces = facemesh()
    points = in_picture(vertices, 32, 0)
    if place == "outside":
        points = points + torch.tensor([1e4, -1e9, 0])
    elif place == "behind":
        points = points.clone()
        points[..., 2] = -1.0
    elif place == "nan":
        points = torch.full_like(points, torch.nan)
    else:
        points = points[:, :1].expand_as(points).clone()  # every triangle is a point
    points.requires_grad_()
    normals = vertex_normals(vertices, faces)[None]
    rendering = MeshRenderer(faces)(points, normals, 32, 32, lighting=light(), perspective=place == "behind")
    assert not rendering.alpha.any()
    assert (rendering.image == 0).all()
    loss = image_loss(rendering.image[None], torch.rand(1, 1, 32, 32, 3), torch.ones(1, 1, 32, 32, dtype=torch.bool))
    loss.backward()
    assert loss.isfinite()
    assert (points.grad == 0).all()


def test_some_vertices_that_are_nan_take_their_triangles_with_them():
    vertices, faces = facemesh()
    points = in_picture(vertices, 64, 0)
    broken = points.clone()
    broken[0, faces[100]] = torch.nan
    lost = torch.isin(faces, faces[100]).any(1).nonzero()[:, 0]
    fragments = rasterize(broken.requires_grad_(), faces, 64, 64, cull_backfaces=True)
    assert not torch.isin(fragments.pixel_to_face, lost).any()
    fragments.barycentric.square().sum().backward()
    assert broken.grad.isfinite().all()
