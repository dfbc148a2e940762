"""States as int8 codes: what codes stand for, and how references are held against them."""

from collections.abc import Mapping
from dataclasses import replace
from math import inf, nan
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as drawn
from numpy.typing import NDArray

from edgespark.runtime import _check
from edgespark.runtime.bundle import Bundle
from edgespark.runtime.codes import LARGEST, LEAST, coded, decoded, is_step
from edgespark.runtime.device import DEVICES
from edgespark.runtime.errors import BundleError
from edgespark.runtime.manifest import Graph, Manifest, State
from edgespark.runtime.reference import arrays, probes
from edgespark.runtime.verify import rows
from tests.runtime.on_disk import npz, write
from tests.runtime.stand_in import StandIn, decode, file

Array = NDArray[Any]
CPU = DEVICES["cpu"]
STEP = 1 / 16
FLOATS = drawn.arrays(
    np.float32, 20, elements=st.floats(-(2.0**100), 2.0**100, width=32, allow_subnormal=False)
)


def as_codes(state: State, step: float | None = STEP) -> State:
    past, new = (replace(each, dtype="int8") for each in (state.past, state.new))
    return State(past=past, new=new, step=step)


def decode_codes(given: Mapping[str, Array]) -> dict[str, Array]:
    """Decode as the stand-in does, with a memory of codes."""
    made = decode({**given, "past.0": given["past.0"] * np.float32(STEP)})
    codes = np.clip(np.rint(made["new.0"] / STEP), -128, 127).astype(np.int8)
    return {**made, "new.0": codes}


def narrow(stand_in: StandIn, step: float | None = STEP) -> Graph:
    """Give the stand-in's decoder an int8 graph with int8 states, and a variant of that."""
    manifest = stand_in.manifest
    part, wide = manifest.part("decoder"), manifest.variants[0]
    graph = replace(
        part.graphs[0],
        precision="int8",
        file=file("graphs/decoder.int8.onnx"),
        states=tuple(as_codes(each, step) for each in part.graphs[0].states),
        limit=0.5,
    )
    both = replace(part, graphs=(*part.graphs, graph))
    variant = replace(wide, name="int8", precisions={**wide.precisions, "decoder": "int8"})
    stand_in.manifest = replace(
        manifest,
        parts=tuple(both if each is part else each for each in manifest.parts),
        variants=(variant, wide),
    )
    stand_in.functions["decoder.int8"] = decode_codes
    return graph


def states(stand_in: StandIn) -> tuple[State, ...]:
    return stand_in.manifest.part("decoder").graphs[-1].states


@given(FLOATS, st.floats(2.0**-60, 2.0**60, width=32))
def test_what_fits_is_off_by_half_a_step_and_what_does_not_is_cut_off(
    x: NDArray[np.float32], step: float
) -> None:
    stand_in = StandIn()
    narrow(stand_in, step)
    codes = coded({"past.0": x}, states(stand_in))["past.0"]
    back = decoded({"new.0": codes}, states(stand_in))["new.0"]
    inside = np.abs(x) <= 127 * step
    assert codes.dtype == np.int8
    assert np.abs(codes.astype(int)).max() <= 127
    assert np.all(np.abs(back - x)[inside] <= step * 0.5000001)
    np.testing.assert_array_equal(codes[~inside], 127 * np.sign(x[~inside]))


def test_all_other_arrays_are_left_as_they_are(stand_in: StandIn) -> None:
    wide = stand_in.manifest.part("decoder").graphs[0].states
    there: dict[str, Array] = {
        "past.0": np.ones(2, np.float32),
        "new.0": np.ones(2, np.int8),
        "x": np.ones(1),
    }
    for change in (coded, decoded):
        assert all(made is there[name] for name, made in change(there, wide).items())
    narrow(stand_in)
    assert coded(there, states(stand_in))["x"] is there["x"]
    assert decoded(there, states(stand_in))["past.0"] is there["past.0"]


@pytest.mark.parametrize("step", [0.0, -1.0, nan, inf, -inf, 1e-40, 1e39])
def test_a_step_that_is_none_is_told(step: float, stand_in: StandIn) -> None:
    assert not is_step(step)
    narrow(stand_in, step)
    (told,) = _problems(stand_in.manifest)
    assert "].graphs[1].states[0].step: got " in told
    assert "an int8 state needs one, from 1.17549e-38 to 3.40282e+38" in told


@pytest.mark.parametrize("step", [LEAST, 0.1, LARGEST])
def test_a_normal_float32_above_zero_is_a_step(step: float, stand_in: StandIn) -> None:
    narrow(stand_in, step)
    assert _problems(stand_in.manifest) == []


def _problems(manifest: Manifest) -> list[str]:
    return list(_check.problems(manifest))


def test_a_reference_of_floats_serves_both_graphs(folder: Path, stand_in: StandIn) -> None:
    graph = narrow(stand_in)
    write(stand_in, folder)
    bundle = Bundle.open(folder)
    part = bundle.manifest.part("decoder")
    held = arrays(bundle, part.reference)
    for k, probe in enumerate(probes(bundle, part, graph)):
        past = held[f"{k}.in.past.0"]
        assert past.dtype == held[f"{k}.out.new.0"].dtype == np.float32
        np.testing.assert_array_equal(probe.inputs["past.0"], np.rint(past / STEP))
        assert probe.inputs["past.0"].dtype == np.int8
        np.testing.assert_array_equal(probe.outputs["new.0"], held[f"{k}.out.new.0"])
    found = [row for row in rows(bundle, CPU) if row.name == "decoder"]
    assert [row.ok for row in found] == [True, True]
    assert 0 == found[0].error < found[1].error < 0.5


def test_codes_of_another_step_fall_short(folder: Path, stand_in: StandIn) -> None:
    narrow(stand_in, 2 * STEP)
    write(stand_in, folder)
    found = {(row.name, row.precision): row for row in rows(Bundle.open(folder), CPU)}
    assert not found["decoder", "int8"].ok
    assert found["decoder", "fp32"].ok


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda x: x.astype(np.int8), "'1.in.past.0' is int8 .*floats are kept as float32"),
        (lambda x: x * np.float32(nan), "'1.in.past.0' holds NaN or infinity"),
        (lambda x: x + np.float32(inf), "'1.in.past.0' holds NaN or infinity"),
        (lambda x: x.astype(str), "'1.in.past.0' is <U"),
    ],
)
def test_a_past_that_no_codes_stand_for_is_a_broken_bundle(
    folder: Path,
    stand_in: StandIn,
    change: Any,  # noqa: ANN401 of an array
    said: str,
) -> None:
    graph = narrow(stand_in)
    write(stand_in, folder)
    bundle = Bundle.open(folder)
    part = bundle.manifest.part("decoder")
    held = arrays(bundle, part.reference)
    changed = npz({**held, "1.in.past.0": change(held["1.in.past.0"])})
    write(stand_in, folder, {part.reference.path: changed})
    broken = Bundle.open(folder)
    with pytest.raises(BundleError, match=said):
        probes(broken, broken.manifest.part("decoder"), graph)


def decode_rounded(given: Mapping[str, Array]) -> dict[str, Array]:
    """Decode with a memory of floats that are what codes stand for."""
    made = decode(given)
    codes = np.clip(np.rint(made["new.0"] / STEP), -128, 127)
    return {**made, "new.0": (codes * STEP).astype(np.float32)}


def test_the_memory_of_an_answer_is_codes(stand_in: StandIn) -> None:
    image = np.random.default_rng(1).normal(size=(3, 4, 4)).astype(np.float32)
    other = StandIn(functions={**stand_in.functions, "decoder": decode_rounded})
    narrow(stand_in)
    said = stand_in.spark().generate("?", rgb=image, max_tokens=12)
    assert said == other.spark().generate("?", rgb=image, max_tokens=12)
    calls = stand_in.sessions["decoder"].calls
    assert {each["past.0"].dtype for each, _ in calls} == {np.dtype(np.int8)}
    assert {each["new.0"].dtype for _, each in calls} == {np.dtype(np.int8)}
    assert calls[-1][0]["past.0"].any()
