"""Train a tokenizer.model of LLaMA's kind on Python's standard library, for random checkpoints.

    python tests/tools/train_tokenizer.py --out FOLDER [--pieces 32000]

SentencePiece's BPE, with bytes for what it does not know, single digits and LLaMA's four special
tokens. Which pieces it has follows from the Python that runs it. Takes ten seconds.
"""

import argparse
import sysconfig
from collections.abc import Iterator, Sequence
from pathlib import Path

import sentencepiece

LONGEST = 4000  # characters of a line


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, required=True, help="the folder to write to")
    parser.add_argument("--pieces", type=int, default=32000)
    given = parser.parse_args(arguments)
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=lines(Path(sysconfig.get_path("stdlib"))),
        model_prefix=str(given.out / "tokenizer"),
        vocab_size=given.pieces,
        model_type="bpe",
        byte_fallback=True,
        split_digits=True,
        unk_surface=" \u2047 ",
        normalization_rule_name="identity",
        minloglevel=1,
    )
    (given.out / "tokenizer.vocab").unlink()
    return 0


def lines(library: Path) -> Iterator[str]:
    """Give the lines of the modules that lie in a library, without those of its tests."""
    for path in sorted(library.rglob("*.py")):
        if not {"test", "tests", "site-packages"} & set(path.parts):
            for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
                if line.strip() and "\0" not in line:
                    yield line[:LONGEST]


if __name__ == "__main__":
    raise SystemExit(main())
