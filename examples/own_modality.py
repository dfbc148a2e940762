"""Add a modality of one's own to allspark-tiny: the wind at two heights of a mast.

export-engines examples/own_modality.py --out DIR

The encoder's weights are random here; load trained ones where it is made.
"""

from pathlib import Path

import torch
from torch import Tensor, nn

from edgespark.export.blueprint import Blueprint
from edgespark.export.models.config import Task
from edgespark.export.recipes.extend import Modality, add
from edgespark.runtime.preprocessing import Series

MAST = ("40 m", "120 m")
WIND = Series(nodes=MAST, steps=36, predicted=6, interval=600.0, mean=6.0, std=3.0, unit="m/s")
TASK = Task(prompt="\nwind:", question="How will it blow?", shape=(6, 2), unit="m/s")


class Encoder(nn.Conv1d):
    """A convolution along time."""

    def forward(self, series: Tensor) -> Tensor:
        """Encode [batch, steps, heights, 3] into tokens [batch, 11, 64]."""
        found = super().forward(series.flatten(2).transpose(1, 2))
        return nn.functional.gelu(found).transpose(1, 2)


def blueprint(_: str, folder: Path | None, modalities: tuple[str, ...]) -> Blueprint:
    """Make allspark-tiny with `wind` beside its own modalities."""
    torch.manual_seed(0)
    encoder = Encoder(3 * len(MAST), 64, kernel_size=6, stride=3)
    examples = (torch.rand(5, WIND.steps, len(MAST), 3),)
    wind = Modality(
        name="wind", record=WIND, encoder=encoder, examples=examples, prompt="wind:", task=TASK
    )
    return add("allspark-tiny", wind, folder, modalities)
