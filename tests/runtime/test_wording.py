"""Words in messages."""

import pytest

from edgespark.runtime.wording import near, printable


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
