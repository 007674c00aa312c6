"""`au-d3dface prepare`: which videos, one file each, going on where it was stopped, several processes."""

import json
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import torch
from made_deca import deca_checkpoint, random_state, save
from PIL import Image

from au_d3dface import AUD3DFacePipeline
from au_d3dface.assets import sample_video
from au_d3dface.cli import main
from au_d3dface.coarse import estimate_appearance
from au_d3dface.coarse.deca_files import convert_deca
from au_d3dface.data.prepared import read_prepared
from au_d3dface.data.prepared_views import read_prepared_view
from au_d3dface.errors import InputError, UsageError
from au_d3dface.face_models import FLAME, FaceMesh
from au_d3dface.preparation import find_videos, process_share
from au_d3dface.tracking import landmarks_68, load_tracker, track_faces
from au_d3dface.video import VideoReader


@pytest.fixture(scope="module")
def images() -> list[np.ndarray]:
    with VideoReader(sample_video()) as reader:
        return [frame.image for frame, _ in zip(reader, range(8), strict=False)]


@pytest.fixture(scope="module")
def dataset(images, tmp_path_factory: pytest.TempPathFactory, make_video) -> Path:
    """A clip, one without a face in a subfolder, a folder of frames, a damaged clip, and what is no video."""
    folder = tmp_path_factory.mktemp("dataset")
    make_video(folder / "smile.mp4", images)
    (folder / "b" / "frames").mkdir(parents=True)
    make_video(folder / "b" / "empty.mkv", [np.full_like(images[0], 90)] * 3)
    for index, image in enumerate(images[:3]):
        Image.fromarray(image).save(folder / "b" / "frames" / f"{index}.png")
    (folder / "c.avi").write_bytes(b"no video at all")
    (folder / "labels.csv").write_text("frame,AU12\n")
    return folder


def files_of(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*.npz"))


WRITTEN = ["b/empty.mkv.npz", "b/frames.npz", "smile.mp4.npz"]


def test_a_data_set_is_prepared_and_what_is_done_is_left_out(dataset, tmp_path, capsys):
    command = ["prepare", str(dataset), "--output", str(tmp_path), "--device", "cpu"]
    assert main(command) == 4  # one file cannot be read, and the others are prepared all the same
    said = capsys.readouterr()
    assert "c.avi" in said.err
    assert "1 of 4 videos could not be read" in said.err
    assert "4 videos: 3 prepared now, 0 before" in said.out
    assert files_of(tmp_path) == WRITTEN
    times = {name: (tmp_path / name).stat().st_mtime_ns for name in WRITTEN}
    (tmp_path / "b" / "frames.npz").unlink()  # as if it had been stopped here
    assert main([*command, "--quiet"]) == 4
    assert files_of(tmp_path) == WRITTEN
    kept = [name for name in WRITTEN if (tmp_path / name).stat().st_mtime_ns == times[name]]
    assert kept == ["b/empty.mkv.npz", "smile.mp4.npz"]
    assert read_prepared(tmp_path / "b" / "empty.mkv.npz", FaceMesh()).faces == {}
    assert len(read_prepared(tmp_path / "b" / "frames.npz", FaceMesh()).timestamps) == 3


def test_it_is_what_the_pipeline_finds(dataset, tmp_path):
    assert main(["prepare", str(dataset / "smile.mp4"), "-o", str(tmp_path), "--device", "cpu", "--quiet"]) == 0
    video = read_prepared(tmp_path / "smile.mp4.npz", FaceMesh())
    [coarse] = video.faces.values()
    [sequence] = AUD3DFacePipeline.from_pretrained(device="cpu")(dataset / "smile.mp4")
    np.testing.assert_allclose(coarse.vertices, sequence.coarse_vertices, atol=1e-6)
    np.testing.assert_allclose(coarse.neutral_vertices, sequence.neutral_vertices, atol=1e-7)
    np.testing.assert_allclose(coarse.rotation, sequence.rotation, atol=1e-5)
    np.testing.assert_allclose(coarse.translation, sequence.translation, atol=1e-4)
    assert (video.height, video.width) == (sequence.height, sequence.width)


def test_deca_over_a_data_set(dataset, flame_folder, tmp_path):
    convert_deca([save(deca_checkpoint(random_state(236, seed=0)), tmp_path / "deca_model.tar")], tmp_path / "deca")
    where = ["--flame", str(flame_folder), "--deca", str(tmp_path / "deca"), "--device", "cpu", "--quiet"]
    output = tmp_path / "out"
    assert main(["prepare", str(dataset / "b"), "-o", str(output), "--coarse", "deca", *where]) == 0
    flame = FLAME(flame_folder)
    [coarse] = read_prepared(output / "frames.npz", flame).faces.values()
    assert coarse.vertices.shape == (3, 5023, 3)
    assert coarse.frame_shape.shape == (3, 100)
    torch.testing.assert_close(coarse.neutral_vertices, flame(coarse.shape, torch.zeros(50)))
    assert json.loads((output / "prepare.json").read_text())["coarse"] == "deca"


def test_colours_and_light_on_request(dataset, tmp_path, capsys):
    command = ["prepare", str(dataset / "smile.mp4"), "--device", "cpu", "--quiet", "--output"]
    assert main([*command, str(tmp_path / "plain")]) == 0
    assert main([*command, str(tmp_path / "seen"), "--appearance"]) == 0
    plain, seen = (read_prepared_view(tmp_path / name / "smile.mp4.npz", FaceMesh()) for name in ("plain", "seen"))
    assert plain.appearance is None
    with closing(load_tracker()) as tracker, VideoReader(dataset / "smile.mp4") as reader:
        tracked = track_faces(reader, tracker).largest.landmarks[..., :2]
        images = [frame.image for frame in reader]
    for view in (plain, seen):
        np.testing.assert_allclose(view.landmarks, tracked[:, landmarks_68()], atol=1e-3)
        np.testing.assert_allclose(view.corners, np.stack([tracked.min(1), tracked.max(1)], 1), atol=1e-3)
    [coarse] = read_prepared(tmp_path / "seen" / "smile.mp4.npz", FaceMesh()).faces.values()
    expected = estimate_appearance(coarse, FaceMesh(), enumerate(images), 128)
    for field in ("albedo", "lighting", "confidence", "deviation"):
        torch.testing.assert_close(
            getattr(seen.appearance, field).float(), getattr(expected, field), atol=2e-3, rtol=2e-3, msg=field
        )
    assert main([*command, str(tmp_path / "plain"), "--appearance"]) == 4  # two kinds of files do not mix
    assert "prepared with other settings" in capsys.readouterr().err
    assert (seen.height, seen.width) == images[0].shape[:2]


def test_processes_share_the_videos(dataset, tmp_path, monkeypatch):
    command = ["prepare", str(dataset / "b"), str(dataset / "smile.mp4"), "-o", str(tmp_path), "--device", "cpu"]
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    assert main(command) == 0
    assert files_of(tmp_path) == ["frames.npz"]
    monkeypatch.setenv("RANK", "0")
    assert main(command) == 0
    assert files_of(tmp_path) == ["empty.mkv.npz", "frames.npz", "smile.mp4.npz"]


def test_accelerate_starts_two_processes_on_a_cpu(dataset, tmp_path):
    """The command that the page on data sets gives, and the same files as of one process."""
    pytest.importorskip("accelerate")
    launch = ["launch", "--multi_gpu", "--num_processes", "2", "--main_process_port", "0", "-m", "au_d3dface.cli"]
    command = ["prepare", str(dataset / "b"), str(dataset / "smile.mp4"), "--device", "cpu", "--output"]
    run = subprocess.run(
        [sys.executable, "-m", "accelerate.commands.accelerate_cli", *launch, *command, str(tmp_path / "two")],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert run.returncode == 0, run.stderr
    said = sorted(line for line in run.stdout.splitlines() if "prepared now" in line)
    assert [line.split(";")[0] for line in said] == [
        "1 videos: 1 prepared now, 0 before",
        "2 videos: 2 prepared now, 0 before",
    ]
    assert main([*command, str(tmp_path / "one"), "--quiet"]) == 0
    names = files_of(tmp_path / "one")
    assert files_of(tmp_path / "two") == names == ["empty.mkv.npz", "frames.npz", "smile.mp4.npz"]
    for name in names:
        with np.load(tmp_path / "one" / name) as one, np.load(tmp_path / "two" / name) as two:
            assert sorted(one.files) == sorted(two.files)
            for array in one.files:
                np.testing.assert_array_equal(one[array], two[array], err_msg=f"{name} {array}")


def test_other_settings_do_not_mix(dataset, tmp_path, capsys):
    command = ["prepare", str(dataset / "smile.mp4"), "-o", str(tmp_path), "--device", "cpu", "--quiet"]
    assert main(command) == 0
    assert main([*command, "--faces", "all"]) == 4
    assert "prepared with other settings" in capsys.readouterr().err


def test_wrong_arguments(dataset, tmp_path, capsys):
    with pytest.raises(InputError, match="does not exist"):
        find_videos([tmp_path / "nowhere"])
    with pytest.raises(InputError, match="neither videos nor pictures"):
        find_videos([tmp_path])
    twin = tmp_path / "smile.mp4"
    twin.write_bytes(b"")
    with pytest.raises(InputError, match=r"smile\.mp4 would have one file, smile\.mp4\.npz"):
        find_videos([dataset / "smile.mp4", twin])
    assert find_videos([twin, twin]) == [(twin, Path("smile.mp4.npz"))]
    for environment in ({"RANK": "2", "WORLD_SIZE": "2"}, {"RANK": "one"}, {"WORLD_SIZE": "0"}):
        with pytest.raises(UsageError, match="RANK and WORLD_SIZE"):
            process_share(environment)
    command = ["prepare", str(dataset), "-o", str(tmp_path / "out"), "--device", "cpu", "--quiet"]
    assert main([*command, "--flame", str(tmp_path)]) == 2
    assert "--flame goes with 'flame'" in capsys.readouterr().err
    assert main([*command, "--coarse", "magic"]) == 2
    assert main([*command, "--coarse", "deca", "--face-model", "facemesh", "--deca", str(tmp_path)]) == 6
    assert not (tmp_path / "out").exists()
