"""What the package carries and what it knows of public files."""

import re
from pathlib import Path

import pytest

from au_d3dface.assets import ict_facekit, sample_video


def test_the_sample_clip_is_there() -> None:
    assert sample_video().stat().st_size > 10_000


def test_manifest_of_ict_facekit() -> None:
    asset = ict_facekit()
    names = [file.path for file in asset.files]
    assert len(names) == len(set(names)) == 159
    assert {"LICENSE", "FaceXModel/generic_neutral_mesh.obj", "FaceXModel/identity099.obj"} <= set(names)
    assert all(re.fullmatch(r"LICENSE|FaceXModel/\w+\.obj", name) for name in names)
    assert all(re.fullmatch("[0-9a-f]{64}", file.sha256) for file in asset.files)
    assert len({file.sha256 for file in asset.files}) == 159
    assert 4e8 < asset.size < 4.1e8
    assert asset.revision in asset.url
    assert asset.licence.startswith("MIT")


def test_it_lies_where_tools_of_the_hugging_face_cache_see_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import scan_cache_dir

    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    asset = ict_facekit()
    for file in asset.files[:3]:
        path = asset.cache_folder / file.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    assert len(asset.missing(asset.cache_folder)) == 156
    [repository] = scan_cache_dir(tmp_path).repos
    assert repository.repo_id == "ICT-VGL/ICT-FaceKit"
    assert [revision.commit_hash for revision in repository.revisions] == [asset.revision]
    assert repository.nb_files == 3
