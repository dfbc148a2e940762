"""ONNX Runtime behind the seam: what is bound, what is refused, and the choice of the device."""

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray

from edgespark.runtime import device, processor
from edgespark.runtime.backends import BACKENDS, Program, Session, backend
from edgespark.runtime.backends.onnxruntime import _options
from edgespark.runtime.device import DEVICES, check_packages, device_named
from edgespark.runtime.errors import BundleError, DeviceError, InputError, UsageError
from edgespark.runtime.watched import watched
from tests.runtime.graphs import NEW, PAST, WIDTH, X, graph, ones, program
from tests.runtime.stand_in import port

onnx = pytest.importorskip("onnx")
Array = NDArray[Any]


@pytest.fixture
def session() -> Session:
    return backend("onnxruntime").open_session(program(graph()))


def test_every_backend_of_the_table_can_be_imported_and_opens_sessions() -> None:
    assert all(callable(backend(name).open_session) for name in BACKENDS)


def test_rows_are_written_into_the_buffer_of_the_caller_step_by_step(session: Session) -> None:
    rows = np.zeros((5, WIDTH), np.float32)
    length = 0
    for step in (2, 1, 1):
        made = session.run(
            {"x": ones(step, WIDTH), "past": rows[:length]},
            {"new": rows[length : length + step]},
        )
        assert np.shares_memory(made["new"], rows)
        length += step
        assert made["total"] == length * (WIDTH + 6)
    assert rows.tolist() == [[1, 2, 3, 4]] * 4 + [[0] * WIDTH]


def test_arrays_are_bound_once_and_each_run_reads_and_writes_what_lies_in_them(
    session: Session,
) -> None:
    x, past = np.zeros((1, WIDTH), np.float32), np.zeros((2, WIDTH), np.float32)
    total, new = np.zeros((), np.float32), np.zeros((1, WIDTH), np.float32)
    run = session.bind({"x": x, "past": past}, {"total": total, "new": new})
    for value in (1, 5):
        x[:], past[:] = value, 2 * value
        run()
        assert new.tolist() == [[value + i for i in range(WIDTH)]]
        assert total == past.sum() + new.sum()


def test_what_is_bound_lives_as_long_as_the_run_that_was_returned(session: Session) -> None:
    new = np.zeros((1, WIDTH), np.float32)
    outputs = {"total": np.zeros((), np.float32), "new": new}
    run = session.bind({"x": ones(1, WIDTH), "past": ones(3, WIDTH)}, outputs)
    del outputs
    run()
    assert new.tolist() == [[1, 2, 3, 4]]


@pytest.mark.parametrize(
    ("inputs", "outputs", "said"),
    [
        ({"x": ones(1, WIDTH)}, {}, "got inputs x; it takes x, past"),
        ({"past": ones(WIDTH, 2).T}, {}, "'past': it is not contiguous"),
        ({"past": ones(2, WIDTH + 1)}, {}, "'past' is .* got float32"),
        ({}, {"new": ones(1, WIDTH)}, "got outputs new; it has total, new"),
        ({}, {"total": ones(), "new": ones(1, WIDTH).astype(int)}, "'new' is .* got int64"),
    ],
)
def test_arrays_that_do_not_fit_cannot_be_bound(
    session: Session, inputs: dict[str, Array], outputs: dict[str, Array], said: str
) -> None:
    right = {"total": ones(), "new": ones(1, WIDTH)}
    given = inputs if "x" in inputs else {"x": ones(1, WIDTH), "past": ones(2, WIDTH), **inputs}
    with pytest.raises(InputError, match=said):
        session.bind(given, outputs or right)


def test_what_was_bound_to_a_closed_session_cannot_run(session: Session) -> None:
    given = {"x": ones(1, WIDTH), "past": ones(2, WIDTH)}
    run = session.bind(given, {"total": ones(), "new": ones(1, WIDTH)})
    session.close()
    with pytest.raises(DeviceError, match="closed"):
        run()
    with pytest.raises(DeviceError, match="closed"):
        session.bind(given, {"total": ones(), "new": ones(1, WIDTH)})


def test_outputs_that_are_not_given_are_allocated(session: Session) -> None:
    made = session.run({"x": ones(1, WIDTH), "past": ones(0, WIDTH)})
    assert list(made) == ["total", "new"]
    assert made["total"].shape == ()


def test_an_input_that_is_not_contiguous_gives_the_same(session: Session) -> None:
    x = np.arange(3 * WIDTH, dtype=np.float32).reshape(WIDTH, 3).T
    made = session.run({"x": x, "past": ones(0, WIDTH)})
    assert made["new"].tolist() == (x + np.arange(WIDTH)).tolist()


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ({"x": ones(1, WIDTH)}, "got inputs x; it takes x, past"),
        ({"x": ones(1, WIDTH), "past": ones(0, WIDTH), "y": ones(1)}, "got inputs x, past, y"),
        ({"x": ones(1, WIDTH).astype(np.float64), "past": ones(0, WIDTH)}, "got float64"),
        ({"x": ones(1, WIDTH).astype(">f4"), "past": ones(0, WIDTH)}, "got >f4"),
        ({"x": ones(1, WIDTH + 1), "past": ones(0, WIDTH)}, r"got float32 \[1, 5\]"),
        ({"x": ones(WIDTH), "past": ones(0, WIDTH)}, r"got float32 \[4\]"),
    ],
)
def test_an_input_that_does_not_fit_is_refused(
    session: Session, inputs: Mapping[str, Array], said: str
) -> None:
    with pytest.raises(InputError, match=said):
        session.run(inputs)


@pytest.mark.parametrize(
    ("outputs", "error"),
    [
        ({"new": ones(2, WIDTH)}, DeviceError),
        ({"new": ones(1, WIDTH).astype(np.float16)}, InputError),
        ({"new": ones(1, 2 * WIDTH)[:, ::2]}, InputError),
        ({"news": ones(1, WIDTH)}, InputError),
    ],
)
def test_an_output_that_does_not_fit_is_refused_and_nothing_is_written_past_it(
    session: Session, outputs: Mapping[str, Array], error: type[Exception]
) -> None:
    with pytest.raises(error, match="sums"):
        session.run({"x": ones(1, WIDTH), "past": ones(0, WIDTH)}, outputs)
    assert all((array == 1).all() for array in outputs.values())


def test_a_closed_session_says_so(session: Session) -> None:
    session.close()
    session.close()
    with pytest.raises(DeviceError, match="was closed"):
        session.run({"x": ones(1, WIDTH), "past": ones(0, WIDTH)})


@pytest.mark.parametrize("content", [b"", b"no graph", graph()[:60], graph()[:-9]])
def test_bytes_that_are_no_graph_are_a_broken_bundle(content: bytes) -> None:
    with pytest.raises(BundleError, match=r"graphs/sums\.onnx: no ONNX graph"):
        backend("onnxruntime").open_session(program(content))


def test_a_name_that_is_no_text_is_a_broken_bundle_and_nothing_is_printed(
    capfd: pytest.CaptureFixture[str],
) -> None:
    content = graph().replace(b"past", b"p\xc9st", 1)
    with pytest.raises(BundleError, match=r"graphs/sums\.onnx: no ONNX graph"):
        backend("onnxruntime").open_session(program(content))
    assert capfd.readouterr().out == ""


def test_an_operator_that_this_onnxruntime_lacks_is_a_device_error() -> None:
    node = onnx.helper.make_node("Levitate", ["x"], ["y"], domain="of.nowhere")
    real = onnx.TensorProto.FLOAT
    ports = [onnx.helper.make_tensor_value_info(name, real, [1]) for name in ("x", "y")]
    made = onnx.helper.make_graph([node], "levitation", ports[:1], ports[1:])
    opset = [onnx.helper.make_opsetid("", 18), onnx.helper.make_opsetid("of.nowhere", 1)]
    content = onnx.helper.make_model(made, opset_imports=opset, ir_version=9).SerializeToString()
    with pytest.raises((DeviceError, BundleError), match="Levitate"):
        backend("onnxruntime").open_session(program(content))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"inputs": (X, PAST, port("m"))}, "promises input 'm'; the graph has x, past"),
        ({"outputs": (port("hidden"),)}, "promises output 'hidden'; the graph has total, new"),
        ({"inputs": (X,)}, "wants input 'past', which the manifest does not name"),
        (
            {"inputs": (port("x", "sequence", WIDTH, dtype="float16"), PAST)},
            "input 'x' as float16 .*; the graph has tensor.float. .'sequence', 4.",
        ),
        ({"inputs": (port("x", "sequence"), PAST)}, "input 'x' as float32"),
        ({"inputs": (port("x", "sequence", WIDTH + 1), PAST)}, r"sequence 0…999, axis1 5\]; the"),
        ({"inputs": (port("x", "sequence", "width"), PAST)}, r"width 0…999\]; the graph has"),
        ({"outputs": (port("total", 1), NEW)}, "output 'total' as float32"),
        ({"outputs": (port("new", 1, 1),)}, "output 'new' as float32"),
    ],
)
def test_ports_that_differ_from_the_manifest_are_a_broken_bundle(
    change: dict[str, Any], said: str
) -> None:
    with pytest.raises(BundleError, match=said):
        backend("onnxruntime").open_session(replace(program(graph()), **change))


def test_an_axis_that_the_graph_leaves_open_may_be_static_in_the_manifest() -> None:
    inputs = (port("x", 1, WIDTH), port("past", 0, WIDTH))
    backend("onnxruntime").open_session(replace(program(graph()), inputs=inputs))


def test_a_failing_run_says_nothing_on_stderr_itself(
    session: Session, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(DeviceError) as caught:
        session.run({"x": ones(1, WIDTH), "past": ones(0, WIDTH)}, {"new": ones(3, WIDTH)})
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


def test_onnxruntime_is_told_to_report_nothing_unless_its_user_says_otherwise(
    tmp_path: Path,
) -> None:
    code = (
        "import os, edgespark.runtime.backends.onnxruntime as backend;"
        "backend.onnxruntime.SessionOptions(); print(os.environ['ORT_DISABLE_TELEMETRY'])"
    )
    clean = {key: value for key, value in os.environ.items() if "TELEMETRY" not in key}
    clean |= {"HOME": str(tmp_path), "TMPDIR": str(tmp_path)}
    clean.pop("CI", None)  # reports nothing there either way
    for given, said in (({}, "1\n"), ({"ORT_DISABLE_TELEMETRY": "0"}, "0\n")):
        environment = {**clean, **given}
        ran = subprocess.check_output([sys.executable, "-c", code], env=environment, text=True)
        assert ran == said
        if said == "1\n":
            assert list(tmp_path.rglob("*")) == []


def test_auto_is_the_cpu_which_only_emulates_fp16() -> None:
    chosen = device_named("auto")
    assert chosen is DEVICES["cpu"]
    assert (chosen.how("fp32"), chosen.how("int8")) == ("native", "native")
    assert chosen.how("fp16") == "emulated"


def small(*nodes: Any) -> Program:  # noqa: ANN401 onnx has no types here
    """Return a graph from x to y, both float32 [3], that no manifest is behind."""
    helper, real = onnx.helper, onnx.TensorProto.FLOAT
    ports = [helper.make_tensor_value_info(name, real, [3]) for name in ("x", "y")]
    made = helper.make_graph(list(nodes), "small", ports[:1], ports[1:])
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    return Program(
        where="graphs/small.onnx",
        graph=model.SerializeToString(),
        inputs=(port("x", 3),),
        outputs=(port("y", 3),),
    )


def test_an_exact_run_rounds_to_float16_and_keeps_its_overflow() -> None:
    node = onnx.helper.make_node
    half = small(
        node("Cast", ["x"], ["cast"], to=onnx.TensorProto.FLOAT16),
        node("Identity", ["cast"], ["narrow"]),
        node("Add", ["narrow", "narrow"], ["sum"]),
        # two: a single one it computes in float32 too, between the casts that it puts around nodes
        node("Identity", ["sum"], ["sum.1"]),
        node("Identity", ["sum.1"], ["rounded"]),
        node("Sub", ["rounded", "narrow"], ["left"]),
        node("Identity", ["left"], ["left.1"]),
        node("Identity", ["left.1"], ["given"]),
        node("Cast", ["given"], ["y"], to=onnx.TensorProto.FLOAT),
    )
    session = backend("onnxruntime").open_session(replace(half, exact=True))
    x = np.array([1 / 3, 2047.4, 50000], np.float32)
    wanted = x.astype(np.float16)
    with np.errstate(over="ignore"):
        wanted = (wanted + wanted) - wanted
    assert session.run({"x": x})["y"].tolist() == wanted.astype(np.float32).tolist()
    assert wanted[2] == np.inf


@pytest.mark.parametrize(
    ("exact", "quantised", "level", "disabled"),
    [(False, True, 99, "MatMulAddFusion"), (False, False, 99, None), (True, True, 0, None)],
)
def test_how_a_graph_is_optimised(
    *, exact: bool, quantised: bool, level: int, disabled: str | None
) -> None:
    content = b"QuantizeLinear" if quantised else b"Mul"
    made = _options(replace(program(content), exact=exact))
    assert int(made.graph_optimization_level) == level
    name = "optimization.disable_specified_optimizers"
    if disabled is None:
        with pytest.raises(RuntimeError, match=name):
            made.get_session_config_entry(name)
    else:
        assert made.get_session_config_entry(name) == disabled


def entry(content: bytes, key: str, *, steady: bool = False) -> str | None:
    """Return what a graph's session is told under a key; None for nothing."""
    try:
        made = _options(replace(program(content), steady=steady))
        return str(made.get_session_config_entry(key))
    except RuntimeError:
        return None


def test_threads_of_a_steady_session_may_wait_a_little_and_others_may_not() -> None:
    stop, wait = "session.force_spinning_stop", "session.intra_op.spin_duration_us"
    assert (entry(b"", stop), entry(b"", wait)) == ("1", None)
    assert (entry(b"", stop, steady=True), entry(b"", wait, steady=True)) == (None, "2000")


def test_a_quantised_table_is_gathered_as_it_is_and_products_stay_as_they_are() -> None:
    key = "session.qdqisint8allowed"
    assert entry(b"QuantizeLinear Gather", key) == "1"
    assert entry(b"QuantizeLinear Gather MatMul", key) is None
    assert entry(b"Gather", key) is None


def test_products_of_int8_are_exact_where_the_cpu_would_saturate(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    key, content = "session.x64quantprecision", b"QuantizeLinear MatMul"
    monkeypatch.setattr(processor, "lacks_dot_products", lambda: True)
    assert entry(content, key) == "1"
    assert entry(b"MatMul", key) is None
    monkeypatch.setattr(processor, "lacks_dot_products", lambda: False)
    assert entry(content, key) is None


def test_the_version_of_the_engine_is_told() -> None:
    assert backend("onnxruntime").version() == onnxruntime.__version__


def test_an_output_that_numpy_cannot_hold_is_a_device_error() -> None:
    node = onnx.helper.make_node
    rows = small(node("Identity", ["x"], ["y"]), node("SplitToSequence", ["x"], ["rows"], axis=0))
    watching = replace(rows, graph=watched(rows.graph, ["rows"]))
    with pytest.raises(DeviceError, match="the run failed"):
        backend("onnxruntime").open_session(watching).run({"x": ones(3)})


@pytest.mark.parametrize("name", ["cuda", "tensorrt"])
def test_a_planned_device_is_told_to_be_missing(name: str) -> None:
    with pytest.raises(DeviceError, match=f"{name}.*runs on cpu only"):
        device_named(name)


@pytest.mark.parametrize(
    ("name", "said"),
    [("cpus", "did you mean 'cpu'"), ("", "there are: auto, cpu"), (None, "no device None")],
)
def test_an_unknown_device_is_wrong_use(name: Any, said: str) -> None:  # noqa: ANN401 bad input
    with pytest.raises(UsageError, match=said):
        device_named(name)


def test_both_builds_of_onnxruntime_at_once_are_refused_with_the_two_commands(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(device, "_installed", lambda _: True)
    with pytest.raises(DeviceError) as caught:
        check_packages()
    assert "pip uninstall -y onnxruntime onnxruntime-gpu" in str(caught.value)
    assert "pip install onnxruntime" in str(caught.value)
    monkeypatch.setattr(device, "_installed", lambda name: name == "onnxruntime")
    check_packages()
