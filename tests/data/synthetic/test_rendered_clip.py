"""Rendered clips: labels of every frame, the same performance at any rate, a face that is tracked and acts."""

import numpy as np
import pandas as pd
import pytest

from au_d3dface import facs
from au_d3dface.data.synthetic.filming import RenderSettings, load_head, random_take
from au_d3dface.data.synthetic.picture_tracking import PictureTracker
from au_d3dface.data.synthetic.rendered_clip import label_table, main, render_clip
from au_d3dface.errors import CheckpointError, OutputError
from au_d3dface.video import VideoReader

NAMES = [facs.label(au) for au in facs.ALL]


@pytest.fixture
def command(full_kit_path, tmp_path) -> list[str]:
    options = {"--ict-facekit": full_kit_path, "--output": tmp_path / "clip.mp4", "--labels": tmp_path / "clip.csv"}
    options |= {"--seconds": 0.1, "--frame-rate": 60, "--seed": 5, "--style": "posing", "--size": 96}
    return [str(word) for pair in options.items() for word in pair]


def frames(path) -> np.ndarray:
    with VideoReader(path) as reader:
        return np.stack([frame.image for frame in reader])


def test_a_clip_and_its_labels(command, tmp_path, capsys):
    assert main(command) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clip.csv", "clip.mp4"]
    assert "6 frames" in capsys.readouterr().out
    assert frames(tmp_path / "clip.mp4").shape == (6, 96, 96, 3)
    table = pd.read_csv(tmp_path / "clip.csv")
    assert list(table) == ["frame", "timestamp", *(f"{n}_r" for n in NAMES), *(f"{n}_c" for n in NAMES)]
    assert table["frame"].tolist() == [1, 2, 3, 4, 5, 6]
    np.testing.assert_allclose(table["timestamp"], np.arange(6) / 60, atol=1e-6)
    first = frames(tmp_path / "clip.mp4"), (tmp_path / "clip.csv").read_bytes()
    assert main(command) == 0
    np.testing.assert_array_equal(frames(tmp_path / "clip.mp4"), first[0])
    assert (tmp_path / "clip.csv").read_bytes() == first[1]


def test_labels_are_the_performances(full_kit_path):
    head, _ = load_head(full_kit_path)
    take = random_take(np.random.default_rng(5), head, RenderSettings(seconds=10, size=32, style="posing"))
    table = label_table(take)
    strength, present = (table[[name + kind for name in NAMES]].to_numpy() for kind in ("_r", "_c"))
    np.testing.assert_allclose(strength, take.act.action_units.max(-1), atol=1e-6)
    np.testing.assert_array_equal(present, strength >= 1)
    assert 0 < present.mean() < 0.5


def test_the_performance_is_the_same_at_any_frame_rate(full_kit_path):
    head, _ = load_head(full_kit_path)
    fast, slow = (
        random_take(np.random.default_rng(5), head, RenderSettings(seconds=8, frame_rate=rate, size=32))
        for rate in (60, 10)
    )
    np.testing.assert_array_equal(fast.person.identity, slow.person.identity)
    for name in ("shapes", "scale", "shift"):
        np.testing.assert_allclose(getattr(fast, name)[::6], getattr(slow, name), rtol=1e-4, atol=2e-4, err_msg=name)
    np.testing.assert_allclose(fast.act.action_units[::6], slow.act.action_units, atol=1e-3)
    np.testing.assert_allclose(fast.act.pose[::6], slow.act.pose, atol=1e-4)


def test_a_video_that_cannot_be_written_leaves_no_labels(command, tmp_path, capsys):
    (tmp_path / "clip.mp4").mkdir()
    assert main(command) == OutputError.exit_status
    assert "clip.mp4 is a folder" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["clip.mp4"]


def test_errors_are_sentences(command, tmp_path, capsys):
    refused = (
        (["--frame-rate", "0"], 2, "--frame-rate"),
        (["--seconds", "nan"], 2, "--seconds"),
        (["--seconds", "-1"], 2, "--seconds"),
        (["--size", "3"], 2, "--size"),
        (["--seed", "-1"], 2, "--seed"),
        (["--ict-facekit", str(tmp_path / "none.npz")], CheckpointError.exit_status, "none.npz"),
        (["--labels", str(tmp_path / "nowhere" / "clip.csv")], OutputError.exit_status, "clip.csv"),
    )
    for arguments, status, words in refused:
        assert main([*command, *arguments]) == status
        error = capsys.readouterr().err
        assert words in error
        assert error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.shared_data
def test_a_real_head_is_tracked_in_the_clip(ict_facekit, tmp_path):
    """What the labels say is seen: the jaw is lowest where AU 26 is strongest."""
    settings = RenderSettings(seconds=6, frame_rate=2, size=192, quality=(90, 97), style="posing")
    take = render_clip(ict_facekit, tmp_path / "clip.mp4", settings, seed=5)
    tracker = PictureTracker()
    points = [tracker(picture) for picture in frames(tmp_path / "clip.mp4")]
    tracker.close()
    assert len(points) == len(take.times) == 12
    assert all(found is not None for found in points)
    gap = np.array([np.linalg.norm(p[13] - p[14]) / np.linalg.norm(p[33] - p[263]) for p in points])
    opened = take.act.action_units[:, facs.ALL.index(25)].max(-1)
    assert opened.max() > 1.5
    assert gap[opened > 1.5].min() > gap[opened < 0.3].max()
