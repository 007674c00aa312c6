"""The MediaPipe trackers: exact conversion, quiet, and one clear sentence where something is missing."""

import importlib
import subprocess
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from au_d3dface.errors import CheckpointError, MissingDependencyError
from au_d3dface.tracking import mediapipe_tracker
from au_d3dface.tracking.mediapipe_tracker import (
    MediaPipeFaceLandmarker,
    MediaPipeFaceMesh,
    landmarks_of_message,
    landmarks_of_points,
    load_tracker,
    to_pixels,
)


@pytest.fixture
def message():
    landmark_pb2 = pytest.importorskip("mediapipe.framework.formats.landmark_pb2")
    rng = np.random.default_rng(0)
    points = rng.normal(size=(478, 3)).astype(np.float32)
    points[5] = 0  # zeros that are set are on the wire too
    made = landmark_pb2.NormalizedLandmarkList()
    for x, y, z in points:
        made.landmark.add(x=x, y=y, z=z)
    return made, points


def test_wire_reading_equals_attribute_reading(message):
    made, points = message
    np.testing.assert_array_equal(landmarks_of_message(made), points)
    np.testing.assert_array_equal(landmarks_of_points(made.landmark), points)


@pytest.mark.parametrize("change", ["visibility", "unset", "fewer", "swap"])
def test_another_layout_falls_back_to_attributes(message, change):
    made, points = message
    if change == "visibility":
        made.landmark[7].visibility = 0.5
    elif change == "unset":
        made.landmark[7].ClearField("y")
        points[7, 1] = 0
    elif change == "fewer":
        del made.landmark[468:]
        points = points[:468]
    else:  # as long in all as the fixed layout, but one landmark longer and one shorter
        made.landmark[7].visibility = 0.5
        made.landmark[8].ClearField("y")
        points[8, 1] = 0
        assert len(made.SerializeToString()) == 478 * 17
    np.testing.assert_array_equal(landmarks_of_message(made), points)


def test_pixels_scale_z_with_the_width():
    np.testing.assert_array_equal(
        to_pixels(np.full((1, 3), 0.5, np.float32), height=100, width=200), [[100.0, 50.0, 100.0]]
    )


def test_tracking_writes_nothing_to_standard_error(clips: Path):
    program = f"""
import av
from au_d3dface.tracking import load_tracker
tracker = load_tracker()
with av.open({str(clips / "pyfeat_single_face.mp4")!r}) as container:
    for frame, _ in zip(container.decode(video=0), range(3)):
        assert len(tracker(frame.to_ndarray(format="rgb24"), frame.time)) == 1
tracker.close()
tracker.close()
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""


def test_quiet_passes_other_lines_on(capfd):
    import os

    with mediapipe_tracker._quiet():
        os.write(2, b"W0000 00:00:1.1 1 x.cc:1] notice\nsomething of ours\nE0000 00:00:1.1 1 x.cc:1] a real error\n")
    assert capfd.readouterr().err == "something of ours\nE0000 00:00:1.1 1 x.cc:1] a real error\n"


def raising(error: Exception):
    def import_module(name: str):
        raise error

    return import_module


def test_missing_libgl_names_the_packages(monkeypatch):
    error = ImportError("libGL.so.1: cannot open shared object file: No such file or directory")
    monkeypatch.setattr(importlib, "import_module", raising(error))
    with pytest.raises(MissingDependencyError, match=r"libGL\.so\.1.*libgl1 libglib2\.0-0") as caught:
        MediaPipeFaceMesh()
    assert "\n" not in str(caught.value)


def test_missing_mediapipe_says_what_to_install(monkeypatch):
    error = ModuleNotFoundError("No module named 'mediapipe'", name="mediapipe")
    monkeypatch.setattr(importlib, "import_module", raising(error))
    with pytest.raises(MissingDependencyError, match="pip install mediapipe"):
        load_tracker()


def test_a_mediapipe_without_models_asks_for_the_task_file(monkeypatch):
    monkeypatch.delenv("AU_D3DFACE_FACE_LANDMARKER", raising=False)
    monkeypatch.setattr(importlib, "import_module", lambda name: SimpleNamespace())
    with pytest.raises(MissingDependencyError, match=r"face_landmarker\.task.*AU_D3DFACE_FACE_LANDMARKER"):
        load_tracker()


def test_task_file_missing(tmp_path, monkeypatch):
    with pytest.raises(CheckpointError, match=r"nowhere\.task does not exist"):
        load_tracker(task_file=tmp_path / "nowhere.task")
    monkeypatch.setenv("AU_D3DFACE_FACE_LANDMARKER", str(tmp_path / "elsewhere.task"))
    with pytest.raises(CheckpointError, match=r"elsewhere\.task does not exist"):
        load_tracker()


@pytest.mark.parametrize("content", [b"", b"no task at all", b"PK\x03\x04 cut off"])
def test_task_file_damaged(tmp_path, content):
    path = tmp_path / "face_landmarker.task"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"face_landmarker\.task is not a usable"):
        MediaPipeFaceLandmarker(path)


@pytest.fixture
def own_task(tmp_path) -> Path:
    """A Face Landmarker task put together from the older models in mediapipe's wheel: the real task code runs."""
    mediapipe = pytest.importorskip("mediapipe")
    modules = Path(mediapipe.__file__).parent / "modules"
    if not (modules / "face_landmark" / "face_landmark.tflite").is_file():
        pytest.skip("this mediapipe carries no models")
    path = tmp_path / "own.task"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as bundle:
        bundle.write(modules / "face_detection" / "face_detection_short_range.tflite", "face_detector.tflite")
        bundle.write(modules / "face_landmark" / "face_landmark.tflite", "face_landmarks_detector.tflite")
    return path


def test_the_task_runs_and_agrees_with_the_solution(own_task, read_clip):
    frames = read_clip("pyfeat_single_face.mp4", 5)
    landmarker, solution = load_tracker(task_file=own_task), MediaPipeFaceMesh()
    assert isinstance(landmarker, MediaPipeFaceLandmarker)
    for frame in frames:
        found = landmarker(frame.image, 0.0)  # equal timestamps must not be an error either
        expected = solution(frame.image, frame.timestamp)
        assert len(found) == len(expected) == 1
        assert found[0].shape == (478, 3)
        # The task takes the old model's numbers for pairs, so that every third pair is x and y of every other landmark.
        distance = np.linalg.norm(found[0][0:468:3, :2] - expected[0][0:312:2, :2], axis=1)
        assert distance.mean() < 0.03 * np.ptp(expected[0][:, 0])
    assert landmarker(np.zeros_like(frames[0].image), 0.0) == []
    landmarker.close()
    landmarker.close()
    solution.close()


def test_a_task_without_irises_is_refused(own_task, read_clip, monkeypatch):
    image = read_clip("pyfeat_single_face.mp4", 5)[0].image
    landmarker = MediaPipeFaceLandmarker(own_task)
    point = SimpleNamespace(x=0.5, y=0.5, z=0.0)
    monkeypatch.setattr(
        landmarker._landmarker, "detect_for_video", lambda *_: SimpleNamespace(face_landmarks=[[point] * 468])
    )
    with pytest.raises(CheckpointError, match="468 landmarks a face, not 478"):
        landmarker(image, 0.0)
    landmarker.close()


def test_a_face_that_has_moved_is_looked_at_again(tracker, monkeypatch):
    """Counts the passes over made-up answers: one while the face is still, more until it has come to rest."""
    face = np.random.default_rng(0).uniform(100, 200, (478, 3)).astype(np.float32)
    face[33, :2], face[263, :2] = (120, 150), (180, 150)
    answers = [[face + 30], [face], [face + 0.01], [face + 0.02], [face + 20], [face + 12], [face + 6]]
    looks = iter(answers)
    monkeypatch.setattr(tracker, "_look", lambda image: next(looks))
    picture = np.zeros((300, 300, 3), np.uint8)
    np.testing.assert_array_equal(tracker(picture, 0.0)[0], face + 0.01)  # new, moved, at rest: three passes
    np.testing.assert_array_equal(tracker(picture, 0.1)[0], face + 0.02)  # one is enough
    np.testing.assert_array_equal(tracker(picture, 0.2)[0], face + 6)  # moves on and on: no more than three
    assert next(looks, None) is None


def test_landmarks_hardly_depend_on_the_frame_rate(read_clip):
    """The same frames, tracked among all and alone."""
    frames = read_clip("pyfeat_single_face.mp4", 61)
    seen = []
    for step in (1, 6):
        tracker = MediaPipeFaceMesh()
        found = {k: tracker(frames[k].image, frames[k].timestamp)[0] for k in range(0, 61, step)}
        tracker.close()
        seen.append(np.stack([found[k] for k in range(0, 61, 6)]))
    size = np.linalg.norm(seen[0][:, 33, :2] - seen[0][:, 263, :2], axis=-1)[:, None]
    shift = np.linalg.norm(seen[0][..., :2] - seen[1][..., :2], axis=-1) / size
    assert shift[:, :468].mean() < 0.006  # of the eye distance
