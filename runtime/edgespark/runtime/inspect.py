"""What a bundle holds, as data and as lines for people; nothing is run and nothing is hashed."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from edgespark.runtime.bundle import Bundle
from edgespark.runtime.derived_shelf import Entry, entries
from edgespark.runtime.manifest import Evidence, Graph, Head, Part, Port, Route
from edgespark.runtime.ports import part_and_port
from edgespark.runtime.preprocessing import Preprocessing
from edgespark.runtime.starts import starts
from edgespark.runtime.takes import takes
from edgespark.runtime.wording import listed, printable

UNITS = ("B", "KiB", "MiB", "GiB", "TiB")
STEP = 1024


def describe(bundle: Bundle) -> dict[str, Any]:
    """Return what the manifest says, as the plain JSON values of `edgespark inspect --json`.

    `bytes` are file sizes as declared; `evidence` was measured when the bundle was made, not now.
    `derived` is what was made of the bundle later, and is no part of it.
    """
    manifest = bundle.manifest
    return {
        "path": str(bundle.root),
        "name": manifest.name,
        "version": manifest.version,
        "licence": manifest.licence,
        "bytes": sum(file.bytes for file in bundle.files()),
        "files": len(bundle.files()),
        "modalities": [route.modality for route in manifest.routes],
        "precisions": [variant.name for variant in manifest.variants],
        "preferred": manifest.preferred,
        "context": manifest.language.context,
        "parts": [_part(part) for part in manifest.parts],
        "routes": [_route(route) for route in manifest.routes],
        "samples": [samples.modality for samples in manifest.samples],
        "evidence": _plain(manifest.evidence),
        "derived": [_derived(entry) for entry in entries(bundle)],
    }


def render(description: dict[str, Any]) -> str:
    """Return the description as lines for people, without a character that a terminal obeys."""
    lines = (
        *_heading(description),
        *(line for route in description["routes"] for line in _route_lines(route)),
        *(line for part in description["parts"] for line in _part_lines(part)),
        *_evidence_lines(description["evidence"]),
        *_derived_lines(description["derived"]),
    )
    return "\n".join(printable(line) for line in lines)


def _part(part: Part) -> dict[str, Any]:
    graphs = [_graph(graph) for graph in part.graphs]
    return {
        "name": part.name,
        "role": part.role,
        "precisions": [graph.precision for graph in part.graphs],
        "bytes": sum(graph["bytes"] for graph in graphs),
        "inputs": [_port(port) for port in part.inputs],
        "outputs": [_port(port) for port in part.outputs],
        "graphs": graphs,
        "calibration": None if part.calibration is None else part.calibration.path,
    }


def _graph(graph: Graph) -> dict[str, Any]:
    return {
        "precision": graph.precision,
        "bytes": graph.file.bytes + sum(file.bytes for file in graph.data),
        "limit": graph.limit,
        "states": [state.past.name for state in graph.states],
        "states_as": sorted({state.past.dtype for state in graph.states}),
        "weights": None if graph.weights is None else asdict(graph.weights),
        "weights_as": None if graph.weights is None else graph.weights.told,
    }


def _derived(entry: Entry) -> dict[str, Any]:
    part, graph, lowering = entry.wanted or (None, None, None)
    return {
        "folder": str(entry.folder),
        "part": part and part.name,
        "precision": graph and graph.precision,
        "form": lowering,
        "bytes": entry.bytes,
        "stale": entry.stale,
        "problem": entry.problem,
    }


def _port(port: Port) -> dict[str, Any]:
    axes = [{"name": axis.name, "low": axis.low, "high": axis.high} for axis in port.axes]
    return {"name": port.name, "dtype": port.dtype, "axes": axes}


def _route(route: Route) -> dict[str, Any]:
    return {
        "modality": route.modality,
        "input": route.preprocessing.kind,
        "takes": takes(route.preprocessing),
        "preprocessing": _plain(route.preprocessing),
        "arrays": [_port(port) for port in starts(route.preprocessing)],
        "parts": list(dict.fromkeys(part_and_port(wire.target)[0] for wire in route.wires)),
        "output": route.output,
        "prompt": route.prompt,
        "question": route.question,
        "head": None if route.head is None else _plain(route.head),
    }


def _plain(record: Evidence | Head | Preprocessing) -> dict[str, Any]:
    made: dict[str, Any] = json.loads(json.dumps(asdict(record)))  # tuples become lists
    return made


def _heading(made: dict[str, Any]) -> Iterator[str]:
    yield f"{made['name']} (format version {made['version']}, licence {made['licence']})"
    yield f"  {made['path']}: {made['files']} files, {_size(made['bytes'])}"
    preferred = [f"{variant} on {device}" for device, variant in made["preferred"].items()]
    yield f"  precisions: {', '.join(made['precisions'])} (preferred: {', '.join(preferred)})"
    yield f"  context: {made['context']} tokens"


def _route_lines(route: dict[str, Any]) -> Iterator[str]:
    yield f"modality {route['modality']}: {route['input']} → {' → '.join(route['parts'])}"
    yield f"  takes {route['takes']}"
    if route["head"] is not None:
        head = route["head"]
        answers = ", ".join(head["labels"]) or _values(head)
        yield f"  {head['task']} by {head['part']}: {answers}"


def _values(head: dict[str, Any]) -> str:
    """Say what a regression gives: its shape, its unit, and by what it is judged."""
    shape = f"{head['shape']} values" if head["shape"] else "values"
    unit = f" in {head['unit']}" if head["unit"] else ""
    judged = f", judged by {' and '.join(head['metrics'])}" if head["metrics"] else ""
    return f"{shape}{unit}{judged}"


def _part_lines(part: dict[str, Any]) -> Iterator[str]:
    sizes = [f"{graph['precision']} {_size(graph['bytes'])}" for graph in part["graphs"]]
    yield f"part {part['name']}, {part['role']}: {', '.join(sizes)}"
    for side in ("inputs", "outputs"):
        yield from (f"  {side[:-1]:6} {_port_line(port)}" for port in part[side])
    yield from (
        f"  state  {len(graph['states'])} tensors of the {graph['precision']} graph, "
        f"{' and '.join(graph['states_as'])}"
        for graph in part["graphs"]
        if graph["states"]
    )
    yield from (
        f"  weights of the {graph['precision']} graph: {graph['weights_as']}"
        for graph in part["graphs"]
        if graph["weights_as"]
    )
    if part["calibration"] is not None:
        yield f"  calibrated: {part['calibration']}"


def _port_line(port: dict[str, Any]) -> str:
    axes = ", ".join(f"{axis['name']} {_span(axis)}" for axis in port["axes"])
    return f"{port['name']}: {port['dtype']} [{axes}]"


def _span(axis: dict[str, Any]) -> str:
    return str(axis["low"]) if axis["low"] == axis["high"] else f"{axis['low']}…{axis['high']}"


def _evidence_lines(evidence: dict[str, Any]) -> Iterator[str]:
    versions = ", ".join(f"{name} {number}" for name, number in evidence["versions"].items())
    yield f"measured when it was made, with {versions or 'versions unknown'}"
    for each in evidence["parity"]:
        error = f"error {each['error']:.1e} of the reference's standard deviation"
        yield f"  {each['part']} {each['precision']}: {error} ({each['backend']})"
        if each["layers"]:
            yield f"    by layer, the head last: {' '.join(f'{e:.0e}' for e in each['layers'])}"
        yield from _layer_lines(each)
    for each in evidence["scores"]:
        values = ", ".join(f"{name} {value:.4g}" for name, value in each["values"].items())
        others = [f"{name} {value:.4g}" for name, value in each["baselines"].items()]
        against = f"; simpler methods: {', '.join(others)}" if others else ""
        what = f"{each['modality']} {each['task']}: {each['metric']} {values}"
        yield f"  {what} (n = {each['n']}){against}"
    yield from (f"  {each['device']} takes {each['why']}" for each in evidence["choices"])


def _layer_lines(measured: dict[str, Any]) -> Iterator[str]:
    """Say how much of a graph is in its precision, what is not, and why."""
    added, kept = measured["added"], measured["kept"]
    if measured["share"] is not None:
        yield f"    {100 * measured['share']:.1f} % in {measured['precision']}"
    if added:
        worst = max(added, key=lambda layer: added[layer])
        yield f"    of {len(added)} layers {worst} adds most to the chain: {added[worst]:.1e}"
    yield from (f"    kept wider: {layer}: {reason}" for layer, reason in kept.items())


def _derived_lines(derived: list[dict[str, Any]]) -> Iterator[str]:
    """Say in a line per lowering what was made, then what is broken, and what nothing asks for."""
    whole = [each for each in derived if not each["stale"] and not each["problem"]]
    for form in dict.fromkeys(each["form"] for each in whole):
        made = [each for each in whole if each["form"] == form]
        names = listed(f"{each['part']} {each['precision']}" for each in made)
        yield f"derived, {form}: {names} ({_size(sum(each['bytes'] for each in made))})"
    for each in derived:
        if each["problem"]:
            yield f"derived, broken: {each['part']} {each['precision']}: {each['problem']}"
    if stale := [each for each in derived if each["stale"]]:
        size = _size(sum(each["bytes"] for each in stale))
        yield f"derived, stale: {len(stale)} folders, {size}; see `edgespark build --prune`"


def _size(count: float) -> str:
    unit = 0
    while count >= STEP and unit < len(UNITS) - 1:
        count, unit = count / STEP, unit + 1
    return f"{count:.0f} {UNITS[unit]}" if unit == 0 else f"{count:.1f} {UNITS[unit]}"
