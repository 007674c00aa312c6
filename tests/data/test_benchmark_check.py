"""`au-d3dface prepare check`: what it says of copies that are whole, incomplete, damaged, and none at all."""

from pathlib import Path

import pytest
from benchmark_layouts import make_bp4d, make_disfa

from au_d3dface.cli import main
from au_d3dface.data import benchmark_check
from au_d3dface.data.folds import LABELLED_FRAMES, PARTS


def said(capsys, *arguments: str | Path) -> tuple[int, str, str]:
    status = main(["prepare", "check", *map(str, arguments)])
    out, err = capsys.readouterr()
    assert "Traceback" not in err
    return status, out, err


def test_a_whole_copy(tmp_path, capsys):
    everyone = [subject for part in PARTS["disfa"].values() for subject in part]
    make_disfa(tmp_path, everyone, 6, dump="", more_frames=2)
    status, out, err = said(capsys, "disfa", tmp_path)
    assert (status, err) == (0, "")
    assert "labels such as ActionUnit_Labels/SN001/SN001_au1.txt, of AU 1, 2, 4, 5, 6, 9, 12, 15, 17, 20, 25, 26" in out
    assert "no videos of the left camera" in out
    assert "counted from 0" in out
    assert "27 labelled sequences; labelled frames: 162 of 130,814 (P1 54 of 43,604, P2 54 of 43,605" in out
    assert "216 pictures; 162 of 162 labelled frames beside them have one" in out
    assert "130,652 fewer labelled frames than published" in out
    assert "it can be used" in out


def test_counts_as_published_are_no_cause_for_a_word(tmp_path, capsys, monkeypatch):
    everyone = [subject for part in PARTS["bp4d"].values() for subject in part]
    make_bp4d(tmp_path, [(s, f"T{n}") for s in everyone for n in range(1, 9)], 2, pictures=None, intensities=None)
    counts = {part: 16 * len(people) for part, people in PARTS["bp4d"].items()}
    monkeypatch.setitem(benchmark_check.LABELLED_FRAMES, "bp4d", counts)
    status, out, err = said(capsys, "bp4d", tmp_path)
    assert (status, err) == (0, "")
    assert "328 labelled sequences; labelled frames: 656 of 656 (P1 224 of 224, P2 224 of 224, P3 208 of 208)" in out
    assert "than published" not in out
    assert "missing" not in out
    assert "neither pictures nor a video of 328 labelled sequences, the first F001_T1" in out
    assert sum(LABELLED_FRAMES["disfa"].values()) == 130_814


def test_what_is_missing_is_named_and_can_be_done_without(tmp_path, capsys):
    make_bp4d(tmp_path, length=10, occurrence="AUCoding", intensities="AU_INT", padded=False, unknown=0.05)
    status, out, err = said(capsys, "bp4d", tmp_path)
    assert status == 4
    assert "labels in AUCoding/" in out
    assert "intensities in AU_INT/" in out
    assert "pictures such as F001/T1/1.jpg, their numbers not padded" in out
    assert "325 of 328 sequences of BP4D are missing: labels of F001_T2" in err
    assert "--missing skip" in err
    assert "cannot be used as it is: 1 problem" in err
    status, out, err = said(capsys, "bp4d", tmp_path, "--missing", "skip")
    assert (status, err) == (0, "")
    assert "lacking: 325 of 328 sequences" in out


def test_disfa_of_either_camera(tmp_path, capsys):
    folders = {"Left": "Videos_LeftCamera", "Right": "Video_RightCamera"}
    make_disfa(tmp_path, ("SN001", "SN003"), 6, videos=folders, left_out=(9,), shorter=("SN003",))
    path = tmp_path / "ActionUnit_Labels/SN001/SN001_au4.txt"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:4]))
    for camera, folder in (("left", folders["Left"]), ("right", folders["Right"])):
        status, out, _ = said(capsys, "disfa", tmp_path, "--missing", "skip", "--camera", camera)
        assert status == 0
        assert f"{camera} camera's videos in {folder}/" in out
        assert "2 videos" in out
        assert "AU09 is not labelled for SN001, SN003; it counts as unknown" in out
        assert "AU04 of SN001 is labelled in 4 frames where others are in 6" in out
        assert "AU04 of SN003" not in out


def test_damaged_copies(tmp_path, capsys):
    make_bp4d(tmp_path, length=10)
    labels = tmp_path / "AUCoding/AU_OCC"
    (labels / "F001_T1.csv").write_bytes((labels / "F007_T1.csv").read_bytes())  # another subject's
    (labels / "M007_T1.csv").write_text("0,1\n1,nan\n")
    status, _, err = said(capsys, "bp4d", tmp_path, "--missing", "skip")
    assert status == 4
    assert "F007_T1.csv is a copy of " in err
    assert "line 2 of " in err
    assert "2 problems" in err
    make_bp4d(tmp_path / "b", length=10)
    content = (tmp_path / "b/AUCoding/AU_OCC/F001_T1.csv").read_text()
    (tmp_path / "b/AUCoding/AU_OCC/F001_T1.csv").write_text(content.replace("\n", "\n1"))
    (tmp_path / "b/AUCoding/AU_OCC/F001_T1.csv").write_text("0,1\n500,1\n501,0\n")
    status, _, err = said(capsys, "bp4d", tmp_path / "b", "--missing", "skip")
    assert status == 4
    assert "F001_T1: no labelled frame has a picture: labels are about frames 500 to 501, pictures about 1 to 10" in err


def test_no_copy_at_all(tmp_path, capsys):
    assert "holds no label files of BP4D" in said(capsys, "bp4d", tmp_path)[2]
    status, out, err = said(capsys, "disfa", tmp_path / "none")
    assert (status, out) == (4, "")
    assert "none is not a folder" in err
    for wrong in (["prepare", "check"], ["prepare", "check", "ck", "."], ["prepare", "check", "bp4d"]):
        with pytest.raises(SystemExit) as error:
            main(wrong)
        assert error.value.code == 2
        assert "au-d3dface prepare check" in capsys.readouterr().err


def test_a_video_called_check_can_still_be_prepared(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("check").mkdir()
    assert main(["prepare", "./check", "--output", "out"]) == 4
    assert "check holds neither videos nor pictures" in capsys.readouterr().err
