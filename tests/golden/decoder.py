"""Lynx's LLM with adapters: logits of whole prompts, and greedy decoding step by step."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from edgespark.export.models.config import Llama
from edgespark.export.models.llama import LlamaDecoder
from edgespark.export.recipes.decoders import decoder_ports, embedder_ports, states
from edgespark.export.stage import Stage
from tests.golden.case import Array, Arrays, Case
from tests.golden.launch import Launch, Run


@dataclass(frozen=True, kw_only=True, slots=True)
class Chain:
    """The embedding table and the decoder, launched one way."""

    size: Llama
    embed: Run
    decode: Run

    def rows(self, row: Array, positions: Array, past: Arrays) -> tuple[Array, Arrays]:
        """Decode [sequence, width]: logits [sequence, vocabulary], and the state after it."""
        feed = {
            "inputs_embeds": row[None],
            "position_ids": positions[None],
            "select": np.arange(len(row)),
        }
        made = self.decode(feed | past)
        after = {
            name: np.concatenate([each, made[name.replace("past", "new")]])
            for name, each in past.items()
        }
        return made["logits"][0], after

    def empty(self) -> Arrays:
        """Return the state before the first row."""
        nothing = np.zeros((0, 1, self.size.heads, self.size.head_dim), np.float32)
        return {state.past.name: nothing for state in states(self.size)}


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One row of the batch without its pads: the places that are left count along all columns."""

    embeds: Array
    places: Array
    text: int


def llm(case: Case, launch: Launch) -> Arrays:
    """Decode every row: logits, the position ids of generate(), and its tokens.

    Pads stand between the latents and the text and are looked at by none: they are left out here,
    and the rest keeps its positions ("plain"), or moves up ("generate").
    """
    chain = _chain(case, launch)
    rows = list(_rows(case, chain))
    made = _logits(chain, rows) | {"position_ids_generate": _positions(case)}
    if "greedy_tokens" not in case.spec["outputs"]:
        return made
    steps = case.spec["outputs"]["greedy_tokens"]["shape"][1] - 1
    decoded = [_greedy(case, chain, row, steps) for row in rows]
    return made | {
        "greedy_tokens": np.stack([tokens for tokens, _ in decoded]),
        "greedy_step_logits": np.stack([logits for _, logits in decoded]),
    }


def _logits(chain: Chain, rows: list[Row]) -> Arrays:
    made = {}
    for index, row in enumerate(rows):
        plain, _ = chain.rows(row.embeds, row.places, chain.empty())
        moved, _ = chain.rows(row.embeds, np.arange(len(row.places)), chain.empty())
        last = f"logits_row{index}_last{row.text}"
        made[f"logits_row{index}"] = plain
        made[f"{last}_plain_positions"] = plain[-row.text :]
        made[f"{last}_generate_positions"] = moved[-row.text :]
    return made


def _rows(case: Case, chain: Chain) -> Iterator[Row]:
    inputs = case.inputs()
    text = chain.embed({"input_ids": inputs["ids"]})["embeds"]
    whole = np.concatenate([inputs["latents"], text], 1)
    for row, kept in zip(whole, _mask(case), strict=True):
        places = np.flatnonzero(kept)
        count = int(kept.sum()) - inputs["latents"].shape[1]
        yield Row(embeds=row[places], places=places, text=count)


def _mask(case: Case) -> Array:
    inputs = case.inputs()
    latents = np.ones(inputs["latents"].shape[:2], np.int64)
    return np.concatenate([latents, inputs["text_mask"]], 1)


def _positions(case: Case) -> Array:
    mask = _mask(case)
    return np.where(mask == 0, 1, mask.cumsum(1) - 1)


def _greedy(case: Case, chain: Chain, row: Row, steps: int) -> tuple[Array, Array]:
    """Decode as generate() of transformers 4.28.1: tokens [1 + steps], logits [steps, vocabulary].

    A dummy BOS that is never fed comes first; after the end, pads are given, and fed.
    """
    bos, eos, pad = (case.config[f"{name}_token_id"] for name in ("bos", "eos", "pad"))
    place = len(row.embeds)
    logits, past = chain.rows(row.embeds, np.arange(place), chain.empty())
    tokens, told = [bos], [logits[-1]]
    while True:
        tokens.append(pad if eos in tokens[1:] else int(told[-1].argmax()))
        if len(told) == steps:
            return np.array(tokens), np.stack(told)
        fed = chain.embed({"input_ids": np.array([tokens[-1:]])})["embeds"][0]
        logits, past = chain.rows(fed, np.array([place]), past)
        told.append(logits[-1])
        place += 1


def _chain(case: Case, launch: Launch) -> Chain:
    config = case.config
    size = Llama(
        vocabulary=config["vocab_size"],
        width=config["hidden_size"],
        depth=config["num_hidden_layers"],
        heads=config["num_attention_heads"],
        hidden=config["intermediate_size"],
        context=config["max_position_embeddings"],
        adapters=tuple(config["adapter_layers"]),
        bottleneck=config["adapter_bottleneck"],
        epsilon=config["rms_norm_eps"],
    )
    model = LlamaDecoder(size)
    case.fill({"LLM.": model})
    return launched(model, launch)


def launched(model: LlamaDecoder, launch: Launch) -> Chain:
    """Launch a decoder, and its embedding table."""
    size = model.config
    return Chain(size=size, embed=launch(_embedder(model)), decode=launch(_decoder(model, size)))


def _embedder(model: LlamaDecoder) -> Stage:
    inputs, outputs = embedder_ports(model.config)
    return Stage(
        name="embedder",
        role="embedder",
        module=model.model.embed_tokens,
        inputs=inputs,
        outputs=outputs,
        probes=({"input_ids": torch.ones(2, 2, dtype=torch.int64)},),
    )


def _decoder(model: LlamaDecoder, size: Llama) -> Stage:
    (inputs, outputs), kept = decoder_ports(size), tuple(states(size))
    probe = {
        "inputs_embeds": torch.zeros(2, 3, size.width),
        "position_ids": torch.zeros(2, 3, dtype=torch.int64),
        "select": torch.tensor([0, 2]),
    }
    past = torch.zeros(5, 2, size.heads, size.head_dim)
    return Stage(
        name="decoder",
        role="decoder",
        module=model,
        inputs=inputs,
        outputs=outputs,
        states=kept,
        probes=(probe | {state.past.name: past.clone() for state in kept},),
    )
