"""Export with keys and values as int8: what is in the bundle, and what it answers."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from edgespark.calibration.sets import CalibrationSet, Rows, write_set
from edgespark.engines.int8 import Int8
from edgespark.export.cli import main
from edgespark.export.exporter import export
from edgespark.export.plan import Plan, check_cache
from edgespark.export.recipes import recipe
from edgespark.runtime import load
from edgespark.runtime.bundle import Bundle
from edgespark.runtime.device import device_named
from edgespark.runtime.errors import UsageError
from edgespark.runtime.inspect import describe, render
from edgespark.runtime.manifest import Precision
from edgespark.runtime.verify import rows

PRECISIONS: tuple[Precision, ...] = ("fp32", "int8")
CALIBRATED, ASKED = 8, 12
COLUMNS = ("input", "question", "answer")


@pytest.fixture(scope="module")
def texts(tiny: Path) -> dict[str, list[str]]:
    with np.load(tiny / "samples" / "language.npz") as held:
        return {name: held[name][: CALIBRATED + ASKED].tolist() for name in COLUMNS}


@pytest.fixture(scope="module")
def samples(
    texts: dict[str, list[str]], tmp_path_factory: pytest.TempPathFactory
) -> CalibrationSet:
    root = tmp_path_factory.mktemp("set")
    (root / "language").mkdir()
    for name, column in texts.items():
        np.save(root / "language" / f"{name}.npy", np.array(column[:CALIBRATED]))
    return write_set(root, {"language": Rows(folder="language")}, seed=1)


@pytest.fixture(scope="module")
def bundle(samples: CalibrationSet, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    plan = Plan(calibration=samples, how=Int8(smooth=False, correct=False), cache=True)
    made = recipe("allspark-tiny").blueprint("allspark-tiny", None, ("language",))
    out = tmp_path_factory.mktemp("coded") / "bundle"
    return export(made, out, replace=False, precisions=PRECISIONS, plan=plan)


def test_only_the_graph_of_integers_has_int8_states(bundle: Bundle) -> None:
    graphs = bundle.manifest.part("decoder").graphs
    found = {
        each.precision: Counter((s.past.dtype, s.new.dtype, s.step is None) for s in each.states)
        for each in graphs
    }
    assert found == {
        "fp32": Counter({("float32", "float32", True): 8}),
        "int8": Counter({("int8", "int8", False): 8}),
    }
    assert "  state  8 tensors of the int8 graph, int8" in render(describe(bundle))


def test_the_bundle_verifies(bundle: Bundle) -> None:
    found = {(row.name, row.precision): row for row in rows(bundle, device_named("cpu"))}
    told = {(each.part, each.precision): each for each in bundle.manifest.evidence.parity}
    assert all(row.ok for row in found.values())
    row, made = (each["decoder", "int8"] for each in (found, told))
    assert 0.01 < row.error < 0.4
    assert row.error == pytest.approx(made.error, rel=0.2)


def test_greedy_answers_are_those_of_the_float_cache(
    bundle: Bundle, texts: dict[str, list[str]]
) -> None:
    asked = list(zip(texts["question"], texts["input"], strict=True))[CALIBRATED:]
    wide, narrow = (
        [spark.generate(question, language=text, temperature=0.0) for question, text in asked]
        for spark in (load(bundle.root, precision=each) for each in PRECISIONS)
    )
    assert len({*wide}) > 1
    assert narrow == wide


def test_int8_states_need_ranges_and_a_graph_of_integers(samples: CalibrationSet) -> None:
    with pytest.raises(UsageError, match="scaled by ranges: give a calibration set"):
        check_cache(Plan(cache=True), ("int8",))
    with pytest.raises(UsageError, match="in the precisions int8 and int4: name one"):
        check_cache(Plan(calibration=samples, cache=True), ("fp32", "fp16"))
    check_cache(Plan(), ("fp32",))
    check_cache(Plan(calibration=samples, cache=True), ("int4",))


def test_the_command_needs_a_calibration_set(tmp_path: Path) -> None:
    options = ["allspark-tiny", "--out", str(tmp_path / "out"), "--precision", "int8"]
    with pytest.raises(UsageError, match="--int8-cache needs --calibration DIR"):
        main([*options, "--int8-cache"])
