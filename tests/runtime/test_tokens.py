"""Text that grows token by token: what is shown is never taken back."""

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer as Native
from tokenizers import decoders, models

from edgespark.runtime.errors import BundleError
from edgespark.runtime.tokens import Text, Tokenizer
from tests.runtime.stand_in import BEGIN, END, VOCABULARY, tokenizer_bytes

TOKENIZER = Tokenizer(tokenizer_bytes(), "tokenizer.json", VOCABULARY)


def pieces(ids: Sequence[int], stop: tuple[str, ...] = ()) -> list[str]:
    text = Text(TOKENIZER.decode, stop)
    shown = []
    for token in ids:
        shown.append(text.add(token))
        if text.stopped:
            break
    return [*shown, text.finish()]


def whole(ids: Sequence[int], stop: tuple[str, ...]) -> str:
    """Return the answer as it is defined: decoded at once, cut at the stop that ends first."""
    for count in range(len(ids) + 1):
        text = TOKENIZER.decode(ids[:count])
        found = [text.find(each) for each in stop if each in text]
        if found:
            return text[: min(found)].strip()
    return TOKENIZER.decode(ids).strip()


def test_encoding_adds_no_special_token_and_round_trips() -> None:
    ids = TOKENIZER.encode("Zürich, 東京")
    assert max(ids) < 256
    assert TOKENIZER.decode(ids) == "Zürich, 東京"


def test_special_tokens_that_stand_in_a_text_are_its_characters() -> None:
    ids = TOKENIZER.encode("<s>a</s>")
    assert not {BEGIN, END} & set(ids)
    assert TOKENIZER.decode(ids) == "<s>a</s>"


def test_a_tokenizer_of_another_model_is_a_broken_bundle() -> None:
    small = Tokenizer(tokenizer_bytes(), "tokenizer.json", 60)
    with pytest.raises(BundleError, match=r"tokenizer\.json: gives token \d+; the model knows 60"):
        small.encode("water")


def test_a_tokenizer_that_fails_on_a_text_is_a_broken_bundle() -> None:
    made = Native(models.WordLevel(vocab={"water": 0}))  # and nothing for what is unknown
    fails = Tokenizer(str(made.to_str()).encode(), "tokenizer.json", VOCABULARY)
    with pytest.raises(BundleError, match=r"tokenizer\.json: cannot tokenise: "):
        fails.encode("fire")


def test_special_tokens_leave_no_text() -> None:
    assert TOKENIZER.decode([256, *TOKENIZER.encode("a"), 257]) == "a"


@pytest.mark.parametrize("data", [b"", b"{}", b"\xff", b'{"version": "1.0"}'])
def test_bytes_that_are_no_tokenizer_are_a_broken_bundle(data: bytes) -> None:
    with pytest.raises(BundleError, match=r"tokenizer\.json: no tokenizer"):
        Tokenizer(data, "tokenizer.json", VOCABULARY)


def test_a_character_is_shown_when_its_last_byte_has_come() -> None:
    assert pieces(TOKENIZER.encode("aé東")) == ["a", "", "é", "", "", "東", ""]


def test_half_a_character_at_the_end_is_shown_as_decoding_has_it() -> None:
    ids = TOKENIZER.encode("a東")[:-1]
    assert "".join(pieces(ids)) == TOKENIZER.decode(ids)
    assert "\ufffd" in TOKENIZER.decode(ids)


def test_white_space_around_the_answer_is_not_shown_and_inside_it_is() -> None:
    shown = pieces(TOKENIZER.encode(" \n a  b \n"))
    assert "".join(shown) == "a  b"
    assert all(not piece.endswith(" ") for piece in shown)


@pytest.mark.parametrize(
    ("text", "stop", "answer"),
    [
        ("one###two", ("###",), "one"),
        ("one##two###", ("###",), "one##two"),
        ("one##", ("###",), "one##"),
        ("###one", ("###",), ""),
        ("\nanswer", ("\n",), ""),
        ("a b\n\nc", ("\n\n",), "a b"),
        ("abcd", ("bcx", "cd"), "ab"),
        ("aab", ("ab",), "a"),
        ("東京都", ("京",), "東"),
    ],
)
def test_a_stop_string_ends_the_text_and_no_part_of_it_is_ever_shown(
    text: str, stop: tuple[str, ...], answer: str
) -> None:
    shown = pieces(TOKENIZER.encode(text), stop)
    assert "".join(shown) == answer
    assert all(answer.startswith("".join(shown[:n])) for n in range(len(shown)))


@settings(deadline=None, max_examples=200)
@given(
    ids=st.lists(st.integers(0, 257), max_size=30),
    stop=st.lists(st.text("ab\n é", min_size=1, max_size=3), max_size=2),
)
def test_the_pieces_joined_are_the_text_decoded_at_once(ids: list[int], stop: list[str]) -> None:
    assert "".join(pieces(ids, tuple(stop))) == whole(ids, tuple(stop))


@settings(deadline=None, max_examples=200)
@given(
    text=st.text("ab#\n é東", max_size=30),
    stop=st.lists(st.text("ab#\n é", min_size=1, max_size=3), max_size=3),
)
def test_a_streamed_text_with_stops_is_the_text_up_to_the_first(text: str, stop: list[str]) -> None:
    ids = TOKENIZER.encode(text)
    assert "".join(pieces(ids, tuple(stop))) == whole(ids, tuple(stop))


@settings(deadline=None, max_examples=50)
@given(ids=st.lists(st.integers(0, 4), max_size=12))
def test_a_tokenizer_that_joins_words_with_spaces_streams_the_same(ids: list[int]) -> None:
    words = {"a": 0, "be": 1, "sea": 2, ",": 3, "?": 4}
    native = Native(models.WordLevel(words, unk_token="?"))  # noqa: S106 no password
    native.decoder = decoders.WordPiece(cleanup=False)
    text = Text(native.decode, ())
    shown = [text.add(token) for token in ids]
    assert "".join([*shown, text.finish()]) == native.decode(ids).strip()
