"""The picture of failures: it finds by itself the frames in which a checkpoint is wrong."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

PICTURES = Path(__file__).resolve().parents[2] / "hub_cards" / "pictures"
FRAMES, RATE = 90, 30.0


@pytest.fixture
def pictures(monkeypatch):
    """The script, imported as it is when it is run."""
    monkeypatch.syspath_prepend(str(PICTURES))
    import make_failure_picture

    return make_failure_picture


@pytest.fixture
def clip(tmp_path, make_video) -> list[str]:
    """A video, labels in which AU 12 is present throughout, and an action_units.csv that says the same."""
    video = make_video(tmp_path / "clip.mp4", (np.full((64, 96, 3), 2 * k, np.uint8) for k in range(FRAMES)), RATE)
    table = pd.DataFrame({"frame": np.arange(1, FRAMES + 1), "timestamp": np.arange(FRAMES) / RATE})
    table = table.assign(AU12_r=3.0, AU12_c=1, AU45_r=0.0, AU45_c=0)
    table.to_csv(tmp_path / "labels.csv", index=False)
    table.assign(success=1, confidence=1.0, AU12_p=0.9, AU45_p=0.1).to_csv(tmp_path / "ours.csv", index=False)
    return [str(video), str(tmp_path / "labels.csv"), str(tmp_path / "ours.csv")]


def spoil(path: str, frames: dict[int, dict[str, float]]) -> None:
    table = pd.read_csv(path)
    for frame, values in frames.items():
        for name, value in values.items():
            table.loc[table["frame"] == frame, name] = value
    table.to_csv(path, index=False)


def test_the_worst_frames_are_drawn(pictures, clip, tmp_path):
    missed = {"AU12_r": 0.5, "AU12_c": 0}
    spoil(clip[2], {20: missed | {"AU12_r": 0.0}, 25: missed, 70: {"AU45_r": 2.0, "AU45_c": 1}})
    truth, ours = pictures.read_truth(Path(clip[1])), pictures.read_au_table(clip[2])
    assert pictures.worst_frames(*pictures.disagreement(truth, ours), RATE) == [20, 70]  # 25 is too near to 20
    assert pictures.lines(truth, ours, 20) == [("AU12 lip corner puller  3.0, read as 0.0", pictures.MISSED)]
    assert pictures.lines(truth, ours, 70) == [
        ("AU45 blink  0.0, read as 2.0", pictures.WRONG),
        ("AU12 lip corner puller  3.0, read as 3.0", pictures.AGREED),
    ]
    assert pictures.main([*clip, "--output", str(tmp_path / "picture.png")]) == 0
    picture = Image.open(tmp_path / "picture.png")
    assert picture.width == 2 * pictures.SIDE
    middles = [picture.getpixel((pictures.SIDE * k + pictures.SIDE // 2, pictures.SIDE // 2)) for k in (0, 1)]
    assert np.abs(np.array(middles) - np.array([[2 * 19] * 3, [2 * 69] * 3])).max() <= 6
    colors = {color for _, color in picture.getcolors(picture.width * picture.height)}
    assert {pictures.MISSED, pictures.WRONG, pictures.AGREED} <= colors


def test_frames_without_the_face_are_not_failures(pictures, clip):
    spoil(clip[2], {20: {"AU12_r": 0.0, "AU12_c": 0, "success": 0}, 50: {"AU12_r": 1.0, "AU12_c": 0}})
    tables = pictures.read_truth(Path(clip[1])), pictures.read_au_table(clip[2])
    assert pictures.worst_frames(*pictures.disagreement(*tables), RATE) == [50]


def test_nothing_to_draw_and_files_that_are_none_are_one_sentence(pictures, clip, tmp_path, capsys):
    output = ["--output", str(tmp_path / "picture.png")]
    for words, sentence in (
        (clip, "there is no frame in which labels and action units differ"),
        ([clip[0], str(tmp_path / "none.csv"), clip[2]], "is not a csv of true action units"),
        ([clip[0], clip[0], clip[2]], "is not a csv of true action units"),
    ):
        assert pictures.main([*words, *output]) == 4
        said = capsys.readouterr().err.splitlines()
        assert len(said) == 1
        assert sentence in said[0]
    assert not (tmp_path / "picture.png").exists()
