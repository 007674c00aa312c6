"""The face mesh: a manifold with four holes, consistently oriented, symmetric, with landmarks where their names say."""

import importlib.util
from collections import Counter

import numpy as np
import pytest

from au_d3dface.errors import MissingDependencyError
from au_d3dface.tracking import topology
from au_d3dface.tracking.topology import boundary_loops, face_mesh_triangles, landmarks_68, mirror_indices


def directed_edges(triangles: np.ndarray) -> list[tuple[int, int]]:
    return [(int(t[k]), int(t[(k + 1) % 3])) for t in triangles for k in range(3)]


def test_triangles_form_an_oriented_manifold():
    triangles = face_mesh_triangles()
    assert triangles.shape == (852, 3)
    assert triangles.dtype == np.int64
    assert set(triangles.ravel().tolist()) == set(range(468))
    edges = directed_edges(triangles)
    assert max(Counter(edges).values()) == 1, "neighbours must run along their common edge in opposite senses"
    boundary = [edge for edge in edges if edge[::-1] not in set(edges)]
    assert len(boundary) == 16 + 16 + 20 + 36
    assert len(np.unique([a for a, _ in boundary])) == len(boundary), "loops must not touch"
    # Euler characteristic of a disc with three holes.
    undirected = {frozenset(edge) for edge in edges}
    assert 468 - len(undirected) + len(triangles) == 1 - 3


def test_triangles_are_a_fresh_copy_in_a_fixed_order():
    first = face_mesh_triangles()
    first[:] = 0
    topology._face_mesh_triangles.cache_clear()
    second = face_mesh_triangles()
    np.testing.assert_array_equal(second, face_mesh_triangles())
    assert second[0].tolist() != [0, 0, 0]


def test_boundary_loops():
    loops = boundary_loops()
    assert {name: len(loop) for name, loop in loops.items()} == {
        "outline": 36,
        "mouth": 20,
        "right_eye": 16,
        "left_eye": 16,
    }
    edges = set(directed_edges(face_mesh_triangles()))
    for loop in loops.values():
        assert all((int(a), int(b)) in edges for a, b in zip(loop, np.roll(loop, -1), strict=True))
    assert topology.CHIN in loops["outline"]
    assert {topology.UPPER_LIP_INNER, topology.LOWER_LIP_INNER} <= set(loops["mouth"].tolist())
    assert topology.RIGHT_EYE_INNER in loops["right_eye"]
    assert topology.LEFT_EYE_INNER in loops["left_eye"]


def test_mirror_is_an_involution_that_keeps_the_mesh():
    mirror = mirror_indices(irises=True)
    assert mirror.shape == (478,)
    np.testing.assert_array_equal(mirror[mirror], np.arange(478))
    np.testing.assert_array_equal(mirror_indices(), mirror[:468])
    assert (mirror_indices() == np.arange(468)).sum() == 28, "the middle line"
    edges = {frozenset(edge) for edge in directed_edges(face_mesh_triangles())}
    assert sum(frozenset(mirror[list(edge)].tolist()) not in edges for edge in edges) == 6, "the six known diagonals"
    loops = boundary_loops()
    assert set(mirror[loops["right_eye"]]) == set(loops["left_eye"])
    for right, left in (
        (topology.RIGHT_EYE_OUTER, topology.LEFT_EYE_OUTER),
        (topology.RIGHT_EYE_INNER, topology.LEFT_EYE_INNER),
        (topology.RIGHT_EYE_UPPER_LID, topology.LEFT_EYE_UPPER_LID),
        (topology.RIGHT_EYE_LOWER_LID, topology.LEFT_EYE_LOWER_LID),
        (topology.RIGHT_IRIS, topology.LEFT_IRIS),
        (topology.RIGHT_BROW_OUTER, topology.LEFT_BROW_OUTER),
        (topology.RIGHT_BROW_INNER, topology.LEFT_BROW_INNER),
        (topology.RIGHT_NOSE_WING, topology.LEFT_NOSE_WING),
        (topology.RIGHT_LIP_CORNER, topology.LEFT_LIP_CORNER),
        (topology.RIGHT_CHEEK_OUTLINE, topology.LEFT_CHEEK_OUTLINE),
    ):
        assert mirror[right] == left
    for middle in (topology.NASION, topology.NOSE_TIP, topology.SUBNASALE, topology.CHIN, topology.FOREHEAD_TOP):
        assert mirror[middle] == middle


def test_landmarks_68_mirror_onto_themselves():
    landmarks = landmarks_68()
    assert landmarks.shape == (68,)
    assert len(set(landmarks.tolist())) == 68
    # The mirror of the iBUG mark-up: contour, brows, nose base and lips run backwards, eyes swap.
    order = [*range(16, -1, -1), *range(26, 16, -1), *range(27, 31), *range(35, 30, -1)]
    order += [45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40]
    order += [*range(54, 47, -1), *range(59, 54, -1), *range(64, 59, -1), *range(67, 64, -1)]
    np.testing.assert_array_equal(mirror_indices()[landmarks], landmarks[order])


def test_both_tables_of_mediapipe_agree():
    pytest.importorskip("mediapipe")
    assert {(min(edge), max(edge)) for edge in topology._edges_of_tasks()} == topology._mesh_edges()


def test_missing_mediapipe_says_what_to_install(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match="pip install mediapipe"):
        topology._mesh_edges()
