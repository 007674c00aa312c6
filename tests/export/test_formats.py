"""Names of formats: each once, in order, and a mistyped one is refused at once."""

import subprocess
import sys

import pytest

from au_d3dface.errors import UsageError
from au_d3dface.export import DEFAULT_FORMATS, FORMATS, parse_formats


def test_formats_are_named_in_any_way() -> None:
    assert parse_formats(None) == DEFAULT_FORMATS
    assert parse_formats("glb, csv,GLB,") == ("csv", "glb")
    assert parse_formats(["obj", "csv"]) == ("csv", "obj")
    assert set(DEFAULT_FORMATS) == {"csv", "npz", "glb", "overlay", "timeline"}


def test_an_unknown_format_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match="unknown format 'fbx'; the formats are csv, npz") as error:
        parse_formats("csv,fbx")
    assert all(name in str(error.value) for name in FORMATS)
    with pytest.raises(UsageError, match="no format is named"):
        parse_formats(" , ")


def test_arkit_is_refused_because_the_face_model_lacks_the_shapes() -> None:
    with pytest.raises(UsageError, match="ARKit shapes, and facemesh does not"):
        parse_formats("csv,arkit")


def test_a_mistyped_format_needs_no_slow_import() -> None:
    code = "import sys, au_d3dface.export; print([m for m in ('torch', 'pandas', 'matplotlib') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"
