"""BP4D and DISFA from folders as they are delivered: what the layout maker wrote comes back, for every quirk."""

import os
import shutil
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from benchmark_layouts import BP4D_INTENSITIES, Written, make_bp4d, make_disfa
from huggingface_hub import ModelCard

from au_d3dface import facs
from au_d3dface.cli import main
from au_d3dface.data import benchmark_positive_rates, load_benchmark
from au_d3dface.data.clips import drawn_phase
from au_d3dface.data.folds import LABELLED_FRAMES, PARTS
from au_d3dface.data.loading import benchmark_builder
from au_d3dface.errors import InputError, MissingDependencyError, UsageError
from au_d3dface.video.pictures import read_picture

datasets = pytest.importorskip("datasets")
datasets.disable_progress_bars()


def load(name: str, root: Path, cache: Path, fold: str = "P3", **settings):
    return load_benchmark(name, str(root), fold, cache_dir=str(cache), **{"missing": "skip"} | settings)


def by_frame(rows) -> dict[tuple[str, int], dict]:
    return {(row["sequence"], row["frame"]): row for part in rows.values() for row in part}


def labels_of(truth: Written, frame: int, units: tuple[int, ...]) -> list[int]:
    codes = truth.codes[frame]
    return [-1 if codes.get(number, 9) == 9 else codes[number] for number in units]


BP4D_QUIRKS = {
    "as delivered": {},
    "padded, from frame 1": {"padded": True, "first": 1},
    "unpadded, from frame 95": {"padded": False, "first": 95},
    "from frame 2440": {"first": 2440},
    "labels straight in AUCoding": {"occurrence": "AUCoding"},
    "labels in the root": {"occurrence": "."},
    "labels two folders down": {"occurrence": "labels/AU_OCC"},
    "intensities in AU_INT": {"intensities": "AU_INT"},
    "intensities with longer names": {"intensity_suffix": "_INT"},
    "intensities beside the labels": {"intensities": "AUCoding/AU_INT"},
    "no intensities": {"intensities": None},
    "pictures one folder down": {"pictures": "Sequences"},
    "no pictures": {"pictures": None},
    "unknown codes": {"unknown": 0.2},
    "columns left out": {"left_out": (1, 15, 80)},
    "pictures missing": {"without_picture": (0, 7, 29)},
    "more pictures than labels": {"more_pictures": 12},
    "labels with gaps": {"gaps": (3, 4, 20)},
    "lines of Windows": {"newline": "\r\n"},
}


@pytest.mark.parametrize("quirk", BP4D_QUIRKS)
def test_bp4d_comes_back(quirk, tmp_path):
    root, options = tmp_path / "copy", BP4D_QUIRKS[quirk]
    written = make_bp4d(root, length=30, **options)
    rows = load("bp4d", root, tmp_path / "cache")
    assert {row["subject"] for row in rows["train"]} == {"F001", "M007"}
    assert {row["subject"] for row in rows["test"]} == {"F007"}
    found = by_frame(rows)
    # A frame of which every label is unknown is not a labelled one.
    wanted = {
        (name, frame): truth
        for name, truth in written.items()
        for frame in truth.codes
        if max(labels_of(truth, frame, facs.BP4D)) >= 0
    }
    assert found.keys() == wanted.keys()
    assert [(row["sequence"], row["frame"]) for row in rows["train"]] == sorted(k for k in found if k[0] != "F007_T1")
    for (name, frame), truth in wanted.items():
        row = found[name, frame]
        assert row["au_labels"] == labels_of(truth, frame, facs.BP4D)
        levels = truth.intensities[frame] if options.get("intensities", "") is not None else {}
        assert row["au_intensity"] == [-1 if levels.get(n, 9) == 9 else levels[n] for n in facs.BP4D]
        assert row["picture"] == (str(root / truth.pictures[frame]) if frame in truth.pictures else None)
        assert (row["task"], row["video"], row["video_frame"], row["times_from"]) == ("T1", None, -1, "reported")
        assert row["timestamp"] == pytest.approx((frame - 1) / 25)
        if frame in truth.colors and row["picture"]:
            shade = read_picture(Path(row["picture"]))[:4].mean((0, 1))
            assert np.abs(shade - truth.colors[frame]).max() < 1.2  # it is this frame's picture, not its neighbour's
    assert any(row["au_intensity"][facs.BP4D.index(12)] > 0 for row in found.values()) == (
        options.get("intensities", "") is not None
    )


DISFA_QUIRKS = {
    "as delivered": {},
    "labels in the root": {"labels": "."},
    "padded action units": {"unit_name": "au{:02d}"},
    "action units in capitals": {"unit_name": "AU{}"},
    "dump from 0": {"dump": "", "first_picture": 0},
    "dump from 1": {"dump": "", "first_picture": 1},
    "dump one folder down": {"dump": "frames", "suffix": ".jpg"},
    "one label less": {"shorter": ("SN013",)},
    "action units left out": {"left_out": (9, 26)},
    "unknown codes": {"unknown": 0.2},
    "lines of Windows": {"newline": "\r\n"},
}


@pytest.mark.parametrize("quirk", DISFA_QUIRKS)
def test_disfa_comes_back(quirk, tmp_path):
    root, options = tmp_path / "copy", DISFA_QUIRKS[quirk]
    written = make_disfa(root, length=25, **options)
    rows = load("disfa", root, tmp_path / "cache")
    found = by_frame(rows)
    units = facs.DISFA
    left_out = options.get("left_out", ())
    assert {key[0] for key in found} == set(written)
    for name, truth in written.items():
        for frame, codes in truth.codes.items():
            row = found[name, frame]
            levels = [-1 if number in left_out or codes[number] == 9 else codes[number] for number in units]
            assert row["au_intensity"] == levels
            assert row["au_labels"] == [-1 if level < 0 else int(level >= 2) for level in levels]
            assert row["timestamp"] == pytest.approx((frame - 1) / 20)
            assert row["task"] == ""
            assert row["picture"] == (str(root / truth.pictures[frame]) if truth.pictures else None)
            if truth.pictures:
                shade = read_picture(Path(row["picture"]))[:4].mean((0, 1))
                assert np.abs(shade - truth.colors[frame]).max() < 1.2
    assert len(found) == sum(len(truth.codes) for truth in written.values())


@pytest.mark.parametrize(
    ("camera", "folders"),
    [
        ("left", {"Left": "Videos_LeftCamera", "Right": "Video_RightCamera"}),
        ("right", {"Left": "Videos_LeftCamera", "Right": "Video_RightCamera"}),
        ("left", {"Left": "Video_LeftCamera"}),
        ("right", {"Right": "videos/Videos_RightCamera"}),
    ],
)
def test_disfa_videos_are_found_and_give_the_rate(camera, folders, tmp_path):
    root = tmp_path / "copy"
    make_disfa(root, ("SN001", "SN003"), 12, videos=folders, frame_rate=24.0)
    rows = load("disfa", root, tmp_path / "cache", camera=camera)
    for row in rows["test"]:
        side = camera.capitalize()
        assert row["video"] == str(root / folders[side] / f"{side}VideoSN003_comp.avi")
        assert row["video_frame"] == row["frame"] - 1
        assert row["times_from"] == "video"
        assert row["timestamp"] == pytest.approx((row["frame"] - 1) / 24)
    assert rows["test"].num_rows == 12  # the video's nine more frames have no labels
    given = load("disfa", root, tmp_path / "cache", camera=camera, frame_rate=20.0)["test"][3]
    assert (given["times_from"], given["timestamp"]) == ("given", pytest.approx(3 / 20))


def test_a_dump_in_the_other_cameras_folder_is_not_this_cameras(tmp_path):
    make_disfa(tmp_path / "copy", length=5, dump="Video_RightCamera", more_frames=0)
    rows = {camera: load("disfa", tmp_path / "copy", tmp_path / "c", camera=camera) for camera in ("left", "right")}
    assert rows["left"]["test"][0]["picture"] is None
    assert rows["right"]["test"][0]["picture"].endswith("Video_RightCamera/SN003/0.png")


def test_a_dump_whose_first_picture_is_lost(tmp_path):
    root = tmp_path / "copy"
    make_disfa(root, length=6, dump="", more_frames=0)
    for subject in ("SN001", "SN003", "SN013"):
        for number in (0, 1):
            (root / subject / f"{number}.png").unlink()
    with pytest.raises(InputError, match=r"SN001 starts with picture 2, .* give first_picture=0"):
        load("disfa", root, tmp_path / "cache")
    rows = load("disfa", root, tmp_path / "cache", first_picture=0)["test"]
    assert [row["picture"] and Path(row["picture"]).name for row in rows] == [
        None, None, "2.png", "3.png", "4.png", "5.png",
    ]  # fmt: skip
    rows = load("disfa", root, tmp_path / "cache", first_picture=0, frames="pictures")["test"]
    assert [row["frame"] for row in rows] == [3, 4, 5, 6]


def test_presence_begins_where_it_is_said(tmp_path):
    make_disfa(tmp_path / "copy", length=20)
    for level in (1, 2, 5):
        for row in load("disfa", tmp_path / "copy", tmp_path / "cache", present_from=level)["test"]:
            assert row["au_labels"] == [int(value >= level) for value in row["au_intensity"]]


def test_clips_hold_the_same_labels_and_score_each_frame_once(tmp_path):
    root = tmp_path / "copy"
    make_bp4d(root, length=80, unknown=0.1, gaps=(40, 41), without_picture=(5,))
    frames = by_frame(load("bp4d", root, tmp_path / "cache"))
    clips = load("bp4d", root, tmp_path / "cache", clip_length=8, clip_stride=5)
    seen = []
    for part in clips.values():
        for row in part.with_format("numpy"):
            assert row["au_labels"].shape == row["au_intensity"].shape == (8, 12)
            numbers = row["frames"]
            inside = numbers[numbers >= 0]
            assert not {41, 42} & set(range(inside.min(), inside.max() + 1))  # never across the gap
            for entry, number in enumerate(numbers):
                if number < 0:
                    assert (row["au_labels"][entry] == -1).all()
                    assert (row["au_intensity"][entry] == -1).all()
                    assert np.isnan(row["timestamps"][entry])
                    assert not row["frame_mask"][entry]
                    assert not row["scored"][entry]
                    continue
                single = frames[row["sequence"], int(number)]
                np.testing.assert_array_equal(row["au_labels"][entry], single["au_labels"])
                np.testing.assert_array_equal(row["au_intensity"][entry], single["au_intensity"])
                assert row["timestamps"][entry] == pytest.approx(single["timestamp"])
                assert row["frame_mask"][entry] == (single["picture"] is not None)
                assert row["pictures"][entry] == single["picture"]
                if row["scored"][entry]:
                    seen.append((row["sequence"], int(number)))
    assert sorted(seen) == sorted(frames)
    assert {row["phases"] for row in clips["train"]} == {3}


def same(one, other) -> None:
    one, other = list(one), list(other)
    assert len(one) == len(other) > 0
    for a, b in zip(one, other, strict=True):
        assert a.keys() == b.keys()
        for name in a:
            np.testing.assert_array_equal(np.asarray(a[name]), np.asarray(b[name]), err_msg=name)


@pytest.mark.parametrize("clip_length", [None, 6])
def test_processes_streams_and_workers_give_the_same_rows_in_the_same_order(clip_length, tmp_path):
    root = tmp_path / "copy"
    make_bp4d(root, [(s, t) for s in ("F001", "M007", "F007") for t in ("T1", "T2", "T10")], 12, pictures=None)
    options = {"clip_length": clip_length}
    built = load("bp4d", root, tmp_path / "one", **options)
    parallel = load("bp4d", root, tmp_path / "two", num_proc=3, **options)
    streamed = load("bp4d", root, tmp_path / "three", streaming=True, **options)
    assert list(dict.fromkeys(built["test"]["sequence"])) == ["F007_T1", "F007_T2", "F007_T10"]
    for part, rows in built.items():
        same(rows, parallel[part])
        same(rows, streamed[part])
    assert streamed["train"].num_shards == 6
    shards = [list(streamed["train"].shard(num_shards=2, index=index)) for index in range(2)]
    assert sorted(map(len, shards)) == [built["train"].num_rows // 2] * 2
    same(load("bp4d", root, tmp_path / "three", streaming=True, split="test", **options), built["test"])


def test_files_that_have_changed_are_read_again(tmp_path):
    root = tmp_path / "copy"
    make_bp4d(root, length=10, pictures=None)
    before = load("bp4d", root, tmp_path / "cache")["test"]
    path = root / "AUCoding/AU_OCC/F007_T1.csv"
    lines = path.read_text().splitlines()
    path.write_text("\n".join(lines[:-3]) + "\n")
    later = time.time() + 5
    os.utime(path, (later, later))
    after = load("bp4d", root, tmp_path / "cache")["test"]
    assert (before.num_rows, after.num_rows) == (10, 7)


def test_rates_are_those_of_the_training_parts(tmp_path):
    root = tmp_path / "copy"
    written = make_bp4d(root, length=60, unknown=0.2)
    rates = benchmark_positive_rates("bp4d", str(root), "P1", missing="skip", action_units=(12, 1))
    rows = [labels_of(written["F007_T1"], frame, (12, 1)) for frame in written["F007_T1"].codes]
    values = np.array(rows)  # F001 and M007 are tested
    expected = [(values[:, k] == 1).sum() / (values[:, k] >= 0).sum() for k in range(2)]
    np.testing.assert_allclose(rates, expected)
    with pytest.raises(UsageError, match="nobody is trained on"):
        benchmark_positive_rates("bp4d", str(root), "all", missing="skip")
    with pytest.raises(UsageError, match="AU45 has no known label in the training parts"):
        benchmark_positive_rates("bp4d", str(root), "P1", missing="skip", action_units=(12, 45))


def test_parts_of_your_own(tmp_path):
    root, file = tmp_path / "copy", tmp_path / "parts.yaml"
    make_bp4d(root, length=5, pictures=None)
    file.write_text("A: [F001]\nB: [M007, F007]\n")
    rows = load("bp4d", root, tmp_path / "cache", "A", folds=str(file))
    assert {part: sorted(set(found["subject"])) for part, found in rows.items()} == {
        "test": ["F001"],
        "train": ["F007", "M007"],
    }
    file.write_text("A: [F001, F007]\nB: [M007]\n")
    rows = load("bp4d", root, tmp_path / "cache", "A", folds=str(file))
    assert sorted(set(rows["test"]["subject"])) == ["F001", "F007"]
    file.write_text("A: [F001]\nB: [M007]\n")
    tasks = [(subject, f"T{n}") for subject in ("F001", "M007") for n in range(1, 9)]
    make_bp4d(root, tasks, length=5, pictures=None)
    with pytest.raises(InputError, match=r"parts\.yaml puts F007 into no part"):
        load("bp4d", root, tmp_path / "cache", "A", folds=str(file), missing="error")


def test_everyone_may_be_tested(tmp_path):
    make_disfa(tmp_path / "copy", length=5)
    rows = load("disfa", tmp_path / "copy", tmp_path / "cache", "all")
    assert list(rows) == ["test"]
    assert sorted(set(rows["test"]["subject"])) == ["SN001", "SN003", "SN013"]
    with pytest.raises(UsageError, match="nobody is trained on"):
        load("disfa", tmp_path / "copy", tmp_path / "cache", "all", split="train")


def test_missing_sequences_are_named_and_counted(tmp_path):
    root = tmp_path / "copy"
    make_disfa(root, length=4)
    with pytest.raises(InputError, match=r"24 of 27 sequences of DISFA are missing: labels of .*SN010.* and 12 more"):
        load("disfa", root, tmp_path / "cache", missing="error")
    make_bp4d(tmp_path / "b", length=4)
    shutil.rmtree(tmp_path / "b/F007")
    with pytest.raises(InputError, match=r"labels of .*; pictures of F007_T1"):
        load("bp4d", tmp_path / "b", tmp_path / "cache", missing="error", frames="pictures")
    with pytest.raises(InputError, match="has no sequence of the tested part 'P2'"):
        load("bp4d", tmp_path / "b", tmp_path / "cache", "P2")


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"fold": None}, "name the part of BP4D that is tested as fold: P1, P2, P3 or 'all'"),
        ({"fold": 1}, "other people in every project"),
        ({"fold": "P4"}, "no part 'P4'"),
        ({"split": "validation"}, "no split 'validation'"),
        ({"camera": "left"}, "BP4D has no setting 'camera'; there are action_units, clip_length"),
        ({"tested": "P1"}, "no setting 'tested'"),
        ({"frames": "some"}, "frames must be one of labelled, pictures, prepared, not 'some'"),
        ({"frames": "prepared"}, "needs prepared=DIR"),
        ({"missing": "ignore"}, "missing must be 'error' or 'skip'"),
        ({"action_units": ()}, "action_units must be different numbers"),
        ({"action_units": (1, 1)}, "action_units must be different numbers"),
        ({"clip_length": 0}, "clip_length must be at least 1"),
        ({"clip_stride": 2}, "clip_stride goes with clip_length"),
        ({"clip_length": 4, "clip_stride": 5}, "clip_stride goes with clip_length"),
        ({"clip_rate": 0.0}, "clip_rate must be a positive number"),
        ({"frame_rate": float("nan")}, "frame_rate must be a positive number"),
    ],
)
def test_settings_that_make_no_sense(settings, sentence, tmp_path):
    make_bp4d(tmp_path / "copy", length=3, pictures=None)
    with pytest.raises(UsageError, match=sentence):
        load_benchmark("bp4d", str(tmp_path / "copy"), **{"fold": "P3", "cache_dir": str(tmp_path / "c")} | settings)


def test_settings_of_disfa_that_make_no_sense(tmp_path):
    make_disfa(tmp_path / "copy", length=3)
    for settings, sentence in (
        ({"camera": "top"}, "no camera 'top'"),
        ({"first_picture": 2}, "first_picture must be 0 or 1"),
        ({"present_from": 0}, "present_from must be an intensity from 1 to 5"),
        ({"action_units": (7,)}, "DISFA does not label AU07"),
    ):
        with pytest.raises(UsageError, match=sentence):
            load("disfa", tmp_path / "copy", tmp_path / "c", **settings)
    with pytest.raises(UsageError, match="no benchmark 'ck'"):
        benchmark_builder("ck", str(tmp_path), "P1")


def _edit(path: Path, line: int, text: str) -> None:
    lines = path.read_text().splitlines()
    lines[line - 1] = text
    path.write_text("\n".join(lines) + "\n")


def _cut(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 2 // 3])


OCCURRENCE, INTENSITY = "AUCoding/AU_OCC/M007_T1.csv", "AU Intensity Codes3.0/AU12/M007_T1.csv"
DAMAGES = {
    "cut off": (OCCURRENCE, _cut, "line 9 of .* has 53 cells where the first line has 100; the file may be cut off"),
    "empty": (OCCURRENCE, lambda path: path.write_text(""), "line 1 of .* must hold 0 and then the numbers"),
    "header only": (OCCURRENCE, lambda path: path.write_text("0,1,2\n"), "labels no frame"),
    "no header": (OCCURRENCE, lambda path: path.write_text("7,1,0\n8,1,0\n"), "line 1 of .* must hold 0"),
    "a header of words": (OCCURRENCE, lambda path: path.write_text("frame,AU1\n8,1\n"), "line 1 of .* must hold 0"),
    "NaN": (OCCURRENCE, lambda path: path.write_text("0,1\n1,0\n2,nan\n"), "line 3 of .* has the label 'nan'"),
    "negative": (OCCURRENCE, lambda path: path.write_text("0,1\n1,-1\n"), "line 2 of .* has the label '-1'"),
    "another code": (OCCURRENCE, lambda path: path.write_text("0,1\n1,2\n"), "'2', which is not 0, 1 or 9"),
    "negative frame": (OCCURRENCE, lambda path: path.write_text("0,1\n-1,0\n"), "line 2 of .* has '-1' for a frame"),
    "frame NaN": (OCCURRENCE, lambda path: path.write_text("0,1\nnan,0\n"), "has 'nan' for a frame number"),
    "half a frame": (OCCURRENCE, lambda path: path.write_text("0,1\n1.5,0\n"), "has '1.5' for a frame number"),
    "huge frame": (OCCURRENCE, lambda path: path.write_text("0,1\n1e300,0\n"), "has '1e300' for a frame number"),
    "twice": (OCCURRENCE, lambda path: path.write_text("0,1\n1,0\n2,0\n1,1\n"), "labels frame 1 twice"),
    "binary": (OCCURRENCE, lambda path: path.write_bytes(b"\x89PNG\r\n\xff\xfe"), "cannot be read .it is no text"),
    "others' frames": (
        OCCURRENCE,
        lambda path: path.write_text("0,1\n900,0\n901,1\n"),
        "label files of M007_T1 are about frames 900 to 901, but .*M007/T1 holds frames 1 to 12: they are not of one",
    ),
    "intensity of 6": (INTENSITY, lambda path: _edit(path, 4, "4,6"), "line 4 of .* '6', which is not 0 to 5, or 9"),
    "intensity NaN": (INTENSITY, lambda path: _edit(path, 4, "4,nan"), "line 4 of .*AU12.* has the label 'nan'"),
    "intensity cut off": (INTENSITY, lambda path: _edit(path, 12, "12"), "line 12 of .* must hold a frame number and"),
    "a picture twice": (
        "M007/T1/0003.jpg",
        lambda path: shutil.copy(path, path.with_name("3.jpg")),
        r"0003\.jpg and 3\.jpg in .* have one frame number",
    ),
    "a picture without a number": (
        "M007/T1/0003.jpg",
        lambda path: shutil.copy(path, path.with_name("thumb.jpg")),
        "thumb.jpg in .* has no frame number in its name",
    ),
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_files_of_bp4d_are_one_sentence(damage, tmp_path):
    root = tmp_path / "copy"
    make_bp4d(root, length=12)
    name, spoil, sentence = DAMAGES[damage]
    spoil(root / name)
    for options in ({}, {"streaming": True}):
        with pytest.raises(InputError, match=sentence) as error:
            list(load("bp4d", root, tmp_path / "cache", **options)["train"])
        assert "M007" in str(error.value)
        assert "\n" not in str(error.value)


def test_damage_is_one_sentence_with_several_processes_too(tmp_path):
    make_bp4d(tmp_path / "copy", length=6, pictures=None)
    _cut(tmp_path / "copy" / OCCURRENCE)
    with pytest.raises(InputError, match=r"M007_T1\.csv has"):
        load("bp4d", tmp_path / "copy", tmp_path / "cache", num_proc=2)


def test_damage_of_disfa_is_one_sentence_with_several_processes_too(tmp_path):
    make_disfa(tmp_path / "copy", length=6)
    _edit(tmp_path / "copy/ActionUnit_Labels/SN013/SN013_au4.txt", 3, "3,7")
    with pytest.raises(InputError, match=r"^line 3 of .*SN013_au4\.txt has the label '7'") as error:
        load("disfa", tmp_path / "copy", tmp_path / "cache", num_proc=2)
    assert "\n" not in str(error.value)


def test_damaged_files_of_disfa_are_one_sentence(tmp_path):
    root = tmp_path / "copy"

    def refused(sentence: str) -> None:
        with pytest.raises(InputError, match=sentence) as error:
            load("disfa", root, tmp_path / "cache")
        assert "\n" not in str(error.value)
        shutil.rmtree(root)

    path = root / "ActionUnit_Labels/SN001/SN001_au4.txt"
    for line, text, sentence in (
        (3, "3,", "line 3 of .*SN001_au4.txt has the label ''"),
        (3, "3", "line 3 of .*SN001_au4.txt must hold a frame number and an intensity"),
        (3, "3,-1", "line 3 of .* has the label '-1', which is not 0 to 5, or 9"),
        (3, "0,1", "line 3 of .* has '0' for a frame number"),  # DISFA's labels count from 1
        (3, "2,1", "SN001_au4.txt labels frame 2 twice"),
    ):
        make_disfa(root, length=8)
        _edit(path, line, text)
        refused(sentence)
    make_disfa(root, length=8)
    path.rename(path.with_name("SN002_au4.txt"))
    refused(r"SN002_au4\.txt is named after another person than its folder")
    make_disfa(root, length=8)
    shutil.copy(path, path.with_name("SN001_au04.txt"))
    refused(r"SN001_au04\.txt and .*SN001_au4\.txt are about the same sequence")


def test_folders_that_hold_no_benchmark(tmp_path):
    (tmp_path / "empty").mkdir()
    make_bp4d(tmp_path / "bp4d", length=3)
    make_disfa(tmp_path / "disfa", length=3)
    for name, folder in (("bp4d", "empty"), ("disfa", "empty"), ("bp4d", "disfa"), ("disfa", "bp4d")):
        with pytest.raises(
            InputError, match=f"{folder} holds no label files of {name.upper()} .*; give the folder that"
        ):
            load(name, tmp_path / folder, tmp_path / "cache")
    with pytest.raises(InputError, match="none is not a folder"):
        load("bp4d", tmp_path / "none", tmp_path / "cache")
    with pytest.raises(InputError, match=r"F001_T1\.csv is not a folder"):
        load("bp4d", tmp_path / "bp4d/AUCoding/AU_OCC/F001_T1.csv", tmp_path / "cache")


def test_the_builders_say_what_they_are(tmp_path):
    make_bp4d(tmp_path / "copy", length=3)
    info = load("bp4d", tmp_path / "copy", tmp_path / "cache")["test"].info
    assert str(info.version) == "1.0.0"
    assert "labels in AUCoding/AU_OCC/" in info.description
    assert "frames that count: labelled" in info.description
    assert "no picture" in info.license
    from au_d3dface.data.bp4d import BP4D

    builder = BP4D(str(tmp_path / "cache"), str(tmp_path / "copy"), config_name="P1", missing="skip")
    assert builder.fold.test[0] == "F001"
    assert set(BP4D.builder_configs) == {"P1", "P2", "P3", "all", "own"}
    with pytest.raises(UsageError, match="give its folder as data_dir"):
        BP4D()
    assert set(BP4D_INTENSITIES) <= set(facs.BP4D)


def test_an_epoch_takes_one_phase_of_every_run(tmp_path):
    make_bp4d(tmp_path / "copy", length=60, gaps=(30,), pictures=None)
    rows = load("bp4d", tmp_path / "copy", tmp_path / "cache", clip_length=5)["train"]
    taken = set()
    for epoch in range(12):
        drawn = rows.filter(
            lambda row, e=epoch: row["phase"] == drawn_phase(row["sequence"], row["run"], row["phases"], e)
        )
        phases = {(row["sequence"], row["run"], row["phase"]) for row in drawn}
        assert sorted((name, run) for name, run, _ in phases) == [
            (s, r) for s in ("F001_T1", "M007_T1") for r in (0, 1)
        ]
        taken |= phases
    assert taken == {(row["sequence"], row["run"], row["phase"]) for row in rows}


def test_a_link_to_nothing_is_one_sentence(tmp_path):
    make_bp4d(tmp_path / "copy", length=3, pictures=None)
    path = tmp_path / "copy" / OCCURRENCE
    path.unlink()
    path.symlink_to(tmp_path / "gone.csv")
    with pytest.raises(InputError, match=r"M007_T1\.csv cannot be read"):
        load("bp4d", tmp_path / "copy", tmp_path / "cache")
    assert main(["prepare", "check", "bp4d", str(tmp_path / "copy"), "--missing", "skip"]) == 4


def test_without_the_library(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "datasets", None)
    for name in ("resumable_builder", "benchmark_builder", "bp4d"):
        monkeypatch.delitem(sys.modules, f"au_d3dface.data.{name}", raising=False)
    with pytest.raises(MissingDependencyError, match=r"pip install 'au-d3dface\[train\]'"):
        load("bp4d", tmp_path, tmp_path)


@pytest.mark.parametrize("name", ["bp4d", "disfa"])
def test_the_card_has_the_parts_and_counts_of_the_code(name):
    text = (Path(__file__).parents[2] / "hub_cards" / f"{name}.md").read_text(encoding="utf-8")
    for part, people in PARTS[name].items():
        assert f"| {part} | {LABELLED_FRAMES[name][part]:,} | {' '.join(people)} |" in text
    card = ModelCard(text)
    assert card.data.to_dict()["license"] == "other"
    assert f"{sum(LABELLED_FRAMES[name].values()):,} frames" in " ".join(text.split())
