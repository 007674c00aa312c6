"""Labels and prepared faces meet by frame number; frames that differ are an error that names the first, no shift."""

from pathlib import Path

import numpy as np
import pytest
import torch
from benchmark_layouts import make_bp4d, make_disfa
from made_meshes import random_rotations
from PIL import Image

from au_d3dface.assets import sample_video
from au_d3dface.cli import main
from au_d3dface.coarse import CoarseSequence
from au_d3dface.data import collate_clips, load_benchmark
from au_d3dface.data.joining import read_clip
from au_d3dface.data.prepared import read_prepared, write_prepared
from au_d3dface.data.sources import Source, source_of
from au_d3dface.errors import InputError
from au_d3dface.face_models import FaceMesh
from au_d3dface.modeling_au_d3dface import face_model_checksum
from au_d3dface.video import VideoReader

datasets = pytest.importorskip("datasets")
datasets.disable_progress_bars()
MODEL = FaceMesh()


def prepare(video: Path, target: Path, rate: float = 30.0, lost: tuple[int, ...] = (), source: Source | None = None):
    """What `au-d3dface prepare` would write: row t holds a face whose first coefficient is t."""
    with VideoReader(video) as reader:
        times = np.array([frame.timestamp for frame in reader])
    length = len(times)
    expression = torch.zeros(length, len(MODEL.expression_basis))
    expression[:, 0] = torch.arange(length)
    valid = torch.ones(length, dtype=torch.bool)
    valid[list(lost)] = False
    coarse = CoarseSequence(
        vertices=torch.zeros(length, 468, 3),
        neutral_vertices=MODEL.template.clone(),
        rotation=random_rotations(length, seed=1),
        scale=torch.ones(length),
        translation=torch.zeros(length, 2),
        valid=valid,
        residual=torch.zeros(length),
        shape=torch.zeros(4),
        expression=expression,
    )
    checksum = face_model_checksum(MODEL.template, MODEL.faces)
    settings = {"coarse": "landmarks", "face_model": "facemesh", "face_model_checksum": checksum}
    target.parent.mkdir(parents=True, exist_ok=True)
    write_prepared(target, times, (48, 48), {0: coarse}, settings, source or source_of(video))


def load(name: str, root: Path, tmp_path: Path, **settings):
    options = {"cache_dir": str(tmp_path / "cache"), "missing": "skip", "prepared": str(tmp_path / "coarse")}
    return load_benchmark(name, str(root), "P3", **options | settings)


def prepare_bp4d(root: Path, tmp_path: Path, **quirks) -> None:
    make_bp4d(root, length=12, **quirks)
    for subject in ("F001", "M007", "F007"):
        prepare(root / subject / "T1", tmp_path / "coarse" / subject / "T1.npz", lost=(5,))


@pytest.mark.parametrize("padded", [True, False])
def test_bp4d_rows_find_their_coefficients_by_frame_number(padded, tmp_path):
    root = tmp_path / "copy"
    # The third picture is missing, and the first labels too: rows and frames are nowhere the same number.
    prepare_bp4d(root, tmp_path, first=95, padded=padded, without_picture=(2,), gaps=(0, 1))
    rows = load("bp4d", root, tmp_path)["test"]
    assert [row["frame"] for row in rows] == list(range(97, 107))
    assert [row["prepared_row"] for row in rows] == [-1, *range(2, 11)]
    for row in rows:
        assert row["prepared"] == str(tmp_path / "coarse/F007/T1.npz")
        assert row["times_from"] == "reported"  # pictures carry no times, whatever the prepared file says
    counted = load("bp4d", root, tmp_path, frames="prepared")["test"]
    # Row 5 lost its face: the sixth picture, that of frame 101 as 97 has none.
    assert [row["frame"] for row in counted] == [98, 99, 100, 102, 103, 104, 105, 106]


def test_clips_bring_the_meshes_of_their_frames(tmp_path):
    root = tmp_path / "copy"
    prepare_bp4d(root, tmp_path, first=2440)
    rows = load("bp4d", root, tmp_path, clip_length=4)["train"].with_format("numpy")
    clips = [read_clip(row, MODEL) for row in rows]
    for row, clip in zip(rows, clips, strict=True):
        assert clip["vertices"].shape == (4, 468, 3)
        for entry, frame in enumerate(row["frames"]):
            if frame < 0 or frame == 2445:  # no frame, or one without a face
                assert not clip["frame_mask"][entry]
                torch.testing.assert_close(clip["vertices"][entry], clip["neutral_vertices"])
            else:
                moved = clip["vertices"][entry] - clip["neutral_vertices"]
                torch.testing.assert_close(moved, (frame - 2440) * MODEL.expression_basis[0], atol=1e-5, rtol=1e-5)
                assert clip["frame_mask"][entry]
        np.testing.assert_array_equal(clip["au_labels"], row["au_labels"])
        np.testing.assert_array_equal(clip["au_intensity_labels"], row["au_intensity"])
    # All labelled frames count, whether their face was found or not, unless only those with faces are asked for.
    scored = {frame for row in rows for frame, counts in zip(row["frames"], row["scored"], strict=True) if counts}
    assert scored == set(range(2440, 2452))
    fewer = load("bp4d", root, tmp_path, clip_length=4, frames="prepared")["train"].with_format("numpy")
    scored = {frame for row in fewer for frame, counts in zip(row["frames"], row["scored"], strict=True) if counts}
    assert scored == set(range(2440, 2452)) - {2445}
    batch = collate_clips(clips)
    assert batch["vertices"].shape == (len(clips), 4, 468, 3)
    assert batch["neutral_vertices"].shape == (len(clips), 468, 3)
    alone = load_benchmark("bp4d", str(root), "P3", cache_dir=str(tmp_path / "c"), missing="skip", clip_length=4)
    with pytest.raises(InputError, match="load the benchmark with prepared=DIR"):
        read_clip(alone["test"][0], MODEL)


def test_disfa_videos_bring_their_true_times(tmp_path):
    root = tmp_path / "copy"
    folders = {"Left": "Videos_LeftCamera", "Right": "Video_RightCamera"}
    make_disfa(root, ("SN001", "SN003"), 12, videos=folders, frame_rate=24.0)
    for side, folder in folders.items():
        for subject in ("SN001", "SN003"):
            name = f"{folder}/{side}Video{subject}_comp.avi"
            prepare(root / name, tmp_path / "coarse" / f"{name}.npz")
    for camera, folder in (("left", "Videos_LeftCamera"), ("right", "Video_RightCamera")):
        rows = load("disfa", root, tmp_path, camera=camera)["test"]
        assert rows.num_rows == 12  # of 21 frames of the video
        for row in rows:
            assert row["prepared_row"] == row["frame"] - 1
            assert folder in row["prepared"]
            assert row["times_from"] == "prepared"
            assert row["timestamp"] == pytest.approx((row["frame"] - 1) / 24, abs=1e-6)


def test_a_video_that_ends_before_its_labels(tmp_path):
    root = tmp_path / "copy"
    make_disfa(root, ("SN001", "SN003"), 12, videos={"Left": "Video_LeftCamera"}, more_frames=-3)
    for subject in ("SN001", "SN003"):
        name = f"Video_LeftCamera/LeftVideo{subject}_comp.avi"
        prepare(root / name, tmp_path / "coarse" / f"{name}.npz")
    rows = load("disfa", root, tmp_path)["test"]
    assert [row["prepared_row"] for row in rows] == [*range(9), -1, -1, -1]
    assert [row["timestamp"] for row in rows] == pytest.approx(np.arange(12) / 20, abs=1e-6)
    [clip] = load("disfa", root, tmp_path, clip_length=6)["test"].filter(lambda row: row["phase"] == 1)
    assert clip["frames"] == [2, 4, 6, 8, 10, 12]
    assert clip["frame_mask"] == [True, True, True, True, False, False]


@pytest.mark.parametrize("first", [0, 1])
def test_dumps_of_disfa_count_from_0_or_1(first, tmp_path):
    root = tmp_path / "copy"
    make_disfa(root, ("SN001", "SN003"), 12, dump="frames", first_picture=first)
    for subject in ("SN001", "SN003"):
        prepare(root / "frames" / subject, tmp_path / "coarse" / f"{subject}.npz")
    for row in load("disfa", root, tmp_path)["test"]:
        assert row["prepared_row"] == row["frame"] - 1
        assert Path(row["picture"]).name == f"{row['frame'] - 1 + first}.png"


def test_only_coefficients_need_to_be_there(tmp_path):
    """On a machine for training, without the pictures: the file's own list of frames holds."""
    root, labels = tmp_path / "copy", tmp_path / "labels"
    prepare_bp4d(root, tmp_path, first=95, without_picture=(2,))
    labels.mkdir()
    (root / "AUCoding").rename(labels / "AUCoding")
    rows = load("bp4d", labels, tmp_path)["test"]
    assert [row["prepared_row"] for row in rows] == [0, 1, -1, *range(2, 11)]
    assert all(row["picture"] is None for row in rows)


def test_frames_that_differ_are_named(tmp_path):
    root = tmp_path / "copy"

    def refused(sentence: str, name: str = "bp4d") -> None:
        with pytest.raises(InputError, match=sentence) as error:
            load(name, root, tmp_path)
        assert "\n" not in str(error.value)

    prepare_bp4d(root, tmp_path, first=1)
    folder = root / "F007" / "T1"
    lost = (folder / "0007.jpg").read_bytes()
    (folder / "0007.jpg").unlink()
    refused(r"F007_T1: .*T1\.npz was made from other frames .* differs is 0007\.jpg, where 0008\.jpg lies now; remove")
    (folder / "0007.jpg").write_bytes(lost)
    load("bp4d", root, tmp_path)  # as it was prepared
    last = (folder / "0012.jpg").read_bytes()
    (folder / "0012.jpg").unlink()
    refused(r"the first that differs is 0012\.jpg, now missing")
    (folder / "0012.jpg").write_bytes(last)
    (folder / "0013.jpg").write_bytes(last)
    refused(r"the first that differs is 0013\.jpg, new since")
    (folder / "0013.jpg").unlink()
    (folder / "0012.jpg").write_bytes(last + b"0")
    refused(r"F007_T1: the pictures in .* have changed since")
    (folder / "0012.jpg").write_bytes(last)
    for path in sorted(folder.iterdir(), reverse=True):  # a frame later: the very shift that must not happen
        path.rename(folder / f"{int(path.stem) + 1:04d}.jpg")
    refused(r"the first that differs is 0001\.jpg, where 0002\.jpg lies now")


def test_other_videos_and_files_are_named(tmp_path):
    root = tmp_path / "copy"
    make_disfa(root, ("SN001", "SN003"), 6, videos={"Left": "Video_LeftCamera"})
    name = "LeftVideo{}_comp.avi"
    videos = [root / "Video_LeftCamera" / name.format(subject) for subject in ("SN001", "SN003")]
    targets = [tmp_path / "coarse" / f"{video.name}.npz" for video in videos]

    def refused(sentence: str) -> None:
        with pytest.raises(InputError, match=sentence) as error:
            load("disfa", root, tmp_path)
        assert "\n" not in str(error.value)

    (tmp_path / "coarse").mkdir()
    refused("holds nothing that `au-d3dface prepare` made of disfa")
    prepare(videos[0], targets[0])
    prepare(videos[0], targets[1])  # SN001's, under the name of SN003
    refused(r"SN003_comp\.avi\.npz was made from another video than .*SN003_comp\.avi; remove it and prepare SN003")
    prepare(videos[1], targets[1])
    (tmp_path / "coarse" / "again").mkdir()
    prepare(videos[1], tmp_path / "coarse" / "again" / targets[1].name)
    refused("are about the same sequence")
    (tmp_path / "coarse" / "again" / targets[1].name).unlink()
    content = targets[1].read_bytes()
    targets[1].write_bytes(content[: len(content) // 2])
    refused("no file of `au-d3dface prepare`")
    with np.load(targets[0]) as npz:
        arrays = dict(npz)
    header = str(arrays["header"]).partition(', "source"')[0] + "}"
    np.savez(targets[1], **arrays | {"header": np.array(header)})  # of the version before this one
    refused("does not say which frames it was made from; remove it and prepare SN003 again")
    np.savez(targets[1], **arrays | {"header": np.array(header[:-1] + ', "source": {"pictures": 3}}')})
    refused("no file of `au-d3dface prepare`")
    targets[1].unlink()
    with pytest.raises(InputError, match="prepared faces of SN003") as error:
        load("disfa", root, tmp_path, missing="error")
    assert "are missing" in str(error.value)


def test_the_command_writes_what_the_rows_are_joined_with(tmp_path):
    """From the folder as delivered, through `au-d3dface prepare`, to a clip of meshes; with a face in the pictures."""
    root = tmp_path / "copy"
    make_bp4d(root, [("F001", "T1"), ("F007", "T1")], length=5, first=998, padded=False)
    with VideoReader(sample_video()) as reader:
        for frame, number in zip(reader, range(998, 1003), strict=False):
            Image.fromarray(frame.image).save(root / "F001" / "T1" / f"{number}.jpg")
    command = ["prepare", str(root), "--output", str(tmp_path / "coarse"), "--device", "cpu", "--quiet"]
    assert main(command) == 0
    video = read_prepared(tmp_path / "coarse/F001/T1.npz", MODEL)
    assert video.source == source_of(root / "F001/T1")
    assert video.source.pictures == ("998.jpg", "999.jpg", "1000.jpg", "1001.jpg", "1002.jpg")
    rows = load("bp4d", root, tmp_path)
    assert [row["prepared_row"] for row in rows["train"]] == list(range(5))
    clip = read_clip(load("bp4d", root, tmp_path, clip_length=2)["train"][0], MODEL)
    assert clip["frame_mask"].tolist() == [True, True]
    assert 0 < (clip["vertices"] - clip["neutral_vertices"]).abs().max() < 0.03
