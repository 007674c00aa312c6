"""ICP: known motions are found again, from any start that it offers, with outliers, regions and scale."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_surfaces import head, on_surface, sphere
from scipy.spatial.transform import Rotation

from au_d3dface.geometry import ICPSettings, Similarity, TriangleSurface, icp

VERTICES, FACES = head(1500)
SURFACE = TriangleSurface(VERTICES, FACES)


def moved(points: np.ndarray, rng: np.random.Generator, degrees: float, shift: float, scale: float = 1.0):
    """(P, 3) turned about a random axis through their centre, and shifted some way."""
    axis, way = rng.normal(size=(2, 3))
    turn = Rotation.from_rotvec(np.radians(degrees) * axis / np.linalg.norm(axis)).as_matrix()
    centre = points.mean(0)
    return scale * (points - centre) @ turn.T + centre + shift * way / np.linalg.norm(way)


@given(seed=st.integers(0, 10**6), with_scale=st.booleans())
@settings(max_examples=30, deadline=None)
def test_known_motions_are_found_again(seed, with_scale):
    rng = np.random.default_rng(seed)
    points = on_surface(VERTICES, FACES, 600, rng)
    scale = rng.uniform(0.85, 1.15) if with_scale else 1.0
    off = moved(points, rng, 15, 0.02, scale)
    result = icp(off, SURFACE, settings=ICPSettings(with_scale=with_scale))
    assert result.converged
    assert result.iterations <= 20
    assert np.abs(result.transform(off) - points).max() < 1e-6
    assert result.transform.scale == pytest.approx(1 / scale, abs=1e-5)
    assert result.residual < 1e-6
    assert result.transform.rotation @ result.transform.rotation.T == pytest.approx(np.eye(3), abs=1e-9)
    if not with_scale:
        assert result.transform.scale == 1


@pytest.mark.parametrize("with_scale", [False, True])
def test_the_closed_form_step_finds_it_too_where_newtons_fails(monkeypatch, with_scale):
    monkeypatch.setattr(
        "au_d3dface.geometry.surface_alignment._newton", lambda state, _: Similarity(translation=np.ones(3))
    )
    rng = np.random.default_rng(0)
    points = on_surface(VERTICES, FACES, 200, rng)
    off = moved(points, rng, 3, 0.003, 0.98 if with_scale else 1.0)
    options = ICPSettings(with_scale=with_scale, max_iterations=300)
    result = icp(off, SURFACE, settings=options)
    assert np.abs(result.transform(off) - points).max() < 5e-4
    assert result.iterations > 20


@pytest.mark.parametrize("with_scale", [False, True])
def test_starts_from_far_away(with_scale):
    """Half a turn off and a metre away, from four landmarks, or from the principal axes."""
    rng = np.random.default_rng(1)
    scale = 0.5 if with_scale else 1.0
    off = moved(VERTICES, rng, 170, 1.0, scale)
    landmarks = rng.choice(len(off), 4, replace=False)
    noisy = VERTICES[landmarks] + 0.003 * rng.normal(size=(4, 3))
    starts = {
        "landmarks": Similarity.of_correspondences(off[landmarks], noisy, with_scale),
        "axes": Similarity.of_axes(off, SURFACE, with_scale),
    }
    for name, start in starts.items():
        result = icp(off, SURFACE, start=start, settings=ICPSettings(with_scale=with_scale))
        assert np.abs(result.transform(off) - VERTICES).max() < 1e-6, name
    lost = icp(off, SURFACE, settings=ICPSettings(with_scale=with_scale))
    assert np.abs(lost.transform(off) - VERTICES).max() > 0.01


def test_outliers_pull_little():
    """Every tenth vertex 3 cm off to one side, as a neck that the truth lacks: squares would follow it."""
    rng = np.random.default_rng(2)
    points = on_surface(VERTICES, FACES, 1000, rng)
    worn = points.copy()
    worn[points[:, 1] < np.quantile(points[:, 1], 0.1)] -= [0, 0.03, 0]
    off = moved(worn, rng, 10, 0.01)
    good = points[:, 1] >= np.quantile(points[:, 1], 0.1)
    errors = {}
    for huber in (0.0005, 0.005, 10.0):
        result = icp(off, SURFACE, settings=ICPSettings(huber=huber))
        errors[huber] = np.linalg.norm(result.transform(off) - worn, axis=1)[good].mean()
    assert errors[0.0005] < 0.0003
    assert errors[0.0005] < errors[0.005] < errors[10.0] / 2
    region = icp(off, SURFACE, region=good)
    assert np.abs(region.transform(off) - worn).max() < 1e-6
    assert region.residual < 1e-6
    assert region.distances.shape == (good.sum(),)
    assert result.distances == pytest.approx(SURFACE.nearest(result.transform(off)).distances, rel=1e-9, abs=1e-12)
    assert result.residual == result.distances.mean()


def test_a_sphere_may_turn_but_is_found():
    """No rotation is better than another: the step must not run away."""
    surface = TriangleSurface(*sphere(2000, 0.1))
    result = icp(sphere(700, 0.1)[0] + [0.004, -0.01, 0.002], surface)
    assert result.converged
    assert result.residual < 2e-4
    assert result.transform.translation == pytest.approx([-0.004, 0.01, -0.002], abs=1e-3)
    grown = icp(sphere(700, 0.13)[0], surface, settings=ICPSettings(with_scale=True))
    assert grown.transform.scale == pytest.approx(1 / 1.3, rel=2e-3)


def test_shrinking_to_a_point_is_no_answer():
    """The distances of a mesh that fits nowhere are less and less the smaller it is; its shape's are not."""
    rng = np.random.default_rng(3)
    off = VERTICES + 0.004 * rng.normal(size=VERTICES.shape)
    result = icp(off, SURFACE, settings=ICPSettings(with_scale=True))
    assert result.transform.scale == pytest.approx(1, abs=0.05)


def test_it_starts_where_it_is_told_and_says_when_it_stops():
    rng = np.random.default_rng(4)
    off = moved(VERTICES, rng, 12, 0.015)
    once = icp(off, SURFACE, settings=ICPSettings(max_iterations=1))
    assert (once.iterations, once.converged) == (1, False)
    whole = icp(off, SURFACE)
    assert whole.converged
    again = icp(off, SURFACE, start=whole.transform)
    assert again.iterations <= 2
    assert again.transform(off) == pytest.approx(whole.transform(off), abs=1e-6)


def test_inverse():
    rng = np.random.default_rng(5)
    transform = Similarity(Rotation.from_rotvec([0.3, -0.2, 0.9]).as_matrix(), 1.7, rng.normal(size=3))
    points = rng.normal(size=(2, 5, 3))
    assert transform.inverse()(transform(points)) == pytest.approx(points)
    assert transform(points)[1, 2] == pytest.approx(1.7 * transform.rotation @ points[1, 2] + transform.translation)


def test_one_after_another():
    rng = np.random.default_rng(6)
    first, second = (
        Similarity(Rotation.from_rotvec(rng.normal(size=3)).as_matrix(), scale, rng.normal(size=3))
        for scale in (1.7, 0.4)
    )
    points = rng.normal(size=(5, 3))
    assert second.after(first)(points) == pytest.approx(second(first(points)))


def test_refused():
    region = np.zeros(len(VERTICES), bool)
    with pytest.raises(ValueError, match="0 vertices to align"):
        icp(VERTICES, SURFACE, region)
    with pytest.raises(ValueError, match="must say yes or no of 1500 vertices"):
        icp(VERTICES, SURFACE, region[:-1])
    with pytest.raises(ValueError, match="above 0"):
        icp(VERTICES, SURFACE, settings=ICPSettings(huber=0))
    with pytest.raises(ValueError, match="three points"):
        Similarity.of_correspondences(VERTICES[:2], VERTICES[:2])
    wrong = VERTICES.copy()
    wrong[3] = np.nan
    with pytest.raises(ValueError, match=r"rows 3\)"):
        icp(wrong, SURFACE)
