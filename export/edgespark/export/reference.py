"""The PyTorch chain, greedy and without a cache: what every bundle of it must say too."""

from collections.abc import Mapping

import torch
from torch import Tensor

from edgespark.export.models.allspark import AllSpark
from edgespark.export.recipes.allspark import route
from edgespark.export.sequences import Writer
from edgespark.runtime.inputs import prepare


class TorchChain:
    """Answers from the PyTorch model, with inputs prepared by the runtime's own code."""

    def __init__(self, model: AllSpark, writer: Writer, end: int) -> None:
        """Take the model in its evaluation mode; `end` is the token that ends an answer."""
        self._model, self._writer, self._end = model.eval(), writer, end

    @torch.no_grad()
    def generate(
        self, prompt: str, inputs: Mapping[str, object], max_tokens: int = 64
    ) -> list[int]:
        """Give the ids of the greedy answer; `inputs` are raw, by modality, in prompt order."""
        embeds = self._prompt(prompt, inputs)
        found: list[int] = []
        while len(found) < max_tokens:
            token = int(self._logits(embeds).argmax())
            if token == self._end:
                break
            found.append(token)
            embeds = torch.cat((embeds, self._text([token])), 1)
        return found

    def _logits(self, embeds: Tensor) -> Tensor:
        length = embeds.shape[1]
        positions, last = torch.arange(length).unsqueeze(0), torch.tensor([length - 1])
        _, logits, _ = self._model.LLM(embeds, positions, last, self._model.LLM.empty_past(1))
        return logits[0, 0]  # type: ignore[no-any-return] # nn.Module

    def _prompt(self, prompt: str, inputs: Mapping[str, object]) -> Tensor:
        blocks = [self._text([self._writer.begin])]
        for name, value in inputs.items():
            blocks.append(self._text(self._writer.encode(self._model.config.layout.modality[name])))
            blocks.append(self._tokens(name, value))
        blocks.append(self._text(self._writer.ask(prompt)))
        return torch.cat(blocks, 1)

    def _tokens(self, name: str, value: object) -> Tensor:
        prepared = prepare(route(self._model.config, name), value, self._writer.encode)
        if name in self._model.config.texts:
            return self._model.embed(torch.from_numpy(prepared.arrays["ids"]))
        return self._model.perceive(name, torch.from_numpy(prepared.arrays["pixels"]))

    def _text(self, ids: list[int]) -> Tensor:
        return self._model.embed(torch.tensor([ids], dtype=torch.int64))
