"""The encoder in PyTorch: the module itself, eager and compiled, in fp32, bf16 and dynamic INT8."""

import os
import shutil
import warnings
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.peers.model import encoder
from benchmarks.peers.timing import Absent, Job, Run, work
from edgespark.export.models.attention import attend


class Separate(nn.Module):
    """The same attention, its packed projection a layer that PyTorch can quantise."""

    def __init__(self, packed: Any) -> None:  # noqa: ANN401 CLIP's attention
        """Take over the weights."""
        super().__init__()
        self.heads, self.out_proj = packed.heads, packed.out_proj
        self.in_proj = nn.Linear(*packed.in_proj_weight.shape[::-1])
        self.in_proj.weight, self.in_proj.bias = packed.in_proj_weight, packed.in_proj_bias

    def forward(self, x: Tensor) -> Tensor:
        """Mix tokens."""
        query, key, value = self.in_proj(x).chunk(3, -1)
        return self.out_proj(attend(query, key, value, self.heads))  # type: ignore[no-any-return] # nn.Module


def made(job: Job, dtype: torch.dtype, *, is_compiled: bool = False) -> Run:
    """Make the module in a dtype; compiled, its weights are constants that may be laid out anew."""
    return ran(encoder(job.depth).to(dtype), job, dtype, is_compiled=is_compiled)


def dynamic(job: Job) -> Run:
    """Quantise linear layers: weights int8, activations to uint8 call by call."""
    module = encoder(job.depth)
    for block in module[1].resblocks:  # type: ignore[index] # a Sequential
        block.attn = Separate(block.attn)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it is deprecated
        try:
            quantize: Any = torch.ao.quantization.quantize_dynamic
            module = quantize(module, {nn.Linear}, torch.qint8)
        except (AttributeError, RuntimeError) as error:
            raise Absent(f"torch {torch.__version__}: {error}") from error
    return ran(module, job, torch.float32)


def ran(module: nn.Module, job: Job, dtype: torch.dtype, *, is_compiled: bool = False) -> Run:
    """Give what runs a module on the picture."""
    torch.set_num_threads(job.threads)
    fed = torch.from_numpy(job.picture).to(dtype)
    if is_compiled:
        module = _compiled(module)

    def run() -> Any:  # noqa: ANN401 a numpy array
        with torch.inference_mode():
            return module(fed).float().numpy()

    return run


def _compiled(module: nn.Module) -> nn.Module:
    compiler = os.environ.get("CXX", "g++")
    if shutil.which(compiler) is None:
        raise Absent(f"torch.compile needs a C++ compiler, and there is no {compiler}")
    return torch.compile(module, options={"freezing": True})  # type: ignore[return-value] # callable


FORMS = {
    "torch-eager-fp32": lambda job: made(job, torch.float32),
    "torch-eager-bf16": lambda job: made(job, torch.bfloat16),
    "torch-compiled-fp32": lambda job: made(job, torch.float32, is_compiled=True),
    "torch-compiled-bf16": lambda job: made(job, torch.bfloat16, is_compiled=True),
    "torch-dynamic-int8": dynamic,
}

if __name__ == "__main__":
    work(FORMS, ("torch", "numpy"))
