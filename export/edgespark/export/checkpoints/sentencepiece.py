"""LLaMA's tokenizer.model (SentencePiece, BPE) as the tokenizer.json that the runtime reads.

The layout of the model: google/sentencepiece, src/sentencepiece_model.proto. How it splits text:
src/bpe_model.cc joins, again and again, the two neighbours whose joint piece has the best score,
the leftmost first; what is then in no piece becomes bytes.
"""

import struct
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from tokenizers import AddedToken, Regex, Tokenizer, decoders, normalizers
from tokenizers.models import BPE

from edgespark.runtime.errors import EdgesparkWarning, InputError, MissingInput
from edgespark.runtime.wire import fields

Value: TypeAlias = int | bytes

SPACE = "▁"  # U+2581, what SentencePiece writes for a space
BPE_MODEL = 2
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)
TABLE = (
    "it replaces characters by a table, as LLaMA's does not; ids may differ from SentencePiece's "
    "where several characters make one sign, such as a carriage return before a line feed"
)
KINDS = {NORMAL, UNKNOWN, CONTROL, BYTE}


@dataclass(frozen=True, kw_only=True, slots=True)
class Piece:
    """An entry of the vocabulary; its id is its place."""

    text: str
    score: float
    kind: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Model:
    """What a tokenizer.model says, by the names of its format."""

    pieces: tuple[Piece, ...]
    byte_fallback: bool
    add_dummy_prefix: bool
    remove_extra_whitespaces: bool
    precompiled_charsmap: bytes


def tokenizer_json(path: Path) -> bytes:
    """Convert a tokenizer.model; the ids are those of SentencePiece's own `encode`.

    So every text that is encoded by itself gets the space in front that SentencePiece gives it.
    The begin and the end are special tokens: written in a text they are characters where the
    reader sets `encode_special_tokens`, as the runtime does. Warns where the model, unlike LLaMA's,
    replaces characters by a table. MissingInput where there is no file, InputError where it is
    broken, no BPE, or has pieces that LLaMA's kind of model lacks.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise MissingInput(f"tokenizer {path}: no such file") from None
    except OSError as error:
        raise InputError(f"tokenizer {path}: {error.strerror}") from error
    try:
        model = _model(data)
        text = _tokenizer(model).to_str()
    except Exception as error:  # the library raises nothing narrower
        raise InputError(f"tokenizer {path}: no SentencePiece BPE model: {error}") from error
    if model.precompiled_charsmap:
        warnings.warn(f"tokenizer {path}: {TABLE}", EdgesparkWarning, stacklevel=2)
    return str(text).encode()


def _model(data: bytes) -> Model:
    found = [(number, value) for number, _, value in fields(data)]
    pieces = tuple(_piece(_message(value)) for number, value in found if number == 1)
    trainer, normalizer = (_last(found, number) for number in (2, 3))
    if (kind := trainer.get(3, 1)) != BPE_MODEL:
        raise ValueError(f"its model_type is {kind!r}; expected {BPE_MODEL}, BPE")
    if trainer.get(24) or not normalizer.get(5, 1):
        raise ValueError("it marks spaces in a way that LLaMA's does not")
    if other := [each.text for each in pieces if each.kind not in KINDS]:
        raise ValueError(f"it has user-defined or unused pieces: {other}")
    charsmap = normalizer.get(2, b"")
    return Model(
        pieces=pieces,
        byte_fallback=bool(trainer.get(35)),
        add_dummy_prefix=bool(normalizer.get(3, 1)),
        remove_extra_whitespaces=bool(normalizer.get(4, 1)),
        precompiled_charsmap=charsmap if isinstance(charsmap, bytes) else b"",
    )


def _message(value: Value) -> dict[int, Value]:
    """Return a message's fields by number; of one that comes again the last counts."""
    if not isinstance(value, bytes):
        raise TypeError(f"the number {int(value)} where a message was expected")
    return {number: each for number, _, each in fields(value)}


def _last(found: list[tuple[int, Value]], number: int) -> dict[int, Value]:
    values = [value for each, value in found if each == number]
    return _message(values[-1]) if values else {}


def _piece(message: Mapping[int, Value]) -> Piece:
    text, score, kind = message.get(1, b""), message.get(2, bytes(4)), message.get(3, NORMAL)
    if not isinstance(text, bytes) or not isinstance(score, bytes) or not isinstance(kind, int):
        raise TypeError(f"a piece of other types: {message}")
    return Piece(text=text.decode(), score=struct.unpack("<f", score)[0], kind=kind)


def _tokenizer(model: Model) -> Tokenizer:
    ids = {each.text: at for at, each in enumerate(model.pieces)}
    if not model.pieces or len(ids) != len(model.pieces):
        raise ValueError(f"{len(model.pieces)} pieces, {len(ids)} of them different")
    unknown = next((each.text for each in model.pieces if each.kind == UNKNOWN), None)
    made = Tokenizer(
        BPE(
            ids,
            list(_merges(model)),
            unk_token=unknown,
            fuse_unk=True,
            byte_fallback=model.byte_fallback,
        )
    )
    made.normalizer = normalizers.Sequence(list(_normalizers(model)))
    made.decoder = _decoder(model)
    special = [each.text for each in model.pieces if each.kind in {UNKNOWN, CONTROL}]
    made.add_special_tokens([AddedToken(each, normalized=False, special=True) for each in special])
    return made


def _merges(model: Model) -> Iterator[tuple[str, str]]:
    """Yield the pairs that may be joined, best score first.

    One piece may come of several pairs. Where two of these overlap in a text, as in "ab" "a" "ba"
    for "aba", the left one is the pair that begins with the piece's period, so it goes first.
    """
    normal = {each.text: each.score for each in model.pieces if each.kind == NORMAL}
    for text in sorted(normal, key=lambda each: -normal[each]):
        cuts = sorted(range(1, len(text)), key=lambda at: (not text.startswith(text[at:]), -at))
        for at in cuts:
            if text[:at] in normal and text[at:] in normal:
                yield text[:at], text[at:]


def _normalizers(model: Model) -> Iterator[normalizers.Normalizer]:
    if model.precompiled_charsmap:
        yield normalizers.Precompiled(model.precompiled_charsmap)
    if model.remove_extra_whitespaces:
        yield normalizers.Replace(Regex(rf"\A +|[ {SPACE}]+\z"), "")
        yield normalizers.Replace(Regex(" {2,}"), " ")
    if model.add_dummy_prefix:
        yield normalizers.Prepend(SPACE)
    yield normalizers.Replace(" ", SPACE)


def _decoder(model: Model) -> decoders.Decoder:
    steps = [decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse()]
    if model.add_dummy_prefix or model.remove_extra_whitespaces:
        steps.append(decoders.Strip(" ", 1, 0))
    return decoders.Sequence(steps)
