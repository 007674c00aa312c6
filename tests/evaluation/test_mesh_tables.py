"""Table 1's shape: sequences aligned frame by frame, pooled by method and region, with what ICP did beside them."""

import json

import numpy as np
import pytest
from made_surfaces import head
from scipy.spatial.transform import Rotation

from au_d3dface.errors import InputError
from au_d3dface.evaluation.meshes.tables import mesh_table, sequence_distances
from au_d3dface.geometry import ICPSettings

FRAMES = 4


def sequence(count: int, grown: float = 0.0) -> np.ndarray:
    """(4, count, 3) the same motion sampled at any number of vertices; `grown` metres outward."""
    rest, _ = head(count)
    out = rest / np.linalg.norm(rest, axis=-1, keepdims=True)
    return np.stack([rest + 0.003 * np.sin(30 * rest + t) + grown * out for t in range(FRAMES)])


def off(meshes: np.ndarray) -> np.ndarray:
    """Turned, and shifted by 2 cm, a little differently in each frame."""
    turned = [mesh @ Rotation.from_rotvec([0.15, 0.1, 0.02 * t]).as_matrix().T for t, mesh in enumerate(meshes)]
    return np.stack(turned) + np.array([0.01, 0.015, -0.01])


def test_a_table_of_two_methods():
    true, (_, faces) = sequence(2500), head(2500)
    meshes = {"good": off(sequence(1000)), "grown": off(sequence(1200, 0.001))}
    scores = {name: [sequence_distances(part, true, faces)] for name, part in meshes.items()}
    nose = {name: {"nose": head(part.shape[1])[0][:, 2] > 0.08} for name, part in meshes.items()}
    table = mesh_table(scores | {"good twice": scores["good"] * 2}, {"good": nose["good"], "grown": nose["grown"]})
    good, grown = table.rows["good"].summaries, table.rows["grown"].summaries
    assert good["all"].mean < 0.15
    # Measured from the true surface, a face that is larger all around by 1 mm is 1 mm off, but for the slope.
    assert grown["all"].mean == pytest.approx(1, abs=0.15)
    assert list(grown) == ["nose", "all"]
    assert grown["nose"].count == FRAMES * nose["grown"]["nose"].sum()
    twice = table.rows["good twice"]
    assert (twice.summaries["all"].mean, twice.meshes) == (pytest.approx(good["all"].mean, rel=1e-6), 2 * FRAMES)
    assert (twice.unconverged, twice.aligned_vertices) == (0, 1000)
    text = table.text()
    assert "rigid, without scale" in text
    assert "0 meshes not converged" in text
    assert f"| {grown['all'].mean:.2f} |" in text
    numbers = json.loads(json.dumps(table.numbers()))
    assert numbers["icp"]["huber"] == 0.005
    assert numbers["methods"]["grown"]["distances_mm"]["nose"]["mean"] == pytest.approx(grown["nose"].mean, abs=1e-3)
    assert numbers["methods"]["good"]["icp_vertices"] == 1000


def test_the_next_frame_starts_from_the_one_before():
    true, (_, faces) = sequence(1500), head(1500)
    meshes = off(sequence(800))
    found = sequence_distances(meshes, true, faces)
    assert found.converged.all()
    assert (found.iterations[1:] < found.iterations[0]).all()
    alone = np.concatenate(
        [sequence_distances(meshes[t : t + 1], true[t : t + 1], faces).distances for t in range(FRAMES)]
    )
    assert found.distances == pytest.approx(alone, abs=2e-3)
    few = sequence_distances(meshes, true, faces, ICPSettings(max_iterations=1))
    assert not few.converged.any()
    assert mesh_table({"few": [few]}).rows["few"].unconverged == FRAMES


def test_without_alignment_and_on_a_region():
    true, (_, faces) = sequence(1500), head(1500)
    meshes = sequence(1500) + np.array([0, 0, 0.02])
    still = sequence_distances(meshes, true, faces, align=False)
    assert still.distances.mean() > 5
    assert "without alignment" in mesh_table({"a": [still]}).text()
    assert mesh_table({"a": [still]}).numbers()["icp"] is None
    # The lower half is elsewhere: aligned on the upper one alone, that lies on the truth to the micrometre.
    upper = head(1500)[0][:, 1] > 0
    meshes[:, ~upper] += [0, -0.02, 0]
    found = sequence_distances(meshes, true, faces, region=upper)
    assert found.distances[:, upper].max() < 1e-3
    assert found.distances[:, ~upper].mean() > 1
    assert sequence_distances(meshes, true, faces).distances[:, upper].mean() > 0.05


def test_refused():
    true, (_, faces) = sequence(300), head(300)
    good = sequence_distances(true, true, faces)
    with pytest.raises(InputError, match="the smile has 3 meshes and the truth 4"):
        sequence_distances(true[:3], true, faces, name="the smile")
    with pytest.raises(InputError, match="no meshes"):
        sequence_distances(true[:0], true[:0], faces)
    holed = true.copy()
    holed[2, 7] = np.nan
    with pytest.raises(InputError, match=r"the smile, mesh 2: vertices must be finite, .* \(rows 7\)"):
        sequence_distances(holed, true, faces, name="the smile")
    with pytest.raises(InputError, match=r"mesh 2: .* \(rows 7\)"):
        sequence_distances(true, holed, faces)
    with pytest.raises(InputError, match="the mesh has 200 vertices"):
        sequence_distances(true, true[:, :200], faces)
    with pytest.raises(InputError, match="0 vertices to align"):
        sequence_distances(true, true, faces, region=np.zeros(300, bool))
    with pytest.raises(InputError, match="no method"):
        mesh_table({})
    with pytest.raises(InputError, match="a has no sequences"):
        mesh_table({"a": []})
    other = sequence_distances(true[:, :200], true, faces)
    with pytest.raises(InputError, match="200 and 300 vertices"):
        mesh_table({"a": [good, other]})
    with pytest.raises(InputError, match="a: region 'nose' has no vertices"):
        mesh_table({"a": [good]}, {"a": {"nose": np.zeros(300, bool)}})
    with pytest.raises(InputError, match="aligned alike"):
        mesh_table({"a": [good], "b": [sequence_distances(true, true, faces, align=False)]})
