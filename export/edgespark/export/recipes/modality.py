"""A modality of one's own, and whether its pieces fit each other."""

from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor, nn

from edgespark.export.models.config import Task
from edgespark.runtime.manifest import Port
from edgespark.runtime.preprocessing import Preprocessing, Text
from edgespark.runtime.starts import starts

LEAST = 2  # examples: a batch of one is what the tracer takes for a constant


@dataclass(frozen=True, kw_only=True, slots=True)
class Modality:
    """A modality of one's own.

    `record` says how the runtime prepares an input, and so what `encoder` takes: one tensor per
    array of the record, float32 [batch, tokens, channels] out. `examples` are two or more prepared
    samples of each array, [n, …], which the graphs are made and proved with. `prompt` stands before
    the tokens. `task` is what a head answers; its forecast is told relative to the input where the
    record is Tracks or Series. `head` brings [..., the LLM's width] to the task's outputs, `bridge`
    [batch, tokens, channels] to [batch, latents, the LLM's width]; without one, fresh ones are made
    with random weights. `graph` is the encoder's ONNX, where another exporter has made it, its
    inputs named as the record's arrays, its output `tokens`.
    """

    name: str
    record: Preprocessing
    encoder: nn.Module
    examples: tuple[Tensor, ...]
    prompt: str
    task: Task | None = None
    head: nn.Module | None = None
    bridge: nn.Module | None = None
    graph: bytes | None = None

    def problems(self) -> Iterator[str]:
        """Give what does not fit, before anything is run."""
        if not self.name.isidentifier():
            yield "its name is no Python identifier, so that it could not be given by keyword"
        if isinstance(self.record, Text):
            yield "a text goes to the embedder, and takes no encoder"
        if self.head is not None and self.task is None:
            yield "a head needs a task"
        ports = starts(self.record)
        if len(ports) == len(self.examples):
            for port, found in zip(ports, self.examples, strict=True):
                yield from _misfit(port, found)
        else:
            names = ", ".join(port.name for port in ports)
            yield f"{len(self.examples)} arrays of examples; the record gives {names}"
        counts = {len(found) for found in self.examples if found.ndim}
        if len(counts) != 1 or min(counts) < LEAST:
            yield f"needs {LEAST} or more examples, as many of each array; got {sorted(counts)}"


def _misfit(port: Port, found: Tensor) -> Iterator[str]:
    sizes = [axis.high for axis in port.axes[1:]]
    dtype = str(found.dtype).removeprefix("torch.")
    if list(found.shape[1:]) != sizes or dtype != port.dtype:
        wanted = f"{port.dtype} [n, {', '.join(map(str, sizes))}]"
        yield f"examples of {port.name!r}: expected {wanted}, got {dtype} {list(found.shape)}"
