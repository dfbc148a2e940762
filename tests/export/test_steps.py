"""The step that is timed is one of what `load` runs, and leaves nothing behind."""

import errno
import os
from pathlib import Path
from typing import cast

import pytest

from edgespark.calibration.sets import CalibrationSet
from edgespark.engines.cpu_decoder import LoweredFile, lower_decoder
from edgespark.export import chosen, steps
from edgespark.export.costs import Cost
from edgespark.export.pack import pack
from edgespark.export.plan import Plan
from edgespark.export.steps import step_ms
from edgespark.runtime.backends import Program, Session, backend, onnxruntime
from edgespark.runtime.bundle import Bundle
from edgespark.runtime.errors import BundleError, OutputError
from edgespark.runtime.manifest import File
from tests.export.packs import names


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[Program]:
    """Return what is opened in the test."""
    found: list[Program] = []
    own = backend("onnxruntime").open_session

    def watched(program: Program) -> Session:
        if program.where.startswith("graphs/"):  # passes run what is constant
            found.append(program)
        return own(program)

    monkeypatch.setattr(onnxruntime, "open_session", watched)
    monkeypatch.setattr(steps, "WARM", 0)
    monkeypatch.setattr(steps, "ROUNDS", 1)
    return found


@pytest.fixture
def lowered_to(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Return where lowered graphs are written in the test."""
    found: list[Path] = []

    def watched(*given: object) -> LoweredFile:
        found.append(Path(str(given[-1])))
        return lower_decoder(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(steps, "lower_decoder", watched)
    return found


def test_both_forms_run_as_load_opens_a_decoder(
    tiny: Path, opened: list[Program], tmp_path: Path
) -> None:
    bundle = Bundle.open(tiny)
    assert step_ms(bundle, ["int8"])["int8"] > 0
    assert step_ms(bundle, ["int8"], work=tmp_path)["int8"] > 0
    portable, lowered = opened
    assert portable.steady
    assert lowered.steady
    assert "seqlens_k" in {port.name for port in lowered.inputs}


def test_a_lowered_graph_lies_in_the_work_folder_while_it_is_timed(
    tiny: Path, opened: list[Program], lowered_to: list[Path], tmp_path: Path
) -> None:
    step_ms(Bundle.open(tiny), ["int8"], work=tmp_path)
    assert len(opened) == 1
    (place,) = lowered_to
    assert place.is_relative_to(tmp_path)
    assert names(tmp_path) == set()


def test_a_data_file_that_was_changed_is_not_timed(tiny: Path, tmp_path: Path) -> None:
    bundle = Bundle.open(tiny)
    (tmp_path / "graphs").mkdir()
    part = bundle.manifest.part(bundle.manifest.language.decoder)
    graph = next(each for each in part.graphs if each.precision == "int8")
    for file in (graph.file, *graph.data):
        (tmp_path / file.path).write_bytes((tiny / file.path).read_bytes())
    spare = tmp_path / "graphs" / "spare.data"
    spare.write_bytes(b"changed")
    wrong = File(path="graphs/spare.data", bytes=7, sha256="0" * 64)
    object.__setattr__(graph, "data", (*graph.data, wrong))
    with pytest.raises(BundleError, match="spare"):
        step_ms(Bundle(tmp_path, bundle.manifest), ["int8"])


def test_a_disk_that_is_full_while_steps_are_timed_is_an_output_error(
    tiny: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def full(*given: object) -> LoweredFile:
        place = Path(str(given[-1]))
        place.write_bytes(b"begun")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(place))

    monkeypatch.setattr(steps, "lower_decoder", full)
    manifest = Bundle.open(tiny).manifest
    scored = [Cost(variant=each.name, scores=()) for each in manifest.variants]
    monkeypatch.setattr(chosen, "costs", lambda *_: scored)

    plan = Plan(calibration=cast("CalibrationSet", object()), lowered=True)
    with (
        pytest.raises(OutputError, match=r"No space left on device \(.*\.out\.draft"),
        pack(tmp_path / "out") as draft,
    ):
        chosen.decided(manifest, draft, plan)
    assert names(tmp_path) == set()
