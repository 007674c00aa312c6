"""Reading action units from csv files: OpenFace's spelling, several faces, one sentence for what is no such file."""

import numpy as np
import pytest

from au_d3dface.errors import InputError, UsageError
from au_d3dface.evaluation.au_tables import read_au_table


def columns(frames: int = 4, **more) -> dict[str, np.ndarray]:
    return {"frame": np.arange(1, frames + 1), "success": np.ones(frames), "AU12_r": np.linspace(0, 3, frames), **more}


def test_names_with_blanks(tmp_path, write_openface):
    table = read_au_table(
        write_openface(tmp_path / "a.csv", columns(AU01_c=np.array([0, 1, 1, 0]), gaze_0_x=np.ones(4)))
    )
    assert table.frames.tolist() == [1, 2, 3, 4]
    assert table.valid.all()
    assert table.intensities[12].tolist() == [0, 1, 2, 3]
    assert table.presence[1].tolist() == [0, 1, 1, 0]
    assert (table.intensities.keys(), table.presence.keys(), table.probabilities) == ({12}, {1}, {})


def test_rows_in_any_order_with_empty_cells_and_failures(tmp_path):
    (tmp_path / "a.csv").write_text("success,frame,AU12_r,AU12_p\n1,5,2.5,0.75\n0,2,-nan(ind),\n1,3,,nan\n")
    table = read_au_table(tmp_path / "a.csv")
    assert table.frames.tolist() == [2, 3, 5]
    assert table.valid.tolist() == [False, True, True]
    assert table.intensities[12].tolist() == pytest.approx([np.nan, np.nan, 2.5], nan_ok=True)
    assert table.probabilities[12].tolist() == pytest.approx([np.nan, np.nan, 0.75], nan_ok=True)


def test_the_face_in_most_frames_or_the_one_asked_for(tmp_path):
    rows = ["frame,face_id,success,AU12_r", "1,0,1,0", "1,7,1,5", "2,0,0,0", "2,7,1,4", "3,0,0,0"]
    (tmp_path / "a.csv").write_text("\n".join(rows))
    assert read_au_table(tmp_path / "a.csv").intensities[12].tolist() == [5, 4]
    chosen = read_au_table(tmp_path / "a.csv", face=0)
    assert (chosen.frames.tolist(), chosen.valid.tolist()) == ([1, 2, 3], [True, False, False])
    with pytest.raises(UsageError, match=r"no face 3; its faces are: 0, 7"):
        read_au_table(tmp_path / "a.csv", face=3)


def test_our_own_csv_of_a_sequence_is_the_sequence(tmp_path, short):
    from au_d3dface import AUD3DFacePipeline
    from au_d3dface.evaluation.au_tables import table_of

    sequence = AUD3DFacePipeline.from_pretrained()(short)[0]
    sequence.save(tmp_path, formats="csv")
    written, direct = read_au_table(tmp_path / "action_units.csv"), table_of(sequence)
    assert np.array_equal(written.frames, direct.frames)
    assert np.array_equal(written.valid, direct.valid)
    for kind in ("intensities", "presence", "probabilities"):
        assert getattr(written, kind).keys() == getattr(direct, kind).keys() == set(sequence.action_units)
        for unit, values in getattr(direct, kind).items():
            assert getattr(written, kind)[unit] == pytest.approx(values, abs=1e-6, nan_ok=True)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "does not exist"),
        (b"", "is empty"),
        (b"frame,success\n1,1\n", "no columns of action units"),
        (b"frame,AU12_r\n1,1\n", "'success'"),
        (b"success,AU12_r\n1,1\n", "'frame'"),
        (b"frame,success,AU12_r\n", "no row"),
        (b"frame,success,AU12_r\n1,1,2\n2,1,lots\n", "line 3"),
        (b"frame,success,AU12_r\n1,1,2\n2.5,1,1\n", "line 3"),
        (b"frame,success,AU12_r\n0,1,2\n", "line 2"),
        (b"frame,success,AU12_r\n1e300,1,2\n", "line 2"),
        (b"frame,success,AU12_r\n1,1\n,1\n", "line 3"),
        (b"frame,success,AU12_r\n1,1,inf\n", "line 2"),
        (b"frame,success,AU12_r\n4,1,2\n4,1,2\n", "several rows for frame 4"),
        (b"frame, frame ,success,AU12_r\n4,4,1,2\n", "two columns"),
        (b'frame,success,AU12_r\n1,1,"2\n', "cannot be read as a csv"),
        (bytes(range(256)) * 40, "bad.csv"),
        (b"\0" * 5000, "bad.csv"),
        (b"this is not a table\n" * 50, "'frame'"),
    ],
)
def test_what_is_no_such_csv_is_one_sentence(content, words, tmp_path):
    path = tmp_path / "bad.csv"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=r"bad\.csv") as error:
        read_au_table(path)
    assert words in str(error.value)
    assert "\n" not in str(error.value)


def test_a_folder_is_no_csv(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        read_au_table(tmp_path)


def test_a_face_where_the_file_tells_none_apart(tmp_path, write_openface):
    with pytest.raises(UsageError, match="face_id"):
        read_au_table(write_openface(tmp_path / "a.csv", columns()), face=1)
