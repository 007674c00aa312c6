"""Label files for --au-labels."""

import numpy as np
import pytest

from au_d3dface.errors import InputError, UsageError
from au_d3dface.label_files import read_au_labels


def test_columns_by_any_spelling_and_unknown_cells(tmp_path):
    path = tmp_path / "labels.csv"
    path.write_text("frame, AU12_c, 1, AU45_r, gaze_0_x\n2, 1, , 3.2, 0.1\n3, -1, 0, 1, 0\n")
    labels = read_au_labels(path, (1, 12, 45)).for_face(0, 4)
    assert np.array_equal(labels, [[-1, -1, -1], [-1, 1, -1], [0, -1, -1], [-1, -1, -1]])


def test_rows_are_about_the_face_that_they_name(tmp_path):
    path = tmp_path / "labels.csv"
    path.write_text("frame,face_id,AU12\n1,0,1\n1,1,0\n2,,1\n")
    labels = read_au_labels(path, (12,))
    assert labels.for_face(0, 2).ravel().tolist() == [1, 1]
    assert labels.for_face(1, 2).ravel().tolist() == [0, 1]
    assert labels.num_known == 3


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("frame,AU99\n1,1\n", "at least one of AU12"),
        ("time,AU12\n1,1\n", "column 'frame'"),
        ("frame,AU12\n1,2\n", "line 2"),
        ("frame,AU12\none,1\n", "line 2"),
        ("frame,AU12\n1\n", None),
        ("", "column 'frame'"),
    ],
)
def test_other_files_are_refused_with_the_line(text, words, tmp_path):
    path = tmp_path / "labels.csv"
    path.write_text(text)
    if words is None:  # a short row leaves its labels unknown
        assert read_au_labels(path, (12,)).num_known == 0
        return
    with pytest.raises(InputError, match=words):
        read_au_labels(path, (12,))


def test_frames_that_the_video_does_not_have(tmp_path):
    path = tmp_path / "labels.csv"
    path.write_text("frame,AU12\n9,1\n")
    with pytest.raises(UsageError, match="frame 9"):
        read_au_labels(path, (12,)).for_face(0, 5)
