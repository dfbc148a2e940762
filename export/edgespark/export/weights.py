"""Trained weights as they ship: safetensors in half precision, a tokenizer, scores and a card."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load, save
from tokenizers import Tokenizer
from torch import Tensor, float32, nn

from edgespark.export.judgement import Scores
from edgespark.runtime._decode import decode, parse
from edgespark.runtime.errors import InputError, MissingInput

MODEL, TOKENIZER, SCORES, CARD = "model.safetensors", "tokenizer.json", "scores.json", "CARD.md"
SHIPPED = Path(__file__).parent / "weights"


@dataclass(frozen=True, kw_only=True, slots=True)
class Checkpoint:
    """What a folder of weights holds: tensors in float32, tokenizer, scores, and the card."""

    tensors: dict[str, Tensor]
    tokenizer: Tokenizer
    scores: Scores
    card: bytes

    def fill(self, model: nn.Module) -> None:
        """Load the tensors; InputError lists all that are missing, unexpected or misshapen."""
        wanted = model.state_dict()
        problems = [f"missing: {name}" for name in sorted(wanted.keys() - self.tensors.keys())]
        problems += [f"unexpected: {name}" for name in sorted(self.tensors.keys() - wanted.keys())]
        problems += [
            f"{name}: expected {list(wanted[name].shape)}, got {list(tensor.shape)}"
            for name, tensor in sorted(self.tensors.items())
            if name in wanted and wanted[name].shape != tensor.shape
        ]
        if problems:
            raise InputError("the checkpoint is of another model: " + "; ".join(problems))
        model.load_state_dict(self.tensors)
        model.eval()


def checkpoint(folder: Path) -> Checkpoint:
    """Read a folder of weights; MissingInput or InputError where a file is absent or broken."""
    absent = [name for name in (MODEL, TOKENIZER, SCORES, CARD) if not (folder / name).is_file()]
    if absent:
        raise MissingInput(f"checkpoint {folder}: no {', '.join(absent)}")
    try:
        files = {name: (folder / name).read_bytes() for name in (MODEL, TOKENIZER, SCORES, CARD)}
    except OSError as error:
        raise InputError(f"checkpoint {folder}: {error}") from error
    return Checkpoint(
        tensors=_tensors(files[MODEL], folder / MODEL),
        tokenizer=tokenizer_from_bytes(files[TOKENIZER], folder / TOKENIZER),
        scores=_scores(files[SCORES], folder / SCORES),
        card=files[CARD],
    )


def _tensors(content: bytes, where: Path) -> dict[str, Tensor]:
    try:
        tensors = load(content)
    except (SafetensorError, KeyError) as error:  # KeyError: a dtype that torch lacks
        raise InputError(f"{where}: no safetensors file: {error}") from error
    return {
        name: tensor.to(float32) if tensor.is_floating_point() else tensor
        for name, tensor in tensors.items()
    }


def tokenizer_from_bytes(content: bytes, where: Path) -> Tokenizer:
    """Read a tokenizer.json; InputError where it is none."""
    try:
        return Tokenizer.from_str(content.decode())
    except Exception as error:  # the library raises nothing narrower
        raise InputError(f"{where}: no tokenizer: {error}") from error


def _scores(content: bytes, where: Path) -> Scores:
    try:
        scores, problems = decode(Scores, parse(content.decode()))
    except ValueError as error:
        raise InputError(f"{where}: no JSON: {error}") from error
    if scores is None:
        raise InputError(f"{where}: {'; '.join(problems)}")
    return scores


def halved(model: nn.Module) -> dict[str, Tensor]:
    """Give the model's tensors as they ship: floats in float16, counters as they are."""
    return {
        name: tensor.half().contiguous() if tensor.is_floating_point() else tensor.contiguous()
        for name, tensor in model.state_dict().items()
    }


def write(folder: Path, model: nn.Module, tokenizer: Tokenizer, texts: Mapping[str, str]) -> None:
    """Write weights, tokenizer and texts (by file name) into a folder, which is made."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MODEL).write_bytes(save(halved(model)))
    (folder / TOKENIZER).write_text(tokenizer.to_str(pretty=False), "utf-8")
    for name, text in texts.items():
        (folder / name).write_text(text, "utf-8")
