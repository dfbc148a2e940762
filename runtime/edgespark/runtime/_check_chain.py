"""Checks of what is chained: the wires of each route, and how the language parts fit together."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from edgespark.runtime._check_parts import known, of_part, typed
from edgespark.runtime.manifest import Manifest, Part, Port, Role, Route
from edgespark.runtime.ports import part_and_port, spanned
from edgespark.runtime.starts import starts

ROUTED: tuple[Role, ...] = ("encoder", "bridge", "embedder")


def problems(manifest: Manifest) -> list[str]:
    """Return what keeps the parts from being chained as the manifest says."""
    found = [p for i, part in enumerate(manifest.parts) for p in of_part(f"$.parts[{i}]", part)]
    parts = {part.name: part for part in manifest.parts}
    for i, route in enumerate(manifest.routes):
        found += _route(f"$.routes[{i}]", route, parts, manifest.language.decoder)
    return found + list(_language(manifest, parts))


@dataclass(slots=True)
class _Fed:
    """Which ports of a route have been fed so far, and which parts can therefore run."""

    parts: Mapping[str, Part]
    arrays: Mapping[str, Port]
    ports: set[tuple[str, str]] = field(default_factory=set)

    def source(self, name: str) -> Port | str:
        """Return the port that gives this array, or why there is none."""
        if "." not in name:
            return self.arrays.get(name) or known(name, "array of the preprocessing", self.arrays)
        part, port = part_and_port(name)
        if part not in self.parts:
            return known(part, "part", self.parts)
        gives = {each.name: each for each in self.parts[part].outputs}
        if port not in gives:
            return known(name, "output", (f"{part}.{each}" for each in gives))
        if missing := [each for each in self._inputs(part) if (part, each) not in self.ports]:
            return f"{part!r} cannot run here: {', '.join(map(repr, missing))} was not fed before"
        return gives[port]

    def target(self, name: str) -> Port | str:
        """Take note that this port is fed, and return it, or why it cannot be."""
        part, port = part_and_port(name)
        if part not in self.parts:
            return known(part, "part", self.parts)
        if self.parts[part].role not in ROUTED:
            return f"a part of role {self.parts[part].role} cannot be wired into a route"
        if port not in self._inputs(part):
            return known(name, "input", (f"{part}.{each}" for each in self._inputs(part)))
        if (part, port) in self.ports:
            return f"{name!r} is fed more than once"
        self.ports.add((part, port))
        return self._inputs(part)[port]

    def unfed(self) -> Iterator[str]:
        """Give each input of a routed part that no wire feeds."""
        for part in dict.fromkeys(part for part, _ in sorted(self.ports)):
            names = [f"{part}.{each}" for each in self._inputs(part)]
            yield from (name for name in names if part_and_port(name) not in self.ports)

    def _inputs(self, part: str) -> dict[str, Port]:
        return {port.name: port for port in self.parts[part].inputs}


def _route(at: str, route: Route, parts: Mapping[str, Part], decoder: str) -> Iterator[str]:
    arrays = starts(route.preprocessing)
    fed = _Fed(parts, {port.name: port for port in arrays})
    for i, wire in enumerate(route.wires):
        source, target = fed.source(wire.source), fed.target(wire.target)
        if isinstance(source, str):
            yield f"{at}.wires[{i}].source: {source}"
        if isinstance(target, str):
            yield f"{at}.wires[{i}].target: {target}"
        if isinstance(source, Port) and isinstance(target, Port):
            yield from _join(f"{at}.wires[{i}]", source, target)
    yield from (f"{at}.wires: input {name!r} is fed by none" for name in fed.unfed())
    yield from _output(f"{at}.output", route.output, fed, decoder)


def _output(at: str, name: str, fed: _Fed, decoder: str) -> Iterator[str]:
    source = fed.source(name) if "." in name else f"{name!r} is not 'part.port'"
    if isinstance(source, str):
        yield f"{at}: {source}"
        return
    takes = {port.name: port for port in fed.parts[decoder].inputs} if decoder in fed.parts else {}
    if "inputs_embeds" in takes:
        yield from _join(at, source, takes["inputs_embeds"])


def _join(at: str, source: Port, target: Port) -> Iterator[str]:
    """Both ends have one dtype, and each axis a size that both may take."""
    if source.dtype != target.dtype or len(source.axes) != len(target.axes):
        takes = f"{target.name!r} takes {typed(target)}"
        yield f"{at}: {source.name!r} gives {typed(source)}, {takes}"
        return
    for one, other in zip(source.axes, target.axes, strict=True):
        if one.high < other.low or other.high < one.low:
            sizes = f"{spanned(one)} on axis {one.name!r}, {target.name!r} takes {spanned(other)}"
            yield f"{at}: {source.name!r} gives {sizes}"


def _language(manifest: Manifest, parts: Mapping[str, Part]) -> Iterator[str]:
    language = manifest.language
    if language.decoder not in parts:
        return
    decoder = parts[language.decoder]
    takes = {port.name: port for port in decoder.inputs}
    gives = {port.name: port for port in decoder.outputs}
    if language.embedder in parts and "inputs_embeds" in takes:
        for port in parts[language.embedder].outputs:
            yield from _join("$.language.embedder", port, takes["inputs_embeds"])
    for i, route in enumerate(manifest.routes):
        if route.head and route.head.part in parts and "hidden" in gives:
            for port in parts[route.head.part].inputs:
                yield from _join(f"$.routes[{i}].head.part", gives["hidden"], port)
    yield from _context(language.context, decoder)
    for name, ids in {"begin": language.begin, "end": language.end}.items():
        yield from _vocabulary(f"$.language.{name}", ids, gives.get("logits"))


def _context(context: int, decoder: Part) -> Iterator[str]:
    at = "$.language.context"
    if context < 1:
        yield f"{at}: {context} positions hold nothing"
    rows = [axis for port in decoder.inputs for axis in port.axes if axis.name == "sequence"]
    for axis in rows:
        if not axis.low <= 1 <= context <= axis.high:
            yield f"{at}: steps of 1 to {context} rows do not fit an axis of {spanned(axis)}"
    for state in (state for graph in decoder.graphs for state in graph.states):
        if state.past.axes and state.past.axes[0].high < context - 1:
            most = state.past.axes[0].high
            yield f"{at}: {context} positions do not fit {state.past.name!r}, which holds {most}"


def _vocabulary(at: str, ids: tuple[int, ...], logits: Port | None) -> Iterator[str]:
    size = logits.axes[-1].high if logits and logits.axes else None
    beyond = [each for each in ids if each < 0 or (size is not None and each >= size)]
    if beyond:
        yield f"{at}: no token {', '.join(map(str, beyond))} in a vocabulary of {size}"
