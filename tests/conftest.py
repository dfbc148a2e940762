"""What all tests share: the bundle that `make` exports."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def tiny() -> Path:
    """Return the exported bundle; the tests that need a real one skip where there is none."""
    path = Path(os.environ.get("EDGESPARK_BUNDLE", ROOT / "build" / "tiny"))
    if not (path / "manifest.json").is_file():
        pytest.skip("no bundle at build/tiny: run make build/tiny")
    return path


@pytest.fixture(scope="session")
def calibration() -> Path:
    """Return the calibration set that `make` draws from the small model's world."""
    path = Path(os.environ.get("EDGESPARK_CALIBRATION", ROOT / "build" / "calibration"))
    if not (path / "calibration.json").is_file():
        pytest.skip("no calibration set at build/calibration: run make build/calibration")
    return path
