"""Where the cards and the Space's files are: hub_cards/ and demo/ of a checkout, or copies in an installed package.

pyproject.toml says which of them the wheel carries.
"""

from pathlib import Path

from ..errors import MissingDependencyError

CARDS = ("bp4d", "disfa", "multiface", "synthetic")
"""The data sets that have a card."""

SPACE_FILES = ("README.md", "app.py", "packages.txt", "requirements.txt")


def cards_folder() -> Path:
    """The folder of the dataset cards, the model card's template, and the bundled checkpoint's results."""
    return _find("cards", "hub_cards")


def space_folder() -> Path:
    """The folder of the Space."""
    return _find("space", "demo")


def _find(packaged: str, in_checkout: str) -> Path:
    installed = Path(__file__).with_name(packaged)
    folder = installed if installed.is_dir() else Path(__file__).resolve().parents[3] / in_checkout
    if not folder.is_dir():
        raise MissingDependencyError(f"this installation of au-d3dface lacks {installed}; install the package again")
    return folder
