"""Derived graphs that fail: which file says what, which folder to delete, and what to try."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnxruntime.capi import onnxruntime_pybind11_state as native

from edgespark.runtime import BundleError, DeviceError, load
from edgespark.runtime.backends import Program, Session, backend, onnxruntime
from edgespark.runtime.bundle import Bundle
from edgespark.runtime.cli import main
from edgespark.runtime.derived import advised, check_files, find, program
from edgespark.runtime.errors import GraphRefused
from edgespark.runtime.lowered import Source, source
from edgespark.runtime.manifest import Precision
from tests.runtime.lowered_decoder import GRAPH, LOWERING, derive, either
from tests.runtime.stand_in import Array, Arrays, StandIn

ADVICE = "delete this folder: the portable graph runs then, `edgespark build` makes it again"
RGB = np.random.default_rng(1).normal(size=(3, 4, 4)).astype(np.float32)
FAILURES: tuple[Exception, ...] = (
    BundleError("derived/x/decoder.fp32.onnx", ["no ONNX graph: cut", "has other ports"]),
    GraphRefused("derived/x/decoder.fp32.onnx: onnxruntime cannot run it"),
)
SHORT = DeviceError("derived/x/decoder.fp32.onnx: onnxruntime cannot run it: std::bad_alloc")


@pytest.fixture(autouse=True)
def _both_forms(stand_in: StandIn) -> None:
    stand_in.functions["decoder"] = either


def lowered(folder: Path) -> Path:
    return derive(Bundle.open(folder))


def opening(stand_in: StandIn, error: Exception, prefix: str) -> Callable[[Program], Session]:
    """Open as the stand-in does, but for graphs whose place begins so: they fail."""

    def opened(program: Program) -> Session:
        if program.where.startswith(prefix):
            raise error
        return stand_in.open_session(program)

    return opened


@pytest.mark.parametrize("error", FAILURES, ids=lambda each: type(each).__name__)
def test_a_derived_graph_that_does_not_open_says_which_folder_to_delete(
    error: Exception, folder: Path, stand_in: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = lowered(folder)
    engine: Any = backend("onnxruntime")
    monkeypatch.setattr(engine, "open_session", opening(stand_in, error, "derived/"))
    with pytest.raises(type(error)) as told:
        load(folder).generate("hi", max_tokens=2)
    problems = error.problems if isinstance(error, BundleError) else [str(error)]
    for said in (str(place), "decoder.fp32.onnx", *problems):
        assert said in str(told.value)
    assert str(told.value).endswith(ADVICE)
    assert load(folder, portable=True).generate("hi", max_tokens=2)
    assert main(["run", str(folder), "--prompt", "hi"]) in {3, 4}


def test_a_machine_that_is_short_of_memory_is_no_reason_to_delete_anything(
    folder: Path, stand_in: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    lowered(folder)
    engine: Any = backend("onnxruntime")
    monkeypatch.setattr(engine, "open_session", opening(stand_in, SHORT, "derived/"))
    with pytest.raises(DeviceError, match=r"bad_alloc; --portable") as told:
        load(folder).generate("hi", max_tokens=2)
    assert not isinstance(told.value, GraphRefused)
    assert "delete" not in str(told.value)


@pytest.mark.parametrize(
    ("error", "own"),
    [
        (MemoryError("std::bad_alloc"), False),
        (MemoryError(), False),
        (RuntimeError("pthread_create failed, error code: 11"), False),
        (native.Fail("1 : FAIL : Exception during loading: std::bad_alloc"), False),
        (native.Fail("Failed to allocate memory for requested buffer"), False),
        (native.RuntimeException("Exception during initialization"), False),
        (native.Fail("com.nowhere:X is not a registered function/op"), True),
        (native.NotImplemented("no kernel"), True),
    ],
    ids=lambda each: str(each)[:30],
)
def test_only_what_is_the_graphs_own_fault_is_told_as_that(
    error: Exception,
    own: bool,  # noqa: FBT001 a case
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: Any, **__: Any) -> Any:  # noqa: ANN401 as a session is made
        raise error

    monkeypatch.setattr("onnxruntime.InferenceSession", refuse)
    monkeypatch.setattr(onnxruntime, "_check_files", lambda _: None)
    program = Program(where="x.onnx", graph=b"", inputs=(), outputs=())
    with pytest.raises(DeviceError, match=r"x\.onnx: onnxruntime .* cannot run it: .") as told:
        onnxruntime.open_session(program)
    assert isinstance(told.value, GraphRefused) is own


@pytest.mark.parametrize("error", FAILURES, ids=lambda each: type(each).__name__)
def test_a_portable_graph_that_does_not_open_has_no_folder_to_delete(
    error: Exception, folder: Path, stand_in: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine: Any = backend("onnxruntime")
    monkeypatch.setattr(engine, "open_session", opening(stand_in, error, "graphs/decoder"))
    with pytest.raises(type(error)) as told:
        load(folder).generate("hi", max_tokens=2)
    assert told.value is error


def test_a_draft_is_nothing_to_delete(folder: Path) -> None:
    lowered(folder)
    bundle = Bundle.open(folder)
    part = bundle.manifest.part("decoder")
    found = find(bundle, part, part.graphs[0], LOWERING)
    assert found is not None
    error = FAILURES[0]
    with pytest.raises(BundleError) as told, advised(replace(found, draft=True)):
        raise error
    assert told.value is error


def test_a_derived_graph_of_other_shapes_names_its_folder(folder: Path, stand_in: StandIn) -> None:
    place = derive(Bundle.open(folder), part="encoder_rgb")

    def short(_: Mapping[str, Array]) -> Arrays:
        return {"tokens": np.zeros((1, 1, 1), np.float32)}

    spark = load(folder)
    stand_in.functions["encoder_rgb"] = short
    spark._model._parts._load("encoder_rgb", spark._record)
    loaded = spark._model._parts._loaded["encoder_rgb"]
    spark._model._parts._loaded["encoder_rgb"] = replace(loaded, outputs={})
    with pytest.raises(BundleError, match="delete this folder") as told:
        spark.generate("hi", rgb=RGB, max_tokens=2)
    assert str(told.value).startswith(f"{place}: ")


@pytest.mark.parametrize("change", [GRAPH[1:], GRAPH[::-1]], ids=["cut", "changed"])
def test_what_a_derived_file_should_be_is_said_by_its_record(change: bytes, folder: Path) -> None:
    (lowered(folder) / "decoder.fp32.onnx").write_bytes(change)
    bundle = Bundle.open(folder)
    part = bundle.manifest.part("decoder")
    found = find(bundle, part, part.graphs[0], LOWERING)
    assert found is not None
    for call in (lambda: check_files(found), lambda: program(found, None)):
        with pytest.raises(BundleError, match=r"derived\.json says") as told:
            call()
        assert "manifest" not in str(told.value)


def test_a_graph_is_held_to_what_its_record_promises(folder: Path) -> None:
    pytest.importorskip("onnx")
    from tests.runtime import graphs  # which makes graphs with onnx

    lowered(folder)
    bundle = Bundle.open(folder)
    part = bundle.manifest.part("decoder")
    found = find(bundle, part, part.graphs[0], LOWERING)
    assert found is not None
    ready = replace(program(found, None), graph=graphs.graph())
    with pytest.raises(BundleError) as told:
        onnxruntime.open_session(ready)
    text = str(told.value)
    assert "derived.json promises input 'inputs_embeds'" in text
    assert "derived.json promises output 'hidden'" in text
    assert "which derived.json does not name" in text
    assert "manifest" not in text


def overflowing(given: Mapping[str, Array]) -> Arrays:
    made = either(given)
    made["logits"][:] = np.nan
    return made


def test_logits_that_are_no_numbers_are_not_told_to_want_more_than_fp32(
    folder: Path, stand_in: StandIn
) -> None:
    stand_in.functions["decoder"] = overflowing
    with pytest.raises(DeviceError, match=r"decoder gave nan .*even in fp32.*verify") as told:
        load(folder).generate("hi", max_tokens=2)
    assert "wider" not in str(told.value)


@pytest.mark.parametrize("steps", [1, 4])
def test_logits_of_a_lowered_graph_that_are_no_numbers_lead_to_the_portable_one(
    steps: int, folder: Path, stand_in: StandIn
) -> None:
    def later(given: Mapping[str, Array]) -> Arrays:
        late = steps > 1 and given["inputs_embeds"].shape[1] > 1
        return either(given) if late else overflowing(given)

    stand_in.functions["decoder"] = later
    lowered(folder)
    with pytest.raises(DeviceError, match=r"cpu-2 lowered it wrongly.*--portable.*verify") as told:
        load(folder).generate("hi", max_tokens=steps)
    assert "wider" not in str(told.value)
    stand_in.functions["decoder"] = either
    assert load(folder, portable=True).generate("hi", max_tokens=steps)


def test_tokens_that_are_no_numbers_are_told_by_the_form_that_runs(
    folder: Path, stand_in: StandIn
) -> None:
    honest = stand_in.functions["encoder_rgb"]
    stand_in.functions["encoder_rgb"] = lambda given: {
        name: array * np.float32(np.nan) for name, array in honest(given).items()
    }
    with pytest.raises(DeviceError, match=r"encoder_rgb gave .*even in fp32"):
        load(folder).generate("hi", rgb=RGB, max_tokens=2)
    derive(Bundle.open(folder), part="encoder_rgb")
    with pytest.raises(DeviceError, match=r"encoder_rgb gave .*--portable"):
        load(folder).generate("hi", rgb=RGB, max_tokens=2)


@pytest.mark.parametrize(
    ("precision", "said"),
    [("fp32", "even in fp32"), ("fp16", "wider"), ("int8", "wider"), ("int4", "wider")],
)
def test_only_what_is_narrow_is_told_to_be_wider(
    precision: Precision, said: str, folder: Path
) -> None:
    bundle = Bundle.open(folder)
    part = bundle.manifest.part("decoder")
    made: Source = source(bundle, part, replace(part.graphs[0], precision=precision))
    assert said in made.overflow
