"""The small OneLLM, exported once for all tests that ask it."""

import pytest

from edgespark.export.exporter import export
from edgespark.runtime.bundle import Bundle
from tests.export.onellm_on_disk import blueprint


@pytest.fixture(scope="session")
def onellm(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder = tmp_path_factory.mktemp("onellm")
    made = blueprint(folder / "checkpoint")
    return export(made, folder / "bundle", replace=False, precisions=("fp32", "int8", "int4"))
