"""The PyTorch chain, greedy and without a cache: what every bundle of it must say too."""

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edgespark.export.models.allspark import AllSpark
from edgespark.export.recipes.routes import route
from edgespark.export.sequences import Writer
from edgespark.runtime.inputs import prepare
from edgespark.runtime.prepared import Prepared


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
            token = int(self._last(embeds)[1].argmax())
            if token == self._end:
                break
            found.append(token)
            embeds = torch.cat((embeds, self._text([token])), 1)
        return found

    def answer(self, prompt: str, inputs: Mapping[str, object], max_tokens: int = 64) -> str:
        """Give the greedy answer as text, stripped as the runtime's is."""
        return self._writer.decode(self.generate(prompt, inputs, max_tokens)).strip()

    @torch.no_grad()
    def predict(self, modality: str, value: object) -> NDArray[np.float64]:
        """Give the forecast of a modality's head, in its task's shape and unit."""
        model, task = self._model, self._model.config.tasks[modality]
        blocks = self._blocks({modality: value})
        blocks.append(self._text(self._writer.head(modality)))
        hidden, _ = self._last(torch.cat(blocks, 1))
        told = model.heads[modality](hidden).double().numpy().reshape(task.shape)
        anchor = self._prepared(modality, value).anchor
        return np.asarray(task.scale * told + (0 if anchor is None else anchor))

    def _last(self, embeds: Tensor) -> tuple[Tensor, Tensor]:
        length = embeds.shape[1]
        positions, last = torch.arange(length).unsqueeze(0), torch.tensor([length - 1])
        hidden, logits, _ = self._model.LLM(embeds, positions, last, self._model.LLM.empty_past(1))
        return hidden[0, 0], logits[0, 0]

    def _prompt(self, prompt: str, inputs: Mapping[str, object]) -> Tensor:
        return torch.cat([*self._blocks(inputs), self._text(self._writer.ask(prompt))], 1)

    def _blocks(self, inputs: Mapping[str, object]) -> list[Tensor]:
        blocks = [self._text([self._writer.begin])]
        for name, value in inputs.items():
            blocks.append(self._text(self._writer.encode(self._model.config.prompts[name])))
            blocks.append(self._tokens(name, value))
        return blocks

    def _prepared(self, name: str, value: object) -> Prepared:
        return prepare(route(self._model.config, name), value, self._writer.encode)

    def _tokens(self, name: str, value: object) -> Tensor:
        arrays = self._prepared(name, value).arrays
        if name in self._model.config.texts:
            return self._model.embed(torch.from_numpy(arrays["ids"]))
        return self._model.perceive(name, *map(torch.from_numpy, arrays.values()))

    def _text(self, ids: list[int]) -> Tensor:
        return self._model.embed(torch.tensor([ids], dtype=torch.int64))
