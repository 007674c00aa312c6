"""The page about face models' files: its tables are what the code says now."""

import re
from pathlib import Path

import pytest

PAGES = Path(__file__).resolve().parents[2] / "hub_cards" / "pages"


@pytest.fixture
def script(monkeypatch):
    """The script, imported as it is when it is run."""
    monkeypatch.syspath_prepend(str(PAGES))
    import face_model_files

    return face_model_files


def test_the_tables_are_what_is_said_now(script):
    text = script.PAGE.read_text(encoding="utf-8")
    assert script.page(text) == text
    cells = re.findall(r"^\| .* \| (.*\(exit status \d\)) \|$", text, re.MULTILINE)
    assert len(cells) == 9 + sum(map(len, (script.BAD_FILES, script.DAMAGED_PICKLES, script.BAD_CHECKPOINTS)))
    assert not [cell for cell in cells if "/tmp" in cell or "Traceback" in cell]


def test_a_file_that_is_taken_is_no_row(script, tmp_path):
    with pytest.raises(AssertionError, match="taken for a good one"):
        script.said(lambda: None, tmp_path)


def test_the_page_names_the_files_that_the_code_looks_for(script):
    from au_d3dface.coarse.deca_files import DECA_FILE
    from au_d3dface.face_models.flame_conversion import _LANDMARK_ARRAYS, _MODEL_ARRAYS, MODEL_NAMES, OTHER_NAMES

    text = script.PAGE.read_text(encoding="utf-8")
    for name in (*MODEL_NAMES, *OTHER_NAMES, DECA_FILE):
        assert f"`{name}`" in text
    for name, shape in _MODEL_ARRAYS.items():
        assert f"`{name}` {shape}" in text
    assert {name.split("_")[0] for name in _LANDMARK_ARRAYS} == {"static", "dynamic", "full"}
    assert script.PICTURE.is_file()
