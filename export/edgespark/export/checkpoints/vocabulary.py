"""The tokenizer that lies beside a checkpoint."""

import os
import warnings
from pathlib import Path

from tokenizers import Tokenizer

from edgespark.export.checkpoints.sentencepiece import tokenizer_json
from edgespark.export.weights import tokenizer_from_bytes
from edgespark.runtime.errors import EdgesparkWarning, InputError, MissingInput

READERS = {"tokenizer.model": tokenizer_json, "tokenizer.json": Path.read_bytes}
"""What makes a tokenizer.json of each file; the first one that is there is taken."""


def tokenizer_beside(where: Path, vocabulary: int) -> Tokenizer:
    """Read the tokenizer in a checkpoint's folder, or beside a checkpoint of one file.

    `vocabulary` is how many tokens the model knows: InputError where the tokenizer has more, a
    warning where it has less. MissingInput where there is none.
    """
    folder = where if where.is_dir() else where.parent
    there = [folder / name for name in READERS if os.path.lexists(folder / name)]
    if not there:
        raise MissingInput(f"{folder}: no {' or '.join(READERS)} beside the checkpoint")
    path, *others = there
    tokenizer = _read(path)
    _check_size(path, tokenizer.get_vocab_size(), vocabulary)
    for other in others:
        if _read(other).get_vocab() != tokenizer.get_vocab():
            text = f"{path} and {other.name} know other tokens; {path.name} is taken"
            warnings.warn(text, EdgesparkWarning, stacklevel=2)
    return tokenizer


def _read(path: Path) -> Tokenizer:
    if not path.is_file():
        raise InputError(f"tokenizer {path}: no file")
    try:
        content = READERS[path.name](path)
    except OSError as error:
        raise InputError(f"tokenizer {path}: {error.strerror}") from error
    return tokenizer_from_bytes(content, path)


def _check_size(path: Path, size: int, vocabulary: int) -> None:
    told = f"{path} has {size} tokens, and the model knows {vocabulary}"
    if size > vocabulary:
        raise InputError(f"{told}: it is of another model; put the model's own beside it")
    if size < vocabulary:
        warnings.warn(f"{told}; is it of another model?", EdgesparkWarning, stacklevel=3)
