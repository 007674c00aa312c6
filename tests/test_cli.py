"""The command line, as people meet it: what it writes, and one sentence with a documented exit status for bad input."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from au_d3dface.assets import sample_video
from au_d3dface.cli import main
from au_d3dface.video import VideoReader, VideoWriter


@pytest.fixture(scope="session")
def short(tmp_path_factory) -> Path:
    """The first second of the sample clip."""
    path = tmp_path_factory.mktemp("short") / "short.mp4"
    with VideoReader(sample_video()) as reader, VideoWriter(path, 30, reader.height, reader.width) as writer:
        for frame in reader:
            if frame.index == 30:
                break
            writer.write(frame.image)
    return path


def rows_of(folder: Path) -> list[dict[str, str]]:
    with open(folder / "action_units.csv", newline="") as file:
        return list(csv.DictReader(file))


def test_reconstruct_writes_every_output(short, tmp_path, capsys):
    assert main(["reconstruct", str(short), "--output", str(tmp_path / "out")]) == 0
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {
        "action_units.csv",
        "sequence.npz",
        "face.glb",
        "overlay.mp4",
        "timeline.png",
        "summary.json",
    }
    rows = rows_of(tmp_path / "out")
    assert [int(row["frame"]) for row in rows] == list(range(1, 31))
    assert all(row["success"] == "1" and 0 <= float(row["AU12_p"]) <= 1 for row in rows)
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["settings"]["faces"] == "largest"
    assert {"decoding", "tracking", "fitting", "network", "export"} <= set(summary["seconds"])
    with np.load(tmp_path / "out" / "sequence.npz") as arrays:
        assert arrays["vertices"].shape == (30, 468, 3)
        # The fixed frame of the house: metres, x to the subject's left, z out of the face.
        assert 0.1 < np.ptp(arrays["neutral_vertices"][:, 1]) < 0.25
    assert "30 frames, 1 face" in capsys.readouterr().out


def test_a_strip_on_request(short, tmp_path):
    arguments = ["reconstruct", str(short), "-o", str(tmp_path / "out"), "--formats", "strip", "--quiet"]
    assert main([*arguments, "--faces", "all"]) == 0
    names = sorted(str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*.*"))
    assert names == ["face_00/strip.png", "summary.json"]
    (tmp_path / "blocked" / "strip.png").mkdir(parents=True)
    arguments[arguments.index("-o") + 1] = str(tmp_path / "blocked")
    assert main(arguments) == 5
    assert [path.name for path in (tmp_path / "blocked").rglob("*")] == ["strip.png"]


def test_texture_and_render_on_request(short, tmp_path):
    arguments = ["reconstruct", str(short), "-o", str(tmp_path / "out"), "--formats", "glb,texture,render", "--quiet"]
    assert main(arguments) == 0
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"face.glb", "texture.png", "render.mp4", "summary.json"}
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["faces"][0]["appearance"] is True
    assert summary["seconds"]["appearance"] > 0
    with VideoReader(short) as source, VideoReader(tmp_path / "out" / "render.mp4") as reader:
        assert (reader.height, reader.width) == (source.height, 2 * source.width)
        first, rendered = next(iter(source)).image, next(iter(reader)).image
    left, right = rendered[:, : source.width].astype(int), rendered[:, source.width :].astype(int)
    assert np.abs(left - first).mean() < 4
    assert 0.5 < np.abs(right - left).mean() < 12  # the rendered face looks like the one in the video


def test_known_labels_replace_predictions(short, tmp_path):
    labels = tmp_path / "labels.csv"
    labels.write_text("frame,AU12,AU45_c\n1,1,\n4,1,0\n7,,0\n")
    arguments = ["reconstruct", str(short), "-o", str(tmp_path / "out"), "--formats", "csv", "--quiet"]
    assert main([*arguments, "--au-labels", str(labels)]) == 0
    rows = rows_of(tmp_path / "out")
    assert [rows[frame]["AU12_c"] for frame in (0, 3)] == ["1", "1"]
    assert [rows[frame]["AU45_c"] for frame in (3, 6)] == ["0", "0"]


def test_neutral_picture(short, tmp_path):
    from PIL import Image

    picture = tmp_path / "rest.png"
    with VideoReader(short) as reader:
        Image.fromarray(next(iter(reader)).image).save(picture)
    arguments = ["reconstruct", str(short), "-o", str(tmp_path / "out"), "--formats", "npz", "--quiet"]
    assert main([*arguments, "--neutral", str(picture)]) == 0
    with np.load(tmp_path / "out" / "sequence.npz") as arrays:
        # The clip's first second is at rest, so its coarse faces are within a millimetre or two of the picture's.
        assert np.linalg.norm(arrays["coarse_vertices"][0] - arrays["neutral_vertices"], axis=-1).mean() < 2e-3


def test_everyone_of_two(short, tmp_path):
    """Two faces side by side: one csv and overlay for both, and a folder for each."""
    path = tmp_path / "two.mp4"
    with VideoReader(short) as reader, VideoWriter(path, 30, reader.height, 2 * reader.width) as writer:
        for frame in reader:
            writer.write(np.concatenate([frame.image, frame.image[:, ::-1]], 1))
    assert main(["reconstruct", str(path), "-o", str(tmp_path / "out"), "--faces", "all", "--formats", "csv,npz"]) == 0
    rows = rows_of(tmp_path / "out")
    assert {row["face_id"] for row in rows} == {"0", "1"}
    assert len(rows) == 60
    assert all((tmp_path / "out" / f"face_0{face}" / "sequence.npz").is_file() for face in (0, 1))


def test_no_face_says_so_and_leaves_only_the_csv(tmp_path, make_video, capsys):
    path = make_video(tmp_path / "empty.mp4", [np.full((120, 160, 3), 90, np.uint8)] * 5)
    assert main(["reconstruct", str(path), "-o", str(tmp_path / "out")]) == 3
    assert "no face was found in any of the 5 frames" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["action_units.csv"]
    rows = rows_of(tmp_path / "out")
    assert len(rows) == 5
    assert {row["success"] for row in rows} == {"0"}
    assert {row["AU12_p"] for row in rows} == {""}


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def folder(path: Path) -> Path:
    path.mkdir()
    return path


@pytest.mark.parametrize(
    ("make", "status", "words"),
    [
        (lambda at: [at / "missing.mp4"], 4, "missing.mp4"),
        (lambda at: [folder(at / "pictures")], 4, "pictures"),
        (lambda at: [write(at / "text.mp4", b"this is not a video\n" * 50)], 4, "text.mp4"),
        (lambda at: [write(at / "empty.mp4", b"")], 4, "empty.mp4"),
        (lambda at: [write(at / "noise.mp4", np.random.default_rng(0).bytes(50_000))], 4, "noise.mp4"),
        (lambda at: ["sample", "--formats", "csv,tiff"], 2, "tiff"),
        (lambda at: ["sample", "--device", "abacus"], 2, "abacus"),
        (lambda at: ["sample", "--face-model", "clay"], 2, "clay"),
        (lambda at: ["sample", "--coarse", "guess"], 2, "guess"),
        (lambda at: ["sample", "--ict-facekit", at], 2, "'ict'"),
        (lambda at: ["sample", "--face-model", "ict", "--ict-facekit", at / "nowhere"], 6, "nowhere"),
        (lambda at: ["sample", "--face-model", "ict", "--ict-facekit", folder(at / "kit")], 6, "kit holds no"),
        (lambda at: ["sample", "--model", at / "nowhere"], 6, "nowhere"),
        (lambda at: ["sample", "--model", folder(at / "bare")], 6, "config.json"),
        (lambda at: ["sample", "--neutral", at / "missing.png"], 4, "missing.png"),
        (lambda at: ["sample", "--au-labels", at / "missing.csv"], 4, "missing.csv"),
        (lambda at: ["sample", "--au-labels", write(at / "odd.csv", b"a,b\n1,2\n")], 4, "odd.csv"),
    ],
)
def test_bad_input_is_one_sentence(make, status, words, tmp_path, capsys):
    arguments = [str(part) for part in make(tmp_path)]
    output = tmp_path / "out"
    assert main(["reconstruct", *arguments, "-o", str(output)]) == status
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("au-d3dface: error: ")
    assert words in lines[0]
    assert not output.exists()


def test_ict_that_nobody_fetched_names_the_command(tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("AU_D3DFACE_ICT_FACEKIT", raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    assert main(["reconstruct", "sample", "--face-model", "ict", "-o", str(tmp_path / "out")]) == 6
    [line] = capsys.readouterr().err.strip().splitlines()
    assert "au-d3dface assets ict-facekit" in line
    assert not (tmp_path / "out").exists()


def test_audio_only(tmp_path, capsys):
    import av

    path = tmp_path / "sound.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=44_100, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 4096), np.float32), format="fltp", layout="mono")
        frame.rate, frame.pts = 44_100, 0
        for packet in (*stream.encode(frame), *stream.encode(None)):
            container.mux(packet)
    assert main(["reconstruct", str(path), "-o", str(tmp_path / "out")]) == 4
    assert "sound.mp4" in capsys.readouterr().err


def test_output_that_is_a_file_is_left_alone(tmp_path, capsys):
    output = write(tmp_path / "out", b"mine")
    assert main(["reconstruct", "sample", "-o", str(output)]) == 5
    assert output.read_bytes() == b"mine"
    assert "is a file" in capsys.readouterr().err


def checkpoint_copy(target: Path) -> Path:
    import shutil

    from au_d3dface.checkpoints import BUNDLED

    shutil.copytree(BUNDLED, target)
    return target


@pytest.mark.parametrize("damage", ["truncated", "other type", "missing tensor", "bad json"])
def test_damaged_model_folder(damage, tmp_path, capsys):
    model = checkpoint_copy(tmp_path / "model")
    weights, config = model / "model.safetensors", model / "config.json"
    if damage == "truncated":
        weights.write_bytes(weights.read_bytes()[: weights.stat().st_size // 2])
    elif damage == "other type":
        config.write_text(json.dumps({**json.loads(config.read_text()), "model_type": "bert"}))
    elif damage == "missing tensor":
        from safetensors.torch import load_file, save_file

        tensors = load_file(weights)
        del tensors[next(name for name in tensors if name.endswith("weight"))]
        save_file(tensors, weights, metadata={"format": "pt"})
    else:
        config.write_text("{")
    assert main(["reconstruct", "sample", "-o", str(tmp_path / "out"), "--model", str(model)]) == 6
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert "model" in lines[0]
    assert not (tmp_path / "out").exists()


def test_usage_errors_of_argparse(capsys):
    with pytest.raises(SystemExit) as exit_info:
        main(["reconstruct", "sample"])
    assert exit_info.value.code == 2
    assert "--output" in capsys.readouterr().err


def test_signals_are_as_they_were_after_a_command(tmp_path, capsys):
    """Else processes forked later could not be stopped by SIGTERM."""
    before = signal.getsignal(signal.SIGTERM)
    assert main(["reconstruct", str(tmp_path / "missing.mp4"), "-o", str(tmp_path / "out")]) == 4
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.slow  # a real process must start, load, and be interrupted in the middle of its work
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupt_leaves_nothing_half_written(number, tmp_path):
    output = tmp_path / "out"
    process = subprocess.Popen(
        [sys.executable, "-m", "au_d3dface.cli", "reconstruct", "sample", "-o", str(output)],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    # The staging folder shows that the export has begun: the worst moment to be interrupted.
    deadline = time.monotonic() + 120
    while not any(output.glob(".*")) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    assert process.poll() is None, process.communicate()
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors.strip().splitlines()[-1].startswith("au-d3dface: interrupted")
    assert "Traceback" not in errors
    assert not output.exists()


def test_a_reader_that_stops_early_is_no_error(short, tmp_path):
    command = f"'{sys.executable}' -m au_d3dface.cli reconstruct '{short}' -o '{tmp_path / 'out'}' --formats csv | true"
    done = subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(rows_of(tmp_path / "out")) == 30


def test_help_names_the_exit_statuses_and_loads_nothing_heavy():
    script = "import sys, au_d3dface.cli as cli; print('torch' in sys.modules); cli.main(['--help'])"
    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert shown.startswith("False")
    assert "3 no face" in " ".join(shown.split())
