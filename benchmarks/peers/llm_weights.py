"""Write a Llama with random weights as Hugging Face's libraries lay it out, for every form.

    python -m benchmarks.peers.llm_weights SIZE FOLDER

Weights are drawn from a normal distribution of deviation 0.02, norms are one. All are rounded to
float16 and stored so: a form that reads float16 loses nothing. The tokenizer has a word for each
id, since some converters ask for one; nothing is ever tokenised.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

from benchmarks.peers.llm_sizes import CONTEXT, SEED, SIZES, VOCABULARY, Size

DEVIATION = 0.02
BEGIN, END = 1, 2  # ids
EPSILON, THETA = 1e-6, 10000.0


def shapes(size: Size) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Name every tensor, with its shape."""
    square, wide = (size.width, size.width), (size.hidden, size.width)
    yield "model.embed_tokens.weight", (VOCABULARY, size.width)
    for layer in range(size.depth):
        name = f"model.layers.{layer}"
        for each in "qkvo":
            yield f"{name}.self_attn.{each}_proj.weight", square
        yield f"{name}.mlp.gate_proj.weight", wide
        yield f"{name}.mlp.up_proj.weight", wide
        yield f"{name}.mlp.down_proj.weight", wide[::-1]
        yield f"{name}.input_layernorm.weight", (size.width,)
        yield f"{name}.post_attention_layernorm.weight", (size.width,)
    yield "model.norm.weight", (size.width,)
    yield "lm_head.weight", (VOCABULARY, size.width)


def drawn(size: Size) -> dict[str, NDArray[np.float16]]:
    """Draw every tensor, always the same."""
    generator = np.random.default_rng(SEED)
    return {
        name: np.ones(shape, np.float16)
        if len(shape) == 1
        else (generator.standard_normal(shape, np.float32) * DEVIATION).astype(np.float16)
        for name, shape in shapes(size)
    }


def config(size: Size) -> dict[str, object]:
    """Describe the model as `transformers` reads it."""
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": VOCABULARY,
        "hidden_size": size.width,
        "intermediate_size": size.hidden,
        "num_hidden_layers": size.depth,
        "num_attention_heads": size.heads,
        "num_key_value_heads": size.heads,
        "head_dim": size.width // size.heads,
        "max_position_embeddings": CONTEXT,
        "rms_norm_eps": EPSILON,
        "rope_theta": THETA,
        "rope_scaling": None,
        "hidden_act": "silu",
        "attention_bias": False,
        "mlp_bias": False,
        "attention_dropout": 0.0,
        "tie_word_embeddings": False,
        "bos_token_id": BEGIN,
        "eos_token_id": END,
        "torch_dtype": "float16",
        "use_cache": True,
    }


def words() -> dict[str, object]:
    """Make a tokenizer with a word for each id."""
    vocabulary = {"<unk>": 0, "<s>": BEGIN, "</s>": END}
    vocabulary |= {f"w{each}": each for each in range(3, VOCABULARY)}
    model = {"type": "WordLevel", "vocab": vocabulary, "unk_token": "<unk>"}
    nothing = dict.fromkeys(("truncation", "padding", "normalizer", "post_processor", "decoder"))
    splits = {"version": "1.0", "pre_tokenizer": {"type": "Whitespace"}, "added_tokens": []}
    return splits | nothing | {"model": model}


def main() -> None:
    """Write config, weights and tokenizer."""
    size, folder = SIZES[sys.argv[1]], Path(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    names = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    files = {
        "config.json": config(size),
        "generation_config.json": {"bos_token_id": BEGIN, "eos_token_id": END},
        "tokenizer.json": words(),
        "tokenizer_config.json": {"tokenizer_class": "PreTrainedTokenizerFast"} | names,
        "special_tokens_map.json": names,
    }
    for name, told in files.items():
        (folder / name).write_text(json.dumps(told))
    save_file(drawn(size), folder / "model.safetensors", metadata={"format": "pt"})


if __name__ == "__main__":
    main()
