"""OneLLM's LLM behind an encoded image: greedy decoding, and with fixed tokens, in two ways.

The public code counts two rows too few for what stands before the text: its first two steps are
written over the last two rows of the prompt. That is here: after the prompt, two rows are
forgotten.
"""

from collections.abc import Iterator
from typing import cast

import numpy as np

from edgespark.export.models.llama import LlamaDecoder
from edgespark.export.models.onellm.sources import filled
from tests.golden.case import Array, Arrays, Case
from tests.golden.decoder import Chain, launched
from tests.golden.launch import Launch
from tests.golden.onellm import Reader, sizes

FORGOTTEN = {"released": 2, "corrected": 0}  # rows of the prompt, before the first step


def llm(case: Case, launch: Launch) -> Arrays:
    """Decode: logits of the prompt's last row and of each step, and the tokens they choose."""
    read = Reader(case=case)
    decoder = cast("LlamaDecoder", filled(sizes(case), "llm", read))
    start, end = (read(f"{tag}.image").numpy() for tag in ("start_tag", "end_tag"))
    read.finish()
    chain, inputs = launched(decoder, launch), case.inputs()
    text = chain.embed({"input_ids": inputs["prompt_ids"]})["embeds"]
    image = case.outputs()["image_tokens"]
    prompt = np.concatenate([text[:, :1], start, image, end, text[:, 1:]], 1)[0]
    made = {"text_only_prefill_logits": _prefill(chain, text[0])[0]}
    for name, forgotten in FORGOTTEN.items():
        steps = inputs["forced"].shape[1]
        own = np.stack(list(_steps(chain, prompt, [None] * steps, forgotten)))
        forced = _steps(chain, prompt, inputs["forced"][0].tolist(), forgotten)
        made |= {
            f"{name}_logits": own,
            f"{name}_tokens": own.argmax(-1),
            f"forced_{name}_logits": np.stack(list(forced)),
        }
    return made


def _prefill(chain: Chain, rows: Array) -> tuple[Array, Arrays]:
    logits, past = chain.rows(rows, np.arange(len(rows)), chain.empty())
    return logits[-1], past


def _steps(chain: Chain, prompt: Array, fed: list[int | None], forgotten: int) -> Iterator[Array]:
    """Yield the logits of the prompt, then those of each token of `fed`; None is the likeliest."""
    logits, past = _prefill(chain, prompt)
    place = len(prompt) - forgotten
    past = {name: rows[:place] for name, rows in past.items()}
    yield logits
    for given in fed:
        token = int(logits.argmax()) if given is None else given
        row = chain.embed({"input_ids": np.array([[token]])})["embeds"][0]
        told, past = chain.rows(row, np.array([place]), past)
        logits, place = told[-1], place + 1
        yield logits
