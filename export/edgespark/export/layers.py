"""A decoder too large to be held: its reference, and its graphs' parity, layer by layer.

The weights of one layer at a time are read, run in PyTorch, and let go; each layer of each graph is
run beside it, on what PyTorch gave to that layer.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from onnx import ModelProto
from torch import Tensor, nn

from edgespark.engines.pieces import piece
from edgespark.export.models.llama import Layer, LlamaDecoder, causal_mask
from edgespark.export.stage import Stage
from edgespark.runtime.backends import Program, Session, backend
from edgespark.runtime.manifest import Axis, Port
from edgespark.runtime.progress import track
from edgespark.runtime.verify import distance, median_ms

Source = Callable[[str], Tensor]
Arrays = dict[str, NDArray[np.generic]]
BATCH, SEQUENCE = (Axis(name=name, low=1, high=1 << 20) for name in ("batch", "sequence"))


def after(index: int) -> str:
    """Name the tensor that layer number `index` gives."""
    return f"after.{index}"


def watched(decoder: LlamaDecoder) -> dict[str, str]:
    """Name what every layer gives, by the layer's own name in the module."""
    return {f"model.layers.{index}": after(index) for index in range(decoder.config.depth)}


@dataclass(frozen=True, kw_only=True, slots=True)
class Stored:
    """A graph with its weights beside it: `data` are the names of the files in `folder`."""

    model: ModelProto
    folder: Path
    data: tuple[str, ...]


@dataclass(slots=True)
class Sweep:
    """What running all layers has shown.

    `reference` holds each probe K, and what PyTorch gave: `K.in.PORT` and `K.out.PORT`. `errors`
    are those of each graph, by its name: one for every layer, and last the head's, the worst of all
    probes, in standard deviations of what PyTorch gave. `ms` is how long each graph's layers took
    together on the first probe.
    """

    reference: Arrays = field(default_factory=dict)
    errors: dict[str, list[float]] = field(default_factory=dict)
    ms: dict[str, float] = field(default_factory=dict)


@dataclass(slots=True)
class _Flow:
    """One probe on its way through the layers."""

    fed: dict[str, Tensor]
    turn: tuple[Tensor, ...]
    mask: Tensor
    x: Tensor
    given: dict[str, Tensor] = field(default_factory=dict)


@torch.no_grad()
def sweep(stage: Stage, source: Source, graphs: Mapping[str, Stored]) -> Sweep:
    """Run every layer once per probe, in PyTorch and in each graph.

    `source` gives a parameter of the module, which may lie on the meta device, by its name. The
    graphs must name what each layer gives as `watched` says.
    """
    decoder = cast("LlamaDecoder", stage.module)
    flows = [_flow(decoder, probe) for probe in stage.probes]
    found = Sweep(errors={name: [] for name in graphs}, ms=dict.fromkeys(graphs, 0.0))
    pieces = range(decoder.config.depth + 1)
    with track(pieces, f"prove {stage.name}", len(pieces)) as shown:
        for index in shown:
            last = index == decoder.config.depth
            fed = [_before(flow, index) for flow in flows]
            (_finish if last else _advance)(decoder, index, source, flows)
            for name, graph in graphs.items():
                ports = _head_ports(stage) if last else _layer_ports(stage, index)
                error, took = _compared(stage, index, graph, ports, fed, flows)
                found.errors[name].append(error)
                found.ms[name] += took
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


def _filled(module: nn.Module, prefix: str, source: Source) -> nn.Module:
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


def _finish(decoder: LlamaDecoder, _: int, source: Source, flows: list[_Flow]) -> None:
    gain = source("model.norm.weight").float()
    head = source("lm_head.weight").float()
    epsilon = decoder.config.epsilon
    for flow in flows:
        x = flow.x.index_select(1, flow.fed["select"])
        hidden = gain * (x * torch.rsqrt(x.square().mean(-1, keepdim=True) + epsilon))
        flow.given |= {"hidden": hidden, "logits": hidden @ head.T}


def _layer_ports(stage: Stage, index: int) -> tuple[Port, ...]:
    names = {f"new.key.{index}", f"new.value.{index}"}
    return (_stream(stage, index), *(port for port in stage.given if port.name in names))


def _head_ports(stage: Stage) -> tuple[Port, ...]:
    return stage.outputs


def _stream(stage: Stage, index: int) -> Port:
    width = next(port for port in stage.inputs if port.name == "inputs_embeds").axes[-1]
    return Port(name=after(index), dtype="float32", axes=(BATCH, SEQUENCE, width))


def _compared(  # noqa: PLR0913 a layer is judged from exactly these
    stage: Stage,
    index: int,
    graph: Stored,
    ports: tuple[Port, ...],
    fed: list[dict[str, Tensor]],
    flows: list[_Flow],
) -> tuple[float, float]:
    cuts = (_stream(stage, index - 1),) if index else ()
    cut = piece(graph.model, cuts, ports)
    names = [each.name for each in cut.graph.input]
    session = _session(stage, cut, (*cuts, *stage.fed), names, ports, graph)
    try:
        error = max(_errors(session, names, ports, fed, flows))
        return error, median_ms(session, {name: fed[0][name].numpy() for name in names})
    finally:
        session.close()


def _session(  # noqa: PLR0913 a program is made of exactly these
    stage: Stage,
    cut: ModelProto,
    known: tuple[Port, ...],
    names: list[str],
    ports: tuple[Port, ...],
    graph: Stored,
) -> Session:
    program = Program(
        where=f"{stage.name}: {ports[0].name}",
        graph=cut.SerializeToString(),
        inputs=tuple(port for port in known if port.name in names),
        outputs=ports,
        folder=graph.folder,
        data=graph.data,
    )
    return backend("onnxruntime").open_session(program)


def _errors(
    session: Session,
    names: list[str],
    ports: tuple[Port, ...],
    fed: list[dict[str, Tensor]],
    flows: list[_Flow],
) -> Iterator[float]:
    for inputs, flow in zip(fed, flows, strict=True):
        got = session.run({name: inputs[name].numpy() for name in names})
        for port in ports:
            yield distance(got[port.name], flow.given[port.name].numpy())
