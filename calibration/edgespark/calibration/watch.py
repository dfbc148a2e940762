"""Graphs that show what their tensors hold: what is watched, and the session that looks on."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import onnx
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper

from edgespark.calibration.statistics import Observer, Statistics
from edgespark.runtime.backends import Array, Program, Rebound, Session
from edgespark.runtime.backends.external import locations
from edgespark.runtime.errors import BundleError, InputError

Prepare = Callable[[ModelProto], ModelProto]
"""Brings a graph into the form that is quantised; the same function in other nodes."""

AXES = {"MatMul": -1, "Gemm": -1, "Conv": 1}
"""The axis of an input's channels, by the operator that reads it."""
FLOATS = (TensorProto.FLOAT, TensorProto.FLOAT16)
PEAKS = "edgespark.peaks"
LARGEST = float(np.finfo(np.float32).max)
MOST = 2 << 30  # bytes: what protocol buffers hold
HELD = 1 << 26
"""Bytes of a sample that wait for its other runs; beyond that they are taken for a sample."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """What of a graph is watched: tensors as wholes, each with its channel axis, and peaks."""

    observed: Mapping[str, int]
    peaks: tuple[str, ...]


def watched(part: str, program: Program, prepare: Prepare | None) -> tuple[Program, Plan]:
    """Return the graph with outputs for all that is watched, prepared before, and what that is.

    Whole are the inputs of MatMul, Gemm and Conv that hold floats and are no constants. The
    greatest magnitudes of all float32 tensors are one more output, [tensors], computed within the
    graph. InputError where a graph with its weights is too large to be prepared.
    """
    model = onnx.load_model_from_string(program.graph)
    if prepare is not None:
        model, program = _prepared(part, model, program, prepare)
    kinds = _kinds(model)
    plan = Plan(observed=_products(model.graph, kinds), peaks=_floats(model.graph, kinds))
    there = {each.name for each in (*model.graph.output, *model.graph.input)}
    model.graph.output.extend(_ports(plan.observed.keys() - there, kinds))
    if plan.peaks:
        model.graph.node.extend(_measuring(plan.peaks))
        model.graph.output.append(
            helper.make_tensor_value_info(PEAKS, TensorProto.FLOAT, [len(plan.peaks)])
        )
    return replace(program, graph=model.SerializeToString()), plan


class Watched(Rebound):
    """A part's session that shows what its tensors hold to observers, and gives what it gave."""

    def __init__(self, part: str, session: Session, program: Program, plan: Plan) -> None:
        """Look at what `plan` says of a session that `watched` made ready."""
        self._part = part
        self._session = session
        self._ports = [port.name for port in program.outputs]
        self._observers = {name: Observer(axis) for name, axis in plan.observed.items()}
        self._held: dict[str, list[Array]] = {name: [] for name in plan.observed}
        self._bytes = 0
        self._names = plan.peaks
        self._peaks = np.zeros(len(plan.peaks), np.float32)

    def run(
        self, inputs: Mapping[str, Array], outputs: Mapping[str, Array] | None = None
    ) -> dict[str, Array]:
        """Run once and look on: see `Session.run`.

        InputError, which names part and tensor, where the part gives NaN or infinity.
        """
        made = self._session.run(inputs, outputs)
        self._hold({**inputs, **made}, {*inputs, *(outputs or ())})
        for name in self._ports:
            if made[name].dtype.kind == "f" and not np.isfinite(made[name]).all():
                self.settle()  # which knows of an earlier tensor, if there is one
                raise InputError(f"{self._part}: its output {name!r} holds NaN or infinity")
        if self._names:
            # a mask may hold -inf where no product reads it; what is empty has the peak -inf
            seen = np.minimum(np.nan_to_num(made[PEAKS], nan=LARGEST), LARGEST)
            np.maximum(self._peaks, seen, out=self._peaks)
        return {name: made[name] for name in self._ports}

    def settle(self) -> None:
        """Take what was seen since the last call for one sample, in whatever runs it was seen.

        InputError, which names part and tensor, where a product read NaN or infinity.
        """
        for name, observer in self._observers.items():
            try:
                for array in joined(self._held[name]):
                    observer.observe(array)
            except InputError as error:
                raise InputError(f"{self._part}: its tensor {name!r} {error}") from error
            self._held[name].clear()
        self._bytes = 0

    def _hold(self, there: Mapping[str, Array], shared: Collection[str]) -> None:
        for name, arrays in self._held.items():
            array = there[name]
            arrays.append(array.copy() if name in shared else array)  # written over by the next run
            self._bytes += array.nbytes
        if self._bytes > HELD:
            self.settle()

    def close(self) -> None:
        """Free the session; what was seen stays."""
        self._session.close()

    def statistics(self) -> dict[str, Statistics]:
        """Return what the inputs of products held; InputError for one that held nothing."""
        return {name: observer.finish() for name, observer in self._observers.items()}

    def peaks(self) -> dict[str, float]:
        """Return each tensor's greatest magnitude: at most the largest float32, 0.0 if empty."""
        return dict(zip(self._names, self._peaks.tolist(), strict=True))


def joined(arrays: Sequence[Array]) -> Sequence[Array]:
    """Join arrays along their last axis but one, the positions, where all else is alike."""
    rest = {(each.shape[:-2], each.shape[-1:], each.ndim) for each in arrays}
    if len(arrays) < 2 or len(rest) > 1 or arrays[0].ndim < 2:  # noqa: PLR2004 two to join, along an axis
        return arrays
    return [np.concatenate(arrays, axis=-2)]


def _prepared(
    part: str, model: ModelProto, program: Program, prepare: Prepare
) -> tuple[ModelProto, Program]:
    """Prepare a graph with all of its weights in it."""
    if program.folder is not None:
        if strange := sorted(locations(program.graph) - set(program.data)):
            raise BundleError(program.where, [f"the graph reads {strange[0]!r}, which it must not"])
        size = sum((program.folder / name).stat().st_size for name in program.data)
        if size + len(program.graph) >= MOST:
            raise InputError(
                f"{part}: its weights take {size / MOST * 2:.1f} GiB, and one graph holds less "
                "than 2: it cannot be quantised as a whole"
            )
        onnx.load_external_data_for_model(model, str(program.folder))
        program = replace(program, folder=None, data=())
    return prepare(model), program


def _kinds(model: ModelProto) -> dict[str, int]:
    """Return the dtype of each tensor that is no constant, as far as it can be told."""
    # weights are inputs here: inference copies the graph, and types are told without their data
    bare = ModelProto(ir_version=model.ir_version)
    bare.opset_import.extend(model.opset_import)
    bare.functions.extend(model.functions)
    graph = GraphProto(name=model.graph.name)
    graph.node.extend(model.graph.node)
    graph.input.extend(model.graph.input)
    graph.input.extend(
        helper.make_tensor_value_info(each.name, each.data_type, list(each.dims))
        for each in model.graph.initializer
    )
    graph.output.extend(model.graph.output)
    bare.graph.CopyFrom(graph)
    inferred = onnx.shape_inference.infer_shapes(bare).graph
    constants = {each.name for each in model.graph.initializer}
    constants |= {n.output[0] for n in model.graph.node if n.op_type == "Constant"}
    values = (*inferred.input, *inferred.value_info, *inferred.output)
    return {
        each.name: each.type.tensor_type.elem_type for each in values if each.name not in constants
    }


def _products(graph: GraphProto, kinds: Mapping[str, int]) -> dict[str, int]:
    found: dict[str, int] = {}
    for node in graph.node:
        if node.op_type in AXES and node.domain in {"", "ai.onnx"}:
            for name in node.input:
                if kinds.get(name) in FLOATS:
                    found.setdefault(name, AXES[node.op_type])
    return found


def _floats(graph: GraphProto, kinds: Mapping[str, int]) -> tuple[str, ...]:
    """Return the tensors of floats in the order in which they are made."""
    inputs = [each.name for each in graph.input]
    made = [name for node in graph.node for name in node.output]
    return tuple(name for name in dict.fromkeys((*inputs, *made)) if kinds.get(name) in FLOATS)


def _ports(names: Iterable[str], kinds: Mapping[str, int]) -> Iterator[onnx.ValueInfoProto]:
    for name in sorted(names):
        yield helper.make_tensor_value_info(name, kinds[name], None)


def _measuring(names: tuple[str, ...]) -> Iterator[NodeProto]:
    """Give nodes that make one output, [tensors], of the tensors' greatest magnitudes."""
    tops = [f"{PEAKS}.{i}" for i in range(len(names))]
    for name, top in zip(names, tops, strict=True):
        yield helper.make_node("Cast", [name], [f"{top}.wide"], to=TensorProto.FLOAT)
        yield helper.make_node("Abs", [f"{top}.wide"], [f"{top}.abs"])
        yield helper.make_node("ReduceMax", [f"{top}.abs"], [top], keepdims=0)
    yield helper.make_node("SequenceConstruct", tops, [f"{PEAKS}.all"])
    yield helper.make_node("ConcatFromSequence", [f"{PEAKS}.all"], [PEAKS], axis=0, new_axis=1)
