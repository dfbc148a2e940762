"""Which variant a device takes when none is asked for: by what each loses, and how fast it is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from edgespark.calibration.task_scores import POINTS, TaskScore
from edgespark.export.costs import Cost, costs
from edgespark.export.pack import Draft
from edgespark.export.plan import Plan
from edgespark.export.steps import step_ms
from edgespark.runtime.bundle import Bundle
from edgespark.runtime.choices import Choice
from edgespark.runtime.device import device_named
from edgespark.runtime.manifest import Manifest

DEVICE = "cpu"
BUDGET = 1.0
"""Points of an accuracy, or per cent of an error, that a task may lose in what is taken unasked."""
CLOSE = 1.05
"""Times as long: steps nearer to each other than that count as equally fast."""
ROUNDING = 1e-9


@dataclass(frozen=True, kw_only=True, slots=True)
class Decided:
    """A manifest that says what the device takes, and why; and the scores that it is judged by."""

    manifest: Manifest
    costs: tuple[Cost, ...] = ()


def decided(manifest: Manifest, draft: Draft, plan: Plan) -> Decided:
    """Choose the variant that a CPU takes, of a bundle that is written but for its manifest.

    It is the fastest that loses no more than the plan's budget (one point by default) in any task
    on the calibration set; a single sample more or less says nothing. Without a set to judge on,
    or a float graph to judge against, the manifest's own rule stays, and its evidence says so.
    OutputError where the disk is too full for what is timed. A bundle of one variant has no choice.
    """
    bundle = Bundle(draft.root, manifest)
    found = () if plan.calibration is None else costs(bundle, plan.calibration)
    if len(manifest.variants) == 1:
        return Decided(manifest=manifest, costs=found)
    choice = _by_figures(bundle, found, plan) if found else _by_rule(manifest, plan)
    made = replace(
        manifest,
        preferred={**manifest.preferred, DEVICE: choice.variant},
        evidence=replace(manifest.evidence, choices=(choice,)),
    )
    return Decided(manifest=made, costs=found)


def _by_rule(manifest: Manifest, plan: Plan) -> Choice:
    variant = manifest.preferred[DEVICE]
    lacking = "a calibration set" if plan.calibration is None else "float graphs to judge against"
    return Choice(
        device=DEVICE,
        variant=variant,
        why=f"{variant}, by rule: without {lacking} there are no figures to choose by",
    )


def _by_figures(bundle: Bundle, found: Sequence[Cost], plan: Plan) -> Choice:
    decoder = bundle.manifest.language.decoder
    native = [
        each
        for each in bundle.manifest.variants
        if each.precisions[decoder] not in device_named(DEVICE).widened
    ]
    among = native or list(bundle.manifest.variants)
    # beside the bundle to be, and removed with its draft
    work = bundle.root.parent if plan.lowered else None
    steps = step_ms(bundle, [each.precisions[decoder] for each in among], work=work)
    ms = {each.name: steps[each.precisions[decoder]] for each in among}
    scores = {each.variant: each.scores for each in found}
    held = {each.name: scores.get(each.name, ()) for each in among}
    choice = choose(ms, held, BUDGET if plan.budget is None else plan.budget)
    whose = "derived" if plan.lowered else "portable"
    return replace(choice, why=f"{choice.why} (steps of the {whose} graphs)")


def choose(
    ms: Mapping[str, float], scores: Mapping[str, Sequence[TaskScore]], budget: float
) -> Choice:
    """Choose among variants, by the time of a step and the scores of each; no scores: float32.

    Of variants that are about as fast the one that loses least is taken; and where all lose more
    than the budget, the one that loses least of all.
    """
    lost = {name: max((each.drop for each in scores[name]), default=0.0) for name in ms}
    within = [name for name in ms if all(_bears(each, budget) for each in scores[name])]
    least = min(ms[name] for name in within or ms)
    fast = [name for name in within if ms[name] <= CLOSE * least] or list(ms)
    variant = min(fast, key=lambda name: lost[name])
    rule = (
        f"the fastest that loses at most {budget:g}"
        if within
        else f"which loses least, though more than {budget:g}"
    )
    told = [f"{name} {ms[name]:.2f} ms a step, loses {lost[name]:+.2f}" for name in ms]
    told += [_forgiven(name, each, budget) for name in within for each in scores[name]]
    why = f"{variant}, {rule}: {'; '.join(filter(None, told))}"
    return Choice(device=DEVICE, variant=variant, why=why, ms=dict(ms), lost=lost)


def _bears(score: TaskScore, budget: float) -> bool:
    """Tell whether a task loses no more than the budget, or than one sample of an accuracy."""
    one = POINTS / score.n if score.higher_is_better else 0.0
    return score.drop <= max(budget, one) + ROUNDING


def _forgiven(name: str, score: TaskScore, budget: float) -> str:
    """Say of a task that what the variant loses in it is beyond the budget, but one sample."""
    if score.drop <= budget + ROUNDING:
        return ""
    return (
        f"{name} loses {score.drop:.2f} in {score.modality} {score.task}, no more than one sample "
        f"of {score.n}, which alone says nothing"
    )
