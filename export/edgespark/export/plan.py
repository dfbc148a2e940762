"""How an export lowers precision: the data that it may look at, the methods, what it may cost."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path

from edgespark.calibration.sets import CalibrationSet
from edgespark.engines.int8 import Int8
from edgespark.engines.weight_only import Weights
from edgespark.export.blueprint import Blueprint
from edgespark.runtime.errors import InputError, UsageError
from edgespark.runtime.manifest import Precision

MOST = 100.0  # points


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """What an export of narrower precisions goes by.

    Without a `calibration` set int8 is of the LLM's weights alone, and float16 has no recorded
    ranges to go by. `ranges` is a folder that `edgespark calibrate` has written, whose ranges are
    taken where set, graphs and preprocessing are still those of then; without, they are gathered
    on the first `limit` samples of each modality (None: all). `how` are the methods of INT8.
    `budget` is what a task's score may fall by, in points (of errors: in percent of them): layers
    are given back to float32 until it holds. `cache` keeps keys and values as int8. `weights` tells
    how the LLM's integers are made. With `lowered` a CPU is to run derived graphs: they are timed.
    """

    calibration: CalibrationSet | None = None
    ranges: Path | None = None
    limit: int | None = None
    how: Int8 = field(default_factory=Int8)
    budget: float | None = None
    cache: bool = False
    weights: Weights = field(default_factory=Weights)
    lowered: bool = False


def check_weights(plan: Plan) -> None:
    """Refuse a rounding that goes by data where there is none: UsageError."""
    if plan.calibration is None and plan.weights.rounding != "nearest":
        raise UsageError(
            f"{plan.weights.rounding} rounds by what layers see on data: give a calibration set, "
            "or round to the nearest"
        )


def check_budget(budget: float, precisions: Sequence[Precision]) -> None:
    """Refuse a budget that is no number of points, or that nothing can spend: UsageError."""
    if not isfinite(budget) or not 0 <= budget <= MOST:
        raise UsageError(f"a budget of {budget:g} points cannot be; give 0 to {MOST:g}")
    if "int8" not in precisions:
        raise UsageError("a budget is spent by int8: name it among the precisions")


def check_cache(plan: Plan, precisions: Sequence[Precision]) -> None:
    """Refuse int8 states that have no ranges, or that no graph would have: UsageError."""
    if not plan.cache:
        return
    if plan.calibration is None:
        raise UsageError("keys and values as int8 are scaled by ranges: give a calibration set")
    if not set(precisions) & {"int8", "int4"}:
        raise UsageError(
            "keys and values are kept as int8 in the precisions int8 and int4: name one of them"
        )


def check_set(blueprint: Blueprint, plan: Plan) -> None:
    """Refuse a set that lacks a modality of the model: its parts would have no ranges."""
    if plan.calibration is None:
        return
    there = plan.calibration.modalities
    if lacking := [r.modality for r in blueprint.routes if r.modality not in there]:
        raise InputError(
            f"the calibration set has no samples of {', '.join(lacking)}; it has: "
            f"{', '.join(there)}. Add them, or export with --parts what it has"
        )
