"""Trained weights as they ship: safetensors in half precision, a tokenizer, scores and a card."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from tokenizers import Tokenizer
from torch import Tensor, nn

from edgespark.runtime.errors import InputError, MissingInput

MODEL, TOKENIZER, SCORES, CARD = "model.safetensors", "tokenizer.json", "scores.json", "CARD.md"
SHIPPED = Path(__file__).parent / "weights"


@dataclass(frozen=True, kw_only=True, slots=True)
class Checkpoint:
    """What a folder of weights holds: tensors in float32, tokenizer.json, scores, and the card."""

    tensors: dict[str, Tensor]
    tokenizer: bytes
    scores: dict[str, Any]
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
        tensors = load((folder / MODEL).read_bytes())
        scores = json.loads((folder / SCORES).read_text("utf-8"))
    except (SafetensorError, ValueError) as error:
        raise InputError(f"checkpoint {folder}: {error}") from error
    return Checkpoint(
        tensors={name: _widened(tensor) for name, tensor in tensors.items()},
        tokenizer=(folder / TOKENIZER).read_bytes(),
        scores=scores,
        card=(folder / CARD).read_bytes(),
    )


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


def _widened(tensor: Tensor) -> Tensor:
    return tensor.to(torch.float32) if tensor.is_floating_point() else tensor
