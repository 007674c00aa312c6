"""Folders of meshes by other methods: three formats, frames from names, units, and what is wrong with bad ones."""

from pathlib import Path

import numpy as np
import pytest
import trimesh
from made_meshes import facemesh, head_of_flame_size

from au_d3dface.errors import InputError
from au_d3dface.evaluation.meshes.frame_meshes import mesh_frames, read_mesh_folder
from au_d3dface.geometry.mesh_files import read_mesh_file as read_mesh

HEAD, TRIANGLES = (array.numpy() for array in head_of_flame_size())


def write_obj(path: Path, vertices: np.ndarray = HEAD, faces: np.ndarray = TRIANGLES) -> Path:
    lines = [f"v {x:.7f} {y:.7f} {z:.7f}" for x, y, z in vertices.tolist()]
    lines += ["f " + " ".join(str(corner + 1) for corner in face) for face in faces.tolist()]
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.parametrize("suffix", [".obj", ".ply"])
def test_reads_what_trimesh_writes(tmp_path, suffix):
    path = tmp_path / f"000001{suffix}"
    trimesh.Trimesh(HEAD, TRIANGLES, process=False).export(path)
    vertices, faces = read_mesh(path)
    np.testing.assert_allclose(vertices, HEAD, atol=1e-7)
    np.testing.assert_array_equal(faces, TRIANGLES)


def test_text_ply_and_mixed_polygons_and_more_properties(tmp_path):
    text = tmp_path / "text.ply"
    text.write_bytes(trimesh.exchange.ply.export_ply(trimesh.Trimesh(HEAD, TRIANGLES, process=False), "ascii"))
    vertices, faces = read_mesh(text)
    np.testing.assert_allclose(vertices, HEAD, atol=1e-6)
    np.testing.assert_array_equal(faces, TRIANGLES)
    header = (
        "ply\nformat {}\ncomment two polygons\nelement vertex 5\nproperty double x\nproperty double y\n"
        "property double z\nproperty uchar red\nelement face 2\nproperty list uchar int vertex_indices\n"
        "property float quality\nend_header\n"
    )
    points = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 0, 1]], np.float64)
    wanted = [[0, 1, 2], [0, 2, 3], [0, 1, 4]]
    for order, sign in (("binary_little_endian 1.0", "<"), ("binary_big_endian 1.0", ">")):
        body = b"".join(np.array(p, f"{sign}f8").tobytes() + b"\x07" for p in points)
        for corners in ([0, 1, 2, 3], [0, 1, 4]):
            body += bytes([len(corners)]) + np.array(corners, f"{sign}i4").tobytes()
            body += np.array(0.5, f"{sign}f4").tobytes()
        (tmp_path / "mixed.ply").write_bytes(header.format(order).encode() + body)
        vertices, faces = read_mesh(tmp_path / "mixed.ply")
        np.testing.assert_array_equal(vertices, points)
        np.testing.assert_array_equal(faces, wanted)
    rows = "".join(f"{x} {y} {z} 7\n" for x, y, z in points) + "4 0 1 2 3 0.5\n3 0 1 4 0.5\n"
    (tmp_path / "mixed.ply").write_text(header.format("ascii 1.0") + rows)
    np.testing.assert_array_equal(read_mesh(tmp_path / "mixed.ply")[1], wanted)


def test_obj_with_quads_colours_textures_and_corners_counted_back(tmp_path):
    path = tmp_path / "a.obj"
    path.write_text(
        "# c\nv 0 0 0 1 0 0\nv 1 0 0 1 0 0\nv 1 1 0 1 0 0\nv 0 1 0 1 0 0\nvt 0 0\nf 1/1/1 2//1 3/1 4\nf -4 -3 -1\n"
    )
    vertices, faces = read_mesh(path)
    assert vertices.tolist() == [[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]]
    assert faces.tolist() == [[0, 1, 2], [0, 2, 3], [0, 1, 3]]


def test_folder_in_order_of_numbers_and_only_what_is_wanted(tmp_path):
    for number in (10, 9, 100):
        write_obj(tmp_path / f"clip3_{number}.obj", HEAD + np.array([0, 0, number / 1000]))
    write_obj(tmp_path / "neutral.obj")
    (tmp_path / "notes.txt").write_text("5")
    folder = read_mesh_folder(tmp_path, "DECA")
    assert folder.frames.tolist() == mesh_frames(tmp_path) == [9, 10, 100]
    assert (folder.name, folder.unit) == ("DECA", "m")
    np.testing.assert_allclose(folder.vertices, HEAD + np.array([9, 10, 100])[:, None, None] * [0, 0, 0.001], atol=1e-6)
    np.testing.assert_array_equal(folder.at([100, 9]), folder.vertices[[2, 0]])
    (tmp_path / "clip3_100.obj").write_text("damaged")
    assert read_mesh_folder(tmp_path, frames=[10]).frames.tolist() == [10]
    with pytest.raises(InputError, match=r"clip3_100\.obj"):
        read_mesh_folder(tmp_path)


@pytest.mark.parametrize(("unit", "factor"), [("m", 1), ("cm", 100), ("mm", 1000)])
@pytest.mark.parametrize("mesh", [(HEAD, TRIANGLES), tuple(array.numpy() for array in facemesh())])
def test_units_are_noticed(tmp_path, unit, factor, mesh):
    write_obj(tmp_path / "1.obj", mesh[0] * factor, mesh[1])
    folder = read_mesh_folder(tmp_path)
    assert folder.unit == unit
    np.testing.assert_allclose(folder.vertices[0], mesh[0], atol=1e-6)


def test_npz_one_a_frame_and_many_in_one(tmp_path):
    single = tmp_path / "single"
    single.mkdir()
    np.savez(single / "000001.npz", vertices=HEAD)
    np.savez(single / "000002.npz", vertices=HEAD + 0.001)
    with pytest.raises(InputError, match="have no triangles; put one mesh with them beside"):
        read_mesh_folder(single)
    write_obj(single / "template.obj")
    np.testing.assert_array_equal(read_mesh_folder(single).faces, TRIANGLES)
    many = tmp_path / "many"
    many.mkdir()
    meshes = np.stack([HEAD, HEAD * np.nan, HEAD + 0.001])
    numbers, valid = np.arange(3) + 1, np.array([True, False, True])
    np.savez(many / "sequence.npz", vertices=meshes, faces=TRIANGLES, frame=numbers, valid=valid)
    folder = read_mesh_folder(many)
    assert folder.frames.tolist() == mesh_frames(many) == [1, 3]
    np.testing.assert_allclose(folder.at([3])[0], HEAD + 0.001, atol=1e-6)


def _nan(folder):
    write_obj(folder / "1.obj", np.where(np.arange(len(HEAD))[:, None] == 7, np.nan, HEAD))


def _two_topologies(folder):
    write_obj(folder / "1.obj")
    write_obj(folder / "2.obj", *(array.numpy() for array in facemesh()))


def _other_triangles(folder):
    write_obj(folder / "1.obj")
    write_obj(folder / "2.obj", HEAD, TRIANGLES[:-1])


def _two_of_one_frame(folder):
    write_obj(folder / "000001.obj")
    write_obj(folder / "000001_detail.obj")


def _two_units(folder):
    write_obj(folder / "1.obj")
    write_obj(folder / "2.obj", HEAD * 1000)


def _outside(folder):
    write_obj(folder / "1.obj", HEAD[:-1])


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda folder: None, "holds no meshes named by frame"),
        (lambda folder: write_obj(folder / "neutral.obj"), "holds no meshes named by frame"),
        (_nan, r"1\.obj has 1 vertices that are not finite"),
        (_two_topologies, r"several topologies: 1\.obj has 4990 vertices and 2\.obj 468"),
        (_other_triangles, r"1\.obj and 2\.obj have other triangles"),
        (_two_of_one_frame, r"two meshes of frame 1, 000001\.obj and 000001_detail\.obj; keep one"),
        (_two_units, r"meshes in m \(frame 1\) and in mm \(frame 2\)"),
        (_outside, "faces of vertices that it does not hold"),
        (lambda folder: write_obj(folder / "1.obj", HEAD * 1e6), "which is no face in metres"),
        (lambda folder: (folder / "1.obj").write_text("v 1 2\n"), "a vertex has not three numbers"),
        (lambda folder: (folder / "1.obj").write_text("v 1 2 3\nf 1 2 x\n"), "cannot be read as a mesh"),
        (lambda folder: (folder / "1.ply").write_bytes(b"solid"), "no head of a ply file"),
        (lambda folder: (folder / "1.npz").write_bytes(b"PK"), "damaged or no npz"),
        (lambda folder: np.savez(folder / "1.npz", vertices=np.array([{}])), "damaged or no npz"),
        (lambda folder: np.savez(folder / "1.npz", points=HEAD), "no array 'vertices'"),
        (lambda folder: np.savez(folder / "1.npz", vertices=HEAD[:, :2]), "no vertices of three numbers"),
    ],
)
def test_bad_folders_are_one_sentence(tmp_path, make, sentence):
    make(tmp_path)
    with pytest.raises(InputError, match=sentence) as caught:
        read_mesh_folder(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_ply_cannot_claim_more_than_it_holds(tmp_path):
    for order in ("ascii", "binary_little_endian"):
        head = f"ply\nformat {order} 1.0\nelement vertex 900000000000\nproperty float x\nproperty float y\n"
        head += "property float z\nelement face 900000000000\nproperty list int int vertex_indices\nend_header\n"
        (tmp_path / "1.ply").write_text(head + "1 2 3")
        with pytest.raises(InputError, match="it claims more than it holds"):
            read_mesh_folder(tmp_path)


def test_missing_folders_and_frames(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        read_mesh_folder(tmp_path / "none")
    file = write_obj(tmp_path / "1.obj")
    with pytest.raises(InputError, match="is not a folder"):
        read_mesh_folder(file)
    with pytest.raises(InputError, match=r"has no mesh of frame 5 .*it has 1, from 1 to 1"):
        read_mesh_folder(tmp_path, frames=[1, 5])
    with pytest.raises(InputError, match="has no mesh of frame 5"):
        read_mesh_folder(tmp_path).at([5])
