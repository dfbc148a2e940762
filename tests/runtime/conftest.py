"""What the tests of the runtime share: a stand-in for a bundle, and the real one if it is there."""

import os
import sys
from pathlib import Path
from types import ModuleType

import pytest

from edgespark.runtime import backends
from tests.runtime.on_disk import write
from tests.runtime.stand_in import StandIn

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def tiny() -> Path:
    """Return the exported bundle; the tests that need a real one skip where there is none."""
    path = Path(os.environ.get("EDGESPARK_BUNDLE", ROOT / "build" / "tiny"))
    if not (path / "manifest.json").is_file():
        pytest.skip("no bundle at build/tiny: run make build/tiny")
    return path


@pytest.fixture
def stand_in() -> StandIn:
    """Return a bundle of numpy functions in memory."""
    return StandIn()


@pytest.fixture
def folder(stand_in: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the stand-in as a bundle on disk, with its functions in the backend's place."""
    module = ModuleType("stand_in_backend")
    monkeypatch.setattr(module, "open_session", stand_in.open_session, raising=False)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(backends.BACKENDS, "onnxruntime", module.__name__)
    return write(stand_in, tmp_path / "bundle")
