"""action_units.csv: one row a frame and face, OpenFace's names, empty cells where there is no face."""

import csv
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from au_d3dface.export.csv import write_csv
from au_d3dface.face_sequence import FaceSequence


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_rows_and_cells(tmp_path: Path, small_sequence: FaceSequence) -> None:
    sequence = small_sequence
    path = write_csv(tmp_path / "action_units.csv", [sequence], sequence.timestamps, sequence.action_units)
    rows = rows_of(path)
    assert len(rows) == len(sequence)
    assert [int(row["frame"]) for row in rows] == list(range(1, len(sequence) + 1))
    for row, valid, probability in zip(rows, sequence.valid, sequence.au_probabilities, strict=True):
        assert row["success"] == str(int(valid))
        cells = [value for name, value in row.items() if name.startswith(("AU", "pose"))]
        if valid:
            assert all(cells)
            assert float(row["AU12_p"]) == pytest.approx(probability[sequence.action_units.index(12)], abs=1e-6)
            assert row["AU12_c"] == str(int(float(row["AU12_p"]) >= 0.5))
        else:
            assert not any(cells)
            assert row["confidence"] == "0.0"
    assert list(tmp_path.iterdir()) == [path]


def test_two_faces_share_every_frame(tmp_path: Path, small_sequence: FaceSequence) -> None:
    second = FaceSequence(**{**vars(small_sequence), "face_id": 1})
    path = write_csv(tmp_path / "a.csv", [second, small_sequence], small_sequence.timestamps, (1,))
    order = [(int(row["frame"]), int(row["face_id"])) for row in rows_of(path)]
    assert order == [(frame, face) for frame in range(1, len(small_sequence) + 1) for face in (0, 1)]


@pytest.mark.parametrize("intensities", [False, True])
def test_no_face_at_all(tmp_path: Path, intensities: bool) -> None:
    path = write_csv(tmp_path / "a.csv", [], np.array([0.0, 0.04]), (1, 12), intensities)
    rows = rows_of(path)
    assert [row["frame"] for row in rows] == ["1", "2"]
    assert [row["success"] for row in rows] == ["0", "0"]
    assert {row["face_id"] for row in rows} == {"0"}
    assert not any(value for row in rows for name, value in row.items() if name.startswith(("AU", "pose")))
    assert ("AU12_r" in rows[0]) == intensities


def test_columns_are_the_same_with_and_without_a_face(tmp_path: Path, small_sequence: FaceSequence) -> None:
    units, times = small_sequence.action_units, small_sequence.timestamps
    some = write_csv(tmp_path / "a.csv", [small_sequence], times, units)
    none = write_csv(tmp_path / "b.csv", [], times, units, intensities=True)
    assert list(pd.read_csv(some).columns) == list(pd.read_csv(none).columns)
