"""From which tensors of a checkpoint each weight of a part comes, and how.

Parts are made on torch's meta device, so that their weights can be read one by one.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from edgespark.export.models.llama import LlamaDecoder, rotations
from edgespark.export.models.onellm.config import OneLLMConfig
from edgespark.export.models.onellm.names import conv_name, positions_name
from edgespark.export.models.onellm.parts import make
from edgespark.runtime.errors import InputError


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """The tensors that a weight is made of, by their names without prefix, and how."""

    names: tuple[str, ...]
    make: Callable[..., Tensor]


def sources(config: OneLLMConfig, part: str) -> dict[str, Source]:
    """Return where each entry of a part's state dict comes from; parts as in `names.parts`."""
    kind, _, modality = part.partition(".")
    with torch.device("meta"):
        parameters = tuple(make(config, part).state_dict())
    return {each: KINDS[kind](config, modality, each) for each in parameters}


def filled(config: OneLLMConfig, part: str, read: Callable[[str], Tensor]) -> nn.Module:
    """Make a part with all its weights, float32; `read` gives a checkpoint's tensor by its name.

    InputError where a tensor has another shape than the part's; what `read` raises passes.
    """
    with torch.device("meta"):  # no memory is taken but the tensors' own
        module = make(config, part)
    weights = {
        name: source.make(*(read(each) for each in source.names)).float()
        for name, source in sources(config, part).items()
    }
    try:
        module.load_state_dict(weights, assign=True)
    except RuntimeError as error:
        raise InputError(f"{part}: {error}") from error
    if isinstance(module, LlamaDecoder):  # not of the state dict
        module.cos, module.sin = rotations(config.llm)
    return module.eval()


def permuted(weight: Tensor, heads: int) -> Tensor:
    """Bring wq or wk [heads * head_dim, width] from Meta's layout of RoPE to that of halves.

    Meta turns the rows 2i and 2i + 1 of a head together, the halves i and i + head_dim / 2.
    """
    pairs = weight.reshape(heads, -1, 2, weight.shape[-1])
    return pairs.swapaxes(1, 2).reshape(weight.shape)


def fold(
    fc1_weight: Tensor, fc1_bias: Tensor, fc2_weight: Tensor, fc2_bias: Tensor, latents: Tensor
) -> Tensor:
    """Compute a router's weights of its modality's latents [1, latents, width].

    Two linear layers around the exact GELU, a sigmoid for each expert, divided by their sum. Gives
    float32 [experts, latents, 1], computed in float64.
    """
    first, second = ((fc1_weight, fc1_bias), (fc2_weight, fc2_bias))
    inner = nn.functional.linear(latents[0].double(), *(each.double() for each in first))
    outer = nn.functional.linear(nn.functional.gelu(inner), *(each.double() for each in second))
    chosen = outer.sigmoid()
    return (chosen / chosen.sum(-1, keepdim=True)).T.unsqueeze(-1).float().contiguous()


def _same(tensor: Tensor) -> Tensor:
    return tensor


def _plain(name: str) -> Source:
    return Source(names=(name,), make=_same)


def _tokenizer(config: OneLLMConfig, modality: str, parameter: str) -> Source:
    size = config.tokenizers[modality]
    head, _, rest = parameter.partition(".")
    own = {
        "conv1": f"{conv_name(modality, size)}.{rest}",
        "class_embedding": "clip.visual.class_embedding",
        "positional_embedding": positions_name(modality, size),
    }
    return _plain(own[head])


def _trunk(_: OneLLMConfig, __: str, parameter: str) -> Source:
    inside = "transformer." if parameter.startswith("resblocks.") else ""
    return _plain(f"clip.visual.{inside}{parameter}")


def _projection(_: OneLLMConfig, modality: str, parameter: str) -> Source:
    """Put the modality behind the first word: "clip_proj1.image.0.weight"."""
    first, *rest = parameter.split(".")
    return _plain(".".join((first, modality, *rest)))


def _experts(_: OneLLMConfig, __: str, parameter: str) -> Source:
    return _plain(parameter)


def _bridge(config: OneLLMConfig, modality: str, parameter: str) -> Source:
    if parameter != "weights":
        return _projection(config, modality, parameter)
    layers = (f"routers.{modality}.{layer}" for layer in ("fc1", "fc2"))
    router = (f"{layer}.{each}" for layer in layers for each in ("weight", "bias"))
    return Source(names=(*router, f"resample_tokens.{modality}"), make=fold)


WORDS = {  # of Hugging Face's names, and of Meta's
    "lm_head": "output",
    "embed_tokens": "tok_embeddings",
    "self_attn": "attention",
    "q_proj": "wq",
    "k_proj": "wk",
    "v_proj": "wv",
    "o_proj": "wo",
    "mlp": "feed_forward",
    "gate_proj": "w1",
    "down_proj": "w2",
    "up_proj": "w3",
    "input_layernorm": "attention_norm",
    "post_attention_layernorm": "ffn_norm",
}
TURNED = ("q_proj.weight", "k_proj.weight")


def _llm(config: OneLLMConfig, _: str, parameter: str) -> Source:
    name = ".".join(_meta_words(parameter))
    turn = partial(permuted, heads=config.llm.heads)
    return Source(names=(name,), make=turn if parameter.endswith(TURNED) else _same)


def _meta_words(parameter: str) -> Iterator[str]:
    for word in parameter.removeprefix("model.").split("."):
        yield WORDS.get(word, word)


KINDS: dict[str, Callable[[OneLLMConfig, str, str], Source]] = {
    "tokenizer": _tokenizer,
    "trunk": _trunk,
    "projection": _projection,
    "experts": _experts,
    "bridge": _bridge,
    "llm": _llm,
}
