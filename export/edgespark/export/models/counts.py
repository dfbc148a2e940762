"""How many parameters each part of a model has."""

from torch import nn

from edgespark.export.models.allspark import AllSpark


def counts(model: AllSpark) -> dict[str, int]:
    """Count the parameters of each part, by the part's name in the bundle, shared ones once.

    The LLM's embedding table is the embedder's, all its other weights are the decoder's. Works on
    the meta device too, where weights take no memory.
    """
    found = {f"encoder_{name}": _count(each) for name, each in model.encoders.items()}
    found |= {f"bridge_{name}": _count(each) for name, each in model.bridges.items()}
    found["embedder"] = _count(model.LLM.model.embed_tokens)
    found["decoder"] = _count(model.LLM) - found["embedder"]
    return found | {f"head_{name}": _count(each) for name, each in model.heads.items()}


def _count(module: nn.Module) -> int:
    return sum(each.numel() for each in module.parameters())
