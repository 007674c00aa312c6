"""Multiface as a dataset: every frame comes back once, in order, however it is read; what is missing is named."""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from multiface_layout import FOLDERS, VERSION_1, VERSION_2, Layout
from PIL import Image

from au_d3dface.data.multiface import load_multiface, read_truth
from au_d3dface.data.multiface.files import read_krt, read_transform
from au_d3dface.errors import InputError, MissingDependencyError, UsageError

datasets = pytest.importorskip("datasets")

SIZE = (64, 42)
BOTH = ("6795937", "002421669")


def made(root: Path, **options) -> Layout:
    return Layout(root, height=SIZE[0], width=SIZE[1], pictures=False, **options).write()


def load(layout: Layout, tmp_path: Path, **settings):
    settings = {"cameras": ["400015"], "image_size": SIZE, "cache_dir": str(tmp_path / "cache")} | settings
    return load_multiface(layout.root, **settings)


def same(one, other) -> None:
    one, other = list(one), list(other)
    assert len(one) == len(other) > 0
    for a, b in zip(one, other, strict=True):
        assert a.keys() == b.keys()
        for name in a:
            np.testing.assert_array_equal(a[name], b[name], err_msg=name)


@pytest.fixture(scope="module")
def layout(tmp_path_factory):
    return made(tmp_path_factory.mktemp("multiface") / "copy", subjects=BOTH)


def test_every_frame_comes_back(layout, tmp_path):
    rows = load(layout, tmp_path, cameras=["400037", "400015"])
    expected = [
        (subject, expression, camera, number, frame)
        for subject in BOTH  # their folders are in this order
        for row, expression in enumerate(layout.expressions(subject))
        for camera in ("400015", "400037")
        for frame, number in enumerate(layout.numbers(row))
    ]
    # E001 and E008, EXP_cheek001 and EXP_neutral_peak: by name.
    expected.sort(key=lambda found: (FOLDERS[found[0]], found[1], found[2], found[3]))
    assert len(rows) == len(expected) == 24
    for row, (subject, expression, camera, number, frame) in zip(rows, expected, strict=True):
        folder = layout.root / FOLDERS[subject]
        meshes = folder / "tracked_mesh" / expression
        assert (row["subject"], row["expression"], row["camera"], row["frame"]) == (subject, expression, camera, number)
        assert row["version"] == (1 if expression in VERSION_1 else 2)
        assert row["timestamp"] == pytest.approx(frame / 30)
        assert row["image"] == str(folder / "images" / expression / camera / f"{number:06d}.png")
        assert row["mesh"] == str(meshes / f"{number:06d}.bin")
        assert Path(row["topology"]).suffix == ".obj"
        rest = (VERSION_1 if subject == "6795937" else VERSION_2)[0]
        assert Path(row["neutral_mesh"]).parent == folder / "tracked_mesh" / rest
        seen = read_krt(folder / "KRT")[camera]
        np.testing.assert_array_equal(row["intrinsics"], seen.intrinsics)
        np.testing.assert_array_equal(row["rotation"], seen.rotation)
        np.testing.assert_array_equal(row["translation"], seen.translation)
        np.testing.assert_array_equal(row["transform"], read_transform(meshes / f"{number:06d}_transform.txt"))


def test_the_rows_do_not_depend_on_how_they_are_read(layout, tmp_path):
    built = load(layout, tmp_path)
    same(built, load(layout, tmp_path / "two", num_proc=2))
    same(built, load(layout, tmp_path, streaming=True))
    same(built, load(layout, tmp_path, split=None)["test"])
    same(built, load(layout, tmp_path, streaming=True, split=None)["test"])
    stream = load(layout, tmp_path, streaming=True)
    assert stream.num_shards == 4
    parts = [list(stream.shard(num_shards=2, index=index)) for index in range(2)]
    same(sorted(parts[0] + parts[1], key=lambda row: (row["subject"] != "6795937", row["mesh"])), built)


def test_no_byte_of_the_files_is_in_the_rows(layout, tmp_path):
    built = load(layout, tmp_path)
    kinds = {str(feature) for feature in built.features.values()}
    assert not any(word in kind for kind in kinds for word in ("Image", "binary", "Video"))
    assert sum(len(json.dumps(row)) for row in built) < 2500 * len(built)


def test_a_choice(layout, tmp_path):
    rows = load(layout, tmp_path, subjects=["6795937"], expressions=["E008"], every=2)
    assert [(row["expression"], row["frame"]) for row in rows] == [(VERSION_1[1], 1002), (VERSION_1[1], 1008)]
    assert [row["timestamp"] for row in rows] == pytest.approx([0, 2 / 30])
    chosen = json.loads(rows.info.description.split("Chosen: ")[1])
    assert chosen["subjects"] == ["6795937"]
    assert chosen["expressions"] == ["E008"]
    assert chosen["every"] == 2
    other = load(layout, tmp_path, subjects=[FOLDERS["002421669"]], expressions=["EXP_cheek001"])
    assert {row["subject"] for row in other} == {"002421669"}
    alone = load_multiface(layout.root / FOLDERS["6795937"], cameras=["400002"], image_size=SIZE, streaming=True)
    assert {row["subject"] for row in alone} == {"6795937"}


def test_the_most_frontal_camera_is_told_by_geometry(tmp_path):
    """Not by name or order; and only of cameras that have pictures of everything chosen."""
    cameras = {"a": -50.0, "b": 30.0, "c": 5.0, "d": 178.0}
    layout = made(tmp_path / "copy", cameras=cameras)
    assert {row["camera"] for row in load(layout, tmp_path, cameras=None)} == {"c"}
    shutil.rmtree(layout.root / FOLDERS["6795937"] / "images" / VERSION_1[1] / "c")
    assert {row["camera"] for row in load(layout, tmp_path, cameras=None)} == {"b"}
    one = load(layout, tmp_path, cameras=None, expressions=["E001"])
    assert {row["camera"] for row in one} == {"c"}


def test_the_resting_frame_is_no_blink(tmp_path):
    layout = made(tmp_path / "copy", frames=5)
    folder = layout.root / FOLDERS["6795937"] / "tracked_mesh" / VERSION_1[0]
    strange = sorted(folder.glob("*.bin"))[2]
    (np.fromfile(strange, "<f4") + 5).tofile(strange)
    rows = load(layout, tmp_path)
    assert {Path(row["neutral_mesh"]).parent for row in rows} == {folder}
    assert strange != Path(rows[0]["neutral_mesh"])
    assert {Path(row["neutral_mesh"]).name for row in load(layout, tmp_path, neutral="mean")} == {"vert_mean.bin"}
    other = load(layout, tmp_path, neutral=VERSION_1[1])
    assert Path(other[0]["neutral_mesh"]).parent.name == VERSION_1[1]


def test_names_without_padding(tmp_path):
    rows = load(made(tmp_path / "copy", padded=False), tmp_path)
    assert [row["frame"] for row in rows] == [102, 105, 108, 1002, 1005, 1008]
    assert Path(rows[0]["image"]).name == "102.png"


def test_an_obj_with_fewer_vertices_gives_the_same_truth(tmp_path):
    whole, fewer = made(tmp_path / "whole"), made(tmp_path / "fewer", obj="fewer")
    (vertices, faces), (other, other_faces) = (read_truth(load(copy, tmp_path)[4]) for copy in (whole, fewer))
    np.testing.assert_array_equal(faces, other_faces)
    np.testing.assert_array_equal(vertices, other)


IMAGE = f"{FOLDERS['6795937']}/images/{VERSION_1[1]}/400015/001005.png"
MESH = f"{FOLDERS['6795937']}/tracked_mesh/{VERSION_1[1]}/001008.bin"
POSE = f"{FOLDERS['6795937']}/tracked_mesh/{VERSION_1[0]}/000102_transform.txt"


def test_missing_files_are_named_counted_and_skipped_only_when_asked(tmp_path, caplog):
    layout = made(tmp_path / "copy", missing=(IMAGE, MESH, POSE))
    with pytest.raises(InputError) as caught:
        load(layout, tmp_path)
    sentence = str(caught.value)
    assert "1 of 3 frames of" in sentence
    for part in ("no picture (the first is 001005.png)", "no mesh (the first is 001008.bin)", "000102_transform.txt"):
        assert part in sentence
    assert "skip_missing=True" in sentence
    assert not caplog.records
    rows = load(layout, tmp_path, skip_missing=True)
    assert [row["frame"] for row in rows] == [105, 108, 1002]
    assert [row["timestamp"] for row in rows] == pytest.approx([1 / 30, 2 / 30, 0])  # nothing is shifted
    assert "1 of 3 frames" in caplog.text
    # Frames that are not asked for may be missing.
    assert [row["frame"] for row in load(layout, tmp_path, expressions=["E008"], every=5)] == [1002]


def test_missing_expressions_and_cameras(layout, tmp_path):
    with pytest.raises(InputError, match=r"frame_list\.txt has no expression E008.* skip_missing"):
        load(layout, tmp_path, expressions=["E008"])
    rows = load(layout, tmp_path, expressions=["E008"], skip_missing=True)
    assert {row["subject"] for row in rows} == {"6795937"}
    with pytest.raises(InputError, match="KRT has no camera 400099"):
        load(layout, tmp_path, cameras=["400015", "400099"])
    with pytest.raises(InputError, match=r"No frame of Multiface in .* has all its files"):
        load(layout, tmp_path, cameras=["400099"], skip_missing=True)


def test_rows_are_made_anew_when_files_come_or_go(tmp_path):
    layout = made(tmp_path / "copy")
    assert len(load(layout, tmp_path)) == 6
    (layout.root / IMAGE).unlink()
    with pytest.raises(InputError, match=r"001005\.png"):
        load(layout, tmp_path)
    assert len(load(layout, tmp_path, skip_missing=True)) == 5


DAMAGE = {
    "mesh": (MESH, bytes(100), r"001008\.bin has 100 bytes"),
    "pose": (POSE, b"1 0 0 0 0 1 0 0 0 0 1", r"000102_transform\.txt has 11 numbers"),
    "krt": (f"{FOLDERS['6795937']}/KRT", b"400015\n1 2 3\n", "KRT breaks off within the camera 400015"),
    "frame list": (f"{FOLDERS['6795937']}/frame_list.txt", b"E001\n", r"line 1 of .*frame_list\.txt"),
    "picture": (IMAGE, b"\x89PNG broken", r"001005\.png cannot be read as a picture"),
}


@pytest.mark.parametrize("kind", DAMAGE)
@pytest.mark.parametrize("num_proc", [None, 2])
def test_damaged_files(tmp_path, kind, num_proc):
    name, content, sentence = DAMAGE[kind]
    layout = made(tmp_path / "copy")
    (layout.root / name).write_bytes(content)
    with pytest.raises(InputError, match=sentence):
        load(layout, tmp_path, num_proc=num_proc, skip_missing=True)


def test_pictures_of_another_size(tmp_path):
    layout = made(tmp_path / "copy")
    with pytest.raises(InputError, match=r"has 64 x 42 pixels .* but KRT is for pictures of 2048 x 1334"):
        load(layout, tmp_path, image_size=(2048, 1334))
    Image.new("RGB", (21, 32)).save(layout.root / IMAGE)
    with pytest.raises(InputError, match=r"001005\.png has 32 x 21 pixels"):
        load(layout, tmp_path)


def test_distortion_is_an_error_unless_ignored(tmp_path):
    layout = made(tmp_path / "copy", distortion=0.02)
    assert len(load(layout, tmp_path)) == 6
    with pytest.raises(InputError, match=r"camera 400037 of .*KRT has lens distortion.* ignore_distortion=True"):
        load(layout, tmp_path, cameras=["400037"])
    assert len(load(layout, tmp_path, cameras=["400037"], ignore_distortion=True)) == 6


def test_no_resting_face_or_triangles(tmp_path):
    layout = made(tmp_path / "copy")
    folder = layout.root / FOLDERS["6795937"]
    with pytest.raises(InputError, match=r"no tracked meshes of E003, the face at rest.* neutral='mean'"):
        load(layout, tmp_path, neutral="E003")
    (folder / "vert_mean.bin").unlink()
    with pytest.raises(InputError, match=r"vert_mean\.bin does not exist"):
        load(layout, tmp_path, neutral="mean")
    for path in folder.glob("tracked_mesh/*/*.obj"):
        path.unlink()
    with pytest.raises(InputError, match="has no obj of a tracked mesh"):
        load(layout, tmp_path)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"every": 0}, "every must be at least 1"),
        ({"subjects": ["123"]}, "There is no subject '123' in .*; there are 6795937, 002421669"),
        ({"subjects": "6795937"}, "subjects must be a list of names"),
        ({"cameras": []}, "cameras must be a list of names"),
        ({"expressions": ["E999"]}, "No frame list of the chosen subjects in .* has an expression 'E999'"),
        ({"image_size": (0, 5)}, "image_size must be"),
        ({"fold": 1}, "no setting 'fold'; there are subjects"),
        ({"split": "train"}, "no split 'train'; it has one, test"),
    ],
)
def test_settings_that_make_no_sense(layout, tmp_path, settings, sentence):
    with pytest.raises(UsageError, match=sentence):
        load(layout, tmp_path, **settings)


def test_folders_without_multiface(tmp_path):
    with pytest.raises(InputError, match="is not a folder"):
        load_multiface(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="it is empty"):
        load_multiface(tmp_path / "empty")


def test_without_the_library(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "datasets", None)
    for name in ("resumable_builder", "multiface.builder"):
        monkeypatch.delitem(sys.modules, f"au_d3dface.data.{name}", raising=False)
    with pytest.raises(MissingDependencyError, match=r"pip install 'au-d3dface\[train\]'"):
        load_multiface(tmp_path)
