"""Strict JSON into frozen records: every problem at once, each with its path, and no surprise."""

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgespark.runtime._decode import DuplicateKey, decode, parse
from edgespark.runtime.preprocessing import Preprocessing, Text


@dataclass(frozen=True, kw_only=True, slots=True)
class Leaf:
    name: str
    size: int = 1

    def __post_init__(self) -> None:
        if self.size < 0:
            raise ValueError("size must not be negative")


@dataclass(frozen=True, kw_only=True, slots=True)
class Tree:
    share: float
    ready: bool
    kind: Literal["oak", "fir"]
    leaves: tuple[Leaf, ...] = ()
    counts: dict[str, int]
    note: str | None = None
    step: Preprocessing | None = None


WHOLE = {
    "share": 0.5,
    "ready": True,
    "kind": "oak",
    "leaves": [{"name": "a", "size": 3}, {"name": "b"}],
    "counts": {"x": 1},
    "note": None,
    "step": {"kind": "text", "max_tokens": 8},
}
KINDS = "imagery, frames, points, table, tracks, series, text"
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


def test_plain_json_becomes_the_records_it_describes() -> None:
    made, problems = decode(Tree, WHOLE)

    assert problems == []
    assert made == Tree(
        share=0.5,
        ready=True,
        kind="oak",
        leaves=(Leaf(name="a", size=3), Leaf(name="b")),
        counts={"x": 1},
        step=Text(max_tokens=8),
    )


def test_a_whole_number_may_stand_for_a_real_one() -> None:
    made, problems = decode(Tree, WHOLE | {"share": 2})

    assert problems == []
    assert made is not None
    assert type(made.share) is float


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"share": "0.5"}, "$.share: expected float, got str '0.5'"),
        ({"share": True}, "$.share: expected float, got bool True"),
        ({"share": math.inf}, "$.share: inf is not a finite number"),
        ({"share": math.nan}, "$.share: nan is not a finite number"),
        ({"share": 2**60}, "$.share: inf is not a finite number"),
        ({"ready": 1}, "$.ready: expected bool, got int 1"),
        ({"kind": "elm"}, "$.kind: str 'elm' is none of oak, fir"),
        ({"kind": []}, "$.kind: list [] is none of oak, fir"),
        ({"leaves": {}}, "$.leaves: expected a list, got dict"),
        ({"leaves": [1]}, "$.leaves[0]: expected an object, got int"),
        ({"leaves": [{"name": "a"}, {}]}, "$.leaves[1].name: missing"),
        ({"leaves": [{"name": "a", "size": -1}]}, "$.leaves[0]: size must not be negative"),
        ({"leaves": [{"name": "a", "size": 2**63}]}, "is beyond 64 bits"),
        ({"leaves": [{"name": "a", "size": -(2**70)}]}, "is beyond 64 bits"),
        ({"counts": [1]}, "$.counts: expected an object, got list"),
        ({"counts": {"x": 1.5}}, "$.counts.x: expected int, got float 1.5"),
        ({"counts": {"a b": None}}, "$.counts['a b']: expected int, got NoneType None"),
        ({"note": 1}, "$.note: expected str, got int 1"),
        ({"step": {"kind": "magic"}}, f"$.step.kind: str 'magic' is none of {KINDS}"),
        ({"step": 1}, f"$.step.kind: NoneType None is none of {KINDS}"),
        ({"step": {"kind": ["text"]}}, f"$.step.kind: list ['text'] is none of {KINDS}"),
        ({"step": {"kind": "text", "max_tokens": 0}}, "$.step: a text route needs max_tokens >= 1"),
        ({"other": 1}, "$.other: unknown field"),
        ({"\x1b[31m": 1}, "$['\\x1b[31m']: unknown field"),
    ],
)
def test_a_wrong_value_is_told_with_its_path(change: dict[str, object], problem: str) -> None:
    made, problems = decode(Tree, WHOLE | change)

    assert made is None
    assert len(problems) == 1
    assert problem in problems[0]


def test_all_problems_are_told_at_once() -> None:
    made, problems = decode(Tree, {"share": "a", "leaves": [{}, 3], "odd": 1})

    assert made is None
    assert problems == [
        "$.odd: unknown field",
        "$.share: expected float, got str 'a'",
        "$.ready: missing",
        "$.kind: missing",
        "$.leaves[0].name: missing",
        "$.leaves[1]: expected an object, got int",
        "$.counts: missing",
    ]


def test_a_long_value_is_shown_briefly() -> None:
    _, problems = decode(Tree, WHOLE | {"share": "x" * 10_000})

    assert len(problems[0]) < 120


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "Expecting value"),
        ("{", "Expecting property name"),
        ('{"a": 1,}', "."),
        ("{} {}", "Extra data"),
        ("NaN", "NaN is no JSON number"),
        ("[-Infinity]", "-Infinity is no JSON number"),
        ('{"a": 1, "b": {"c": 1, "c": 2}}', "key 'c' stands more than once in one object"),
        ("[" * 100_000, "nested too deeply"),
        ('{"a":' * 100_000, "nested too deeply"),
        ("1" * 5_000, "Exceeds the limit"),
        ('"\\ud800"', "surrogates not allowed"),
        ('{"\\udfff": 1}', "surrogates not allowed"),
        ('"a\nb"', "Invalid control character"),
        ("\ufeff{}", "BOM"),
    ],
)
def test_what_is_no_strict_json_is_a_value_error(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse(text)


def test_many_duplicate_keys_cost_no_quadratic_time() -> None:
    text = "{" + ",".join(f'"{i}": 0, "{i}": 1' for i in range(50_000)) + "}"

    with pytest.raises(DuplicateKey):
        parse(text)


@given(JSON)
def test_strict_json_is_read_back_as_it_was_written(value: object) -> None:
    try:
        text = json.dumps(value, allow_nan=False)
    except ValueError:
        return
    assert parse(text) == value


@given(JSON)
def test_no_value_makes_the_decoder_raise(value: object) -> None:
    for kind in (Tree, Leaf):
        made, problems = decode(kind, value)
        assert (made is None) == bool(problems)
        "".join(problems).encode("utf-8", "backslashreplace")


def nested(wrap: Callable[[object], object]) -> object:
    value: object = 0
    for _ in range(900):
        value = wrap(value)
    return value


@pytest.mark.parametrize("wrap", [lambda inner: [inner], lambda inner: {"a": inner}])
def test_a_deep_value_is_shown_without_exhausting_the_stack(
    wrap: Callable[[object], object],
) -> None:
    made, problems = decode(Tree, WHOLE | {"share": nested(wrap)})

    assert made is None
    assert len(problems) == 1
