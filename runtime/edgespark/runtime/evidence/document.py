"""What was measured, as the JSON document of `edgespark verify --json`."""

from dataclasses import asdict
from math import isfinite

from edgespark.runtime.evidence.verified import Verified, slower, unit
from edgespark.runtime.layers import Layers
from edgespark.runtime.manifest import Score
from edgespark.runtime.verify import Row


def document(found: Verified) -> dict[str, object]:
    """Return the plain values; an error that is not finite is null."""
    made: dict[str, object] = {
        "ok": all(row.ok for row in found.rows),
        "device": found.device,
        "parts": [_part(found, row) for row in found.rows],
        "slower": {name: asdict(each) for name, each in slower(found.rows).items()},
    }
    if found.judged is None:
        return made
    tasks: dict[str, dict[str, object]] = {}
    for each in found.judged.scores:
        tasks.setdefault(each.modality, {})[each.task] = _score(found, each)
    return {**made, "reference": found.judged.reference, "scores": tasks}


def _part(found: Verified, row: Row) -> dict[str, object]:
    made: dict[str, object] = {
        "name": row.name,
        "precision": row.precision,
        "form": row.form,
        "error": _finite(row.error),
        "limit": row.limit,
        "bytes": row.bytes,
        "ms": row.ms,
        "how": row.how,
        "ok": row.ok,
    }
    return made if found.layers is None else {**made, **_layers(found.layers_of(row))}


def _layers(layers: Layers | None) -> dict[str, object]:
    errors = layers.errors if layers is not None else {}
    worst = layers.worst if layers is not None else None
    return {
        "layers": {name: _finite(error) for name, error in errors.items()},
        "worst_layer": None if worst is None else {"name": worst, "error": _finite(errors[worst])},
        "unknown_layers": list(layers.unknown) if layers is not None else [],
    }


def _score(found: Verified, score: Score) -> dict[str, object]:
    """Return the score that was measured now, and apart from it what the bundle says of itself."""
    before = found.earlier(score)
    return {
        "metric": score.metric,
        "higher_is_better": score.higher_is_better,
        "n": score.n,
        "values": score.values,
        "differences": {name: found.difference(score, name) for name in score.values},
        "unit_of_differences": unit(score),
        "agreement": dict(found.agreement(score)),
        "evidence": None if before is None else {"n": before.n, "values": before.values},
        "baselines": {} if before is None else before.baselines,
    }


def _finite(error: float) -> float | None:
    return error if isfinite(error) else None
