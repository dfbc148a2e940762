"""Checks of one part at a time: the ports that its role needs, and the state that it carries."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from edgespark.runtime.codes import LARGEST, LEAST, is_step
from edgespark.runtime.manifest import DType, Graph, Manifest, Part, Port, Role, State

FLOATS: tuple[DType, ...] = ("float32", "float16")
STATE_RANK = 4


@dataclass(frozen=True, slots=True)
class Need:
    """What a port of some role must be: its name, the dtypes it may have, its number of axes."""

    name: str
    dtypes: tuple[DType, ...]
    rank: int


@dataclass(frozen=True, slots=True)
class Contract:
    """The ports that a role needs; a `closed` one has no others, as nothing could feed them."""

    inputs: tuple[Need, ...]
    outputs: tuple[Need, ...]
    closed: bool


CONTRACTS: dict[Role, Contract] = {
    "encoder": Contract((), (Need("tokens", FLOATS, 3),), closed=False),
    "bridge": Contract((Need("media", FLOATS, 3),), (Need("tokens", FLOATS, 3),), closed=False),
    "embedder": Contract(
        (Need("input_ids", ("int64",), 2),), (Need("embeds", ("float32",), 3),), closed=True
    ),
    "decoder": Contract(
        (
            Need("inputs_embeds", ("float32",), 3),
            Need("position_ids", ("int64",), 2),
            Need("select", ("int64",), 1),
        ),
        (Need("hidden", ("float32",), 3), Need("logits", ("float32",), 3)),
        closed=True,
    ),
    "head": Contract(
        (Need("hidden", ("float32",), 3),), (Need("scores", ("float32",), 3),), closed=True
    ),
}


def of_part(at: str, part: Part) -> Iterator[str]:
    """Give what keeps the part from playing its role, each with its JSON path."""
    contract = CONTRACTS[part.role]
    sides = {"inputs": (part.inputs, contract.inputs), "outputs": (part.outputs, contract.outputs)}
    for side, (ports, needs) in sides.items():
        yield from _names(f"{at}.{side}", ports)
        yield from _needed(f"{at}.{side}", part.role, ports, needs)
        if contract.closed:
            yield from _extra(f"{at}.{side}", part.role, ports, needs)
    if not part.inputs:
        yield f"{at}.inputs: must not be empty"
    for i, graph in enumerate(part.graphs):
        yield from _states(f"{at}.graphs[{i}].states", part, graph)


def _names(at: str, ports: tuple[Port, ...]) -> Iterator[str]:
    yield from twice(at, (port.name for port in ports))
    for i, port in enumerate(ports):
        yield from twice(f"{at}[{i}].axes", (axis.name for axis in port.axes))


def _needed(at: str, role: Role, ports: tuple[Port, ...], needs: tuple[Need, ...]) -> Iterator[str]:
    has = {port.name: port for port in ports}
    for need in needs:
        if need.name not in has:
            yield f"{at}: a part of role {role} needs a port {need.name!r}"
            continue
        port = has[need.name]
        if port.dtype not in need.dtypes or len(port.axes) != need.rank:
            wanted = f"{' or '.join(need.dtypes)} with {need.rank} axes"
            yield f"{at}: port {need.name!r} must be {wanted}, got {typed(port)}"


def _extra(at: str, role: Role, ports: tuple[Port, ...], needs: tuple[Need, ...]) -> Iterator[str]:
    needed = {need.name for need in needs}
    for port in ports:
        if port.name not in needed:
            yield f"{at}: a part of role {role} has no port {port.name!r}"


def _states(at: str, part: Part, graph: Graph) -> Iterator[str]:
    if part.role != "decoder":
        if graph.states:
            yield f"{at}: only a decoder carries state, {part.name!r} has role {part.role}"
        return
    if not graph.states:
        yield f"{at}: a decoder must carry state"
    pasts = [port.name for port in part.inputs] + [state.past.name for state in graph.states]
    news = [port.name for port in part.outputs] + [state.new.name for state in graph.states]
    yield from twice(at, pasts)
    yield from twice(at, news)
    for i, state in enumerate(graph.states):
        yield from _state(f"{at}[{i}]", state)


def _state(at: str, state: State) -> Iterator[str]:
    past, new = state.past, state.new
    if len(past.axes) != STATE_RANK or len(new.axes) != STATE_RANK or past.dtype != new.dtype:
        got = f"{typed(past)} and {typed(new)}"
        yield f"{at}: past and new must be of one dtype with {STATE_RANK} axes, got {got}"
        return
    if past.axes[0].name != "past" or new.axes[0].name != "sequence":
        got = f"{past.axes[0].name!r} and {new.axes[0].name!r}"
        yield f"{at}: the first axes must be 'past' and 'sequence', got {got}"
    if past.axes[0].low != 0:
        yield f"{at}.past.axes[0].low: must be 0, as the first step has no past"
    if past.axes[1:] != new.axes[1:] or not all(axis.static for axis in past.axes[2:]):
        yield f"{at}: past and new must share [batch, heads, head_dim], the last two static"
    yield from _step(f"{at}.step", state)


def _step(at: str, state: State) -> Iterator[str]:
    dtype, step = state.past.dtype, state.step
    if dtype != "int8":
        if step is not None:
            yield f"{at}: got {step:g}; only int8 states have a step, this one is {dtype}"
    elif step is None or not is_step(step):
        got = "none" if step is None else f"{step:g}"
        yield f"{at}: got {got}; an int8 state needs one, from {LEAST:g} to {LARGEST:g}"


def twice(at: str, names: Iterable[str]) -> Iterator[str]:
    """Give a problem for each name that stands more than once."""
    counts = Counter(names)
    yield from (f"{at}: {name!r} stands {n} times" for name, n in counts.items() if n > 1)


def known(name: str, what: str, names: Iterable[str]) -> str:
    """Say that there is no such thing, and what there is."""
    return f"no {what} {name!r}; there are: {', '.join(names) or 'none'}"


def has_role(at: str, name: str, role: str, manifest: Manifest) -> Iterator[str]:
    """Give a problem where there is no such part, or it has another role."""
    roles = {part.name: part.role for part in manifest.parts}
    if name not in roles:
        yield f"{at}: {known(name, 'part', roles)}"
    elif roles[name] != role:
        yield f"{at}: part {name!r} has role {roles[name]}, expected {role}"


def typed(port: Port) -> str:
    """Write a port as its dtype and the names of its axes."""
    return f"{port.dtype} [{', '.join(axis.name for axis in port.axes)}]"
