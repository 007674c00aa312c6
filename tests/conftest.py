"""Fixtures shared by all tests."""

import os
from pathlib import Path

import pytest

# Tests never reach for the network: what they need, they make or find beside the checkout.
os.environ.setdefault("HF_HUB_OFFLINE", "1")

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The development data (real clips, ICT-FaceKit), which is not part of the product."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"development data not found at {SHARED_DATA}")
    return SHARED_DATA


@pytest.fixture(scope="session")
def clips(shared_data: Path) -> Path:
    """The folder of real video clips of the development data."""
    return shared_data / "clips"
