"""SmoothQuant: channels that reach far lend their size to the weights that read them.

Xiao et al., "SmoothQuant: Accurate and Efficient Post-Training Quantization for Large Language
Models", arXiv 2211.10438, section 4. Channel j is divided by max|X_j|^a / max|W_j|^(1 - a), and the
rows of the weights multiplied with it. The strength a is searched for each tensor: it is the one
with the least squared error of what its readers give, on the rows that calibration kept.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import onnx
from numpy.typing import NDArray

from edgespark.calibration.histogram import Histogram
from edgespark.calibration.methods import peak_of
from edgespark.calibration.statistics import Method, Statistics
from edgespark.engines.passes.absorb import Edit, Sources, absorbed
from edgespark.engines.passes.quantize import rounded, rounded_weight
from edgespark.engines.passes.wiring import copied, exchange, shapes, wiring
from edgespark.engines.passes.work import Work, works

__all__ = ["Smoothing", "divided", "smooth"]

Floats = NDArray[np.float32]
LEAST = 1e-5  # of the greatest weight: rows below it are as good as nothing
FARTHEST = 7.0  # a factor lies between exp(-7) and exp(7): a thousandth and a thousand


@dataclass(frozen=True, kw_only=True, slots=True)
class Smoothing:
    """How to smooth: the method that the ranges will be taken by, and the strengths to try."""

    method: Method = "mse"
    strengths: tuple[float, ...] = (0.2, 0.35, 0.5, 0.65, 0.8, 1.0)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Choice:
    """The best division found for a tensor: its factors [channels], and their strength; 0: none."""

    strength: float
    factors: Floats


def smooth(
    model: onnx.ModelProto,
    statistics: Mapping[str, Statistics],
    layers: Collection[str],
    how: Smoothing,
) -> tuple[onnx.ModelProto, dict[str, Statistics], dict[str, float]]:
    """Divide channels of tensors that only these layers read, and multiply the layers' weights.

    Needs: layers as `quantize` takes them, and statistics of all that products read.
    Gives: the same function; the statistics as they are now; the strength for each tensor that was
    smoothed. A tensor stays as it is where that is best, or where what makes it cannot take the
    division (`passes.absorb`) without changing what a layer gives or what another one reads.
    """
    made = copied(model)
    now, found = dict(statistics), dict[str, float]()
    everything, known = works(made.graph), shapes(made)
    held = frozenset(name for work in everything for name in (*work.tensors, work.name))
    for name, group in _groups(everything, layers).items():
        sources = Sources(seen=wiring(made.graph), shapes=known, held=held - {name})
        taps = [_taps(work, sources) for work in group]
        axis = 1 if group[0].kind == "conv" else -1
        if len(sources.seen.readers[name]) != len(group) or not _fits(now[name], taps):
            continue
        if _edits(name, np.ones(len(taps[0]), np.float32), axis, sources) is None:
            continue
        best = chosen(now[name], taps, how)
        if best.strength:
            edits = _edits(name, best.factors, axis, sources) or []
            for each in [*edits, *(_scaled(work, best.factors, sources) for work in group)]:
                exchange(made.graph, each.node, each.place, each.array)
            now[name], found[name] = divided(now[name], best.factors), best.strength
    return made, now, found


def chosen(held: Statistics, taps: Sequence[Floats], how: Smoothing) -> Choice:
    """Search the strength of the least squared error of what the readers give.

    `taps` are their weights, [channels, kernel places, outputs] each. Every strength is judged on
    one half of the rows with the factors and the range that the other half gives it: factors that
    fit their own samples too well leave no room for others.
    """
    reach = np.max([np.abs(each).max((1, 2)) for each in taps], 0)
    half = len(held.rows) // 2
    folds = [(held.rows[:half], held.rows[half:]), (held.rows[half:], held.rows[:half])]
    errors = {}
    for strength in (0.0, *how.strengths):
        errors[strength] = 0.0
        for seen, unseen in folds:
            if not seen.any():
                continue
            there = _of_rows(held, seen)
            factors = _factors(there.channels, reach, strength)
            peak = peak_of(divided(there, factors), how.method)
            errors[strength] += _error(unseen, peak, factors, taps)
    best = min(errors, key=errors.__getitem__)
    return Choice(strength=best, factors=_factors(held.channels, reach, best))


def divided(held: Statistics, factors: Floats) -> Statistics:
    """Tell what a tensor holds once its channels are divided by factors above zero.

    The channels' peaks are exact, and so is the peak. The histogram is that of the kept rows and of
    the channels' peaks: with these, no method finds a narrower range than on the rows alone. Of the
    least and the greatest value one is exact; a tensor with both signs gets ±peak.
    """
    channels, rows = held.channels / factors, held.rows / factors
    peak = float(channels.max())
    histogram = Histogram()
    histogram.add(rows, peak)
    histogram.add(channels, peak)
    return Statistics(
        count=held.count,
        low=-peak if held.low < 0 else 0.0,
        high=peak if held.high > 0 else 0.0,
        peak=peak,
        average=held.average / held.peak * peak,
        width=histogram.width,
        histogram=histogram.counts,
        channels=channels,
        means=held.means / factors,
        rows=rows,
        shape=held.shape,
    )


def _groups(everything: Sequence[Work], layers: Collection[str]) -> dict[str, list[Work]]:
    """Gather the linear layers, or the Convs, that read one tensor; at least one is quantised."""
    found: dict[str, list[Work]] = defaultdict(list)
    for work in everything:
        found[work.tensors[0] if work.tensors else ""].append(work)
    return {
        name: group
        for name, group in found.items()
        if {work.kind for work in group} in ({"linear"}, {"conv"})
        and any(work.name in layers for work in group)
    }


def _taps(work: Work, sources: Sources) -> Floats:
    """Lay out a weight as [in, kernel places, out]."""
    weight = np.asarray(sources.seen.array(work.weight), np.float32)
    if work.kind == "conv":
        return np.moveaxis(weight.reshape(*weight.shape[:2], -1), 0, -1)
    return np.expand_dims(weight, 1)


def _fits(held: Statistics, taps: Sequence[Floats]) -> bool:
    """Tell whether channels are known one by one, and are those of the weights: groups are not."""
    whole = all(len(each) == len(held.channels) and np.isfinite(each).all() for each in taps)
    return whole and len(held.rows) > 1 and held.peak > 0


def _edits(name: str, factors: Floats, axis: int, sources: Sources) -> list[Edit] | None:
    axes = len(sources.shapes.get(name, ()))
    if not axes:
        return None
    shape = [1] * axes
    shape[axis] = -1
    return absorbed(name, factors.reshape(shape), sources)


def _scaled(work: Work, factors: Floats, sources: Sources) -> Edit:
    weight = np.asarray(sources.seen.array(work.weight), np.float32)
    shape = [1] * weight.ndim
    shape[1 if work.kind == "conv" else 0] = -1
    return Edit(node=work.node, place=1, array=weight * factors.reshape(shape))


def _factors(channels: Floats, reach: Floats, strength: float) -> Floats:
    """Give SmoothQuant's factors, their geometric mean 1; 1 for a channel that was always zero.

    Strength 0 gives ones.
    """
    if not strength:
        return np.ones(len(channels), np.float32)
    live = channels > 0
    weights = np.maximum(reach, LEAST * max(float(reach.max()), 1e-30)).astype(np.float64)
    peaks = np.where(live, channels, 1).astype(np.float64)
    raw = strength * np.log(peaks) - (1 - strength) * np.log(weights)
    centred = np.where(live, raw - raw[live].mean(), 0.0)
    return np.asarray(np.exp(np.clip(centred, -FARTHEST, FARTHEST)), np.float32)


def _error(rows: Floats, peak: float, factors: Floats, taps: Sequence[Floats]) -> float:
    narrow = rounded(rows / factors, peak)
    total = 0.0
    for each in taps:
        weight = rounded_weight(each * factors[:, None, None], axis=2)
        total += float(np.square(narrow @ _flat(weight) - rows @ _flat(each)).sum(dtype=np.float64))
    return total


def _of_rows(held: Statistics, rows: Floats) -> Statistics:
    """Tell of some of the rows alone what a tensor held."""
    channels = np.abs(rows).max(0)
    peak = float(channels.max())
    means = rows.mean(0, dtype=np.float64)
    return replace(held, average=peak, peak=peak, channels=channels, means=means, rows=rows)


def _flat(taps: Floats) -> Floats:
    return np.reshape(taps, (len(taps), -1))
