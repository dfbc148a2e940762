"""Add an encoder of Hugging Face's transformers to allspark-tiny; optimum makes its graph.

export-engines examples/transformers_modality.py --out DIR

The encoder is a small ViT with random weights; ViTModel.from_pretrained gives a trained one.
"""

from pathlib import Path

import torch
from transformers import ViTConfig, ViTModel

from edgespark.export.blueprint import Blueprint
from edgespark.export.models.tiny import TINY
from edgespark.export.optimum_graphs import HiddenStates, encoder_graph
from edgespark.export.recipes.extend import Modality, add

PHOTO = TINY.records["oblique"]  # photographs of 64 x 64 pixels
SIZES = {"hidden_size": 64, "num_hidden_layers": 2, "intermediate_size": 128}


def blueprint(_: str, folder: Path | None, modalities: tuple[str, ...]) -> Blueprint:
    """Make allspark-tiny with `photo` beside its own modalities."""
    torch.manual_seed(0)
    config = ViTConfig(image_size=64, patch_size=16, num_attention_heads=4, **SIZES)
    model = ViTModel(config, add_pooling_layer=False)
    photo = Modality(
        name="photo",
        record=PHOTO,
        encoder=HiddenStates(model),
        graph=encoder_graph(model, PHOTO),
        examples=(torch.randn(4, 3, 64, 64),),
        prompt="photo:",
    )
    return add("allspark-tiny", photo, folder, modalities)
