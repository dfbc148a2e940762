"""From a blueprint to a bundle: trace every stage, prove each graph, pack, publish."""

from importlib.metadata import version
from pathlib import Path

from edgespark.calibration.arrays import npz
from edgespark.export.blueprint import Blueprint
from edgespark.export.blueprint_types import check_types
from edgespark.export.pack import Draft, pack
from edgespark.export.stage import Stage
from edgespark.export.trace import LIMIT, compare, graph_of
from edgespark.runtime.backends import Program, backend
from edgespark.runtime.bundle import Bundle
from edgespark.runtime.manifest import (
    Evidence,
    Graph,
    Manifest,
    Measurement,
    Part,
    Samples,
    Variant,
)
from edgespark.runtime.progress import track
from edgespark.runtime.verify import median_ms

MADE_WITH = ("edgespark", "torch", "onnx", "onnxscript", "onnxruntime", "numpy")


def export(blueprint: Blueprint, out: Path, *, replace: bool) -> Bundle:
    """Write the blueprint as a bundle at `out` and open it.

    Raises InputError for a blueprint of other things than a Blueprint holds, OutputError where
    nothing can, or must, be written there; CheckError where a graph is further from its module than
    LIMIT. Whatever happens, `out` is the old bundle or the new one.
    """
    check_types(blueprint)
    with pack(out, replace=replace) as draft:
        with track(blueprint.stages, "export", len(blueprint.stages)) as stages:
            made = [_part(stage, draft) for stage in stages]
        parts, parity = zip(*made, strict=True)
        return draft.finish(_manifest(blueprint, draft, parts, parity))


def _part(stage: Stage, draft: Draft) -> tuple[Part, Measurement]:
    graph = graph_of(stage)
    file = draft.add(f"graphs/{stage.name}.fp32.onnx", graph)
    program = Program(
        where=file.path,
        graph=graph,
        inputs=stage.fed,
        outputs=stage.given,
    )
    session = backend("onnxruntime").open_session(program)
    found = compare(stage, session)
    part = Part(
        name=stage.name,
        role=stage.role,
        inputs=stage.inputs,
        outputs=stage.outputs,
        graphs=(Graph(precision="fp32", file=file, states=stage.states, limit=LIMIT),),
        reference=draft.add(f"reference/{stage.name}.npz", npz(found.reference)),
    )
    fed = {port.name: found.reference[f"0.in.{port.name}"] for port in stage.fed}
    took = median_ms(session, fed)
    session.close()
    measured = Measurement(
        part=stage.name, precision="fp32", error=found.error, ms=took, backend="onnxruntime cpu"
    )
    return part, measured


def _manifest(
    blueprint: Blueprint, draft: Draft, parts: tuple[Part, ...], parity: tuple[Measurement, ...]
) -> Manifest:
    return Manifest(
        name=blueprint.name,
        licence=blueprint.licence,
        parts=parts,
        routes=blueprint.routes,
        language=blueprint.language(draft.add("tokenizer.json", blueprint.tokenizer)),
        variants=(Variant(name="fp32", precisions={part.name: "fp32" for part in parts}),),
        preferred={"cpu": "fp32"},
        samples=tuple(
            Samples(
                modality=each.modality,
                file=draft.add(f"samples/{each.modality}.npz", each.packed()),
            )
            for each in blueprint.samples
        ),
        card=draft.add("CARD.md", blueprint.card),
        evidence=Evidence(
            versions={name: version(name) for name in MADE_WITH},
            parity=parity,
            scores=blueprint.scores,
        ),
    )
