"""A tokenizer.model becomes a tokenizer.json that gives the same ids."""

import io
import random
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer

from edgespark.export.checkpoints.sentencepiece import tokenizer_json
from edgespark.export.checkpoints.vocabulary import tokenizer_beside
from edgespark.runtime import tokens
from edgespark.runtime.errors import EdgesparkWarning, InputError, MissingInput
from edgespark.runtime.wire import fields

sentencepiece = pytest.importorskip("sentencepiece")

PIECES = 400
CORPUS = Path(__file__).parents[2] / "README.md"
LLAMA = {
    "model_type": "bpe",
    "byte_fallback": True,
    "normalization_rule_name": "identity",
    "remove_extra_whitespaces": False,
    "split_digits": True,
    "allow_whitespace_only_pieces": True,
}
"""The settings that LLaMA's model was trained with."""
SCRAPS = (
    *("The quick brown fox", "model", "a", "ab", "ba", "aa", "0", "00", "1", "http://", "def f("),
    *(" ", "  ", "   ", "\n", "\t", "\r\n", "\0", "\u00a0", "\u3000", "\u200b", "\u2581"),
    *("###", "Human:", "<s>", "</s>", "<unk>", "<0x41>", "==", "--", "____", ".", ","),
    *("é", "e\u0301", "日本", "🙂", "ﬁ", "İ", "…"),
)
TEXTS = (
    "",
    " ",
    "   ",
    "A chat between a curious human and an artificial intelligence assistant.",
    "\n\n###Human: What is in this scene?\n###Assistant:",
    "spaces  in   rows    of     many      kinds       ",
    "<s>not the begin</s>",
    "日本語と🙂 and \0 bytes \x7f",
)


def trained(path: Path, **settings: object) -> Path:
    """Train a small model on the README."""
    stream = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(CORPUS.read_text().splitlines()),
        model_writer=stream,
        vocab_size=PIECES,
        minloglevel=2,
        **{**LLAMA, **settings},
    )
    path.write_bytes(stream.getvalue())
    return path


def drawn(seed: int) -> str:
    generator = random.Random(seed)  # noqa: S311 no secret
    few = generator.sample(SCRAPS, generator.choice([1, 2, len(SCRAPS)]))
    return "".join(generator.choice(few) for _ in range(generator.randrange(1, 30)))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(tmp_path_factory.mktemp("llama") / "tokenizer.model")


def pair(path: Path) -> tuple[tokens.Tokenizer, Any]:
    """Return the converted tokenizer as the runtime reads it, and SentencePiece's own."""
    ours = tokens.Tokenizer(tokenizer_json(path), "here", PIECES)
    return ours, sentencepiece.SentencePieceProcessor(model_file=str(path))


def test_ids_and_texts_are_sentencepieces_own(model: Path) -> None:
    ours, native = pair(model)
    for text in (*TEXTS, *map(drawn, range(300))):
        ids = native.encode(text)
        assert ours.encode(text) == ids, ascii(text)
        assert ours.decode(ids) == native.decode(ids), ascii(text)


@pytest.mark.parametrize(
    "settings", [{"remove_extra_whitespaces": True}, {"add_dummy_prefix": False}], ids=str
)
def test_other_ways_to_treat_spaces_are_kept(tmp_path: Path, settings: dict[str, object]) -> None:
    ours, native = pair(trained(tmp_path / "tokenizer.model", **settings))
    for text in (*TEXTS, *map(drawn, range(300))):
        assert ours.encode(text) == native.encode(text), ascii(text)


def test_a_table_of_characters_is_kept_with_a_warning(tmp_path: Path) -> None:
    path = trained(tmp_path / "tokenizer.model", normalization_rule_name="nmt_nfkc")
    with pytest.warns(EdgesparkWarning, match="replaces characters by a table"):
        ours, native = pair(path)
    assert ours.encode("ﬁve ①\u3000e\u0301") == native.encode("five 1 é")


def test_without_bytes_the_unknown_is_one_token(tmp_path: Path) -> None:
    path = trained(tmp_path / "tokenizer.model", byte_fallback=False)
    ours, native = pair(path)
    assert ours.encode("the 日本 model") == native.encode("the 日本 model")
    assert native.unk_id() in ours.encode("the 日本 model")


def test_begin_and_end_are_special(model: Path) -> None:
    native = Tokenizer.from_str(tokenizer_json(model).decode())
    assert [native.token_to_id(each) for each in ("<unk>", "<s>", "</s>")] == [0, 1, 2]
    assert native.decode([1, native.token_to_id("▁the"), 2], skip_special_tokens=True) == "the"
    assert native.get_vocab_size() == PIECES


def test_a_file_that_is_not_there_is_missing(tmp_path: Path) -> None:
    with pytest.raises(MissingInput, match="no such file"):
        tokenizer_json(tmp_path / "tokenizer.model")
    with pytest.raises(InputError, match="Is a directory"):
        tokenizer_json(tmp_path)


@pytest.mark.parametrize("kind", ["unigram", "char", "word"])
def test_a_model_of_another_kind_is_an_error(tmp_path: Path, kind: str) -> None:
    path = trained(
        tmp_path / "tokenizer.model",
        model_type=kind,
        hard_vocab_limit=False,
        byte_fallback=False,
    )
    with pytest.raises(InputError, match=r"its model_type is \d; expected 2, BPE"):
        tokenizer_json(path)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"user_defined_symbols": ["<image>"]}, r"user-defined or unused pieces: \['<image>'\]"),
        ({"treat_whitespace_as_suffix": True}, "marks spaces"),
    ],
)
def test_what_llamas_model_lacks_is_an_error(
    tmp_path: Path, settings: dict[str, object], told: str
) -> None:
    with pytest.raises(InputError, match=told):
        tokenizer_json(trained(tmp_path / "tokenizer.model", **settings))


@pytest.mark.parametrize("content", [b"", b"no model", b"\x0a\xff", b"\x08\x01", b"\xff" * 20])
def test_a_broken_model_is_an_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "tokenizer.model"
    path.write_bytes(content)
    with pytest.raises(InputError, match="no SentencePiece BPE model"):
        tokenizer_json(path)


def test_a_model_cut_off_anywhere_never_ends_in_a_traceback(model: Path, tmp_path: Path) -> None:
    whole = model.read_bytes()
    for size in range(0, len(whole), len(whole) // 50):
        path = tmp_path / "tokenizer.model"
        path.write_bytes(whole[:size])
        with pytest.raises(InputError, match="no SentencePiece BPE model"):
            tokenizer_json(path)


def test_a_broken_table_of_characters_is_an_error(tmp_path: Path) -> None:
    path = trained(tmp_path / "tokenizer.model", normalization_rule_name="nmt_nfkc")
    name = b"\x0a\x08nmt_nfkc\x12"
    before, _, after = path.read_bytes().partition(name)
    path.write_bytes(before + name + after[:3] + b"\xff" * 4 + after[7:])
    with pytest.raises(InputError, match="no SentencePiece BPE model"):
        tokenizer_json(path)


@pytest.mark.parametrize("made", ["file", "folder"])
@pytest.mark.parametrize("name", ["tokenizer.model", "tokenizer.json"])
def test_the_tokenizer_lies_beside_the_checkpoint(model: Path, name: str, made: str) -> None:
    folder = model.parent / f"{made}-{name}"
    folder.mkdir()
    content = model.read_bytes() if name == "tokenizer.model" else tokenizer_json(model)
    (folder / name).write_bytes(content)
    where = folder if made == "folder" else folder / "onellm.pth"
    assert tokenizer_beside(where, PIECES).to_str().encode() == tokenizer_json(model)


def test_no_tokenizer_is_missing(tmp_path: Path) -> None:
    with pytest.raises(MissingInput, match=r"no tokenizer\.model or tokenizer\.json"):
        tokenizer_beside(tmp_path, PIECES)


def test_a_broken_tokenizer_json_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(InputError, match=r"tokenizer\.json: no tokenizer"):
        tokenizer_beside(tmp_path, PIECES)


def test_a_tokenizer_of_another_size_is_not_the_models(model: Path) -> None:
    with pytest.raises(InputError, match="400 tokens, and the model knows 399"):
        tokenizer_beside(model.parent, PIECES - 1)
    with pytest.warns(EdgesparkWarning, match="400 tokens, and the model knows 401"):
        tokenizer_beside(model.parent, PIECES + 1)


def test_all_wire_types_are_read() -> None:
    message = b"\x08\xac\x02" + b"\x11" + bytes(range(8)) + b"\x1a\x02ab" + b"\x25" + bytes(4)
    assert list(fields(message)) == [
        (1, 0, 300),
        (2, 1, bytes(range(8))),
        (3, 2, b"ab"),
        (4, 5, bytes(4)),
    ]
    with pytest.raises(ValueError, match="wire type 3"):
        list(fields(b"\x0b"))
