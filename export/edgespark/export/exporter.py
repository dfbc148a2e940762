"""From a blueprint to a bundle: trace every stage, prove each graph, pack, publish."""

import hashlib
import json
from contextlib import ExitStack
from dataclasses import asdict, dataclass, fields
from importlib.metadata import version
from itertools import chain
from pathlib import Path

from edgespark.calibration.arrays import npz
from edgespark.calibration.ranges import PartCalibration, document
from edgespark.export.blueprint import Blueprint
from edgespark.export.blueprint_types import check_types
from edgespark.export.build import build
from edgespark.export.chosen import decided
from edgespark.export.costs import Cost
from edgespark.export.kept import Kept, check_room, keep
from edgespark.export.lowering import lower
from edgespark.export.pack import Draft, pack
from edgespark.export.placing import Lowered, Lowering, Traced, data_of, graph_name
from edgespark.export.plan import Plan, check_cache, check_set, check_weights
from edgespark.export.precisions import (
    asked,
    check_brought,
    expected_bytes,
    forms,
    preferred,
    reference_bytes,
    variants,
)
from edgespark.export.reference_bundle import reference_bundle
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


PLAIN = Plan()


@dataclass(frozen=True, kw_only=True, slots=True)
class Exported:
    """A bundle in its place, and how each variant was scored where the plan has data."""

    bundle: Bundle
    costs: tuple[Cost, ...]


def export(
    blueprint: Blueprint,
    out: Path,
    *,
    replace: bool,
    precisions: tuple[Precision, ...] = (),
    plan: Plan = PLAIN,
) -> Bundle:
    """Write the blueprint as a bundle and open it: see `exported`."""
    made = exported(blueprint, out, replace=replace, precisions=precisions, plan=plan)
    return made.bundle


def exported(
    blueprint: Blueprint,
    out: Path,
    *,
    replace: bool,
    precisions: tuple[Precision, ...] = (),
    plan: Plan = PLAIN,
) -> Exported:
    """Write the blueprint as a bundle at `out`, a variant per precision, and open it.

    Without `precisions` it has the blueprint's own. Raises InputError for a blueprint of other
    things than a Blueprint holds, and for a calibration set that lacks a modality of it; UsageError
    for a precision that is none, or that a stage with a graph of its own cannot have; OutputError
    where nothing can, or must, be written there, or a disk is too small for a large export;
    CheckError where a graph is further from its module than its precision allows, or the plan's
    budget cannot be met. Whatever happens, `out` is the old bundle or the new one; what a large
    export has finished is kept beside it, and the next begins with that.
    """
    check_types(blueprint)
    among = asked(precisions or blueprint.precisions)
    check_brought(blueprint.stages, among)
    check_cache(plan, among)
    check_weights(plan)
    check_set(blueprint, plan)
    with ExitStack() as stack:
        draft = stack.enter_context(pack(out, replace=replace))
        kept = _kept(blueprint, draft, among, stack)
        stages = [Traced(stage) for stage in blueprint.stages]
        reference = None
        if plan.calibration is not None:
            reference = reference_bundle(blueprint, stages, among, draft, kept)
        lowerings = lower(stages, plan, reference, draft)
        with track(stages, "export", len(stages)) as shown:
            built = [_part(each, among, lowerings[each.stage.name], draft, kept) for each in shown]
        parts, parity = zip(*built, strict=True)
        manifest = _manifest(blueprint, draft, among, parts, tuple(chain(*parity)))
        made = decided(manifest, draft, plan)
        return Exported(bundle=draft.finish(made.manifest), costs=made.costs)


def _kept(
    blueprint: Blueprint, draft: Draft, among: tuple[Precision, ...], stack: ExitStack
) -> Kept | None:
    if not blueprint.fingerprint:
        return None
    told = [blueprint.fingerprint, *(f"{name} {version(name)}" for name in MADE_WITH)]
    own = hashlib.sha256(" ".join(told).encode()).hexdigest()[:16]
    kept = stack.enter_context(keep(draft.place, own))
    check_room(draft.place, sum(_missing(stage, among, kept) for stage in blueprint.stages))
    return kept


def _missing(stage: Stage, among: tuple[Precision, ...], kept: Kept) -> int:
    """Estimate the bytes that are yet to be written of a stage."""
    names = {each: graph_name(stage, each) for each in forms(stage, among)}
    return reference_bytes(stage) + sum(
        expected_bytes(stage, precision)
        for precision, name in names.items()
        if not kept.knows((name, data_of(name)))
    )


def _part(
    traced: Traced, among: tuple[Precision, ...], lowered: Lowered, draft: Draft, kept: Kept | None
) -> tuple[Part, tuple[Measurement, ...]]:
    stage = traced.stage
    calibration = lowered.lowering.calibration
    precisions = forms(stage, among, data=calibration is not None)
    built = build(traced, precisions, draft, kept, lowered.lowering)
    part = Part(
        name=stage.name,
        role=stage.role,
        inputs=stage.inputs,
        outputs=stage.outputs,
        graphs=built.graphs,
        reference=draft.add(f"reference/{stage.name}.npz", npz(built.reference)),
        calibration=None
        if calibration is None
        else draft.add(f"calibration/{stage.name}.json", _text(calibration, lowered.lowering)),
    )
    return part, tuple(lowered.told(each) for each in built.measured)


def _text(calibration: PartCalibration, lowering: Lowering) -> bytes:
    """Write what was gathered, without the arrays, and the methods that integers were made by."""
    how = lowering.how
    told = {k: v for k, v in document(calibration).items() if k not in ("arrays", "sha256")}
    methods = {each.name: getattr(how, each.name) for each in fields(how) if each.name != "keep"}
    made = {**told, "int8": methods, "weights": asdict(lowering.weights)}
    return f"{json.dumps(made, indent=1)}\n".encode()


def _manifest(
    blueprint: Blueprint,
    draft: Draft,
    among: tuple[Precision, ...],
    parts: tuple[Part, ...],
    parity: tuple[Measurement, ...],
) -> Manifest:
    data = any(part.calibration is not None for part in parts)
    return Manifest(
        name=blueprint.name,
        licence=blueprint.licence,
        parts=parts,
        routes=blueprint.routes,
        language=blueprint.language(draft.add("tokenizer.json", blueprint.tokenizer)),
        variants=variants(blueprint.stages, among, data=data),
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
