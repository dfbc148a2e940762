"""The Llama in Hugging Face's transformers: PyTorch, not compiled, in fp32 and bf16."""

from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from benchmarks.peers.llm_timing import Form, Job, Logits, work

transformers: Any = import_module("transformers")


class Torch(Form):
    """A model with a cache that is cut where it is to forget."""

    def __init__(self, job: Job, dtype: torch.dtype) -> None:
        """Read the weights."""
        torch.set_num_threads(job.threads)
        self._model = transformers.LlamaForCausalLM.from_pretrained(job.weights, dtype=dtype)
        self._model.eval()
        self._cache = transformers.DynamicCache()
        weights = sum(each.numel() for each in self._model.parameters()) - job.size.table
        self.step_bytes = weights * dtype.itemsize
        self.cache_bytes = job.size.cache * dtype.itemsize

    def cut(self, length: int) -> None:
        """Crop the cache."""
        self._cache.crop(length)
        if not length:
            self._cache = transformers.DynamicCache()

    def feed(self, tokens: list[int]) -> Logits:
        """Run the model, with the logits of the last position alone."""
        given = torch.tensor([tokens])
        with torch.inference_mode():
            made = self._model(given, past_key_values=self._cache, use_cache=True, logits_to_keep=1)
            return made.logits[0, -1].float().numpy()  # type: ignore[no-any-return] # transformers


def make(_form: str, _folder: Path) -> None:
    """Read the weights as they are."""


FORMS = {
    "torch-fp32": lambda job: Torch(job, torch.float32),
    "torch-bf16": lambda job: Torch(job, torch.bfloat16),
}

if __name__ == "__main__":
    work(FORMS, make, ("torch", "transformers", "numpy"))
