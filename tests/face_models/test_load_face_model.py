"""Face models by name."""

from pathlib import Path

import pytest

from au_d3dface.errors import UsageError
from au_d3dface.face_models import load_face_model


def test_by_name(kit_path: Path) -> None:
    assert load_face_model("facemesh").num_vertices == 468
    assert load_face_model("ict", kit_path).num_vertices == 9409
    assert load_face_model("ict", kit_path, part="head").num_vertices == 26719


def test_unknown_name() -> None:
    with pytest.raises(UsageError, match="facemesh, ict"):
        load_face_model("bfm")


def test_ict_needs_a_path() -> None:
    with pytest.raises(UsageError, match="path"):
        load_face_model("ict")
