"""Lynx checkpoints, read strictly by the names that the public code gives its tensors.

Facts of bytedance/lynx-llm at 24680d1. The public loader strips the *characters* of "model." from
both sides of what it is given; here the prefix is stripped, and nothing else.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import cast

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from edgespark.export.models.allspark import AllSpark
from edgespark.export.models.config import AllSparkConfig, Transformer
from edgespark.export.models.llama import rotations
from edgespark.export.models.positions import resized_positions
from edgespark.runtime.errors import InputError, MissingInput
from edgespark.runtime.paths import checked_file

WRAPPER = "model."  # what some trainers put before every name
NAMES = {  # the beginnings of our names, and of Lynx's
    "encoders.rgb.": "vision_encoder.",
    "encoders.video.": "",
    "bridges.rgb.": "bridge.",
    "LLM.": "LLM.",
}
POSITIONS = "vision_encoder.pos_embed"
EMBEDDINGS = "LLM.model.embed_tokens.weight"
COMPUTED = (r"LLM\.model\.layers\.\d+\.self_attn\.rotary_emb\.inv_freq",)
"""Tensors that a checkpoint may hold beside the weights: they follow from the sizes alone."""

Tensors = dict[str, Tensor]


def lynx_model(config: AllSparkConfig, folder: Path) -> AllSpark:
    """Make the model from all weight files of a folder: .safetensors, .pt, .pth or .bin.

    The number of embeddings is the checkpoint's: Lynx adds one where its tokenizer has no padding
    token. A position table of another grid is resized. InputError lists all tensors that are
    missing, unexpected or misshapen, by Lynx's names; MissingInput where there is no file.
    """
    tensors = lynx_tensors(folder)
    if (table := tensors.get(EMBEDDINGS)) is not None and table.shape:
        config = replace(config, llm=replace(config.llm, vocabulary=table.shape[0]))
    if (positions := tensors.get(POSITIONS)) is not None and positions.ndim == 3:  # noqa: PLR2004 [1, rows, width]
        image = cast("Transformer", config.encoders["rgb"])
        tensors[POSITIONS] = resized_positions(positions.float(), image.size // image.patch)
    with torch.device("meta"):  # no memory is taken but the checkpoint's own
        model = AllSpark(config)
    names = {name: _lynx_name(name) for name in model.state_dict()}
    _check(model, names, tensors, folder)
    model.load_state_dict(
        {name: tensors[lynx].float() for name, lynx in names.items()}, assign=True
    )
    model.LLM.cos, model.LLM.sin = rotations(config.llm)
    return model.eval()


def lynx_tensors(folder: Path) -> Tensors:
    """Read all weight files of a folder, without what is computed; names as Lynx's code has them.

    InputError where a file is broken, is none (a pipe would never end), or holds more than tensors,
    or where a tensor stands twice.
    """
    paths = sorted(path for path in _listed(folder) if path.suffix in READERS)
    if not paths:
        raise MissingInput(f"checkpoint {folder}: no weights, that is no {', '.join(READERS)} file")
    found: Tensors = {}
    for path in paths:
        for name, tensor in READERS[path.suffix](checked_file(path)):
            plain = name.removeprefix(WRAPPER)
            if plain in found:
                raise InputError(f"{path}: tensor {plain!r} stands twice in the checkpoint")
            found[plain] = tensor
    return {name: each for name, each in found.items() if not _computed(name)}


def _listed(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError as error:
        raise MissingInput(f"checkpoint {folder}: expected a folder: {error.strerror}") from error


def _computed(name: str) -> bool:
    return any(re.fullmatch(pattern, name) for pattern in COMPUTED)


def _pickled(path: Path) -> Iterator[tuple[str, Tensor]]:
    try:
        value = torch.load(path, map_location="cpu", weights_only=True)
    except MemoryError:
        raise
    except Exception as error:  # the unpickler fails in any way that a broken stream leads to
        first = str(error).partition("\n")[0] or type(error).__name__
        raise InputError(f"{path}: no checkpoint of tensors alone: {first}") from error
    if isinstance(value, Mapping) and isinstance(value.get("model"), Mapping):
        value = value["model"]
    if not isinstance(value, Mapping):
        raise InputError(f"{path}: holds a {type(value).__name__}; expected tensors by name")
    for name, each in value.items():
        if not isinstance(name, str) or not isinstance(each, Tensor):
            raise InputError(f"{path}: {name!r} is a {type(each).__name__}; expected a tensor")
        yield name, each


def _safetensors(path: Path) -> Iterator[tuple[str, Tensor]]:
    try:
        with safe_open(path, framework="pt") as file:
            yield from ((name, file.get_tensor(name)) for name in file.keys())  # noqa: SIM118 no mapping
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path}: no safetensors file: {error}") from error


READERS = {".safetensors": _safetensors, ".pt": _pickled, ".pth": _pickled, ".bin": _pickled}


def _lynx_name(name: str) -> str:
    ours = next(each for each in NAMES if name.startswith(each))
    return NAMES[ours] + name.removeprefix(ours)


def _check(model: nn.Module, names: Mapping[str, str], tensors: Tensors, folder: Path) -> None:
    wanted = {names[name]: tensor.shape for name, tensor in model.state_dict().items()}
    problems = [f"missing: {name}" for name in sorted(wanted.keys() - tensors.keys())]
    problems += [f"unexpected: {name}" for name in sorted(tensors.keys() - wanted.keys())]
    problems += [
        f"{name}: expected {list(wanted[name])}, got {list(tensor.shape)}"
        for name, tensor in sorted(tensors.items())
        if name in wanted and wanted[name] != tensor.shape
    ]
    if problems:
        raise InputError(f"checkpoint {folder}: not of this model: {'; '.join(problems)}")
