"""What a OneLLM checkpoint calls its tensors, and how large they are; nothing here needs torch.

Names are those of the released checkpoint without the `llma.` before each of them.
"""

from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any

from edgespark.export.models.onellm.config import (
    OneLLMConfig,
    Patches,
    PointGroups,
    Scan,
    Shape,
    Signal,
    Spectrogram,
    Tokenizing,
)

PREFIX = "llma."
SHARED = ("trunk", "experts", "llm")
OWN = ("tokenizer", "projection", "bridge")
UNUSED = (
    "clip.visual.proj",
    "clip.positional_embedding",
    "clip.text_projection",
    "clip.logit_scale",
    "clip.token_embedding.",
    "clip.ln_final.",
    "clip.transformer.",
)
"""Beginnings of names of CLIP's that nothing needs. The released code removes `clip.transformer`
before it saves; a checkpoint that holds it has more than the released one's 940 tensors."""
Shapes = Iterator[tuple[str, Shape]]


def parts(config: OneLLMConfig) -> tuple[str, ...]:
    """Return the names of all parts: "trunk", "experts", "llm", and "KIND.MODALITY"."""
    return (*SHARED, *(f"{kind}.{each}" for each in config.modalities for kind in OWN))


def unused(name: str) -> bool:
    """Tell whether a tensor of CLIP's is needed by no part."""
    return name.startswith(UNUSED)


def checkpoint_shapes(config: OneLLMConfig) -> dict[str, Shape]:
    """Return the shape of every tensor of a checkpoint, unused ones among them."""
    return dict(chain(_llm(config), _clip(config), _experts(config), _modalities(config)))


def _linear(name: str, rows: int, columns: int) -> Shapes:
    yield f"{name}.weight", (rows, columns)
    yield f"{name}.bias", (rows,)


def _norm(name: str, width: int) -> Shapes:
    yield f"{name}.weight", (width,)
    yield f"{name}.bias", (width,)


def _llama_block(name: str, width: int, hidden: int) -> Shapes:
    for each in ("wq", "wk", "wv", "wo"):
        yield f"{name}.attention.{each}.weight", (width, width)
    for each, shape in (("w1", (hidden, width)), ("w2", (width, hidden)), ("w3", (hidden, width))):
        yield f"{name}.feed_forward.{each}.weight", shape
    for each in ("attention_norm", "ffn_norm"):
        yield f"{name}.{each}.weight", (width,)


def _llm(config: OneLLMConfig) -> Shapes:
    llm = config.llm
    yield "tok_embeddings.weight", (llm.vocabulary, llm.width)
    for layer in range(llm.depth):
        yield from _llama_block(f"layers.{layer}", llm.width, llm.hidden)
    yield "norm.weight", (llm.width,)
    yield "output.weight", (llm.vocabulary, llm.width)


def _experts(config: OneLLMConfig) -> Shapes:
    experts = config.experts
    for expert in range(experts.count):
        for layer in range(experts.depth):
            name = f"resample_layers.{expert}.{layer}"
            yield from _llama_block(name, config.clip.width, experts.hidden)


def _clip(config: OneLLMConfig) -> Shapes:
    width, text = config.clip.width, config.clip_text
    pictures = next(each for each in config.tokenizers.values() if isinstance(each, Patches))
    yield "clip.visual.class_embedding", (width,)
    yield "clip.visual.positional_embedding", (pictures.tokens, width)
    yield "clip.visual.conv1.weight", (width, 3, pictures.patch, pictures.patch)
    yield "clip.visual.proj", (width, text.joint)
    yield from _norm("clip.visual.ln_pre", width)
    for block in range(config.clip.depth):
        yield from _clip_block(f"clip.visual.transformer.resblocks.{block}", width)
    yield from _norm("clip.visual.ln_post", width)
    yield "clip.positional_embedding", (text.context, text.width)
    yield "clip.text_projection", (text.width, text.joint)
    yield "clip.logit_scale", ()
    yield "clip.token_embedding.weight", (text.vocabulary, text.width)
    yield from _norm("clip.ln_final", text.width)


def _clip_block(name: str, width: int) -> Shapes:
    yield from _norm(f"{name}.ln_1", width)
    yield f"{name}.attn.in_proj_weight", (3 * width, width)
    yield f"{name}.attn.in_proj_bias", (3 * width,)
    yield from _linear(f"{name}.attn.out_proj", width, width)
    yield from _norm(f"{name}.ln_2", width)
    yield from _linear(f"{name}.mlp.c_fc", 4 * width, width)
    yield from _linear(f"{name}.mlp.c_proj", width, 4 * width)


def _modalities(config: OneLLMConfig) -> Shapes:
    inner, outer, experts = config.clip.width, config.llm.width, config.experts
    for modality, size in config.tokenizers.items():
        yield from _tokenizer(modality, size, inner)
        yield f"resample_tokens.{modality}", (1, experts.latents, inner)
        yield from _linear(f"clip_proj1.{modality}.0", inner, inner)
        yield from _norm(f"clip_proj1.{modality}.1", inner)
        yield from _linear(f"clip_proj2.{modality}.0", outer, inner)
        yield from _norm(f"clip_proj2.{modality}.1", outer)
        yield from _linear(f"routers.{modality}.fc1", 4 * inner, inner)
        yield from _linear(f"routers.{modality}.fc2", experts.count, 4 * inner)
        yield f"start_tag.{modality}", (1, 1, outer)
        yield f"end_tag.{modality}", (1, 1, outer)


def _tokenizer(modality: str, size: Tokenizing, width: int) -> Shapes:
    if isinstance(size, Patches):
        return
    for name, shape in CONVOLUTIONS[type(size)](size, width).items():
        yield f"{conv_name(modality, size)}.{name}", shape
    yield f"positional_embedding.{modality}", (size.tokens, width)


def _spectrogram(size: Spectrogram, width: int) -> dict[str, Shape]:
    return {"weight": (width, 1, size.kernel, size.kernel), "bias": (width,)}


def _points(size: PointGroups, width: int) -> dict[str, Shape]:
    return {"weight": (width, size.channels, 1, 1), "bias": (width,)}


def _signal(size: Signal, width: int) -> dict[str, Shape]:
    return {"weight": (width, size.channels, size.kernel)}


def _scan(size: Scan, width: int) -> dict[str, Shape]:
    return {"weight": (size.mapped * width, size.voxels), "bias": (size.mapped * width,)}


CONVOLUTIONS: dict[type, Callable[[Any, int], dict[str, Shape]]] = {
    Spectrogram: _spectrogram,
    PointGroups: _points,
    Signal: _signal,
    Scan: _scan,
}


def conv_name(modality: str, size: Tokenizing) -> str:
    """Return what a checkpoint calls a modality's convolution; pictures use CLIP's."""
    own: dict[type, str] = {Patches: "clip.visual.conv1", PointGroups: f"conv1.{modality}.conv1"}
    return own.get(type(size), f"conv1.{modality}")


def positions_name(modality: str, size: Tokenizing) -> str:
    """Return what a checkpoint calls a modality's positions; pictures use CLIP's."""
    own = not isinstance(size, Patches)
    return f"positional_embedding.{modality}" if own else "clip.visual.positional_embedding"
