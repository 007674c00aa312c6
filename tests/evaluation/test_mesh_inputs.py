"""What Table 1 refuses, in one sentence each, and files of regions and meshes in all forms that they may have."""

import json

import numpy as np
import pytest
from made_surfaces import head

from au_d3dface.cli import main
from au_d3dface.errors import InputError
from au_d3dface.evaluation.meshes.face_parts import part_of_mesh, read_regions
from au_d3dface.evaluation.meshes.frame_meshes import read_mesh_folder, unit_of

VERTICES, FACES = head(300)


def write(path, vertices=VERTICES, frames=(1, 2), faces=FACES, **arrays):
    path.parent.mkdir(parents=True, exist_ok=True)
    meshes = np.broadcast_to(vertices, (len(frames), *vertices.shape))
    np.savez(path, vertices=meshes, frames=np.array(frames, int), faces=faces, **arrays)


@pytest.fixture
def folders(tmp_path):
    """A truth of one sequence of two frames, and the same as a method's."""
    write(tmp_path / "truth" / "a.npz")
    write(tmp_path / "mine" / "a.npz")
    return tmp_path


def status(folders, *options) -> int:
    given = ["--truth", folders / "truth", "--meshes", f"mine={folders / 'mine'}", "--measure", "all"]
    return main(["evaluate", "meshes", "--quiet", "-o", str(folders / "out"), *map(str, [*given, *options])])


def test_good_meshes(folders):
    assert status(folders) == 0
    found = json.loads((folders / "out" / "meshes.json").read_text())
    assert found["methods"]["mine"]["distances_mm"]["all"]["mean"] < 1e-6


def test_nan(folders, capsys):
    holed = VERTICES.copy()
    holed[7] = np.nan
    write(folders / "mine" / "a.npz", holed)
    assert status(folders) == 4
    assert "the mesh of frame 1 holds coordinates that are not finite" in capsys.readouterr().err
    write(folders / "mine" / "a.npz")
    write(folders / "truth" / "a.npz", holed)
    assert status(folders) == 4
    assert "truth/a.npz: the mesh of frame 1" in capsys.readouterr().err


def test_other_topology(folders, capsys):
    folder = folders / "mine" / "a"
    (folders / "mine" / "a.npz").unlink()
    folder.mkdir()
    rows = "".join(f"v {x} {y} {z}\n" for x, y, z in VERTICES.tolist())
    (folder / "1.obj").write_text(rows)
    (folder / "2.obj").write_text(rows + "v 0 0 0\n")
    assert status(folders) == 4
    assert "several topologies: 1.obj has 300 vertices and 2.obj 301" in capsys.readouterr().err
    write(folders / "mine" / "a.npz", faces=FACES + 1)
    (folder / "1.obj").unlink()
    (folder / "2.obj").unlink()
    folder.rmdir()
    assert status(folders) == 4
    assert "has triangles of vertices that it does not hold (300 vertices" in capsys.readouterr().err


def test_frames_that_differ(folders, capsys):
    write(folders / "mine" / "a.npz", frames=(2, 3))
    assert status(folders) == 4
    assert "1 of 2 frames of the truth have no mesh (the first is 1)" in capsys.readouterr().err
    assert status(folders, "--missing", "skip") == 0
    assert json.loads((folders / "out" / "meshes.json").read_text())["frames"] == {"a": 1}
    write(folders / "mine" / "a.npz", frames=(8, 9))
    assert status(folders, "--missing", "skip") == 4
    assert "is an empty sequence: it holds no mesh of a frame that is wanted" in capsys.readouterr().err


def test_empty_sequence(folders, capsys):
    (folders / "mine" / "a.npz").unlink()
    assert status(folders) == 4
    assert "holds no meshes of the sequence a" in capsys.readouterr().err
    (folders / "mine" / "a").mkdir()
    assert status(folders) == 4
    assert "mine/a holds no meshes named by frame" in capsys.readouterr().err
    write(folders / "truth" / "a.npz", frames=())
    assert status(folders) == 4
    assert "truth/a.npz is an empty sequence" in capsys.readouterr().err


def test_units(folders, capsys):
    write(folders / "mine" / "a.npz", 1000 * VERTICES)
    write(folders / "truth" / "a.npz", 100 * VERTICES)
    assert status(folders) == 0
    said = capsys.readouterr().err
    assert "the meshes of mine are in mm, told from their size" in said
    assert "the true meshes are in cm, told from their size" in said
    assert (
        json.loads((folders / "out" / "meshes.json").read_text())["methods"]["mine"]["distances_mm"]["all"]["mean"]
        < 1e-3
    )
    write(folders / "mine" / "a.npz", 10 * VERTICES)
    assert status(folders) == 4
    assert "which is no face in metres, centimetres or millimetres" in capsys.readouterr().err
    with pytest.raises(InputError, match="0 across"):
        unit_of(np.zeros((3, 3)), folders)


def test_usage(folders, capsys):
    for options, sentence in {
        ("--meshes", "mine=elsewhere"): "names 'mine' twice",
        ("--meshes", "nothing"): "takes NAME=PATH",
        ("--align-regions", "mouth"): "have no region 'mouth' to align; their regions are: none",
        ("--align-regions", "mouth", "--align", "none"): "--align none aligns nothing",
        ("--every", "0"): "--every must be at least 1",
        ("--processes", "0"): "--processes must be at least 1",
        ("--max-iterations", "0"): "--max-iterations must be at least 1",
    }.items():
        assert status(folders, *options) == 2
        assert sentence in capsys.readouterr().err
    assert main(["evaluate", "meshes", "--truth", str(folders / "truth"), "-o", str(folders / "out")]) == 2
    assert "there is nothing to measure" in capsys.readouterr().err
    assert main(["evaluate", "multiface", "--data-dir", str(folders), "-o", str(folders / "out")]) == 4
    assert "holds no subject of Multiface" in capsys.readouterr().err


def test_no_face_on_a_mesh():
    with pytest.raises(InputError, match=r"No face is found on it:.*; give the method's face at rest as neutral\.obj"):
        part_of_mesh(VERTICES[:, [1, 0, 2]] * [1, 2, 0.2], FACES, "it")
    with pytest.raises(InputError, match="no triangles"):
        part_of_mesh(VERTICES, FACES[:0], "it")


def test_regions_in_all_forms(tmp_path):
    expected = {"mouth": [1, 5, 9], "nose": [2]}
    mask = np.zeros(10, bool)
    mask[expected["mouth"]] = True
    (tmp_path / "a.json").write_text(json.dumps({"mouth": [9, 1, 5, 5], "nose": [2]}))
    np.savez(tmp_path / "b.npz", mouth=mask, nose=np.array([2], np.int32))
    folder = tmp_path / "folder"
    folder.mkdir()
    np.save(folder / "mouth.npy", mask)
    (folder / "nose.txt").write_text("2\n")
    for path in (tmp_path / "a.json", tmp_path / "b.npz", folder):
        assert {name: rows.tolist() for name, rows in read_regions(path).items()} == expected
    bad = {
        "list.json": "[1]",
        "words.json": '{"mouth": ["a"]}',
        "none.json": '{"mouth": []}',
        "less.json": '{"mouth": [-1]}',
        "half.json": '{"mouth": [0.5]}',
        "deep.json": "[" * 100_000,
        "a.txt": "x",
        "a.csv": "1",
        "cut.npz": "PK",
    }
    for name, text in bad.items():
        (tmp_path / name).write_text(text)
        with pytest.raises(InputError, match=name.replace(".", r"\.")):
            read_regions(tmp_path / name)
    (tmp_path / "out").mkdir()
    with pytest.raises(InputError, match="names no region"):
        read_regions(tmp_path / "out")


def test_npz_that_cannot_be_used(tmp_path):
    path = tmp_path / "a.npz"
    good = {"vertices": VERTICES[None].astype(np.float32), "frames": np.array([3]), "faces": FACES}
    for wrong, sentence in (
        ({"vertices": good["vertices"][0]}, "has vertices of shape"),
        ({"vertices": good["vertices"].astype(int)}, "which is no face in metres"),
        ({"frames": np.array([3, 4])}, r"has vertices of shape .* for \(2,\) frame numbers"),
        ({"frames": np.array([3.0])}, "not one whole number a mesh"),
        ({"faces": FACES[:, :2]}, "holds no triangles of three vertex numbers each"),
        ({"neutral_vertices": VERTICES[:5]}, "has a face at rest of 5 vertices"),
        ({"frames": np.array([3], object)}, "damaged or no npz file"),
    ):
        np.savez(path, **(good | wrong))
        with pytest.raises(InputError, match=sentence):
            read_mesh_folder(path, whole=False)
    np.savez(path, vertices=good["vertices"])
    with pytest.raises(InputError, match="has no array 'frames'"):
        read_mesh_folder(path, whole=False)
    np.savez(path, **good, neutral_vertices=VERTICES)
    assert read_mesh_folder(path, whole=False).neutral.shape == VERTICES.shape
