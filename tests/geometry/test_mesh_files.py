"""Mesh files of other programs: as trimesh writes them, polygons and relative numbers, and what is refused."""

import numpy as np
import pytest
from made_surfaces import head

from au_d3dface.errors import InputError
from au_d3dface.geometry.mesh_files import read_mesh_file


@pytest.mark.parametrize("encoding", ["ascii", "binary_little_endian", "obj"])
def test_as_trimesh_writes_it(tmp_path, encoding):
    trimesh = pytest.importorskip("trimesh", reason="trimesh, of the test extra, is not installed")
    vertices, faces = head(300)
    mesh = trimesh.Trimesh(vertices, faces, process=False)
    path = tmp_path / ("a.obj" if encoding == "obj" else "a.ply")
    if encoding == "obj":
        mesh.export(path, digits=10)
    else:
        path.write_bytes(trimesh.exchange.ply.export_ply(mesh, encoding=encoding.partition("_")[0]))
    read, triangles = read_mesh_file(path)
    assert read == pytest.approx(vertices, abs=1e-6)
    assert np.array_equal(triangles, faces)


def test_polygons_colours_normals_and_relative_numbers(tmp_path):
    path = tmp_path / "a.obj"
    path.write_text(
        "# made\nv 0 0 0 1 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0\nvn 0 0 1\nvt 0 0\nf 1/1/1 2//1 3 4\nf -4 -3 -1\n"
    )
    vertices, faces = read_mesh_file(path)
    assert vertices.tolist() == [[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]]
    assert faces.tolist() == [[0, 1, 2], [0, 2, 3], [0, 1, 3]]


def test_ply_with_more_in_it_and_big_numbers_first(tmp_path):
    """Normals between the coordinates, an element that is skipped, a list of colours after that of vertices."""
    head = "ply\nformat binary_big_endian 1.0\ncomment x\nelement vertex 3\nproperty float x\nproperty uchar red\n"
    head += "property double y\nproperty float z\nelement edge 1\nproperty int a\nelement face 1\n"
    head += "property list uchar int vertex_indices\nproperty list uchar float uv\nend_header\n"
    rows = np.array(
        [(0, 1, 0, 0), (1, 2, 0, 0), (0, 3, 1, 0.5)], [("x", ">f4"), ("r", "u1"), ("y", ">f8"), ("z", ">f4")]
    )
    face = bytes([3]) + np.array([0, 1, 2], ">i4").tobytes() + bytes([1]) + np.array([0.5], ">f4").tobytes()
    path = tmp_path / "a.ply"
    path.write_bytes(head.encode() + rows.tobytes() + np.array([7], ">i4").tobytes() + face)
    vertices, faces = read_mesh_file(path)
    assert vertices.tolist() == [[0, 0, 0], [1, 0, 0], [0, 1, 0.5]]
    assert faces.tolist() == [[0, 1, 2]]


def test_refused(tmp_path):
    cases = {
        "no.obj": None,
        "a.stl": b"solid",
        "empty.obj": b"# nothing\n",
        "short.obj": b"v 0 0\nf 1 1 1\n",
        "word.obj": b"v 0 0 x\n",
        "far.obj": b"v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 9\n",
        "zero.obj": b"v 0 0 0\nf 0 1 2\n",
        "head.ply": b"ply\nformat ascii 1.0\n",
        "kind.ply": b"ply\nformat odd 1.0\nelement vertex 1\nproperty float x\nend_header\n0\n",
        "huge.ply": b"ply\nformat binary_little_endian 1.0\nelement vertex 999999999999\nproperty float x\n"
        b"end_header\n",
        "cut.ply": b"ply\nformat binary_little_endian 1.0\nelement vertex 9\nproperty float x\nproperty float y\n"
        b"property float z\nend_header\n0000",
        "axes.ply": b"ply\nformat ascii 1.0\nelement vertex 1\nproperty float a\nend_header\n0\n",
        "long.ply": b"ply\nformat binary_little_endian 1.0\nelement face 1\nproperty list uint int v\nend_header\n"
        b"\xff\xff\xff\x7f0000",
    }
    for name, content in cases.items():
        if content is not None:
            (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=name.replace(".", r"\.")):
            read_mesh_file(tmp_path / name)
