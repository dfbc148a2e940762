"""Each method against a plain search over the raw values, and the laws that all of them keep."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from edgespark.calibration import entropy, mse
from edgespark.calibration.methods import METHODS, peak_of
from edgespark.calibration.statistics import BINS, Method, Observer, Statistics
from edgespark.runtime.errors import InputError

Values = NDArray[np.float32]
COUNT = 20_000


def one_outlier(rng: np.random.Generator) -> NDArray[np.float64]:
    made = rng.standard_normal(COUNT)
    made[7] = 60.0
    return made


KINDS: dict[str, Callable[[np.random.Generator], NDArray[np.float64]]] = {
    "normal": lambda rng: rng.standard_normal(COUNT),
    "Laplace": lambda rng: rng.laplace(size=COUNT),
    "uniform": lambda rng: rng.uniform(-1, 1, COUNT),
    "heavy tails": lambda rng: rng.standard_t(3, COUNT),
    "sparse": lambda rng: np.maximum(rng.standard_normal(COUNT) - 1, 0),
    "one outlier": one_outlier,
    "off centre": lambda rng: rng.standard_normal(COUNT) * 0.2 + 3,
    "tiny": lambda rng: rng.standard_normal(COUNT) * 1e-20,
    "one value": lambda _: np.full(COUNT, 3.0),
    "two values": lambda rng: (rng.uniform(size=COUNT) < 0.1).astype(np.float64),
    "softmax": lambda rng: rng.dirichlet(np.full(50, 0.1), COUNT // 50).ravel(),
}


def drawn(seed: int, kind: str) -> Values:
    return KINDS[kind](np.random.default_rng(seed)).astype(np.float32)


def observed(values: Values, samples: int = 1) -> Statistics:
    observer = Observer(-1)
    for sample in np.array_split(values, samples):
        observer.observe(sample[:, None])
    return observer.finish()


def cost(values: Values, peak: float) -> float:
    """Return E[(x - Q(x))²] as INT8 has it."""
    step = peak / 127
    rounded = np.clip(np.rint(values / step), -127, 127) * step
    return float(np.mean(np.square(values - rounded, dtype=np.float64)))


def divergence(values: Values, bins: int, width: float) -> float:
    """Return KL(P‖Q) in the steps of Migacz's talk, from the values themselves."""
    magnitudes = np.abs(values.astype(np.float64))
    threshold = bins * width / BINS
    whole = np.histogram(magnitudes, BINS, (0, width))[0].astype(float)
    whole[0] = min(whole[0], whole[1])
    inside = whole[:bins]
    true = inside.copy()
    true[-1] += np.count_nonzero(magnitudes >= threshold)
    quantised = np.zeros(bins)
    levels = [k * entropy.LEVELS // bins for k in range(bins)]
    for level in range(entropy.LEVELS):
        of_it = [k for k in range(bins) if levels[k] == level]
        filled = [k for k in of_it if inside[k]]
        for k in filled:
            quantised[k] = sum(inside[of_it]) / len(filled)
    if not quantised.sum():
        return math.inf
    if true[-1] and not quantised[-1]:
        quantised[-1] = entropy.SMOOTHING * quantised.sum()
    p, q = true / true.sum(), quantised / quantised.sum()
    return float(sum(p[k] * math.log(p[k] / q[k]) for k in range(bins) if p[k]))


@pytest.mark.parametrize("kind", KINDS)
def test_minmax_is_the_greatest_magnitude(kind: str) -> None:
    values = drawn(0, kind)
    assert peak_of(observed(values), "minmax") == np.abs(values).max()


@pytest.mark.parametrize("kind", KINDS)
def test_average_is_the_moving_average_of_the_samples_peaks(kind: str) -> None:
    values, moving = drawn(1, kind), 0.0
    for k, sample in enumerate(np.array_split(values, 7)):
        moving += (float(np.abs(sample).max()) - moving) / (k + 1)
    assert peak_of(observed(values, 7), "average") == pytest.approx(moving, rel=1e-12)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("count", [5, 9_999, COUNT])
def test_percentile_is_that_of_the_sorted_magnitudes_within_a_bin(kind: str, count: int) -> None:
    values = drawn(2, kind)[:count]
    found = observed(values)
    if not found.peak:
        return
    expected = np.sort(np.abs(values))[math.ceil(0.9999 * count) - 1]
    peak = peak_of(found, "percentile")
    assert peak - found.width / BINS <= expected <= peak
    if count < 10_000:
        assert peak == found.peak


@pytest.mark.parametrize("kind", KINDS)
def test_mse_costs_no_more_than_the_best_of_all_thresholds(kind: str) -> None:
    values = drawn(3, kind)
    found = observed(values)
    best = min(cost(values, found.peak * k / 1500) for k in range(15, 1501))
    floor = (found.width / BINS) ** 2  # what a bin does not tell apart
    assert cost(values, peak_of(found, "mse")) <= 1.02 * best + floor


@pytest.mark.parametrize("kind", KINDS)
def test_mse_is_the_best_threshold_of_values_spread_in_their_bins(kind: str) -> None:
    found = observed(drawn(3, kind))
    counts = found.histogram[: np.flatnonzero(found.histogram)[-1] + 1]
    spread = (np.arange(200) + 0.5) / 200
    places = np.arange(len(counts))[:, None] + spread
    expected = mse.clipped(counts) + mse.rounded(counts)
    for bins in {1, 2, len(counts) // 7 + 1, len(counts) // 2 + 1, len(counts)}:
        step = bins / 127
        off = places - np.minimum(np.rint(places / step), 127) * step
        brute = float(counts @ np.mean(off**2, axis=1))
        assert expected[bins] == pytest.approx(brute, rel=1e-2)


@pytest.mark.parametrize("kind", KINDS)
def test_entropy_is_the_least_divergence_of_the_talks_own_steps(kind: str) -> None:
    values = drawn(4, kind)
    found = observed(values)
    last = int(np.flatnonzero(found.histogram)[-1]) + 1
    chosen = entropy.threshold(found.histogram[:last])
    least = divergence(values, chosen, found.width)
    for bins in {*range(128, last, 61), last, *range(max(128, chosen - 3), min(chosen + 4, last))}:
        assert divergence(values, bins, found.width) >= least - 1e-8
    peak = peak_of(found, "entropy")
    assert peak == min(chosen * found.width / BINS, found.peak)


@pytest.mark.parametrize("kind", KINDS)
def test_the_divergence_in_closed_form_is_that_of_the_steps(kind: str) -> None:
    values = drawn(5, kind)
    found = observed(values)
    weights = found.histogram[: np.flatnonzero(found.histogram)[-1] + 1].astype(float)
    weights[0] = min(weights[:2])
    tried = np.unique(np.linspace(128, len(weights), 9).astype(int))
    for bins, value in zip(tried, entropy.divergences(weights, tried), strict=True):
        assert value == pytest.approx(divergence(values, bins, found.width), rel=1e-6, abs=1e-9)


def test_a_clipping_method_leaves_one_outlier_out() -> None:
    found = observed(np.concatenate([drawn(6, "one outlier"), *[drawn(6, "normal")] * 20]))
    assert peak_of(found, "minmax") > 55
    for method in ("percentile", "entropy", "mse"):
        assert peak_of(found, method) < 25, method


def test_many_zeros_do_not_move_what_clips() -> None:
    values = drawn(7, "normal")
    padded = np.concatenate([values, np.zeros(9 * COUNT, np.float32)])
    one, other = observed(values), observed(padded)
    assert peak_of(other, "mse") == pytest.approx(peak_of(one, "mse"), rel=0.05)
    assert peak_of(other, "entropy") == pytest.approx(peak_of(one, "entropy"), rel=0.1)


SAMPLES = arrays.arrays(
    np.float32,
    st.integers(1, 400),
    elements=st.floats(-(2.0**20), 2.0**20, width=32, allow_subnormal=False),
)


@given(SAMPLES, st.integers(-30, 30), st.sampled_from(sorted(METHODS)))
@settings(deadline=None, max_examples=60)
def test_scaling_by_a_power_of_two_scales_the_range_exactly(
    values: Values, exponent: int, method: Method
) -> None:
    values = np.where(np.abs(values) < 2.0**-60, 0, values).astype(np.float32)
    factor = 2.0**exponent
    scaled = (values * factor).astype(np.float32)
    assert peak_of(observed(scaled), method) == peak_of(observed(values), method) * factor


@given(SAMPLES, st.sampled_from(sorted(METHODS)))
@settings(deadline=None, max_examples=60)
def test_the_range_lies_between_zero_and_the_peak_and_signs_do_not_matter(
    values: Values, method: Method
) -> None:
    found = observed(values)
    peak = peak_of(found, method)
    assert 0 <= peak <= found.peak
    assert (peak == 0) == (found.peak == 0)
    assert peak_of(observed(np.abs(values)), method) == peak
    assert peak_of(observed(-values[::-1]), method) == peak


@pytest.mark.parametrize("kind", ["normal", "Laplace", "heavy tails"])
@pytest.mark.parametrize("method", sorted(METHODS))
@pytest.mark.parametrize("factor", [0.37, 1.9, 12.3])
def test_scaling_by_any_factor_scales_the_range_within_the_bins(
    kind: str, method: Method, factor: float
) -> None:
    values = drawn(8, kind)
    scaled = (values * np.float32(factor)).astype(np.float32)
    one, other = observed(values), observed(scaled)
    if method == "mse":  # its minimum is flat: it is the cost that stays
        assert cost(scaled, peak_of(other, method)) == pytest.approx(
            cost(scaled, peak_of(one, method) * factor), rel=0.02
        )
    else:
        rel = 0.4 if method == "entropy" else 0.02  # its levels are made of whole bins
        assert peak_of(other, method) == pytest.approx(peak_of(one, method) * factor, rel=rel)


@given(SAMPLES, st.integers(0, 399))
@settings(deadline=None, max_examples=60)
@pytest.mark.parametrize("method", ["minmax", "average", "percentile"])
def test_a_greater_value_never_lowers_the_range(method: Method, values: Values, at: int) -> None:
    raised = values.copy()
    raised[at % len(values)] = 2 * np.abs(values).max() + 1
    assert peak_of(observed(raised), method) >= peak_of(observed(values), method)


@given(SAMPLES, st.integers(2, 9), st.sampled_from(["minmax", "entropy", "mse"]))
@settings(deadline=None, max_examples=40)
def test_seeing_everything_more_than_once_changes_nothing(
    values: Values, times: int, method: Method
) -> None:
    assert peak_of(observed(np.tile(values, times)), method) == peak_of(observed(values), method)


@pytest.mark.parametrize("method", METHODS)
def test_a_tensor_that_is_always_zero_has_the_range_zero(method: Method) -> None:
    assert peak_of(observed(np.zeros(5, np.float32)), method) == 0


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("peak", [2.0**-149, 2.0**-120, float(np.finfo("f4").max)])
def test_the_ends_of_what_float32_holds_have_a_range(method: Method, peak: float) -> None:
    assert 0 < peak_of(observed(np.array([peak], np.float32)), method) <= peak


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "a NaN": ({"peak": math.nan}, "peak is nan"),
    "infinity": ({"high": math.inf}, "high is inf"),
    "a peak of zero": ({"peak": 0.0}, "not the greatest magnitude"),
    "a lower peak": ({"peak": 0.5}, "not the greatest magnitude"),
    "an average of zero": ({"average": 0.0}, "average 0.0 does not go with peak"),
    "an average beyond all": ({"average": 99.0}, "is beyond peak"),
    "no width": ({"width": 0.0}, "width 0.0 does not go with peak"),
    "too little width": ({"width": 1e-3}, "before the peak"),
    "a width of another histogram": ({"width": 1024.0}, "lies in bin"),
    "no sample": ({"count": 0}, "0 samples"),
    "low beyond high": ({"low": 99.0}, "beyond high"),
    "another length": ({"histogram": np.zeros(9, np.int64)}, "9 bins; expected 2048"),
    "another dtype": ({"histogram": np.zeros(BINS)}, "histogram is float64"),
    "no counts": ({"histogram": np.zeros(BINS, np.int64)}, "or none"),
    "counts below zero": ({"histogram": np.full(BINS, -1)}, "below zero"),
    "other channels": ({"means": np.zeros(4)}, "arrays of .1, 4. channels"),
    "a shape of others": ({"shape": (7, 7)}, "channels, and shape"),
    "too many rows": ({"rows": np.zeros((257, 1), np.float32)}, "257 rows"),
    "rows of one axis": ({"rows": np.zeros(1, np.float32)}, "rows is float32 .1."),
    "a row beyond": ({"rows": np.full((1, 1), 99, np.float32)}, "a row holds"),
    "a row of NaN": ({"rows": np.full((1, 1), math.nan, np.float32)}, "a row holds"),
    "a mean beyond": ({"means": np.full(1, 99.0)}, "mean is beyond"),
    "a mean of NaN": ({"means": np.full(1, math.nan)}, "mean is beyond"),
    "a channel of infinity": ({"channels": np.full(1, np.inf, np.float32)}, "channels' peaks"),
    "a channel of NaN": ({"channels": np.full(1, np.nan, np.float32)}, "channels' peaks"),
}


@pytest.mark.parametrize("case", WRONG)
def test_statistics_that_no_tensor_can_have_are_refused(case: str) -> None:
    changes, text = WRONG[case]
    found = replace(observed(drawn(9, "normal")), **changes)
    with pytest.raises(InputError, match=text):
        peak_of(found, "minmax")


def test_an_unknown_method_is_an_error_that_lists_the_known_ones() -> None:
    with pytest.raises(InputError, match=r"'mean'.*there are: minmax, average, percentile, ent"):
        peak_of(observed(drawn(9, "normal")), "mean")  # type: ignore[arg-type]
