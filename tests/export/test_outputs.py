"""All outputs together: all of them or nothing, earlier files whole, and one sentence where it fails."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from au_d3dface.errors import OutputError, UsageError
from au_d3dface.export import check_output_directory, write_outputs
from au_d3dface.export import csv as csv_module
from au_d3dface.export import npz as npz_module
from au_d3dface.face_sequence import FaceSequence

RUN = {"settings": {"faces": "largest"}, "warnings": ["a warning"], "seconds": {"tracking": 1.5}}


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def write(sequence: FaceSequence, folder: Path, formats: str | None = None, **options) -> list[Path]:
    return write_outputs([sequence], folder, formats, RUN, sequence.timestamps, sequence.action_units, **options)


def test_everything_by_default(tmp_path: Path, sequence_with_video: FaceSequence) -> None:
    folder = tmp_path / "new" / "out"
    stages = []
    written = write(sequence_with_video, folder, progress=lambda name, done, total: stages.append(name))
    expected = ["action_units.csv", "face.glb", "overlay.mp4", "sequence.npz", "summary.json", "timeline.png"]
    assert names(folder) == expected
    assert written == [folder / name for name in expected]
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["outputs"] == [name for name in expected if name != "summary.json"]
    assert summary["settings"] == {"faces": "largest"}
    assert summary["warnings"] == ["a warning"]
    assert set(summary["seconds"]["export"]) == {"csv", "npz", "glb", "timeline", "overlay"} <= set(stages)
    assert summary["faces"][0]["glb"]["morph_targets"] == 22
    assert (folder / "face.glb").stat().st_mode & 0o777 == 0o666 & ~_umask()


def test_save_writes_the_same_and_leaves_out_the_overlay_without_a_video(
    tmp_path: Path, small_sequence: FaceSequence
) -> None:
    small_sequence.save(tmp_path)
    assert names(tmp_path) == ["action_units.csv", "face.glb", "sequence.npz", "summary.json", "timeline.png"]
    with pytest.raises(UsageError, match="needs the video"):
        small_sequence.save(tmp_path / "b", "csv,overlay")
    assert not (tmp_path / "b").exists()


def test_everyone(tmp_path: Path, sequence_with_video: FaceSequence) -> None:
    other = FaceSequence(**{**vars(sequence_with_video), "face_id": 3})
    people, units = [sequence_with_video, other], sequence_with_video.action_units
    write_outputs(people, tmp_path, "csv,npz,obj,overlay", RUN, sequence_with_video.timestamps, units, per_face=True)
    assert {name.split("/")[0] for name in names(tmp_path)} == {
        "action_units.csv",
        "overlay.mp4",
        "summary.json",
        "face_00",
        "face_03",
    }
    assert (tmp_path / "face_03" / "sequence.npz").is_file()
    assert (tmp_path / "face_03" / "meshes" / "000001.obj").is_file()
    assert sorted(pd.read_csv(tmp_path / "action_units.csv")["face_id"].unique()) == [0, 3]
    with pytest.raises(ValueError, match="per_face"):
        write_outputs(people, tmp_path, "csv", RUN, sequence_with_video.timestamps, units)
    # Once more over the same files, with one frame fewer in the meshes.
    other.valid = other.valid.copy()
    other.valid[0] = False
    write_outputs(people, tmp_path, "obj", RUN, sequence_with_video.timestamps, units, per_face=True)
    assert not (tmp_path / "face_03" / "meshes" / "000001.obj").exists()
    assert (tmp_path / "face_00" / "meshes" / "000001.obj").exists()


def test_nobody_gives_the_csv_alone(tmp_path: Path) -> None:
    write_outputs([], tmp_path, ("csv", "npz", "glb"), None, np.arange(3) / 25, (1, 12))
    assert names(tmp_path) == ["action_units.csv"]
    assert pd.read_csv(tmp_path / "action_units.csv")["success"].tolist() == [0, 0, 0]


def test_a_range_for_the_glb_is_told(tmp_path: Path, small_sequence: FaceSequence) -> None:
    write(small_sequence, tmp_path, "glb", frame_range=(2, 5))
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["faces"][0]["glb"]["first_frame"] == 2
    assert "covers frames 2 to 5, not the whole video" in summary["warnings"][1]


def test_parts_of_an_earlier_run_do_not_stay(
    tmp_path: Path, small_sequence: FaceSequence, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sequence_notes.npz").write_bytes(b"the user's own")
    write(small_sequence, tmp_path, "npz")
    monkeypatch.setattr(npz_module.write_npz, "__defaults__", (5000,))
    write(small_sequence, tmp_path, "npz")
    parts = [name for name in names(tmp_path) if name.endswith(".npz")]
    assert len(parts) == 7
    assert "sequence.npz" not in parts
    monkeypatch.undo()
    write(small_sequence, tmp_path, "npz")
    assert names(tmp_path) == ["sequence.npz", "sequence_notes.npz", "summary.json"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError, OSError])
def test_an_interrupt_leaves_the_earlier_files_whole(
    tmp_path: Path, sequence_with_video: FaceSequence, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    folder = tmp_path / "out"
    write(sequence_with_video, folder)
    before = {name: (folder / name).read_bytes() for name in names(folder)}
    sequence_with_video.au_probabilities = 1 - sequence_with_video.au_probabilities

    def interrupt(name: str, done: int, total: int | None) -> None:
        if name == "overlay" and done == 3:
            raise error

    with pytest.raises(OutputError if error is OSError else error):
        write(sequence_with_video, folder, progress=interrupt)
    assert {name: (folder / name).read_bytes() for name in names(folder)} == before
    assert len(list(folder.iterdir())) == len(before)
    with pytest.raises(OutputError if error is OSError else error):
        write(sequence_with_video, tmp_path / "a" / "b", progress=interrupt)
    assert not (tmp_path / "a").exists()


def test_a_file_in_the_way(tmp_path: Path, small_sequence: FaceSequence) -> None:
    (tmp_path / "file").write_text("mine")
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(OutputError, match=r"file.* a file; choose another folder"):
            check_output_directory(path)
        with pytest.raises(OutputError):
            write(small_sequence, path, "csv")
    assert (tmp_path / "file").read_text() == "mine"
    (tmp_path / "out" / "face.glb").mkdir(parents=True)
    with pytest.raises(OutputError, match=r"face\.glb: a folder has its name"):
        write(small_sequence, tmp_path / "out", "csv,glb")
    assert names(tmp_path / "out") == []


def test_the_check_leaves_nothing_behind(tmp_path: Path) -> None:
    check_output_directory(tmp_path / "a" / "b")
    check_output_directory(tmp_path)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(OutputError, match="its name is too long"):
        check_output_directory(tmp_path / ("x" * 300))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_is_not_writable(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError, match="it is not writable"):
        check_output_directory(tmp_path / "a")


def test_an_error_that_says_not_writable(
    tmp_path: Path, small_sequence: FaceSequence, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(csv_module, "atomic_path", refuse)
    with pytest.raises(OutputError, match=f"cannot write {tmp_path}: it is not writable"):
        write(small_sequence, tmp_path, "csv")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 200 kB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = shutil.which("mount")
    if mount is None or os.geteuid() != 0:
        pytest.skip("only root can mount a small file system")
    command = [mount, "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(folder)]
    if (done := subprocess.run(command, capture_output=True, text=True)).returncode:
        pytest.skip(f"a small file system cannot be mounted here: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("formats", ["npz", "obj", "glb", "timeline", "overlay"])
def test_a_full_disk(small_disk: Path, sequence_with_video: FaceSequence, formats: str) -> None:
    out = small_disk / "out"
    write(sequence_with_video, out, "csv")
    before = {name: (out / name).read_bytes() for name in names(out)}
    room = shutil.disk_usage(small_disk).free - 8192
    (small_disk / "filler").write_bytes(b"0" * room)
    with pytest.raises(OutputError) as error:
        write(sequence_with_video, out, f"csv,{formats}")
    assert str(small_disk / "out") in str(error.value)
    assert ".au-d3dface" not in str(error.value)
    assert "full" in str(error.value) or "No space" in str(error.value)
    assert {name: (out / name).read_bytes() for name in names(out)} == before
    assert len(list(out.iterdir())) == len(before)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
