"""What a stage's graphs are made of, in a digest by which kept files are known again."""

import hashlib

import torch

from edgespark.export.stage import Stage


def made_of(stage: Stage) -> str:
    """Sum up in a digest what a stage's graphs are made of, but for the values of its weights."""
    told = hashlib.sha256(repr((stage.module, stage.inputs, stage.outputs, stage.states)).encode())
    for name, buffer in stage.module.named_buffers():
        told.update(f"{name} {buffer.shape} {buffer.dtype}".encode())
        if not buffer.is_meta:
            told.update(buffer.detach().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return told.hexdigest()
