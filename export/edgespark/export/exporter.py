"""From a blueprint to a bundle: trace every stage, prove each graph, pack, publish."""

import hashlib
from contextlib import ExitStack
from importlib.metadata import version
from itertools import chain
from pathlib import Path

from edgespark.calibration.arrays import npz
from edgespark.export.blueprint import Blueprint
from edgespark.export.blueprint_types import check_types
from edgespark.export.build import build
from edgespark.export.kept import Kept, check_room, keep
from edgespark.export.pack import Draft, pack
from edgespark.export.precisions import expected_bytes, forms, preferred, variants
from edgespark.export.stage import Stage
from edgespark.runtime.bundle import Bundle
from edgespark.runtime.manifest import (
    Evidence,
    Manifest,
    Measurement,
    Part,
    Precision,
    Samples,
)
from edgespark.runtime.progress import track

MADE_WITH = ("edgespark", "torch", "onnx", "onnxscript", "onnxruntime", "numpy")


def export(
    blueprint: Blueprint, out: Path, *, replace: bool, precisions: tuple[Precision, ...] = ()
) -> Bundle:
    """Write the blueprint as a bundle at `out`, a variant per precision, and open it.

    Without `precisions` it has the blueprint's own. Raises InputError for a blueprint of other
    things than a Blueprint holds; OutputError where nothing can, or must, be written there, or the
    disk is too small; CheckError where a graph is further from its module than its precision
    allows. Whatever happens, `out` is the old bundle or the new one; what a large export has
    finished is kept beside it, and the next begins with that.
    """
    check_types(blueprint)
    among = precisions or blueprint.precisions
    with ExitStack() as stack:
        draft = stack.enter_context(pack(out, replace=replace))
        kept = _kept(blueprint, draft, among, stack)
        with track(blueprint.stages, "export", len(blueprint.stages)) as stages:
            made = [_part(stage, forms(stage, among), draft, kept) for stage in stages]
        parts, parity = zip(*made, strict=True)
        return draft.finish(_manifest(blueprint, draft, among, parts, tuple(chain(*parity))))


def _kept(
    blueprint: Blueprint, draft: Draft, among: tuple[Precision, ...], stack: ExitStack
) -> Kept | None:
    if not blueprint.fingerprint:
        return None
    made_of = f"{blueprint.fingerprint} {version('edgespark')} {version('torch')}"
    own = hashlib.sha256(made_of.encode()).hexdigest()[:16]
    kept = stack.enter_context(keep(draft.place, own))
    check_room(draft.place, expected_bytes(blueprint.stages, among) - kept.bytes)
    return kept


def _part(
    stage: Stage, precisions: tuple[Precision, ...], draft: Draft, kept: Kept | None
) -> tuple[Part, tuple[Measurement, ...]]:
    built = build(stage, precisions, draft, kept)
    part = Part(
        name=stage.name,
        role=stage.role,
        inputs=stage.inputs,
        outputs=stage.outputs,
        graphs=built.graphs,
        reference=draft.add(f"reference/{stage.name}.npz", npz(built.reference)),
    )
    return part, built.measured


def _manifest(
    blueprint: Blueprint,
    draft: Draft,
    among: tuple[Precision, ...],
    parts: tuple[Part, ...],
    parity: tuple[Measurement, ...],
) -> Manifest:
    return Manifest(
        name=blueprint.name,
        licence=blueprint.licence,
        parts=parts,
        routes=blueprint.routes,
        language=blueprint.language(draft.add("tokenizer.json", blueprint.tokenizer)),
        variants=variants(blueprint.stages, among),
        preferred=preferred(among),
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
            scores=blueprint.scores if "fp32" in among else (),
        ),
    )
