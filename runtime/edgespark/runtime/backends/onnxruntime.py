"""ONNX Runtime on the CPU, with every input and output bound by pointer."""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np

# Since 1.29 the official builds for Linux report each session (names, hashes and times of graphs)
# to Microsoft, and keep a device id and a database in the home folder. They look only once, when
# they are imported; who wants to report sets the variable to 0.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as native

from edgespark.runtime.backends import Array, Program
from edgespark.runtime.backends.external import locations
from edgespark.runtime.backends.faults import failed, first_line
from edgespark.runtime.backends.heap import emptied
from edgespark.runtime.errors import BundleError, DeviceError, InputError
from edgespark.runtime.manifest import Port
from edgespark.runtime.ports import written
from edgespark.runtime.processor import QUANTISED, wide_sums

QUIET = 4  # fatal only: what goes wrong is raised, and needs no second telling on stderr
PROVIDERS = ["CPUExecutionProvider"]
BROKEN = (native.InvalidProtobuf, native.InvalidGraph, native.InvalidArgument, native.NoModel)
REFUSED = (
    *(native.Fail, native.NoSuchFile, native.NotImplemented, native.EPFail),
    *(native.RuntimeException, RuntimeError, MemoryError),
)
RUN_ERRORS = (native.InvalidArgument, *REFUSED)
MULTIPLIES = (b"MatMul", b"Gemm", b"Conv")
STEADY = "2000"  # microseconds: far more than the loop takes between two tokens
KNOWS_FOLDERS = (1, 21)  # the first onnxruntime that is told where external data lies
DTYPES = {
    "tensor(float)": np.dtype(np.float32),
    "tensor(float16)": np.dtype(np.float16),
    "tensor(double)": np.dtype(np.float64),
    "tensor(int64)": np.dtype(np.int64),
    "tensor(int32)": np.dtype(np.int32),
    "tensor(int8)": np.dtype(np.int8),
    "tensor(uint8)": np.dtype(np.uint8),
    "tensor(bool)": np.dtype(np.bool_),
}


def open_session(program: Program) -> "OnnxSession":
    """Load the graph from its bytes, so that what was hashed is what runs.

    BundleError where the bytes are no graph, read a file that was not hashed, or have other ports
    than promised; GraphRefused where this ONNX Runtime cannot run it, DeviceError where memory or
    threads are short.
    """
    _check_files(program)
    try:
        with emptied() if program.data else nullcontext():
            session = onnxruntime.InferenceSession(
                *(program.graph, _options(program), PROVIDERS),
                enable_fallback=0,  # which tries the same again, and prints that on stdout
            )
    except BROKEN as error:
        raise BundleError(program.where, [f"no ONNX graph: {first_line(error)}"]) from error
    except UnicodeDecodeError as error:  # of a message that quotes the graph
        raise BundleError(program.where, ["no ONNX graph: a name in it is no UTF-8"]) from error
    except REFUSED as error:
        told = f"{program.where}: onnxruntime {onnxruntime.__version__} cannot run it"
        raise failed(told, error) from error
    opened = OnnxSession(session, program.where)
    _check(opened, program)
    return opened


def version() -> str:
    """Return the version of ONNX Runtime."""
    return str(onnxruntime.__version__)


def _options(program: Program) -> Any:  # noqa: ANN401 onnxruntime ships no types
    options = onnxruntime.SessionOptions()
    options.log_severity_level = QUIET
    if program.threads is not None:
        options.intra_op_num_threads = program.threads
    for key, value in _spinning(program.steady).items():
        options.add_session_config_entry(key, value)
    if program.exact:
        # with the optimiser on, Identities go, then pairs of casts, and with them all rounding
        level = onnxruntime.GraphOptimizationLevel
        options.graph_optimization_level = level.ORT_DISABLE_ALL
    elif QUANTISED in program.graph:
        # it makes a float Gemm of a quantised MatMul and its Add: 15 ms instead of 3 for 512 rows
        # of 1024 x 1024 on one core. 1.20 to 1.31 know the name; one that is unknown is passed over
        name = "optimization.disable_specified_optimizers"
        options.add_session_config_entry(name, "MatMulAddFusion")
        for key in _quantised(program.graph):
            options.add_session_config_entry(key, "1")
    # the only form in which the files that a graph reads were looked for
    options.add_session_config_entry("session.load_model_format", "ONNX")
    # int8 weights with one scale a channel run as blocks: of 128, 1.4 times as fast as of 32
    options.add_session_config_entry("session.qdq_matmulnbits_block_size", "128")
    if program.folder is not None:
        options.add_session_config_entry(
            "session.model_external_initializers_file_folder_path", str(program.folder)
        )
    return options


def _spinning(steady: bool) -> dict[str, str]:  # noqa: FBT001 a field of the program
    """Say how long threads may spin after a run, waiting for the next one.

    A chain runs several sessions by turns: those that have nothing to do must not take the cores
    from the one that has. Answer and scores of the small model on two idle cores, medians of three
    processes: 13 ms; left spinning 17 ms, and 18 ms without any spinning, which also takes the
    quick start from the operators within a run. A decoder of 162 M parameters loses 19 % where it
    must stop after each token; it may wait for the next one, but not for a second, as threads do
    where nothing is said (ONNX Runtime up to about 1.25 knows no other way).
    """
    if steady:
        return {"session.intra_op.spin_duration_us": STEADY}
    return {"session.force_spinning_stop": "1"}


def _quantised(graph: bytes) -> Iterator[str]:
    """Give the options that a quantised graph wants switched on."""
    if not any(each in graph for each in MULTIPLIES):
        # a table is else widened whole on every run: 200 us instead of 35 for 1024 rows of 192
        yield "session.qdqisint8allowed"
    if wide_sums(graph):
        # products of uint8 and int8 saturate there; those of uint8 alone are slower, and right
        yield "session.x64quantprecision"


def _check_files(program: Program) -> None:
    try:
        named = locations(program.graph)
    except ValueError as error:
        raise BundleError(program.where, [f"no ONNX graph: {error}"]) from error
    problem = f"the graph reads the file {{!r}}, which {program.record} does not list as its data"
    if strange := sorted(named - set(program.data)):
        raise BundleError(program.where, [problem.format(each) for each in strange])
    version = onnxruntime.__version__
    if named and tuple(map(int, version.split(".")[:2])) < KNOWS_FOLDERS:
        raise DeviceError(
            f"{program.where}: onnxruntime {version} would read {', '.join(sorted(named))} from "
            "another folder than the bundle's: install onnxruntime 1.21 or newer"
        )


def _check(session: "OnnxSession", program: Program) -> None:
    promised = {port.name for port in program.inputs}
    problems = [
        *_differences(f"{program.record} promises input", program.inputs, session.inputs),
        *_differences(f"{program.record} promises output", program.outputs, session.outputs),
        *(
            f"the graph wants input {name!r}, which {program.record} does not name"
            for name in session.inputs
            if name not in promised
        ),
    ]
    if problems:
        raise BundleError(program.where, problems)


def _differences(
    promises: str, promised: tuple[Port, ...], found: Mapping[str, Any]
) -> Iterator[str]:
    for port in promised:
        said = f"{promises} {port.name!r}"
        if port.name not in found:
            yield f"{said}; the graph has {', '.join(found)}"
        elif not _fits(port, found[port.name]):
            has = found[port.name]
            yield f"{said} as {written(port)}; the graph has {has.type} {has.shape}"


def _fits(port: Port, has: Any) -> bool:  # noqa: ANN401 untyped
    """Compare dtype, rank and static sizes; an axis that the graph leaves open fits any."""
    if DTYPES.get(has.type) != np.dtype(port.dtype) or len(has.shape) != len(port.axes):
        return False
    fixed = [pair for pair in zip(port.axes, has.shape, strict=True) if isinstance(pair[1], int)]
    return all(axis.low == size == axis.high for axis, size in fixed)


class OnnxSession:
    """A `Session` of ONNX Runtime; arrays are bound, not copied."""

    def __init__(self, session: Any, where: str) -> None:  # noqa: ANN401 onnxruntime ships no types
        """Take over a loaded session; `where` names its graph in messages."""
        self._session = session
        self._where = where
        self.inputs = {port.name: port for port in session.get_inputs()}
        self.outputs = {port.name: port for port in session.get_outputs()}

    def run(
        self, inputs: Mapping[str, Array], outputs: Mapping[str, Array] | None = None
    ) -> dict[str, Array]:
        """Run once: see `Session.run`."""
        given = dict(outputs or {})
        self._check(inputs, given)
        binding = self._opened().io_binding()
        # `held` keeps every bound array alive until the run is over
        held = {name: np.asarray(array, order="C") for name, array in inputs.items()}
        for name, array in held.items():
            _bind_input(binding, name, array)
        for name in self.outputs:
            _bind_output(binding, name, given.get(name))
        self.run_bound(binding)
        try:
            made = zip(self.outputs, binding.get_outputs(), strict=True)
            return {name: given[name] if name in given else value.numpy() for name, value in made}
        except RUN_ERRORS as error:  # numpy has no sequences, and not every type of tensors
            raise failed(f"{self._where}: the run failed", error) from error

    def bind(self, inputs: Mapping[str, Array], outputs: Mapping[str, Array]) -> Callable[[], None]:
        """Bind once for many runs: see `Session.bind`."""
        self._check(inputs, outputs)
        if set(outputs) != set(self.outputs):
            raise InputError(
                f"{self._where}: got outputs {', '.join(outputs)}; it has {', '.join(self.outputs)}"
            )
        binding = self._opened().io_binding()
        for name, array in inputs.items():
            if not array.flags.c_contiguous:
                raise InputError(f"{self._where}: cannot bind {name!r}: it is not contiguous")
            _bind_input(binding, name, array)
        for name in self.outputs:
            _bind_output(binding, name, outputs[name])
        return _Bound(self, binding, (*inputs.values(), *outputs.values()))

    def run_bound(self, binding: Any) -> None:  # noqa: ANN401 untyped
        """Run on what is bound; DeviceError where that fails."""
        session = self._opened()
        try:
            session.run_with_iobinding(binding)
        except RUN_ERRORS as error:
            raise failed(f"{self._where}: the run failed", error) from error

    def close(self) -> None:
        """Free the session."""
        self._session = None

    def _opened(self) -> Any:  # noqa: ANN401 untyped
        if self._session is None:
            raise DeviceError(f"{self._where}: the session was closed and cannot run")
        return self._session

    def _check(self, inputs: Mapping[str, Array], outputs: Mapping[str, Array]) -> None:
        # by hand, since a bound run with a missing input reads memory that is not there
        if set(inputs) != set(self.inputs):
            raise InputError(
                f"{self._where}: got inputs {', '.join(inputs)}; it takes {', '.join(self.inputs)}"
            )
        for name, array in inputs.items():
            self._check_array(self.inputs[name], array)
        for name, array in outputs.items():
            if name not in self.outputs or not array.flags.c_contiguous:
                raise InputError(f"{self._where}: cannot write to {name!r}: no contiguous output")
            self._check_array(self.outputs[name], array)

    def _check_array(self, port: Any, array: Array) -> None:  # noqa: ANN401 untyped
        fits = array.dtype == DTYPES.get(port.type) and array.ndim == len(port.shape)
        sizes = zip(array.shape, port.shape, strict=False)
        if not fits or any(isinstance(want, int) and have != want for have, want in sizes):
            raise InputError(
                f"{self._where}: {port.name!r} is {port.type} {port.shape}, "
                f"got {array.dtype} {list(array.shape)}"
            )


@dataclass(frozen=True, slots=True)
class _Bound:
    """Arrays that are bound, kept alive here, and the session that runs on them."""

    session: OnnxSession
    binding: Any
    held: tuple[Array, ...]

    def __call__(self) -> None:
        self.session.run_bound(self.binding)


def _bind_input(binding: Any, name: str, array: Array) -> None:  # noqa: ANN401 untyped
    binding.bind_input(name, "cpu", 0, array.dtype.type, array.shape, array.ctypes.data)


def _bind_output(binding: Any, name: str, array: Array | None) -> None:  # noqa: ANN401 untyped
    if array is None:
        binding.bind_output(name, "cpu")
    else:
        binding.bind_output(
            name, "cpu", 0, array.dtype.type, array.shape, buffer_ptr=array.ctypes.data
        )
