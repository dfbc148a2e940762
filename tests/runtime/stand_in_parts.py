"""The parts of the stand-in: numpy functions that follow the real contract of ports."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

Array = NDArray[Any]
Arrays = dict[str, Array]
Function = Callable[[Mapping[str, Array]], Arrays]
WIDTH, FORECAST = 16, (3, 2)
LABELS = ("water", "forest", "city")
BEGIN, END = 256, 257
VOCABULARY = 258


def tokenizer_bytes() -> bytes:
    """Return the file of a tokenizer with one token per byte, and a begin and an end."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {letter: index for index, letter in enumerate(alphabet)}
    made = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    made.add_special_tokens(["<s>", "</s>"])
    return str(made.to_str()).encode()


class Weights:
    def __init__(self) -> None:
        draw = np.random.default_rng(7)
        self.embeddings = draw.normal(size=(VOCABULARY, WIDTH)).astype(np.float32)
        self.mix = draw.normal(size=(WIDTH, WIDTH)).astype(np.float32)
        self.heads = draw.normal(size=(2, WIDTH, len(LABELS))).astype(np.float32)
        self.bands = draw.normal(size=(3, WIDTH)).astype(np.float32)
        self.walk = draw.normal(size=(WIDTH, FORECAST[0] * FORECAST[1])).astype(np.float32)


WEIGHTS = Weights()


def embed(given: Mapping[str, Array]) -> Arrays:
    return {"embeds": WEIGHTS.embeddings[given["input_ids"]]}


def encode(given: Mapping[str, Array]) -> Arrays:
    means = given["pixels"].mean(axis=(2, 3))
    tokens = means[:, None, :] * np.array([1, -1], np.float32)[None, :, None]
    return {"tokens": tokens.astype(np.float32)}


def encode_points(given: Mapping[str, Array]) -> Arrays:
    """Give a token per group, which tells its centre from its neighbourhood."""
    return {"tokens": 2 * given["centres"] + given["neighbourhoods"].max(axis=2)}


def encode_cells(given: Mapping[str, Array]) -> Arrays:
    """Give a token per row, with a channel per column."""
    return {"tokens": given["cells"].astype(np.float32) / 8}


def encode_tracks(given: Mapping[str, Array]) -> Arrays:
    """Give a token of the agent and one of all around it, both with how many there are."""
    own, others = given["track"].sum(axis=1), given["neighbours"].sum(axis=(1, 2))
    present = given["present"].sum(axis=1, dtype=np.float32)[:, None]
    return {"tokens": np.stack([np.hstack([each, present]) for each in (own, others)], axis=1)}


def bridge(given: Mapping[str, Array]) -> Arrays:
    media = given["media"]
    return {"tokens": media @ WEIGHTS.bands[: media.shape[-1]]}


def decode(given: Mapping[str, Array]) -> Arrays:
    """Mix each position into a running sum: what came before matters, and in which order."""
    turn = np.cos(given["position_ids"][0] + 1.0)[:, None, None, None]
    rows = (given["inputs_embeds"] @ WEIGHTS.mix).transpose(1, 0, 2)[:, :, None, :] * turn
    seen = np.concatenate([given["past.0"], rows.astype(np.float32)]).cumsum(axis=0)
    last = np.tanh(seen[len(given["past.0"]) + given["select"]])[:, :, 0].transpose(1, 0, 2)
    logits = last @ WEIGHTS.embeddings.T
    return {"hidden": last, "logits": logits, "new.0": rows.astype(np.float32)}


def score(row: int) -> Function:
    return lambda given: {"scores": given["hidden"] @ WEIGHTS.heads[row]}


FUNCTIONS: dict[str, Function] = {
    "encoder_rgb": encode,
    "encoder_sar": encode,
    "encoder_point_cloud": encode_points,
    "encoder_table": encode_cells,
    "encoder_trajectory": encode_tracks,
    "bridge": bridge,
    "embedder": embed,
    "decoder": decode,
    "head_rgb": score(0),
    "head_sar": score(1),
    "depth": lambda given: {"scores": given["hidden"][..., :2] * 10},
    "walk": lambda given: {"scores": given["hidden"] @ WEIGHTS.walk},
}
