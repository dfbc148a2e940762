"""Words in messages."""

import pytest

from edgespark.runtime.wording import aligned, listed, near, printable, short, shown


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("rbg", " (did you mean 'rgb'?)"),
        ("ms", " (did you mean 'msr' or 'msi'?)"),
        ("elevation", ""),
        (None, ""),
    ],
)
def test_a_name_that_is_like_a_known_one_gets_a_hint(name: object, said: str) -> None:
    assert near(name, ("rgb", "msi", "msr")) == said


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("forêt 森\n", "forêt 森\\n"),
        ("\x1b[2Jgone", "\\x1b[2Jgone"),
        ("left\u202eright", "left\\u202eright"),
    ],
)
def test_what_a_terminal_obeys_is_shown_as_an_escape(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_what_is_to_be_kept_is_kept() -> None:
    assert printable("a\nb\x07", keep="\n") == "a\nb\\x07"


def test_a_name_is_compared_with_a_few_only_and_by_its_start() -> None:
    many = [f"x{i}" for i in range(256)]
    assert near("rbg", ["rgb", *many]) == " (did you mean 'rgb'?)"
    assert not near("rbg", [*many, "rgb"])
    assert len(near("a" * 100_000, ["a" * 100_000])) < 100


@pytest.mark.parametrize("length", [63, 64, 65, 100_000])
def test_of_a_long_name_the_middle_is_left_out(length: int) -> None:
    text = "a" * (length - 1) + "z"
    assert short(text) == text if length <= 64 else short(text) == "a" * 31 + "…" + "a" * 30 + "z"
    assert len(shown(text)) <= 66


def test_every_value_can_be_shown() -> None:
    assert shown("it's") == '"it\'s"'
    assert shown(None) == "None"
    assert len(shown([["a" * 1000] * 1000])) < 1000
    assert len(shown(10**5000)) < 100


def test_a_list_is_short_whatever_it_holds() -> None:
    assert listed(["a", "b"]) == "a, b"
    assert listed(["a"] * 14, shown) == "'a', " * 11 + "'a' and 2 more"
    assert len(listed(["a" * 5000] * 5000)) < 1000


def test_columns_are_as_wide_as_their_widest_cell() -> None:
    assert aligned([("a", "b"), ("long", "x"), ("", "")]) == ["a     b", "long  x", ""]
    assert aligned([]) == []
