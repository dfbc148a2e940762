"""A decoder too large to be held: its reference, and its graphs' parity, layer by layer.

The weights of one layer at a time are read, run in PyTorch, and let go; each layer of each graph is
run beside it, on what PyTorch gave to that layer.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar, cast

import numpy as np
import torch
from numpy.typing import NDArray
from onnx import ModelProto
from torch import Tensor, nn

from edgespark.engines.pieces import piece
from edgespark.export.models.llama import Layer, LlamaDecoder, RMSNorm, causal_mask
from edgespark.export.stage import Stage
from edgespark.runtime.backends import Program, Session, backend
from edgespark.runtime.codes import coded, decoded
from edgespark.runtime.manifest import Axis, Port, State
from edgespark.runtime.progress import track
from edgespark.runtime.verify import distance, median_ms

Source = Callable[[str], Tensor]
Arrays = dict[str, NDArray[np.generic]]
Filled = TypeVar("Filled", bound=nn.Module)
BATCH, SEQUENCE = (Axis(name=name, low=1, high=1 << 20) for name in ("batch", "sequence"))


def after(index: int) -> str:
    """Name the tensor that layer number `index` gives."""
    return f"after.{index}"


def watched(decoder: LlamaDecoder) -> dict[str, str]:
    """Name what every layer gives, by the layer's own name in the module."""
    return {f"model.layers.{index}": after(index) for index in range(decoder.config.depth)}


@dataclass(frozen=True, kw_only=True, slots=True)
class Stored:
    """A graph with its weights beside it: `data` are the names of the files in `folder`.

    `states` are the graph's, as its ports have them.
    """

    model: ModelProto
    folder: Path
    data: tuple[str, ...]
    states: tuple[State, ...]


@dataclass(slots=True)
class Sweep:
    """What running all layers has shown.

    `reference` holds each probe K, and what PyTorch gave: `K.in.PORT` and `K.out.PORT`. `errors`
    are those of each graph, by its name: one for every layer, and last the head's, each fed what
    PyTorch gave to it; `whole` are those of the graph's own outputs, each layer fed what the
    graph's layer before it gave. All are the worst of all probes, in standard deviations of what
    PyTorch gave. `ms` is how long each graph's layers took together on the first probe.
    """

    reference: Arrays = field(default_factory=dict)
    errors: dict[str, list[float]] = field(default_factory=dict)
    whole: dict[str, float] = field(default_factory=dict)
    ms: dict[str, float] = field(default_factory=dict)


@dataclass(slots=True)
class _Flow:
    """One probe on its way through the layers; `own` is where each graph has brought it alone."""

    fed: dict[str, Tensor]
    turn: tuple[Tensor, ...]
    mask: Tensor
    x: Tensor
    given: dict[str, Tensor] = field(default_factory=dict)
    own: dict[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Piece:
    """A layer of a graph, or its head: what lies between two tensors.

    The stage has the states of that graph.
    """

    stage: Stage
    graph: str
    index: int
    ports: tuple[Port, ...]


@torch.no_grad()
def sweep(stage: Stage, source: Source, graphs: Mapping[str, Stored]) -> Sweep:
    """Run every layer once per probe, in PyTorch and in each graph.

    `source` gives a parameter of the module, which may lie on the meta device, by its name. The
    graphs must name what each layer gives as `watched` says.
    """
    decoder = cast("LlamaDecoder", stage.module)
    flows = [_flow(decoder, probe) for probe in stage.probes]
    found = Sweep(
        errors={name: [] for name in graphs},
        whole=dict.fromkeys(graphs, 0.0),
        ms=dict.fromkeys(graphs, 0.0),
    )
    pieces = range(decoder.config.depth + 1)
    with track(pieces, f"prove {stage.name}", len(pieces)) as shown:
        for index in shown:
            last = index == decoder.config.depth
            fed = [_before(flow, index) for flow in flows]
            if last:
                _finish(decoder, source, flows)
            else:
                _advance(decoder, index, source, flows)
            for name, graph in graphs.items():
                own = replace(stage, states=graph.states)
                ports = own.outputs if last else _layer_ports(own, index)
                _compare(_Piece(own, name, index, ports), graph, fed, flows, found)
    for k, flow in enumerate(flows):
        for side, tensors in (("in", flow.fed), ("out", flow.given)):
            names = [port.name for port in (stage.fed if side == "in" else stage.given)]
            found.reference |= {f"{k}.{side}.{name}": tensors[name].numpy() for name in names}
    return found


def _flow(decoder: LlamaDecoder, probe: Mapping[str, Tensor]) -> _Flow:
    x, positions = probe["inputs_embeds"], probe["position_ids"]
    tables = (decoder.cos, decoder.sin)
    return _Flow(
        fed=dict(probe),
        turn=tuple(nn.functional.embedding(positions, each).unsqueeze(2) for each in tables),
        mask=causal_mask(x.shape[1], probe["past.key.0"].shape[0]),
        x=x,
    )


def _before(flow: _Flow, index: int) -> dict[str, Tensor]:
    """Give what a layer of a graph may read: the probe, and what the layer before gave."""
    return flow.fed | ({after(index - 1): flow.x} if index else {})


def _filled(module: Filled, prefix: str, source: Source) -> Filled:
    state = {name: source(prefix + name).float() for name in module.state_dict()}
    module.load_state_dict(state, assign=True)
    return module.eval()


def _advance(decoder: LlamaDecoder, index: int, source: Source, flows: list[_Flow]) -> None:
    with torch.device("meta"):
        made = Layer(decoder.config, index)
    layer = _filled(made, f"model.layers.{index}.", source)
    for flow in flows:
        past = (flow.fed[f"past.key.{index}"], flow.fed[f"past.value.{index}"])
        flow.x, (key, value) = layer(flow.x, flow.turn, flow.mask, past)
        flow.given |= {after(index): flow.x, f"new.key.{index}": key, f"new.value.{index}": value}


def _finish(decoder: LlamaDecoder, source: Source, flows: list[_Flow]) -> None:
    config = decoder.config
    with torch.device("meta"):
        norm = RMSNorm(config.width, config.epsilon)
        head = nn.Linear(config.width, config.vocabulary, bias=False)
    norm, head = _filled(norm, "model.norm.", source), _filled(head, "lm_head.", source)
    for flow in flows:
        hidden = norm(flow.x.index_select(1, flow.fed["select"]))
        flow.given |= {"hidden": hidden, "logits": head(hidden)}


def _layer_ports(stage: Stage, index: int) -> tuple[Port, ...]:
    names = {f"new.key.{index}", f"new.value.{index}"}
    return (_stream(stage, index), *(port for port in stage.given if port.name in names))


def _stream(stage: Stage, index: int) -> Port:
    width = next(port for port in stage.inputs if port.name == "inputs_embeds").axes[-1]
    return Port(name=after(index), dtype="float32", axes=(BATCH, SEQUENCE, width))


def _compare(
    part: _Piece, graph: Stored, fed: list[dict[str, Tensor]], flows: list[_Flow], found: Sweep
) -> None:
    cuts = (_stream(part.stage, part.index - 1),) if part.index else ()
    cut = piece(graph.model, cuts, part.ports)
    names = [each.name for each in cut.graph.input]
    known = (*cuts, *part.stage.fed)
    session = _session(part, cut, known, graph, exact=part.graph == "fp16")
    try:
        pairs = list(zip(fed, flows, strict=True))
        errors = [error for pair in pairs for error in _errors(part, session, names, *pair)]
        found.errors[part.graph].append(max(errors))
        whole = [error for pair in pairs for error in _own_errors(part, session, names, *pair)]
        found.whole[part.graph] = max(found.whole[part.graph], *whole)
    finally:
        session.close()
    session = _session(part, cut, known, graph, exact=False)
    try:
        found.ms[part.graph] += median_ms(session, _read(part, names, fed[0]))
    finally:
        session.close()


def _session(
    part: _Piece, cut: ModelProto, known: tuple[Port, ...], graph: Stored, *, exact: bool
) -> Session:
    names = [each.name for each in cut.graph.input]
    program = Program(
        where=f"{part.stage.name}: {part.ports[0].name}",
        graph=cut.SerializeToString(),
        inputs=tuple(port for port in known if port.name in names),
        outputs=part.ports,
        folder=graph.folder,
        data=graph.data,
        exact=exact,
    )
    return backend("onnxruntime").open_session(program)


def _read(part: _Piece, names: list[str], there: Mapping[str, Tensor]) -> Arrays:
    """Give what a piece reads, as it reads it."""
    return coded({name: there[name].numpy() for name in names}, part.stage.states)


def _run(part: _Piece, session: Session, names: list[str], there: Mapping[str, Tensor]) -> Arrays:
    return decoded(session.run(_read(part, names, there)), part.stage.states)


def _errors(
    part: _Piece, session: Session, names: list[str], fed: dict[str, Tensor], flow: _Flow
) -> Iterator[float]:
    got = _run(part, session, names, fed)
    for port in part.ports:
        yield distance(got[port.name], flow.given[port.name].numpy())


def _own_errors(
    part: _Piece, session: Session, names: list[str], fed: dict[str, Tensor], flow: _Flow
) -> Iterator[float]:
    """Give the errors of what the graph gives at its end, and go on with what it gives within."""
    before = {after(part.index - 1): flow.own[part.graph]} if part.index else {}
    got = _run(part, session, names, fed | before)
    for port in part.ports:
        if port.name == after(part.index):
            flow.own[part.graph] = torch.from_numpy(got[port.name].copy())
        else:
            yield distance(got[port.name], flow.given[port.name].numpy())
