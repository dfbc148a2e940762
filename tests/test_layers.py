"""The floors: what the runtime may import, and how the parts of the package lie on disk."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FLOORS = ("runtime", "calibration", "engines", "export")
BANNED = ("torch", "transformers", "onnx", "onnxscript", "rasterio", "PIL", "edgespark.export")
SOURCES = ROOT / "runtime" / "edgespark" / "runtime"
MODULES = sorted(
    ".".join(("edgespark", "runtime", *path.relative_to(SOURCES).with_suffix("").parts))
    for path in SOURCES.rglob("*.py")
    if path.name != "__init__.py"
)


def output(code: str, **environment: str) -> str:
    """Return what a fresh interpreter prints."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_edgespark_is_a_namespace_without_a_file_of_its_own() -> None:
    assert [p for floor in FLOORS for p in (ROOT / floor).glob("edgespark/__init__.py")] == []
    assert not (ROOT / "edgespark").exists()


@pytest.mark.parametrize("floor", FLOORS)
def test_every_part_is_marked_as_typed(floor: str) -> None:
    assert (ROOT / floor / "edgespark" / floor / "py.typed").is_file()


def test_importing_the_runtime_loads_nothing_heavy() -> None:
    code = f"import sys, edgespark.runtime; print([m for m in {BANNED} if m in sys.modules])"
    assert output(code) == "[]\n"


def test_every_module_of_the_runtime_can_be_imported_without_the_extras() -> None:
    code = f"""
import importlib, sys
for name in {BANNED}:
    sys.modules[name] = None  # an import of it fails
for name in {MODULES}:
    importlib.import_module(name)
"""
    assert len(MODULES) > 20
    assert output(code) == ""


def test_every_public_name_of_the_runtime_is_there_and_documented() -> None:
    code = """
import edgespark.runtime as runtime
print([n for n in runtime.__all__ if not getattr(runtime, n).__doc__])
print(sorted(runtime.__all__) == runtime.__all__)
"""
    assert output(code) == "[]\nTrue\n"
