"""From what a plan allows to what each stage's narrower graphs are made by."""

from collections.abc import Sequence

import onnx

from edgespark.calibration.gather import How, gather, provenance
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


def lower(
    stages: Sequence[Traced], plan: Plan, reference: Bundle | None, draft: Draft
) -> dict[str, Lowered]:
    """Find by what every stage is lowered, by its name: on the plan's set, where it has one.

    `reference` is the chain that the set is run on; None where the plan has no set. Raises
    InputError for a set that its modalities cannot take, or ranges that were gathered on something
    else; CheckError, with the best that was found, where the budget cannot be met.
    """
    if plan.calibration is None or reference is None:
        return {each.stage.name: Lowered(lowering=Lowering()) for each in stages}
    found = _calibrations(reference, plan.calibration, plan)
    lowered = {
        each.stage.name: Lowered(
            lowering=Lowering(
                calibration=found.get(each.stage.name), how=plan.how, cache=plan.cache
            )
        )
        for each in stages
    }
    if plan.budget is None:
        return lowered
    spending = Spending(reference=reference, samples=plan.calibration, budget=plan.budget)
    return spend(spending, stages, lowered, beside(draft))


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
