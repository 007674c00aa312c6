"""A Hub on this computer, and clean processes that talk to it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from loopback_hub import TOKEN, LoopbackHub, loopback_hub

SOURCE = Path(__file__).resolve().parents[2] / "src"


@pytest.fixture(scope="session")
def hub():
    with loopback_hub() as running:
        yield running


@pytest.fixture(scope="session")
def clean(hub: LoopbackHub, tmp_path_factory: pytest.TempPathFactory):
    """A function that runs a Python program in a clean process, and returns the finished process."""
    home = tmp_path_factory.mktemp("home")

    def run(program: str, *arguments: object, package: bool = True, name: str = "cache", **environment: str):
        """`package`: whether au_d3dface can be imported. `name`: of the cache, empty where it is new."""
        variables = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "PYTHON"))}
        variables |= {
            "HF_ENDPOINT": hub.endpoint,
            "HF_HOME": str(home / name),
            "HF_TOKEN": TOKEN,
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "OMP_WAIT_POLICY": "PASSIVE",
            "OMP_NUM_THREADS": "1",
            **environment,
        }
        first = f"import sys; sys.path.insert(0, {str(SOURCE)!r})\n" if package else HIDDEN
        words = [sys.executable, "-I", "-c", first + program, *map(str, arguments)]
        return subprocess.run(words, env=variables, capture_output=True, text=True, timeout=300, cwd=home)

    return run


HIDDEN = '''
import sys

class Hidden:
    """Where au_d3dface is not installed."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        if name.partition(".")[0] == "au_d3dface":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Hidden)
'''
