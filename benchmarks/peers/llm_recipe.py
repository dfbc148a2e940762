"""A bundle that is the Llama of `benchmarks/llm.py` alone, of weights that lie in a folder.

export-engines benchmarks/peers/llm_recipe.py --checkpoint FOLDER --out BUNDLE \
    --precision fp32,int8,int4 --weights-only

Its tokenizer has a word for each id, as "w17" is 17; so has the template of its prompts.
"""

import json
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer

from benchmarks.peers.llm_sizes import words
from edgespark.export.blueprint import Blueprint
from edgespark.export.models.allspark import AllSpark
from edgespark.export.models.base import BASE
from edgespark.export.models.config import AllSparkConfig, Llama
from edgespark.export.precisions import LIMITS
from edgespark.export.recipes.routes import chain
from edgespark.runtime.errors import UsageError

MODALITY = "language"
# The limit knows trained weights: of random ones 4 bits keep less, and the worst of all values is
# 2.0 deviations off where the relative error is 0.17, and 3.3 of 1 B. The benchmark measures that
# error itself.
LIMITS["int4"] = 6.0


def blueprint(name: str, folder: Path | None, modalities: tuple[str, ...]) -> Blueprint:
    """Make the model of the weights in `folder`, in Hugging Face's layout."""
    if folder is None or modalities:
        raise UsageError("give the folder of weights as --checkpoint, and no --parts")
    config = sizes(name, json.loads((folder / "config.json").read_text()))
    with torch.device("meta"):
        model = AllSpark(config)
    model = model.to_empty(device="cpu").eval()
    tables = type(model.LLM)(replace(config.llm, depth=0))  # of RoPE: no checkpoint has them
    model.LLM.cos, model.LLM.sin = tables.cos, tables.sin
    given = load_file(folder / "model.safetensors")
    model.LLM.load_state_dict({key: each.float() for key, each in given.items()}, assign=True)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    card = f"# {name}\n\nA Llama with random weights, for `benchmarks/llm.py`.\n"
    return chain(model, tokenizer, {}, (MODALITY,), card.encode())


def sizes(name: str, told: dict[str, int]) -> AllSparkConfig:
    """Describe a chain that is one Llama, from Hugging Face's description of it."""
    llm = Llama(
        vocabulary=told["vocab_size"],
        width=told["hidden_size"],
        depth=told["num_hidden_layers"],
        heads=told["num_attention_heads"],
        hidden=told["intermediate_size"],
        context=told["max_position_embeddings"],
        adapters=(),
        bottleneck=1,
        epsilon=told["rms_norm_eps"],
        theta=told["rope_theta"],
    )
    return replace(
        BASE,
        name=name,
        encoders={},
        texts=(MODALITY,),
        tasks={},
        llm=llm,
        prompts={MODALITY: words(4, seed=2)},
        template=f"{words(16, seed=3)} {{prompt}} {words(4, seed=4)}",
    )
