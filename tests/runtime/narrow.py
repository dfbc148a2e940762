"""The stand-in with narrower graphs: parts in another precision, and what is said of layers."""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from edgespark.runtime.manifest import Measurement, Precision, Variant
from edgespark.runtime.wire import sized
from tests.runtime.stand_in import StandIn, file


def narrowed(stand_in: StandIn, name: str, precision: Precision, added: Iterable[str] = ()) -> None:
    """Give the part one more graph, and the bundle a variant with it; the evidence names layers."""
    manifest = stand_in.manifest
    part = manifest.part(name)
    graph = replace(
        part.graphs[0], precision=precision, file=file(f"graphs/{name}.{precision}.onnx")
    )
    wide = manifest.variants[0]
    measured = Measurement(
        part=name,
        precision=precision,
        error=0.1,
        ms=1.0,
        backend="cpu",
        added=dict.fromkeys(added, 0.0),
    )
    variant = Variant(name=precision, precisions={**wide.precisions, name: precision})
    evidence = replace(manifest.evidence, parity=(*manifest.evidence.parity, measured))
    narrow = replace(part, graphs=(*part.graphs, graph))
    stand_in.manifest = replace(
        manifest,
        parts=tuple(narrow if each is part else each for each in manifest.parts),
        variants=(*manifest.variants, variant),
        evidence=evidence,
    )


def graph_of(names: Iterable[str]) -> bytes:
    """Return the bytes of an ONNX graph that holds a node for each of these tensors, no more."""
    nodes = (sized(1, sized(2, name.encode())) for name in names)
    return sized(7, b"".join(nodes))


def graphs_of(name: str, tensors: Mapping[Precision, Iterable[str]]) -> dict[str, bytes]:
    """Return the files of a part's graphs, by what each has inside."""
    return {f"graphs/{name}.{each}.onnx": graph_of(names) for each, names in tensors.items()}
