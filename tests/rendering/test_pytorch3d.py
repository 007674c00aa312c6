"""The two rasterizers against each other, where pytorch3d is installed; without it, what is said."""

from importlib.util import find_spec

import pytest
import torch
from made_meshes import facemesh, head_of_flame_size, in_picture, random_rotations

from au_d3dface.errors import MissingDependencyError, UsageError
from au_d3dface.geometry import pinhole
from au_d3dface.rendering import load_rasterizer, rasterize

needs_pytorch3d = pytest.mark.skipif(
    find_spec("pytorch3d") is None, reason="pytorch3d is not installed (it is on no package index)"
)
MESHES = {"facemesh": facemesh, "flame-size": head_of_flame_size}


def test_the_rasterizer_by_name():
    assert load_rasterizer("torch") is rasterize
    with pytest.raises(UsageError, match="'nvdiffrast'; choose one of torch, pytorch3d"):
        load_rasterizer("nvdiffrast")


@pytest.mark.skipif(find_spec("pytorch3d") is not None, reason="pytorch3d is installed")
def test_without_pytorch3d_a_sentence_says_where_to_get_it():
    with pytest.raises(MissingDependencyError, match=r"INSTALL\.md\), or use 'torch'"):
        load_rasterizer("pytorch3d")


def agree(points, faces, height, width, perspective=False, cull_backfaces=True):
    """Compares fragments and gradients of a random image loss; the share of pixels that see another triangle."""
    moved = [points.clone().requires_grad_() for _ in range(2)]
    both = [
        load_rasterizer(name)(place, faces, height, width, cull_backfaces, perspective)
        for name, place in zip(("torch", "pytorch3d"), moved, strict=True)
    ]
    same = both[0].pixel_to_face == both[1].pixel_to_face
    seen = same & both[0].mask
    assert seen.any()
    # But for single pixels on slivers, where pytorch3d's float32 rounds.
    difference = (both[0].barycentric - both[1].barycentric).abs().amax(-1)[seen]
    assert (difference > 1e-4).float().mean() < 1e-3
    assert difference.max() < 2e-3
    depth = both[0].depth[seen].detach()
    assert torch.allclose(depth, both[1].depth[seen], rtol=1e-4, atol=1e-4 * float(depth.abs().max()))
    # Only where both see the same: elsewhere the gradients belong to other corners.
    generator = torch.Generator().manual_seed(0)
    weights, values = torch.rand(*seen.shape, generator=generator), torch.rand(len(faces), 3, generator=generator)
    for fragments in both:
        color = (fragments.barycentric * values[fragments.pixel_to_face.clamp_min(0)]).sum(-1)
        (color * weights)[seen].sum().backward()
    difference = (moved[0].grad - moved[1].grad).norm() / moved[0].grad.norm()
    assert difference < 1e-3, f"gradients differ by {difference:.1e}"
    return 1 - float(same.float().mean())


@needs_pytorch3d
@pytest.mark.parametrize("size", [64, 160])
@pytest.mark.parametrize("mesh", MESHES)
def test_same_pictures_and_gradients(mesh, size):
    vertices, faces = MESHES[mesh]()
    points = in_picture(vertices, size, seed=size, count=2)
    assert agree(points, faces, size, size) < 1e-3


@needs_pytorch3d
@pytest.mark.parametrize("shape", [(48, 80), (80, 48)])
def test_same_in_pictures_that_are_not_square_and_with_backfaces(shape):
    vertices, faces = facemesh()
    points = in_picture(vertices, 60, seed=1)
    assert agree(points, faces, *shape, cull_backfaces=False) < 1e-3


@needs_pytorch3d
def test_same_in_perspective():
    vertices, faces = facemesh()
    intrinsics = torch.tensor([[300.0, 0, 48], [0, 310, 50], [0, 0, 1]])
    turned = random_rotations(2, 3, 0.4) @ torch.diag(torch.tensor([1.0, -1.0, -1.0]))
    points = pinhole(vertices.expand(2, -1, -1), turned, torch.tensor([[0.0, 0, 0.5], [0.02, 0, 0.7]]), intrinsics)
    assert agree(points, faces, 96, 96, perspective=True) < 1e-3


@needs_pytorch3d
def test_unusable_vertices_are_left_out_alike():
    vertices, faces = facemesh()
    points = in_picture(vertices, 64, seed=2)
    points[0, faces[::7, 0]] = torch.nan
    assert agree(points.nan_to_num(nan=torch.inf), faces, 64, 64) < 1e-3
    nothing = load_rasterizer("pytorch3d")(torch.full((1, 468, 3), torch.nan), faces, 8, 8)
    assert not nothing.mask.any()
    assert nothing.depth.isinf().all()
