"""The files of the Space fit the package and the Hub's rules."""

import ast
import re
from pathlib import Path

import pytest

import au_d3dface

ROOT = Path(__file__).resolve().parents[2]
SPACE = ROOT / "demo"


@pytest.fixture(scope="module")
def front_matter() -> dict:
    from huggingface_hub import RepoCard

    return RepoCard.load(SPACE / "README.md").data.to_dict()


def test_front_matter(front_matter):
    packaging = pytest.importorskip("packaging.version")
    assert front_matter["sdk"] == "gradio"
    assert packaging.Version("6") <= packaging.Version(front_matter["sdk_version"]) < packaging.Version("7")
    assert front_matter["python_version"] in ("3.11", "3.12")  # those with a MediaPipe that has its models
    assert front_matter["license"] == "apache-2.0"
    assert len(front_matter["short_description"]) <= 60  # the Hub refuses longer ones
    assert (SPACE / front_matter["app_file"]).is_file()


def test_requirements_allow_this_version():
    from packaging.requirements import Requirement

    lines = (SPACE / "requirements.txt").read_text().split("\n")
    (requirement,) = [Requirement(line) for line in lines if line]
    assert requirement.name == "au-d3dface"
    assert requirement.extras == {"demo"}
    assert requirement.specifier.contains(au_d3dface.__version__, prereleases=True)


def test_the_app_only_calls_the_package():
    tree = ast.parse((SPACE / "app.py").read_text())
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert names == {"serving"}


def test_the_player_fetches_nothing_from_elsewhere():
    folder = Path(au_d3dface.__file__).parent / "demo"
    files = sorted(path for path in folder.iterdir() if path.suffix in (".js", ".css", ".html"))
    assert len(files) >= 6
    for path in files:
        assert not re.search(r"https?://|//cdn|@import|\bimport\b.*\bfrom\b", path.read_text()), path.name
