import numpy as np
import pytest

from au_d3dface import facs
from au_d3dface.assets import sample_video
from au_d3dface.data.synthetic import sample_clip
from au_d3dface.data.synthetic.sample_clip import DURATION, FRAME_RATE, activations, head_rotation
from au_d3dface.tracking.mediapipe_tracker import load_tracker
from au_d3dface.video import VideoReader

TIMES = np.arange(0, DURATION, 1 / FRAME_RATE)


def curve(au):
    return np.array([np.mean(activations(time).get(au, (0.0, 0.0))) for time in TIMES])


def test_the_acting():
    """Neutral first and last; every expression that the package's documentation promises; nothing jumps."""
    acted = {au for time in TIMES for au in activations(time)}
    assert acted <= set(facs.ALL)
    everything = np.stack([curve(au) for au in sorted(acted)])
    assert everything[:, TIMES < 0.8].max() == 0
    assert everything[:, TIMES > 7.2].max() == 0
    for au in (1, 2, 4, 6, 12, 15, 17, 25, 26, 45):
        assert curve(au).max() > 0.5
    smile, frown = curve(12), curve(4)
    assert (np.minimum(smile, frown) < 0.05).all()
    slow = np.stack([curve(au) for au in sorted(acted - {45, 26, 25})])
    assert np.abs(np.diff(slow, axis=1)).max() < 0.15  # onsets take at least 0.3 seconds
    blinks = (np.diff((curve(45) > 0.5).astype(int)) == 1).sum()
    assert blinks == 4
    yaw = np.array([float(head_rotation(time)[1]) for time in TIMES])
    assert 0.17 < yaw.max() < 0.27
    assert -0.27 < yaw.min() < -0.15
    assert np.abs(np.diff(yaw)).max() < 0.03


@pytest.fixture(scope="module")
def frames():
    with VideoReader(sample_video()) as reader:
        return [frame.image for frame in reader]


def test_the_clip_is_small_and_whole(frames):
    assert sample_video().stat().st_size < 700_000
    assert len(frames) == round(DURATION * FRAME_RATE)
    assert frames[0].shape == (480, 480, 3)


def test_a_face_is_tracked_in_every_frame_and_acts(frames):
    tracker = load_tracker(max_faces=1)
    landmarks = []
    for index, image in enumerate(frames):
        faces = tracker(image, index / FRAME_RATE)
        assert len(faces) == 1, f"{len(faces)} faces in frame {index}"
        landmarks.append(faces[0])
    tracker.close()
    points = np.stack(landmarks)
    eyes = np.linalg.norm(points[:, 33] - points[:, 263], axis=-1)
    mouth = np.linalg.norm(points[:, 61] - points[:, 291], axis=-1) / eyes
    lids = np.linalg.norm(points[:, 159] - points[:, 145], axis=-1) / eyes
    brows = np.linalg.norm(points[:, 105] - points[:, 159], axis=-1) / eyes
    times = np.arange(len(frames)) / FRAME_RATE
    rest = times < 0.8

    def at(start, stop):
        return (times >= start) & (times < stop)

    assert mouth[at(3.3, 4.1)].mean() > 1.12 * mouth[rest].mean()
    assert brows[at(1.5, 1.9)].mean() > 1.1 * brows[rest].mean()
    for start in (0.86, 2.30, 4.58, 6.02):
        assert lids[at(start, start + 0.3)].min() < 0.6 * lids[rest].mean()
    assert lids[rest].std() < 0.05 * lids[rest].mean()


def test_notice_is_shipped():
    notice = (sample_video().parent / "NOTICE.md").read_text()
    assert "ICT-FaceKit" in notice
    assert "Copyright (c) 2020 USC Institute for Creative Technologies" in notice


def test_renders_again_from_the_kit(shared_data, tmp_path, monkeypatch, frames):
    """The command that made the clip still makes its first frame (here at half the size)."""
    kit, output = shared_data / "ict_facekit" / "ict_facekit.npz", tmp_path / "out.mp4"
    monkeypatch.setattr(sample_clip, "DURATION", 1 / FRAME_RATE)
    command = ["--ict-facekit", str(kit), "--output", str(output), "--size", "240", "--samples", "2"]
    assert sample_clip.main(command) == 0
    with VideoReader(output) as reader:
        made = [frame.image for frame in reader]
    assert len(made) == 1
    shipped = frames[0].reshape(240, 2, 240, 2, 3).mean((1, 3))
    assert np.abs(made[0] - shipped).mean() < 2


def test_a_missing_kit_is_named(tmp_path, capsys):
    status = sample_clip.main(["--ict-facekit", str(tmp_path / "none.npz"), "--output", str(tmp_path / "out.mp4")])
    assert status == 6
    assert "none.npz" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
