"""Writing looks for cancellation often, counted in bytes, frames and pictures; whatever is cancelled leaves nothing."""

import os
import signal
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from au_d3dface import command_line
from au_d3dface.assets import sample_video
from au_d3dface.cli import main
from au_d3dface.export import files as files_module
from au_d3dface.export import write_outputs
from au_d3dface.export.files import BLOCK_BYTES, TEMPORARY_PREFIX
from au_d3dface.export.glb import write_glb
from au_d3dface.export.morph_targets import FRAMES_A_LOOK
from au_d3dface.export.npz import write_npz
from au_d3dface.export.strip import strip_frames, write_strip
from au_d3dface.face_sequence import FaceSequence
from au_d3dface.geometry import vertex_normals
from au_d3dface.video import VideoReader, VideoWriter

MakeSequence = Callable[..., FaceSequence]
LARGE = 20_000
"""Frames of 42 vertices: 20 MB of meshes."""


class Looks(list[tuple[str, int, int | None]]):
    """What progress was told."""

    def __call__(self, stage: str, done: int, total: int | None) -> None:
        self.append((stage, done, total))


def test_arrays_are_written_with_a_look_every_block(tmp_path: Path, make_sequence: MakeSequence) -> None:
    looks = Looks()
    (path,) = write_npz(tmp_path, make_sequence(frames=LARGE), looks)
    told = [done for _, done, _ in looks]
    total = 2 * LARGE * 42 * 12 // 2**20
    assert {(stage, whole) for stage, _, whole in looks} == {("npz", total)}
    assert told == sorted(told)
    assert told[-1] == total
    assert max(b - a for a, b in pairwise([0, *told])) <= BLOCK_BYTES / 2**20
    assert path.stat().st_size / BLOCK_BYTES < len(looks)


def test_the_animated_face_is_computed_and_written_with_looks(
    tmp_path: Path, make_sequence: MakeSequence, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twice over all frames at least: the error of the basis, and the normals."""
    counts = []
    for frames in (320, 640, 1280):
        looks = Looks()
        assert write_glb(tmp_path / "a.glb", make_sequence(frames=frames), per_frame_limit=1, progress=looks).low_rank
        assert set(looks) == {("glb", 0, None)}
        counts.append(len(looks))
    assert all(b - a >= 2 * 320 / FRAMES_A_LOOK for a, b in pairwise(counts))
    monkeypatch.setattr(files_module, "BLOCK_BYTES", 1000)
    looks.clear()
    report = write_glb(tmp_path / "b.glb", make_sequence(frames=1280), per_frame_limit=1, progress=looks)
    assert len(looks) > counts[-1] + report.path.stat().st_size / 1000 - 10
    assert report.path.read_bytes() == (tmp_path / "a.glb").read_bytes()


def test_the_normals_of_a_basis_are_the_least_squares_fit(tmp_path: Path, make_sequence: MakeSequence) -> None:
    """They are summed up some frames at a time."""
    import pygltflib

    sequence = make_sequence(frames=3 * FRAMES_A_LOOK + 5, invalid=())
    document = pygltflib.GLTF2().load(str(write_glb(tmp_path / "a.glb", sequence, per_frame_limit=1).path))
    blob = document.binary_blob()

    def read(number: int) -> np.ndarray:
        accessor = document.accessors[number]
        start = document.bufferViews[accessor.bufferView].byteOffset + (accessor.byteOffset or 0)
        width = {"SCALAR": 1, "VEC3": 3}[accessor.type]
        return np.frombuffer(blob, np.float32, accessor.count * width, start).reshape(-1, width)

    weights = read(document.animations[0].samplers[0].output).reshape(len(sequence), -1)
    primitive = document.meshes[0].primitives[0]
    faces = torch.from_numpy(sequence.faces)
    bent = vertex_normals(torch.from_numpy(sequence.vertices), faces).numpy() - read(primitive.attributes.NORMAL)
    expected = np.linalg.lstsq(weights.astype(np.float64), bent.reshape(len(bent), -1), rcond=1e-5)[0]
    found = np.stack([read(target["NORMAL"]).ravel() for target in primitive.targets])
    assert np.abs(expected).max() > 0.01
    assert np.allclose(found, expected, atol=1e-3 * np.abs(expected).max())


def test_the_strip_looks_before_each_picture(tmp_path: Path, sequence_with_video: FaceSequence) -> None:
    looks = Looks()
    write_strip(tmp_path / "strip.png", sequence_with_video, progress=looks)
    columns = strip_frames(sequence_with_video)
    assert len(looks) == 4 * len(columns) + columns[-1] + 1  # four rows are drawn; the video is read as far as needed


@pytest.mark.parametrize("stage", ["npz", "glb"])
@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_cancelled_at_any_look_the_earlier_files_stay_and_no_other(
    tmp_path: Path, small_sequence: FaceSequence, stage: str, error: type[BaseException]
) -> None:
    def write(progress: Callable[[str, int, int | None], None]) -> None:
        units = small_sequence.action_units
        write_outputs([small_sequence], tmp_path, stage, {}, small_sequence.timestamps, units, progress)

    looks = Looks()
    write(looks)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    assert len(looks) > 5
    small_sequence.vertices = small_sequence.vertices + 0.001
    for last in range(len(looks)):
        left = [last]

        def cancel(name: str, done: int, total: int | None, left: list[int] = left) -> None:
            if not left[0]:
                raise error
            left[0] -= 1

        with pytest.raises(error):
            write(cancel)
        assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten frames of the sample clip."""
    path = tmp_path_factory.mktemp("short") / "short.mp4"
    with VideoReader(sample_video()) as reader, VideoWriter(path, 30, reader.height, reader.width) as writer:
        for frame in reader:
            if frame.index == 10:
                break
            writer.write(frame.image)
    return path


@pytest.mark.parametrize("swallowed", [False, True], ids=["at once", "swallowed by a library"])
@pytest.mark.parametrize("stage", ["npz", "glb"])
def test_ctrl_c_on_the_command_line_in_the_middle_of_a_file(
    short: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
    stage: str,
    swallowed: bool,
) -> None:
    output, seen, after = tmp_path / "out", [], []
    told = command_line.ProgressBar.__call__

    def press(bar: command_line.ProgressBar, name: str, done: int, total: int | None) -> None:
        if seen:
            after.append(name)
        half = [path for path in output.rglob(f"{TEMPORARY_PREFIX}*.{stage}") if path.is_file()]
        if half and not seen:
            seen.extend(half)
            if swallowed:
                command_line.Interrupts.asked = True
                return
            os.kill(os.getpid(), signal.SIGINT)
        told(bar, name, done, total)

    monkeypatch.setattr(command_line.ProgressBar, "__call__", press)
    assert main(["reconstruct", str(short), "-o", str(output), "--formats", f"csv,{stage}", "--device", "cpu"]) == 130
    assert seen, "no file was being written"
    assert after == ([stage] if swallowed else [])  # the very next look, and in the same file
    assert "interrupted; nothing was left half-written" in capsys.readouterr().err
    assert not output.exists()
