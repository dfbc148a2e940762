"""A bundle of a model's float graphs alone, on which ranges are gathered: never published."""

from collections.abc import Sequence
from dataclasses import replace

from edgespark.calibration.arrays import npz
from edgespark.export.blueprint import Blueprint
from edgespark.export.kept import Kept
from edgespark.export.pack import Draft
from edgespark.export.placing import Lowering, Traced, place
from edgespark.export.precisions import FLOATS, LIMITS
from edgespark.export.stage import Stage
from edgespark.runtime.bundle import Bundle, bytes_from_manifest
from edgespark.runtime.errors import UsageError
from edgespark.runtime.manifest import FILE as MANIFEST
from edgespark.runtime.manifest import Evidence, Graph, Manifest, Part, Precision, Variant

NAME = "reference"


def reference_bundle(
    blueprint: Blueprint,
    stages: Sequence[Traced],
    among: Sequence[Precision],
    draft: Draft,
    kept: Kept | None,
) -> Bundle:
    """Write the float graphs beside the draft, and open them as a bundle with one variant.

    They are float32, but for a decoder whose weights are read one by one: it is in the widest float
    precision `among` those that are exported, which is then written once. UsageError where there is
    none.
    """
    floor = beside(draft)
    parts = [_part(each, _reference(each.stage, among), floor, kept) for each in stages]
    manifest = Manifest(
        name=blueprint.name,
        licence=blueprint.licence,
        parts=tuple(parts),
        routes=blueprint.routes,
        language=blueprint.language(floor.add("tokenizer.json", blueprint.tokenizer)),
        variants=(Variant(name=NAME, precisions={p.name: p.graphs[0].precision for p in parts}),),
        preferred={"cpu": NAME},
        evidence=Evidence(versions={}, parity=()),
    )
    (floor.root / MANIFEST).write_bytes(bytes_from_manifest(manifest))
    return Bundle.open(floor.root)


def beside(draft: Draft) -> Draft:
    """Return the folder of the reference bundle, which goes with the draft's."""
    return replace(draft, root=draft.root.parent / NAME)


def _reference(stage: Stage, among: Sequence[Precision]) -> Precision:
    if stage.weights is None or stage.role != "decoder":
        return "fp32"
    floats = [each for each in among if each in FLOATS]
    if not floats:
        raise UsageError(
            f"{stage.name} is gathered on in the float precision that it is exported in: name fp16 "
            "or fp32 among the precisions"
        )
    return min(floats, key=FLOATS.index)


def _part(traced: Traced, precision: Precision, floor: Draft, kept: Kept | None) -> Part:
    stage = traced.stage
    placed = place(traced, precision, floor, kept, Lowering())
    return Part(
        name=stage.name,
        role=stage.role,
        inputs=stage.inputs,
        outputs=stage.outputs,
        graphs=(
            Graph(
                precision=precision,
                file=placed.file,
                data=placed.data,
                states=placed.states,
                limit=LIMITS[precision],
            ),
        ),
        # nobody verifies it: what PyTorch gives stands in the bundle that is published
        reference=floor.add(f"reference/{stage.name}.npz", npz({})),
    )
