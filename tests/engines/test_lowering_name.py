"""What the CPU's passes make lies under one name until they make something else."""

import hashlib
from pathlib import Path

import onnx

from edgespark.engines.cpu_decoder import lower_decoder
from edgespark.export.models.config import Llama
from edgespark.export.recipes.decoders import decoder_ports, states
from edgespark.runtime.device import DEVICES

GRAPH = Path(__file__).parent / "goldens" / "decoder.int4.onnx"
"""A decoder of one layer in int4, its logits in int8, as it was traced and stored once."""
SIZE = Llama(
    vocabulary=32, width=32, depth=1, heads=2, hidden=32, context=16, adapters=(0,), bottleneck=20
)
MADE = ("cpu-2", "f41d5500b7ec9ca0c17b913adaae36184f8ad83da41a851b857250c1a8c55777")
"""The lowering's name, and the SHA-256 of what its passes make of the graph."""


def test_passes_that_make_something_else_have_another_name(tmp_path: Path) -> None:
    into = tmp_path / GRAPH.name
    lower_decoder(GRAPH, tuple(states(SIZE)), *decoder_ports(SIZE), SIZE.context, into)
    content = onnx.load(into).SerializeToString(deterministic=True)
    made = (DEVICES["cpu"].lowering, hashlib.sha256(content).hexdigest())
    assert made == MADE, (
        "the CPU's passes make other bytes: raise the lowering's name in runtime/device.py, so "
        "that graphs of the old passes are not taken for theirs, then put both here"
    )
