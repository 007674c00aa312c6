"""The regions of the face: properties that hold for every vertex, and where known landmarks lie."""

import pytest
import torch

from au_d3dface.face_models import FaceMesh
from au_d3dface.metrics import REGIONS, facemesh_regions, region_means
from au_d3dface.tracking import topology


def test_regions_are_disjoint_and_cover_the_face():
    regions = facemesh_regions()
    assert tuple(regions) == REGIONS
    assert all(len(vertices) >= 20 for vertices in regions.values())
    together = torch.cat(list(regions.values()))
    assert sorted(together.tolist()) == list(range(468))


def test_regions_are_the_same_left_and_right():
    mirror = torch.from_numpy(topology.mirror_indices())
    for vertices in facemesh_regions().values():
        assert sorted(mirror[vertices].tolist()) == vertices.tolist()


def test_known_landmarks_are_where_they_belong():
    of = {int(vertex): name for name, vertices in facemesh_regions().items() for vertex in vertices}
    loops = topology.boundary_loops()
    assert {of[vertex] for vertex in loops["mouth"]} == {"mouth"}
    assert {of[vertex] for vertex in (*loops["right_eye"], *loops["left_eye"])} == {"eyes"}
    brows = (topology.RIGHT_BROW_OUTER, topology.RIGHT_BROW_INNER, topology.LEFT_BROW_INNER, topology.LEFT_BROW_OUTER)
    assert {of[vertex] for vertex in brows} == {"brows"}
    assert {of[vertex] for vertex in (topology.NASION, topology.NOSE_TIP, topology.SUBNASALE)} == {"nose"}
    assert (of[topology.CHIN], of[topology.FOREHEAD_TOP], of[topology.LEFT_CHEEK_OUTLINE]) == (
        "jaw",
        "forehead",
        "cheeks",
    )


def test_regions_lie_in_one_piece_on_each_side():
    """Within a region, every vertex of one side is reached from any other along edges of the mesh."""
    model = FaceMesh()
    for vertices in facemesh_regions().values():
        side = {int(vertex) for vertex in vertices if model.template[vertex, 0] >= -1e-6}
        reached, waiting = set(), [min(side)]
        while waiting:
            vertex = waiting.pop()
            if vertex in reached:
                continue
            reached.add(vertex)
            waiting += [v for v in model.faces[(model.faces == vertex).any(1)].flatten().tolist() if v in side]
        assert reached == side


def test_region_means():
    values = torch.arange(2 * 468, dtype=torch.float32).reshape(2, 468)
    means = region_means(values)
    assert set(means) == {*REGIONS, "all"}
    mouth = facemesh_regions()["mouth"]
    assert means["mouth"].tolist() == pytest.approx(values[:, mouth].mean(1).tolist())
    weighted = sum(means[name] * len(vertices) for name, vertices in facemesh_regions().items()) / 468
    assert weighted.tolist() == pytest.approx(means["all"].tolist())
    with pytest.raises(ValueError, match="468"):
        region_means(values[:, :-1])
