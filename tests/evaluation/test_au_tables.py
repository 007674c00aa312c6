"""Reading action units from csv files: OpenFace's spelling, several faces, one sentence for what is no such file."""

import numpy as np
import pandas as pd
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


def pyfeat(**more) -> pd.DataFrame:
    """As `detect(...).to_csv` writes them, `skip_frames=2`; boxes, landmarks and embeddings are left to `more`."""
    base = {
        "FaceRectX": 231.4,
        "FaceScore": [0.99, 0.98, np.nan, 0.97],
        "AU12": [0.1, 0.5, np.nan, 0.9],
        "AU43": [0.0, 1.0, np.nan, 0.0],
        "Happy": 0.5,
        "input": "clip.mp4",
        "frame": [0, 2, 4, 6],
        "approx_time": "00:00",
        "Identity": np.nan,
    }
    return pd.DataFrame(base | more)


def test_pyfeat_counts_from_zero_and_has_probabilities(tmp_path):
    pyfeat(Identity_1=0.25).to_csv(tmp_path / "a.csv", index=False)
    table = read_au_table(tmp_path / "a.csv")
    assert table.tool == "py-feat"
    assert table.frames.tolist() == [1, 3, 5, 7]
    assert table.valid.tolist() == [True, True, False, True]
    assert table.probabilities[12].tolist() == pytest.approx([0.1, 0.5, np.nan, 0.9], nan_ok=True)
    assert table.presence[12].tolist() == pytest.approx([0, 1, np.nan, 1], nan_ok=True)
    assert (table.intensities, set(table.presence), table.timestamps) == ({}, {12, 43}, None)


def test_pyfeat_identities_are_faces(tmp_path):
    two = pd.concat([pyfeat(Identity="Person_0"), pyfeat(Identity="Person_1", FaceScore=0.9, AU12=0.7)])
    two.to_csv(tmp_path / "a.csv", index=False)
    assert read_au_table(tmp_path / "a.csv").probabilities[12].tolist() == [0.7] * 4  # in most frames
    assert read_au_table(tmp_path / "a.csv", face=0).valid.sum() == 3
    with pytest.raises(UsageError, match=r"no face 3; its faces are: 0, 1"):
        read_au_table(tmp_path / "a.csv", face=3)
    two.assign(Identity=np.nan).to_csv(tmp_path / "a.csv", index=False)
    with pytest.raises(InputError, match="several rows for frame 1 of one face"):
        read_au_table(tmp_path / "a.csv")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"AU12": [0.1, 5.0, 0, 0]}, r"line 3 of .*a\.csv has 5 as AU12; py-feat's are from 0 to 1"),
        ({"frame": None}, "of py-feat, has no column 'frame'"),
        ({"AU12": None, "AU43": None}, "no columns of action units"),
        ({"FaceScore": "much"}, "line 2 of .* has 'much' as FaceScore, which is not a number"),
    ],
)
def test_what_pyfeat_does_not_write(tmp_path, change, words):
    table = pyfeat().drop(columns=[name for name, values in change.items() if values is None])
    table.assign(**{name: values for name, values in change.items() if values is not None}).to_csv(
        tmp_path / "a.csv", index=False
    )
    with pytest.raises(InputError, match=words):
        read_au_table(tmp_path / "a.csv")


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
