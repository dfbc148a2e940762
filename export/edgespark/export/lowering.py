"""From what a plan allows to what each stage's narrower graphs are made by."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import onnx

from edgespark.calibration.gather import How, gather, provenance
from edgespark.calibration.moments import Moments, Wanted, gather_moments
from edgespark.calibration.ranges import PartCalibration, load
from edgespark.calibration.sets import CalibrationSet, check_fit
from edgespark.engines.passes.prepare import prepared
from edgespark.engines.passes.work import works
from edgespark.export.pack import Draft
from edgespark.export.placing import Lowered, Lowering, Traced
from edgespark.export.plan import Plan
from edgespark.export.reference_bundle import beside
from edgespark.export.spending import Spending, spend
from edgespark.runtime.bundle import Bundle
from edgespark.runtime.manifest import Part

ENOUGH = 32
"""Samples of each modality whose second moments are taken: a few thousand rows."""


def lower(
    stages: Sequence[Traced], plan: Plan, reference: Bundle | None, draft: Draft
) -> dict[str, Lowered]:
    """Find by what every stage is lowered, by its name: on the plan's set, where it has one.

    `reference` is the chain that the set is run on; None where the plan has no set. Raises
    InputError for a set that its modalities cannot take, or ranges that were gathered on something
    else; CheckError, with the best that was found, where the budget cannot be met.
    """
    if plan.calibration is None or reference is None:
        plain = Lowered(lowering=Lowering(weights=plan.weights))
        return {each.stage.name: plain for each in stages}
    found = _calibrations(reference, plan.calibration, plan)
    moments = moments_of(reference, plan.calibration, plan.limit, draft)
    lowered = {
        each.stage.name: Lowered(
            lowering=Lowering(
                calibration=found.get(each.stage.name),
                how=plan.how,
                cache=plan.cache,
                weights=plan.weights,
                moments=moments,
            )
        )
        for each in stages
    }
    if plan.budget is None:
        return lowered
    spending = Spending(reference=reference, samples=plan.calibration, budget=plan.budget)
    return spend(spending, stages, lowered, beside(draft))


def moments_of(
    reference: Bundle, samples: CalibrationSet, limit: int | None, draft: Draft
) -> Callable[[Mapping[str, int]], Moments]:
    """Return what gathers the second moments of the decoder's tensors, each once, when asked.

    They lie beside the draft, and go with it.
    """
    known: dict[str, Path] = {}
    few = min(ENOUGH, limit or ENOUGH)
    part = reference.manifest.language.decoder

    def of(tensors: Mapping[str, int]) -> Moments:
        lacking = {name: channels for name, channels in tensors.items() if name not in known}
        if lacking:
            folder = draft.root.parent / f"moments-{len(known)}"
            wanted = Wanted(part=part, tensors=lacking)
            made = gather_moments(reference, wanted, samples, folder, How(limit=few))
            known.update(made.files)
        return Moments(files=known)

    return of


def _calibrations(
    reference: Bundle, samples: CalibrationSet, plan: Plan
) -> dict[str, PartCalibration]:
    check_fit(samples, reference.manifest.routes)
    if plan.ranges is None:
        return gather(reference, samples, prepare=prepared, how=How(limit=plan.limit))
    return {
        part.name: load(
            plan.ranges,
            part.name,
            provenance(reference, samples, part.name, plan.limit),
            _tensors(reference, part),
        )
        for part in reference.manifest.parts
        if part.role != "embedder"
    }


def _tensors(reference: Bundle, part: Part) -> set[str]:
    """Return the tensors whose ranges a part's graph needs."""
    model = onnx.load_from_string(reference.read(part.graphs[0].file))
    model = model if part.role == "decoder" else prepared(model)
    return {name for work in works(model.graph) for name in work.tensors}
