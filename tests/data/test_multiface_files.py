"""Multiface's files: what is read is what is true, in metres; damaged ones are named with what is wrong."""

import numpy as np
import pytest
from multiface_layout import FOLDERS, MOUTH, OWN_ORIGIN, Layout, made_faces

from au_d3dface.data.multiface.files import (
    frame_times,
    read_frame_list,
    read_krt,
    read_mesh,
    read_obj,
    read_topology,
    read_transform,
)
from au_d3dface.errors import InputError

NEUTRAL = f"{FOLDERS['6795937']}/tracked_mesh/E001_Neutral_Eyes_Open"


@pytest.fixture(scope="module")
def layout(tmp_path_factory):
    return Layout(tmp_path_factory.mktemp("multiface") / "copy", pictures=False).write()


def test_a_mesh_in_metres(layout):
    vertices = read_mesh(layout.root / NEUTRAL / "000102.bin")
    assert (vertices.shape, vertices.dtype) == ((7306, 3), np.float32)
    head = layout.head[f"{NEUTRAL}/000102.bin"]
    np.testing.assert_allclose(vertices, head + OWN_ORIGIN / 1000, atol=1e-7)


def test_a_pose_in_metres(layout):
    transform = read_transform(layout.root / NEUTRAL / "000105_transform.txt")
    expected = layout.pose(1) / [1, 1, 1, 1000]
    np.testing.assert_allclose(transform, expected, atol=1e-8)


@pytest.mark.parametrize("blank_lines", [False, True])
def test_cameras(tmp_path, blank_lines):
    layout = Layout(tmp_path / "copy", frames=0, blank_lines=blank_lines, distortion=0.1)
    folder = tmp_path / "copy" / "here"
    folder.mkdir(parents=True)
    layout.write_krt(folder / "KRT")
    cameras = read_krt(folder / "KRT")
    assert list(cameras) == ["400002", "400015", "400037"]
    for name, camera in cameras.items():
        intrinsics, rotation, translation = layout.camera(name)
        np.testing.assert_allclose(camera.intrinsics, intrinsics, rtol=1e-8)
        np.testing.assert_allclose(camera.rotation, rotation, atol=1e-8)
        np.testing.assert_allclose(camera.translation, translation / 1000, atol=1e-6)
        np.testing.assert_allclose(camera.rotation @ camera.centre + camera.translation, 0, atol=1e-7)
        assert camera.name == name
    assert [camera.distortion.tolist() for camera in cameras.values()] == [[0] * 5, [0] * 5, [0.1, 0, 0, 0, 0]]


def test_a_krt_without_blank_lines(layout, tmp_path):
    text = (layout.root / FOLDERS["6795937"] / "KRT").read_text()
    (tmp_path / "KRT").write_text("\n".join(line for line in text.split("\n") if line))
    assert len(read_krt(tmp_path / "KRT")) == 3


def test_the_frame_list_is_put_in_order(layout, tmp_path):
    frames = read_frame_list(layout.root / FOLDERS["6795937"] / "frame_list.txt")
    assert frames == {"E001_Neutral_Eyes_Open": [102, 105, 108], "E008_Smile_Mouth_Closed": [1002, 1005, 1008]}
    (tmp_path / "frame_list.txt").write_text("E061_Lips_Puffed 023452\n\nE061_Lips_Puffed  023449 \n\n")
    assert read_frame_list(tmp_path / "frame_list.txt") == {"E061_Lips_Puffed": [23449, 23452]}


def test_times_step_at_thirty_a_second_and_keep_gaps():
    counts, times = frame_times([102, 105, 108, 117, 120])
    assert counts == [0, 1, 2, 5, 6]
    np.testing.assert_allclose(times, [0, 1 / 30, 2 / 30, 5 / 30, 6 / 30])
    assert frame_times([7]) == ([0], [0.0])
    assert frame_times([10, 12, 18]) == ([0, 1, 4], pytest.approx([0, 1 / 30, 4 / 30]))  # two differences, once each


def test_the_obj_is_posed(layout):
    """As published: in the world, unlike the bin; so only its triangles may be used."""
    points, faces = read_obj(layout.root / NEUTRAL / "000105.obj")
    own, transform = read_mesh(layout.root / NEUTRAL / "000105.bin"), layout.pose(1)
    world = own @ transform[:, :3].T + transform[:, 3] / 1000
    np.testing.assert_allclose(points, world, atol=2e-7)
    assert np.abs(points - own).max() > 0.5
    np.testing.assert_array_equal(faces, made_faces())


@pytest.mark.parametrize("obj_in_world", [True, False])
def test_the_topology_of_an_obj_with_fewer_vertices(tmp_path, obj_in_world):
    layout = Layout(tmp_path / "copy", pictures=False, obj="fewer", obj_in_world=obj_in_world).write()
    path = layout.root / NEUTRAL / "000105.obj"
    assert len(read_obj(path)[0]) == MOUTH + 1
    np.testing.assert_array_equal(read_topology(path), made_faces())
    lines = path.read_text().splitlines()
    # The first vertices are left out too, and those that are left come in another order.
    shuffled = [line for line in lines if line.startswith("v ")][200:][::-1]
    order = {f"{len(shuffled) - i + 200}": f"{i + 1}" for i in range(len(shuffled))}
    faces = [[corner.split("/")[0] for corner in line.split()[1:]] for line in lines if line.startswith("f ")]
    kept = [face for face in faces if all(corner in order for corner in face)]
    text = "\n".join(shuffled + [f"f {' '.join(order[corner] for corner in face)}" for face in kept])
    path.write_text(text)
    expected = made_faces()[(made_faces() >= 200).all(1)]
    np.testing.assert_array_equal(read_topology(path), expected)


def test_an_obj_of_another_mesh(tmp_path):
    layout = Layout(tmp_path / "copy", pictures=False, obj="fewer").write()
    path = layout.root / NEUTRAL / "000105.obj"
    path.write_text(path.read_text().replace("v ", "v 77 ", 1))
    with pytest.raises(InputError, match=r"000105\.obj holds 7,008 vertices that are not among those of 000105\.bin"):
        read_topology(path)


@pytest.mark.parametrize(
    ("reader", "content", "sentence"),
    [
        (read_mesh, bytes(87671), r"file has 87,671 bytes, where a tracked mesh of Multiface has 87,672"),
        (read_mesh, b"", r"file has 0 bytes"),
        (read_mesh, np.full(7306 * 3, np.nan, "<f4").tobytes(), "not finite"),
        (read_transform, b"1 0 0 0\n0 1 0 0\n0 0 1\n", "file has 11 numbers, where a head pose has 12"),
        (read_transform, b"1 0 0 0\n0 1 0 0\n0 0 1 x\n", "something else than numbers"),
        (read_transform, b"1 0 0 0\n0 2 0 0\n0 0 1 0\n", "no rotation"),
        (read_transform, b"1 0 0 0\n0 1 0 0\n0 0 -1 0\n", "no rotation"),
        (read_transform, b"1 0 0 0\n0 nan 0 0\n0 0 1 0\n", "no rotation"),
        (read_transform, b"\xff\xfe\x00", "not a text file"),
        (read_krt, b"\n\n", "holds no camera"),
        (read_krt, b"400002\n1000 0 500\n0 1000 500\n", r"breaks off within the camera 400002 \(from line 1 on\)"),
        (read_krt, b"1000 0 500\n" * 8, "line 1 of .*file should be a camera's name, but is '1000 0 500'"),
        (read_frame_list, b"", "lists no frames"),
        (read_frame_list, b"E001_X 000102\nE001_X\n", "line 2 of .*file is not an expression and a frame number"),
        (read_frame_list, b"../../secret 000102\n", "line 1 of .*file is not an expression"),
        (read_frame_list, b"E001_X 9999999999\n", "line 1 of"),
        (read_obj, b"v 1 2 3\nv 4 5 x\n", "line 2 of .*file is damaged"),
        (read_obj, b"v 1 2 3\n", "needs vertices of three numbers, and triangles"),
        (read_obj, b"v 1 2 3\nf 1 1 1 1\n", "needs vertices of three numbers, and triangles"),
        (read_obj, b"v 1 2 3\nf 1/1 1/1 2/1\n", "triangles of vertices that it does not hold"),
        (read_obj, b"v 1 2 3\nf 0 1 1\n", "triangles of vertices that it does not hold"),
        (read_obj, b"v 1 2 3\n" * 7307 + b"f 1 2 3\n", "7,307 vertices"),
    ],
)
def test_damaged_files(tmp_path, reader, content, sentence):
    path = tmp_path / "file"
    with pytest.raises(InputError, match="does not exist"):
        reader(path)
    path.write_bytes(content)
    with pytest.raises(InputError, match=sentence) as caught:
        reader(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("line", "replacement", "sentence"),
    [
        (3, "0 1000 500 7", "line 3 of .* should hold 3 numbers, but is '0 1000 500 7'"),
        (4, "0 0 2", "lines 2 to 4 of .* are no intrinsics of the camera 400002"),
        (5, "0 0 0 0", "line 5 of .* should hold 5 numbers"),
        (6, "1 2 3 4", "lines 6 to 8 of .* hold no rotation of the camera 400002"),
        (7, "1 2 3 inf", "line 7 of .* should hold 4 numbers"),
        (10, "400002", "line 10 of .* names the camera 400002 a second time"),
        (10, None, "line 10 of .* should be a camera's name"),
    ],
)
def test_damaged_cameras(layout, tmp_path, line, replacement, sentence):
    lines = (layout.root / FOLDERS["6795937"] / "KRT").read_text().split("\n")
    lines[line - 1 : line] = [] if replacement is None else [replacement]
    (tmp_path / "KRT").write_text("\n".join(lines))
    with pytest.raises(InputError, match=sentence):
        read_krt(tmp_path / "KRT")
