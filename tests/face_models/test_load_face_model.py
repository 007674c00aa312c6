"""Face models by name."""

from pathlib import Path

import pytest

from au_d3dface.assets import ict_facekit
from au_d3dface.errors import CheckpointError, UsageError
from au_d3dface.face_models import find_ict_facekit, load_face_model


def test_by_name(kit_path: Path) -> None:
    assert load_face_model("facemesh").num_vertices == 468
    assert load_face_model("ict", kit_path).num_vertices == 9409
    assert load_face_model("ict", kit_path, part="head").num_vertices == 26719


def test_unknown_name() -> None:
    with pytest.raises(UsageError, match="facemesh, ict"):
        load_face_model("bfm")


def test_ict_is_found_where_the_environment_says(kit_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AU_D3DFACE_ICT_FACEKIT", str(kit_path))
    assert load_face_model("ict").name == "ict"
    assert find_ict_facekit("elsewhere.npz") == Path("elsewhere.npz")  # what is named goes before it


def test_ict_that_nobody_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AU_D3DFACE_ICT_FACEKIT", raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(CheckpointError, match="au-d3dface assets ict-facekit"):
        load_face_model("ict")
    asset = ict_facekit()
    for file in asset.files[:-1]:
        path = asset.cache_folder / file.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    with pytest.raises(CheckpointError, match=f"lacks 1 files .* {asset.files[-1].path}"):
        find_ict_facekit()
    (asset.cache_folder / asset.files[-1].path).touch()
    assert find_ict_facekit() == asset.cache_folder
