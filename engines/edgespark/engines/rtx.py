"""Engines of tensorrt-rtx, built on a CPU: neither a GPU nor its driver is asked for.

TensorRT for RTX reads ONNX and compiles strongly typed engines for GPUs that are not there. So it
proves that a graph is one that TensorRT takes, and tells in which types its products compute.
Nothing is run or loaded here: that needs the GPU. The library comes with `edgespark[rtx]`.
"""

import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, SupportsInt

from onnx import NodeProto

from edgespark.runtime.errors import CheckError, InputError, MissingExtra
from edgespark.runtime.manifest import Axis, Port

TARGETS = ("SM80", "SM86", "SM89", "SM120")
"""Ampere, Ada and Blackwell. Turing, SM75, has no float32 products and no int4."""
NO_DRIVER = "catchCudaError"  # what follows is no reason: the library looked for a GPU
KERNEL = re.compile(
    r"Name: (?P<name>.+?), LayerType: (?P<kind>\w+), Inputs: (?P<reads>.*), Outputs: (?P<gives>.*)"
    r", TacticName: .*, Metadata: (?P<nodes>.*)"
)
ATTENTION = "_gemm_mha"  # scores, softmax and mixes in one kernel, which is of no kind of its own
DTYPE = re.compile(r"Datatype: (\w+)")
NODE = re.compile(r"\[ONNX Layer: (.*?)\]")
NAMELESS = "node_of_"  # and its first output: what the library calls such a node


@dataclass(frozen=True, kw_only=True, slots=True)
class Span:
    """The shapes that an input may have: least, the one to be fast at, greatest."""

    low: tuple[int, ...]
    typical: tuple[int, ...]
    high: tuple[int, ...]

    def __post_init__(self) -> None:
        """Refuse shapes that are not in this order, axis by axis."""
        ranks = {len(self.low), len(self.typical), len(self.high)}
        axes = zip(self.low, self.typical, self.high, strict=False)
        if len(ranks) > 1 or not all(0 <= low <= mid <= high for low, mid, high in axes):
            raise ValueError(f"0 <= {self.low} <= {self.typical} <= {self.high} does not hold")


@dataclass(frozen=True, kw_only=True, slots=True)
class Kernel:
    """One kernel of an engine, as the builder reports it: its nodes of ONNX, and dtypes.

    `reads` are the dtypes (Float, Half, Int8, …) of its inputs, then of its constants. `nodes` are
    names of nodes in the graph, as `node_names` gives them.
    """

    name: str
    kind: str
    reads: tuple[str, ...]
    gives: tuple[str, ...]
    nodes: tuple[str, ...]

    @property
    def operands(self) -> tuple[str, ...]:
        """Return the dtypes of a product's factors, or an attention's; nothing for what is none."""
        multiplies = self.kind in ("gemm", "correlation") or self.name.startswith(ATTENTION)
        return self.reads[:2] if multiplies else ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Built:
    """An engine: its bytes, how long it took to parse and build, and its kernels."""

    plan: bytes
    seconds: float
    kernels: tuple[Kernel, ...]

    def in_int8(self, node: str) -> bool:
        """Tell whether that node is a product of two INT8 factors in the engine."""
        return any(
            node in each.nodes and each.operands == ("Int8", "Int8") for each in self.kernels
        )


def spans(ports: Iterable[Port]) -> dict[str, Span]:
    """Return the shapes that the ports' axes allow.

    Typical are the least sizes, as when one sample is answered token by token; an axis that may be
    empty, such as the past, is typically half full.
    """
    return {
        port.name: Span(
            low=tuple(axis.low for axis in port.axes),
            typical=tuple(_typical(axis) for axis in port.axes),
            high=tuple(axis.high for axis in port.axes),
        )
        for port in ports
    }


def build(
    graph: Path | bytes, shapes: Mapping[str, Span], targets: Sequence[str] = TARGETS
) -> Built:
    """Build a strongly typed engine of the graph, for all the targets at once.

    A graph with external data is given as its path. Raises CheckError with each node, operator and
    reason where the library refuses the graph, InputError for targets that it does not know,
    MissingExtra where it is not installed.
    """
    library, said = _library(), list[tuple[int, str]]()
    log = _log(library, said)
    builder, start = library.Builder(log), time.perf_counter()
    typed = 1 << int(library.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
    network = builder.create_network(typed)
    _parse(library.OnnxParser(network, log), graph)
    config = builder.create_builder_config()
    config.profiling_verbosity = library.ProfilingVerbosity.DETAILED  # the kernels are logged
    _aim(library, config, targets)
    config.add_optimization_profile(_profile(builder, network, shapes))
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise CheckError(f"tensorrt-rtx cannot build it: {_reason(_errors(library, said))}")
    return Built(
        plan=bytes(plan),
        seconds=time.perf_counter() - start,
        kernels=tuple(_kernels(text for _, text in said)),
    )


def node_names(nodes: Iterable[NodeProto]) -> dict[str, str]:
    """Return what the library calls each node, by the first tensor that the node gives."""
    return {node.output[0]: node.name or f"{NAMELESS}{node.output[0]}" for node in nodes}


def _typical(axis: Axis) -> int:
    return axis.low or (axis.high + 1) // 2


def _library() -> Any:  # noqa: ANN401 imported late
    try:
        return import_module("tensorrt_rtx")
    except ImportError as error:
        raise MissingExtra(
            f"engines of tensorrt-rtx need its library, which cannot be imported ({error}): "
            "pip install 'edgespark[rtx]'"
        ) from error


def _log(library: Any, said: list[tuple[int, str]]) -> Any:  # noqa: ANN401 imported late
    def log(_: object, severity: SupportsInt, text: str) -> None:
        said.append((int(severity), text))

    return type("Log", (library.ILogger,), {"log": log})()


def _parse(parser: Any, graph: Path | bytes) -> None:  # noqa: ANN401 imported late
    parsed = parser.parse(graph) if isinstance(graph, bytes) else parser.parse_from_file(str(graph))
    if parsed:
        return
    errors = [parser.get_error(place) for place in range(parser.num_errors)]
    told = [f"{_node(each)}: {_reason(each.desc().splitlines())}" for each in errors]
    raise CheckError("tensorrt-rtx cannot take it: " + ("; ".join(told) or "it tells no reason"))


def _node(error: Any) -> str:  # noqa: ANN401 imported late
    return f"{error.node_operator() or 'graph'} {error.node_name()!r}"


def _aim(library: Any, config: Any, targets: Sequence[str]) -> None:  # noqa: ANN401
    offered = library.ComputeCapability.__members__.items()
    known = {name: value for name, value in offered if name.startswith("SM")}
    if not targets or (unknown := [each for each in targets if each not in known]):
        given = ", ".join(unknown) if targets else "none"
        raise InputError(f"targets: {given}; tensorrt-rtx knows {', '.join(known)}")
    config.num_compute_capabilities = len(targets)
    for place, target in enumerate(targets):
        config.set_compute_capability(known[target], place)


def _profile(builder: Any, network: Any, shapes: Mapping[str, Span]) -> Any:  # noqa: ANN401
    names = [network.get_input(place).name for place in range(network.num_inputs)]
    if absent := sorted(set(names) - shapes.keys()):
        raise CheckError(f"no port says which shapes the inputs {', '.join(absent)} may have")
    profile = builder.create_optimization_profile()
    for name in names:
        span = shapes[name]
        profile.set_shape(name, span.low, span.typical, span.high)
    return profile


def _errors(library: Any, said: Iterable[tuple[int, str]]) -> list[str]:  # noqa: ANN401
    return [text for severity, text in said if severity <= int(library.ILogger.ERROR)]


def _reason(lines: Iterable[str]) -> str:
    told = [line.strip() for line in lines if NO_DRIVER not in line]
    return " ".join(line for line in told if line) or "it tells no reason"


def _kernels(texts: Iterable[str]) -> Iterator[Kernel]:
    """Read the builder's report of the engine: one line for each kernel."""
    report = next((text for text in texts if text.startswith("Layers:")), "")
    for found in KERNEL.finditer(report):
        yield Kernel(
            name=found["name"],
            kind=found["kind"],
            reads=tuple(DTYPE.findall(found["reads"])),
            gives=tuple(DTYPE.findall(found["gives"])),
            nodes=tuple(NODE.findall(found["nodes"])),
        )
