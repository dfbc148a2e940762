"""Encoders of Hugging Face's transformers, as ONNX graphs that optimum makes."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import onnx
from torch import Tensor, nn
from torch.jit import TracerWarning  # type: ignore[attr-defined] # public, says its docstring

from edgespark.engines.ports import rename
from edgespark.export.trace import OPSET
from edgespark.runtime.errors import InputError, MissingExtra
from edgespark.runtime.preprocessing import Preprocessing
from edgespark.runtime.starts import starts

if TYPE_CHECKING:
    from transformers import PreTrainedModel

TASK, OUTPUT = "feature-extraction", "last_hidden_state"
EXPECTED = (
    # optimum 2.1 uses torch's older exporter; it is pinned, and each graph is compared with torch
    (DeprecationWarning, "You are using the legacy TorchScript-based ONNX export"),
    (DeprecationWarning, "The feature will be removed"),
    # transformers compare the input's size with the configured one, which is static here
    (TracerWarning, "Converting a tensor to a Python boolean"),
)


class HiddenStates(nn.Module):
    """A model of transformers as an encoder: arrays in, last hidden state out."""

    def __init__(self, model: "PreTrainedModel") -> None:
        """Take the model in its evaluation mode."""
        super().__init__()
        self.model = model.eval()

    def forward(self, *arrays: Tensor) -> Tensor:
        """Encode arrays [batch, …], in the order of the model's inputs: [batch, tokens, width]."""
        return self.model(*arrays).last_hidden_state  # type: ignore[no-any-return] # transformers


def encoder_graph(model: "PreTrainedModel", record: Preprocessing) -> bytes:
    """Export a model's last hidden state as `tokens`, its inputs named as the record's arrays.

    Both are taken in order. Raises MissingExtra where optimum is not installed, InputError where it
    cannot export this architecture, or where the model takes another number of inputs than the
    record gives.
    """
    with TemporaryDirectory() as folder:
        path = Path(folder, "model.onnx")
        with _expected():
            inputs = _exported(model, path)
        graph = onnx.load(path)
    names = [port.name for port in starts(record)]
    if len(names) != len(inputs):
        raise InputError(
            f"{type(model).__name__} takes {', '.join(inputs)}; the record gives {', '.join(names)}"
        )
    for each in [each for each in graph.graph.output if each.name != OUTPUT]:
        graph.graph.output.remove(each)  # a pooled state, which the bridge does not read
    renamed = rename(graph, dict(zip(inputs, names, strict=True)) | {OUTPUT: "tokens"})
    return bytes(renamed.SerializeToString())


def _exported(model: "PreTrainedModel", path: Path) -> list[str]:
    """Let optimum write the graph; return the names of its inputs."""
    try:
        from optimum.exporters.onnx import (  # type: ignore[import-untyped] # noqa: PLC0415 slow
            export,
        )
        from optimum.exporters.tasks import (  # type: ignore[import-untyped] # noqa: PLC0415
            TasksManager,
        )
    except ImportError as error:
        raise MissingExtra(
            f"optimum's exporter cannot be imported ({error}); run:\n"
            "pip install 'edgespark[export]'"
        ) from error
    try:
        config = TasksManager.get_exporter_config_constructor(
            exporter="onnx", model=model, task=TASK, library_name="transformers"
        )(model.config)
        inputs, _ = export(model, config, path, opset=OPSET)
    except (KeyError, ValueError, NotImplementedError) as error:
        raise InputError(f"optimum cannot export {type(model).__name__}: {error}") from error
    return list(inputs)


@contextmanager
def _expected() -> Iterator[None]:
    """Silence what the pinned exporter is known to warn of, and nothing else."""
    with warnings.catch_warnings():
        for category, message in EXPECTED:
            warnings.filterwarnings("ignore", message=message, category=category)
        yield
