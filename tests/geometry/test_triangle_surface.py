"""Nearest points of a surface: as comparing all with all gives them, as trimesh gives them, and what is refused."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from made_surfaces import head, on_surface

from au_d3dface.geometry import TriangleSurface, axis_angle_to_matrix, closest_on_triangles


def all_with_all(points: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    pairs = np.repeat(points, len(triangles), 0), np.tile(triangles, (len(points), 1, 1))
    away = np.linalg.norm(pairs[0] - closest_on_triangles(*pairs), axis=-1)
    return away.reshape(len(points), len(triangles)).min(1)


@given(
    seed=st.integers(0, 10**6),
    spread=st.sampled_from([0.0, 0.01, 1.0, 30.0]),
    sizes=st.sampled_from([0.0, 1.0, 2.5]),
)
@settings(max_examples=40, deadline=None)
def test_equals_comparing_all_with_all(seed, spread, sizes):
    """Triangles of one size or of sizes spread over decades, a tenth of them flat or points; points on and far off."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(300, 1, 3))
    triangles = centres + 0.1 * np.exp(sizes * rng.normal(size=(300, 1, 1))) * rng.normal(size=(300, 3, 3))
    triangles[:15, 2] = triangles[:15, 1]
    triangles[15:30] = triangles[15:30, :1]
    surface = TriangleSurface(triangles.reshape(-1, 3), np.arange(900).reshape(-1, 3))
    points = np.concatenate([triangles[:, 0], triangles.mean(1)])[::6] + spread * rng.normal(size=(100, 3))
    found = surface.nearest(points)
    rounding = 1e-12 * np.abs(triangles).max()
    assert found.distances == pytest.approx(all_with_all(points, triangles), rel=1e-9, abs=rounding)
    # The point, the triangle and the distance belong together.
    assert np.linalg.norm(points - found.points, axis=-1) == pytest.approx(found.distances, rel=1e-12, abs=1e-14)
    own = closest_on_triangles(points, triangles[found.triangles])
    assert own == pytest.approx(found.points, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("height", [1e-2, 1e-4, 1e-6, 1e-8, 1e-12, 0.0])
def test_thin_triangles_are_exact_too(height):
    """Of sides of 0.1, all so thin or one in ten; the corners of flat ones lie on a line, apart from each other."""
    rng = np.random.default_rng(0)
    for every in (1, 10):
        a, way = 0.1 * rng.normal(size=(2, 200, 3))
        c = a + rng.uniform(-0.2, 1.2, (200, 1)) * way + height * rng.normal(size=(200, 3))
        c[np.arange(200) % every > 0] += 0.1 * rng.normal(size=(3,))
        triangles = np.stack([a, a + way, c], 1)
        points = np.concatenate([0.1 * rng.normal(size=(200, 3)), triangles.mean(1), a + 0.3 * way])
        found = TriangleSurface(triangles.reshape(-1, 3), np.arange(600).reshape(-1, 3)).nearest(points)
        assert np.abs(found.distances - all_with_all(points, triangles)).max() < 1e-9
        assert np.linalg.norm(points - found.points, axis=-1) == pytest.approx(found.distances, rel=1e-12, abs=1e-15)
        own = closest_on_triangles(points, triangles[found.triangles])
        assert np.linalg.norm(points - own, axis=-1) == pytest.approx(found.distances, abs=1e-9)


def test_one_triangle_and_one_that_is_a_point():
    surface = TriangleSurface(np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0]]), np.array([[0, 1, 2]]))
    found = surface.nearest(np.array([[0.2, 0.2, 0.7], [-3, -4, 0], [0.5, -2, 0], [1, 1, 0]]))
    assert found.distances == pytest.approx([0.7, 5, 2, 0.5**0.5])
    assert found.triangles.tolist() == [0, 0, 0, 0]
    one_point = TriangleSurface(np.ones((3, 3)), np.array([[0, 1, 2]]))
    assert one_point.nearest(np.zeros((1, 3))).distances == pytest.approx([3**0.5])


def test_points_of_the_surface_are_on_it():
    vertices, faces = head(600)
    surface = TriangleSurface(vertices, faces)
    points = on_surface(vertices, faces, 5000, np.random.default_rng(0))
    found = surface.nearest(points)
    assert found.distances.max() < 1e-13
    assert found.points == pytest.approx(points, abs=1e-15)
    assert surface.nearest(points[:0]).distances.shape == (0,)


@given(seed=st.integers(0, 10**6))
@settings(max_examples=20, deadline=None)
def test_a_common_rigid_motion_changes_no_distance(seed):
    rng = np.random.default_rng(seed)
    vertices, faces = head(300)
    points = vertices + 0.01 * rng.normal(size=vertices.shape)
    rotation = axis_angle_to_matrix(torch.from_numpy(rng.normal(size=3))).numpy()
    shift = rng.normal(size=3)
    before = TriangleSurface(vertices, faces).nearest(points).distances
    after = TriangleSurface(vertices @ rotation.T + shift, faces).nearest(points @ rotation.T + shift).distances
    assert after == pytest.approx(before, rel=1e-9, abs=1e-12)


def test_equals_trimesh_at_real_sizes():
    """In millimetres, as trimesh takes squared distances within 1e-8 of each other for equal: of metres, 0.1 mm."""
    trimesh = pytest.importorskip("trimesh", reason="trimesh, of the test extra, is not installed")
    pytest.importorskip("rtree", reason="rtree, of the test extra, is not installed")
    rng = np.random.default_rng(0)
    vertices, faces = head(7306)
    points = head(5023)[0] + 0.002 * rng.normal(size=(5023, 3))
    mesh = trimesh.Trimesh(1000 * vertices, faces, process=False)
    _, theirs, _ = trimesh.proximity.closest_point(mesh, 1000 * points)
    ours = TriangleSurface(vertices, faces).nearest(points).distances
    assert ours.mean() > 1e-3
    assert np.abs(ours - theirs / 1000).max() < 1e-6


def test_refused():
    vertices, faces = head(50)
    with pytest.raises(ValueError, match="no surface"):
        TriangleSurface(vertices, faces[:0])
    with pytest.raises(ValueError, match="name vertex 49, but the mesh has 40 vertices"):
        TriangleSurface(vertices[:40], faces)
    with pytest.raises(ValueError, match="name vertex -1"):
        TriangleSurface(vertices, faces - 1)
    surface = TriangleSurface(vertices, faces)
    vertices[[7, 9], 1] = np.nan, np.inf
    with pytest.raises(ValueError, match=r"vertices must be finite, but 2 of 50 are not \(rows 7, 9\)"):
        TriangleSurface(vertices, faces)
    with pytest.raises(ValueError, match=r"points must be finite, but 2 of 50 are not \(rows 7, 9\)"):
        surface.nearest(vertices)
