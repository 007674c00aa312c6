"""What `check_multiface` says of a copy: what is there, what is missing, what is damaged."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from multiface_layout import FOLDERS, VERSION_1, Layout

from au_d3dface.cli import main
from au_d3dface.data import load_benchmark
from au_d3dface.data.multiface import check_multiface
from au_d3dface.errors import InputError, UsageError

FIRST, SECOND = FOLDERS["6795937"], FOLDERS["002421669"]


@pytest.fixture
def layout(tmp_path):
    layout = Layout(tmp_path / "copy", ("6795937", "002421669"), frames=2, height=32, width=21, pictures=False)
    return layout.write()


def test_a_whole_copy(layout):
    report = check_multiface(layout.root)
    assert report.problems == []
    assert [(s.name, s.id, s.version) for s in report.subjects] == [(FIRST, "6795937", 1), (SECOND, "002421669", 2)]
    for subject in report.subjects:
        assert (subject.listed, subject.tracked, subject.pictured) == (2, 2, 2)
        assert (subject.cameras, subject.pictured_cameras) == (3, 3)
        assert (subject.frames, subject.meshes, subject.pictures) == (4, 4, 12)
    lines = report.found()
    assert lines[0].endswith("2 of the 13 published subjects.")
    assert "script version 1; of 2 expressions in its frame list 2 have tracked meshes and 2 have pictures" in lines[1]
    assert "script version 2" in lines[2]
    assert len(check_multiface(layout.root / FIRST).subjects) == 1


def test_what_was_not_fetched_is_no_damage(layout):
    shutil.rmtree(layout.root / FIRST / "tracked_mesh" / VERSION_1[1])
    shutil.rmtree(layout.root / FIRST / "images" / VERSION_1[1])
    shutil.rmtree(layout.root / FIRST / "images" / VERSION_1[0] / "400037")
    report = check_multiface(layout.root)
    assert report.problems == []
    subject = report.subjects[0]
    assert (subject.listed, subject.tracked, subject.pictured) == (2, 1, 1)
    assert (subject.cameras, subject.pictured_cameras) == (3, 2)
    assert (subject.frames, subject.meshes, subject.pictures) == (2, 2, 4)


def damage(folder: Path, kind: str) -> None:
    meshes, images = folder / "tracked_mesh" / VERSION_1[1], folder / "images" / VERSION_1[1]
    if kind == "mesh":
        (meshes / "001002.bin").unlink()
    elif kind == "short mesh":
        (meshes / "001005.bin").write_bytes(bytes(7))
    elif kind == "pose":
        (meshes / "001002_transform.txt").write_text("1 2 3")
    elif kind == "no pose":
        (meshes / "001002_transform.txt").unlink()
    elif kind == "pictures":
        (images / "400002" / "001002.png").unlink()
        (images / "400015" / "001005.png").unlink()
    elif kind == "no meshes":
        shutil.rmtree(meshes)
    elif kind == "extra mesh":
        np.zeros((7306, 3), "<f4").tofile(meshes / "001008.bin")
    elif kind == "unknown camera":
        shutil.copytree(images / "400002", images / "400099")
    elif kind == "krt":
        (folder / "KRT").write_text((folder / "KRT").read_text()[:400])
    elif kind == "frame list":
        (folder / "frame_list.txt").unlink()
    elif kind == "obj":
        for path in folder.glob("tracked_mesh/*/*.obj"):
            path.write_text("v 1 2\n")
    elif kind == "no obj":
        for path in folder.glob("tracked_mesh/*/*.obj"):
            path.unlink()


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        ("mesh", "1 of 2 frames of {meshes} have no mesh (the first is 001002.bin)"),
        ("no pose", "1 of 2 frames of {meshes} have no head pose (the first is 001002_transform.txt)"),
        ("short mesh", "1 meshes of E008_Smile_Mouth_Closed have not 87,672 bytes (the first is 001005.bin)"),
        ("pose", "{meshes}/001002_transform.txt has 3 numbers"),
        ("pictures", "2 pictures of E008_Smile_Mouth_Closed are missing (3 cameras)"),
        ("no meshes", "E008_Smile_Mouth_Closed has pictures, but no tracked meshes"),
        ("extra mesh", "1 meshes of E008_Smile_Mouth_Closed are of frames that the frame list lacks"),
        ("unknown camera", "KRT says nothing of 1 cameras with pictures (the first is 400099)"),
        ("krt", "KRT breaks off within the camera 400037"),
        ("frame list", "frame_list.txt does not exist"),
        ("obj", "is not a tracked mesh"),
        ("no obj", "no expression has an obj"),
    ],
)
def test_damage_is_told(layout, kind, sentence):
    folder = layout.root / FIRST
    damage(folder, kind)
    report = check_multiface(layout.root)
    assert len(report.problems) == 1
    assert sentence.format(meshes=folder / "tracked_mesh" / VERSION_1[1]) in report.problems[0]
    assert report.problems[0].startswith(f"{FIRST}: ")


def test_distortion_is_told(tmp_path):
    layout = Layout(tmp_path / "copy", frames=1, height=32, width=21, pictures=False, distortion=0.1).write()
    assert check_multiface(layout.root).problems == [f"{FIRST}: 1 cameras have lens distortion (the first is 400037)"]


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        ((), "it is empty"),
        (("AUCoding/F001_T1.csv",), "it looks like BP4D"),
        (("ActionUnit_Labels/SN001/SN001_au1.txt",), "it looks like DISFA"),
        (("metadata.tar",), "it holds archives: unpack them first"),
        (("holiday.jpg",), "it holds other things"),
    ],
)
def test_folders_without_multiface(tmp_path, names, sentence):
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    with pytest.raises(InputError, match=f"{tmp_path} holds no subject of Multiface .*; {sentence}"):
        check_multiface(tmp_path)
    with pytest.raises(InputError, match="is not a folder"):
        check_multiface(tmp_path / "none")


def test_the_command_says_so(layout, capsys):
    assert main(["prepare", "check", "multiface", str(layout.root)]) == 0
    printed = capsys.readouterr().out
    assert "2 of the 13 published subjects." in printed
    assert printed.endswith("it can be used\n")
    (layout.root / FIRST / "KRT").write_text("400002\n1 2 3\n")
    assert main(["prepare", "check", "multiface", str(layout.root)]) == 4
    told = capsys.readouterr().err
    assert told.startswith(f"au-d3dface: problem: {FIRST}: ")
    assert "cannot be used as it is: 1 problem" in told
    assert main(["prepare", "check", "multiface", str(layout.root / "nothing")]) == 4
    assert "is not a folder" in capsys.readouterr().err


def test_rows_by_the_name_of_the_benchmark(layout, tmp_path):
    rows = load_benchmark("multiface", layout.root, split="test", streaming=True, image_size=(32, 21))
    assert next(iter(rows))["subject"]
    with pytest.raises(UsageError, match="not divided into parts"):
        load_benchmark("multiface", layout.root, fold="P1")
