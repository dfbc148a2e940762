"""The command `edgespark convert`: a checkpoint, once, into safetensors with its tokenizer."""

from pathlib import Path

from edgespark.export.checkpoints.convert import convert
from edgespark.export.checkpoints.ledger import whole
from edgespark.export.checkpoints.stored import open_checkpoint
from edgespark.export.checkpoints.vocabulary import READERS
from edgespark.runtime.commandline import Parser, show, show_json
from edgespark.runtime.errors import UsageError


def parser() -> Parser:
    """Describe the command's arguments."""
    made = Parser(prog="edgespark convert", description=__doc__)
    made.add_argument("checkpoint", metavar="CHECKPOINT", type=Path, help="a file or a folder")
    made.add_argument("--out", type=Path, required=True, help="a new folder, or one begun before")
    made.add_argument("--json", action="store_true", help="print one JSON document on stdout")
    return made


def main(arguments: list[str]) -> int:
    """Convert; see `parser`. Raises the errors of edgespark.runtime.errors."""
    given = parser().parse_args(arguments)
    where, out = given.checkpoint, given.out
    own = where if where.is_dir() else where.parent
    if out.resolve() == own.resolve():
        raise UsageError(f"--out {out} is where the checkpoint lies: give another folder")
    stored = open_checkpoint(where)
    convert(stored, out)
    copied = [name for name in READERS if (own / name).is_file()]
    for name in copied:
        with whole(out / name) as file:
            file.write((own / name).read_bytes())
    if given.json:
        show_json({"checkpoint": str(out), "tensors": len(stored.shapes), "tokenizer": copied})
    else:
        beside = ", ".join(copied) or "no tokenizer"
        show(f"{out}: {len(stored.shapes)} tensors as safetensors, {beside} beside them")
    return 0
