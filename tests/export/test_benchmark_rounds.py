"""What rounds of a benchmark come to, and what its processes tell."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from benchmarks import children, document, encoder, figures, greedy_answers
from benchmarks.derived_decoder import opens_derived
from benchmarks.peers import encoder_summary
from edgespark.calibration.chain import Swap, opened
from edgespark.engines.passes.int8_cache import int8_cache
from edgespark.runtime.bundle import Bundle
from edgespark.runtime.model import Model
from edgespark.runtime.stats import Record


def _encoder(*options: str) -> argparse.Namespace:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(sys, "argv", ["it", *options])
        return encoder._given()


def test_a_form_that_fails_is_absent_with_its_reason_and_the_rounds_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ran(_: Path, __: str, ___: argparse.Namespace, form: str) -> dict[str, Any]:
        if form == encoder_summary.LOWERED:
            raise children.ChildError("it ended with code -9 and said nothing")
        return {"ms": 10.0, "thrown": 0, "others": 0.0}

    monkeypatch.setattr(encoder, "ran", ran)
    given = _encoder("--forms", encoder_summary.BASE, encoder_summary.LOWERED)
    given.folder = tmp_path
    told = encoder.document_of([encoder.one_round(given, number) for number in (0, 1)], given, None)
    assert told["absent"] == {encoder_summary.LOWERED: "it ended with code -9 and said nothing"}
    assert told["ratios"] == {encoder_summary.BASE: 1.0}
    assert any("not run: it ended with code -9" in line for line in encoder_summary.table(told))


def test_what_all_others_stand_beside_may_not_fail(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ran(*_: object) -> dict[str, Any]:
        raise children.ChildError("lost")

    monkeypatch.setattr(encoder, "ran", ran)
    given = _encoder("--forms", encoder_summary.BASE)
    given.folder = tmp_path
    with pytest.raises(children.ChildError, match="lost"):
        encoder.one_round(given, 0)


def test_a_ratio_to_openvinos_int8_is_that_of_each_round(tmp_path: Path) -> None:
    """The ratio of the medians would be 1.0."""
    base, ours, peer = encoder_summary.BASE, encoder_summary.LOWERED, "openvino-int8"
    times = [(10.0, 30.0), (20.0, 10.0), (30.0, 20.0)]
    rounds = [{base: {"ms": 60.0}, ours: {"ms": own}, peer: {"ms": other}} for own, other in times]
    given = _encoder("--forms", base, ours, peer)
    given.folder = tmp_path
    told = encoder.document_of(rounds, given, None)
    assert told["ratios_to_openvino_int8"][ours] == {"median": 0.667, "range": [0.5, 3.0]}
    assert told["ratios_to_fastest"][ours]["openvino"]["form"] == peer
    assert any("0.67 0.50-3.00" in line for line in encoder_summary.table(told))


@pytest.mark.parametrize("others", [0.0, 0.5])
def test_figures_that_others_disturbed_are_told_as_such(others: float, tmp_path: Path) -> None:
    given = _encoder("--forms", encoder_summary.BASE, "--patience", "0")
    given.folder = tmp_path
    rounds = [{encoder_summary.BASE: {"ms": 1.0, "others": others}}]
    told = encoder.document_of(rounds, given, None)
    assert told["disturbed"] is (others > 0)
    assert any("DISTURBED" in line for line in encoder_summary.table(told)) is (others > 0)


@pytest.mark.parametrize("text", ["-1", "nan", "inf", "soon"])
def test_a_patience_that_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="expected seconds"):
        document.seconds(text)


def test_versions_are_those_of_each_peer() -> None:
    ours, theirs = ({"versions": {"onnxruntime": each}} for each in ("1.31", "1.30"))
    told = document.versions_of({"edgespark": [ours, {}], "genai": [theirs]})
    del told["python"]
    assert told == {"edgespark": ours["versions"], "genai": theirs["versions"]}


def test_the_load_before_a_run_is_told_beside_that_after_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "getloadavg", lambda: (7.0, 0.0, 0.0))
    assert document.machine()["load"] == {"before": document.BEFORE, "after": 7.0}


def _child(code: str, folder: Path) -> dict[str, Any]:
    return children.ran([sys.executable, "-c", code], folder / "log", {"GIVEN": "it"})


def test_a_childs_last_line_is_its_document(tmp_path: Path) -> None:
    code = "import os; print('more'); print('{\"given\": \"%s\"}' % os.environ['GIVEN'])"
    assert _child(code, tmp_path) == {"given": "it"}


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("raise ValueError('why')", "ValueError: why"),
        ("import os; os._exit(3)", "it ended with code 3 and said nothing"),
        ("pass", "is no document"),
        ("print('[')", "is no document"),
        ("print(1)", "is no document"),
    ],
)
def test_a_child_without_a_document_is_told_in_a_line(
    code: str, reason: str, tmp_path: Path
) -> None:
    with pytest.raises(children.ChildError, match=f"{reason}$"):
        _child(code, tmp_path)


def test_sums_of_no_rounds_are_nothing() -> None:
    assert (figures.middle([], 1), figures.ends([], 1)) == (None, [])
    assert figures.within([{"a": 1.0}, {"b": 1.0}], "a", "b", 1) is None


class _Spoken:
    """An answer's logits, in place of a spark."""

    def __init__(self, *tokens: int) -> None:
        self.logits = [np.eye(4, dtype=np.float32)[token] * 2 for token in tokens]


@pytest.mark.parametrize(
    ("ours", "theirs", "place"),
    [((1, 2, 3), (1, 0), 1), ((1, 0), (1, 2, 3), 1), ((1, 2), (1, 2), None)],
)
def test_where_two_answers_part_is_told_even_if_they_do_not(
    ours: tuple[int, ...],
    theirs: tuple[int, ...],
    place: int | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(greedy_answers, "logits_of", lambda spark, _: iter(spark.logits))
    asked = greedy_answers.Asked(modality="rgb", given={}, question="?")
    sparks: list[Any] = [_Spoken(*ours), _Spoken(*theirs)]
    told = greedy_answers.parted(sparks[0], sparks[1], asked)
    found = None if place is None else 2.0
    assert (told["token"], told["gap"], told["error"]) == (place, found, found)


def _hidden(model: Model, prompts: Sequence[str]) -> NDArray[np.float32]:
    """Feed each prompt whole, then two ids one by one; return all hidden states [runs, width]."""
    found, record = [], Record()
    for prompt in prompts:
        rows = model.sequence([], prompt, 2, record)
        for token in (3, 4):
            found.append(np.array(model.feed(rows, record)["hidden"][0, 0]))
            rows = model.chain.embed([token], record)
    return np.stack(found)


def test_a_derived_decoder_in_the_portable_ones_place_reads_codes_of_its_own_prompt(
    tiny: Path,
) -> None:
    bundle, prompts = Bundle.open(tiny), ("What is shown here?", "Name it.")
    part = bundle.manifest.part(bundle.manifest.language.decoder)
    wide = next(graph for graph in part.graphs if graph.precision == "fp32")
    cached = int8_cache(
        onnx.load_from_string(bundle.read(wide.file)),
        wide.states,
        {state.new.name: 4.0 for state in wide.states},
    )
    narrow = {
        part.name: Swap(graph=cached.model.SerializeToString(), states=cached.states),
    }
    wanted = _hidden(opened(bundle, threads=1), prompts)
    plain = _hidden(opened(bundle, opens=opens_derived(bundle, wide.states), threads=1), prompts)
    assert np.allclose(plain, wanted, atol=1e-4)
    blind = _hidden(opened(bundle, narrow, threads=1), prompts)
    derived = opens_derived(bundle, cached.states)
    seen = _hidden(opened(bundle, narrow, opens=derived, threads=1), prompts)
    apart = [np.abs(each - wanted).max(1)[::2].min() for each in (blind, seen)]  # whole prompts
    assert apart[0] < 1e-4
    assert apart[1] > 1e-3
    assert np.linalg.norm(seen - wanted) < 0.1 * np.linalg.norm(wanted)
