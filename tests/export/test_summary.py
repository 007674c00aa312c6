"""summary.json: JSON that any parser reads, with what went in and what came out."""

import json
from pathlib import Path

import numpy as np

from au_d3dface import __version__
from au_d3dface.export.summary import summarize, write_summary
from au_d3dface.face_sequence import FaceSequence


def refuse(text: str) -> None:
    raise AssertionError(f"{text} is not JSON")


def test_values_that_json_lacks(tmp_path: Path) -> None:
    content = {"a": float("nan"), "b": np.float32(0.3), "c": np.arange(2), "d": Path("x"), 3: {"e": (np.inf, True)}}
    path = write_summary(tmp_path / "summary.json", content)
    text = path.read_text()
    assert json.loads(text, parse_constant=refuse) == {
        "a": None,
        "b": 0.3,
        "c": [0, 1],
        "d": "x",
        "3": {"e": [None, True]},
    }


def test_what_it_says(small_sequence: FaceSequence) -> None:
    summary = summarize([small_sequence], small_sequence.timestamps)
    assert summary["counts"] == {"frames": 24, "faces": 1, "frames_with_a_face": 22}
    assert summary["provenance"] == {"checkpoint": "synthetic"}
    assert summary["versions"]["au-d3dface"] == __version__
    assert summary["thresholds"] == {"AU01": 0.5, "AU12": 0.5, "AU25": 0.5}
    (face,) = summary["faces"]
    assert set(face["events"]) == {"AU01", "AU12", "AU25"}
    assert (face["valid_frames"], face["first_frame"], face["last_frame"]) == (22, 1, 24)
    assert sum(face["events"].values()) == len(small_sequence.events())


def test_nobody() -> None:
    summary = summarize([], np.array([0.0, 0.1]))
    assert summary["counts"] == {"frames": 2, "faces": 0, "frames_with_a_face": 0}
