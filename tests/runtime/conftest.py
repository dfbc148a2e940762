"""What the tests of the runtime share: a stand-in for a bundle, in memory and on disk."""

import sys
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import settings

from edgespark.runtime import backends
from tests.runtime.on_disk import write
from tests.runtime.stand_in import StandIn

# No test fails because the machine was busy.
settings.register_profile("edgespark", deadline=None)
settings.load_profile("edgespark")


@pytest.fixture
def stand_in() -> StandIn:
    """Return a bundle of numpy functions in memory."""
    return StandIn()


@pytest.fixture
def folder(stand_in: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the stand-in as a bundle on disk, with its functions in the backend's place."""
    module = ModuleType("stand_in_backend")
    monkeypatch.setattr(module, "open_session", stand_in.open_session, raising=False)
    monkeypatch.setattr(module, "version", lambda: "1.31.1", raising=False)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(backends.BACKENDS, "onnxruntime", module.__name__)
    return write(stand_in, tmp_path / "bundle")
