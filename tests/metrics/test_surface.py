"""Point-to-surface distances: the look-up equals comparing all with all, and both equal a search over the triangles."""

import statistics

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from made_surfaces import sphere
from scipy.optimize import lsq_linear

from au_d3dface.face_models import FaceMesh
from au_d3dface.geometry import closest_on_triangles
from au_d3dface.metrics import summarize_distances, vertex_to_surface


def point_triangle_distance(points: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """(M,) distances of points from their own triangles."""
    return np.linalg.norm(points - closest_on_triangles(points, triangles), axis=-1)


def by_search(point: np.ndarray, triangle: np.ndarray) -> float:
    """The distance by another way: least squares for a + v (b - a) + w (c - a) within v, w >= 0, v + w <= 1.

    The inside by solving without bounds, the edges by solving each with its bounds.
    """
    a, b, c = triangle
    found = []
    matrix = np.stack([b - a, c - a], 1)
    v, w = np.linalg.lstsq(matrix, point - a, rcond=None)[0]
    if v >= 0 and w >= 0 and v + w <= 1:
        found.append(np.linalg.norm(a + matrix @ [v, w] - point))
    for start, end in ((a, b), (b, c), (c, a)):
        if np.allclose(start, end, atol=1e-12):
            found.append(np.linalg.norm(point - start))
            continue
        share = lsq_linear((end - start)[:, None], point - start, bounds=(0, 1), tol=1e-14).x[0]
        found.append(np.linalg.norm(start + share * (end - start) - point))
    return min(found)


def all_with_all(points: np.ndarray, vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    pairs = np.repeat(points, len(faces), 0), np.tile(vertices[faces], (len(points), 1, 1))
    return point_triangle_distance(*pairs).reshape(len(points), len(faces)).min(1)


@given(seed=st.integers(0, 10**6), kind=st.sampled_from(["any", "flat", "edge", "corner"]))
@settings(max_examples=80, deadline=None)
def test_one_triangle_equals_a_search(seed, kind):
    rng = np.random.default_rng(seed)
    triangle, point = rng.normal(size=(3, 3)), 2 * rng.normal(size=3)
    if kind == "flat":
        triangle[2] = triangle[0] + rng.uniform(-1, 2) * (triangle[1] - triangle[0])
    elif kind == "edge":
        triangle[2] = triangle[1]
    elif kind == "corner":
        triangle[:] = triangle[0]
    assert point_triangle_distance(point[None], triangle[None])[0] == pytest.approx(
        by_search(point, triangle), abs=1e-6
    )


def test_known_distances():
    triangle = np.array([[[0.0, 0, 0], [1, 0, 0], [0, 1, 0]]])
    points = {(0.2, 0.2, 0.7): 0.7, (-3, -4, 0): 5, (0.5, -2, 0): 2, (1, 1, 0): 0.5**0.5, (0, 0.5, 0): 0}
    for point, distance in points.items():
        assert point_triangle_distance(np.array([point]), triangle)[0] == pytest.approx(distance)


@given(
    seed=st.integers(0, 10**6),
    faces=st.integers(1, 60),
    spread=st.sampled_from([1e-3, 1.0, 100.0]),
    large=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_the_look_up_equals_comparing_all_with_all(seed, faces, spread, large):
    """Triangles of any shape and mixed sizes, degenerate ones among them, points near and far."""
    rng = np.random.default_rng(seed)
    vertices = rng.normal(size=(40, 3))
    if large:
        vertices[:3] *= 1000
    triangles = rng.integers(0, 40, (faces, 3))
    points = np.concatenate([spread * rng.normal(size=(50, 3)), vertices[:5]])
    found = vertex_to_surface(*(torch.from_numpy(part) for part in (points, vertices, triangles)))
    rounding = 1000 * 1e-12 * np.abs(vertices).max()  # millimetres
    expected = 1000 * all_with_all(points, vertices, triangles)
    assert found.numpy() == pytest.approx(expected, rel=1e-10, abs=rounding)


def test_faces_of_several_frames():
    model = FaceMesh()
    moved = model.template + torch.tensor([0.0, 0.0, 0.002])
    meshes = torch.stack([model.template, moved])
    # The mesh's own vertices lie on it; 2 mm forward they are 2 mm away where the face looks forward, less elsewhere.
    distance = vertex_to_surface(meshes, model.template.expand(2, -1, -1), model.faces)
    assert distance.shape == (2, 468)
    assert distance[0].abs().max() < 1e-4
    assert distance[1].max() == pytest.approx(2, abs=0.05)
    assert distance[1].mean() < 1.9
    expected = 1000 * all_with_all(moved.double().numpy(), model.template.double().numpy(), model.faces.numpy())
    assert distance[1].numpy() == pytest.approx(expected, rel=1e-5, abs=1e-6)


def test_refused():
    points, faces = torch.zeros(2, 3), torch.tensor([[0, 1, 1]])
    with pytest.raises(ValueError, match="no surface"):
        vertex_to_surface(points, points, faces[:0])
    with pytest.raises(ValueError, match=r"2 of 2 are not \(rows 0, 1\)"):
        vertex_to_surface(points * float("nan"), points, faces)
    with pytest.raises(ValueError, match="differ"):
        vertex_to_surface(points[None], points, faces)


@pytest.mark.parametrize(("count", "tolerance"), [(7306, 1e-6), (20_000, 0.02)])
def test_a_sphere_grown_by_a_millimetre(count, tolerance):
    """1.00 mm without alignment: exactly where the vertices lie above vertices, else but for the triangles' chords.

    Those lie below the sphere itself, by 0.026 mm in the mean with 7,306 vertices and by less with more.
    """
    vertices, faces = sphere(count, 0.1)
    grown = sphere(7306, 0.101)[0]
    distance = vertex_to_surface(torch.from_numpy(grown), torch.from_numpy(vertices), torch.from_numpy(faces))
    summary = summarize_distances(distance)["all"]
    assert summary.mean == pytest.approx(1.0, rel=tolerance)
    assert summary.median == pytest.approx(1.0, rel=tolerance)
    assert summary.sd < 0.03
    assert summary.count == 7306


def test_summaries_by_region_are_those_of_the_pooled_vertices():
    distances = torch.rand(4, 20, generator=torch.Generator().manual_seed(0))
    mask = np.arange(20) % 3 == 0
    found = summarize_distances(distances, {"nose": mask, "jaw": torch.tensor([4, 1])})
    assert list(found) == ["nose", "jaw", "all"]
    for name, rows in {"nose": np.flatnonzero(mask), "jaw": [1, 4], "all": range(20)}.items():
        values = [float(distances[t, row]) for t in range(4) for row in rows]
        expected = statistics.fmean(values), statistics.pstdev(values), statistics.median(values), len(values)
        summary = found[name]
        assert (summary.mean, summary.sd, summary.median, summary.count) == pytest.approx(expected)


def test_summaries_refused():
    distances = np.ones((2, 5))
    with pytest.raises(ValueError, match="'nose' has no vertices"):
        summarize_distances(distances, {"nose": np.zeros(5, bool)})
    with pytest.raises(ValueError, match="'nose' is of 4 vertices, the meshes have 5"):
        summarize_distances(distances, {"nose": np.ones(4, bool)})
    with pytest.raises(ValueError, match="'nose' names vertex 5, the meshes have 5"):
        summarize_distances(distances, {"nose": np.array([0, 5])})
    with pytest.raises(ValueError, match="no distances"):
        summarize_distances(distances[:0])
    distances[0, 1] = np.nan
    with pytest.raises(ValueError, match="finite"):
        summarize_distances(distances)
