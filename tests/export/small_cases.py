"""Golden cases of small models, whose outputs come from torch's own modules or plain loops."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from edgespark.export.models.bridge import Bridge
from edgespark.export.models.config import Perceiver, Transformer
from edgespark.export.models.vision import VisionTransformer

RULES = """
import zlib
import numpy as np

def tensor(name, shape):
    draw = np.random.default_rng(zlib.crc32(name.encode())).standard_normal(tuple(shape))
    return (draw / max(1, shape[-1] if len(shape) > 1 else 4) ** 0.5).astype(np.float32)

def ids(name, shape, low, high):
    return np.random.default_rng(zlib.crc32(name.encode())).integers(low, high, tuple(shape))
"""
Arrays = Mapping[str, NDArray[Any]]


def rules() -> dict[str, Any]:
    """Return what the generator defines."""
    found: dict[str, Any] = {}
    exec(RULES, found)  # noqa: S102 the text above
    return found


def written(root: Path, spec: dict[str, Any], inputs: Arrays, outputs: Arrays) -> Path:
    """Write a case under `root`, the generator beside it; `inputs` get their sha256."""
    folder = root / "cases" / str(spec["case"])
    folder.mkdir(parents=True)
    (root / "weights.py").write_text(RULES)
    entries = [
        {
            "name": name,
            "shape": list(array.shape),
            "dtype": str(array.dtype),
            "how": spec["how"][name],
            "sha256": hashlib.sha256(array.tobytes()).hexdigest(),
            "in_npz": False,
        }
        for name, array in inputs.items()
    ]
    told = {name: {"shape": list(array.shape)} for name, array in outputs.items()}
    (folder / "spec.json").write_text(json.dumps({**spec, "inputs": entries, "outputs": told}))
    np.savez(folder / "outputs.npz", **outputs)  # type: ignore[arg-type] # numpy's own flag comes first
    return folder


def filled(module: nn.Module, prefix: str = "") -> list[list[Any]]:
    """Fill a module by the rule; return its part of a spec's state dict."""
    tensor = rules()["tensor"]
    shapes = {name: list(each.shape) for name, each in module.state_dict().items()}
    module.load_state_dict(
        {name: torch.from_numpy(tensor(prefix + name, shape)) for name, shape in shapes.items()}
    )
    module.eval()
    return [[prefix + name, shape, "float32"] for name, shape in shapes.items()]


@torch.no_grad()
def table(root: Path) -> Path:
    """Write a TabFormer case whose oracle is torch's own transformer."""
    cells = rules()["ids"]("cells", [1, 3, 4], 0, 20)
    parts = nn.ModuleDict(
        {
            "word_embeddings": nn.Embedding(20, 8),
            "transformer_encoder": nn.TransformerEncoder(
                nn.TransformerEncoderLayer(8, 2, 8, batch_first=True),
                2,
                enable_nested_tensor=False,
            ),
            "lin_proj": nn.Linear(32, 6),
        }
    )
    entries = filled(parts, "tab_embeddings.")
    mixed = parts["transformer_encoder"](parts["word_embeddings"](torch.from_numpy(cells[0])))
    spec = {
        "case": "tabformer",
        "entry": "TabFormerEmbeddings.forward",
        "config": {
            "vocab_size": 20,
            "field_hidden_size": 8,
            "ncols": 4,
            "hidden_size": 6,
            "num_layers": 2,
            "nhead": 2,
        },
        "state_dict": entries,
        "how": {"ids": "ids('cells', [1, 3, 4], 0, 20); and no more"},
    }
    rows = parts["lin_proj"](mixed.flatten(1))
    return written(root, spec, {"ids": cells}, {"row_embeddings": rows[None].numpy()})


@torch.no_grad()
def video(root: Path) -> Path:
    """Write a case of Lynx's video path, whose oracle takes the frames one by one."""
    image = VisionTransformer(
        Transformer(bands=3, size=8, patch=4, width=12, depth=2, heads=2, hidden=20)
    )
    bridge = Bridge(12, 16, Perceiver(latents=3, depth=2, heads=2, head_dim=8, multiple=2))
    entries = [*filled(image, "vision_encoder."), *filled(bridge, "bridge.")]
    entries.append(["absolute_frame_pos_embed", [1, 4, 1, 12], "float32"])
    tensor = rules()["tensor"]
    clip = tensor("clip", [1, 4, 3, 8, 8])
    spec = {
        "case": "lynx/video",
        "entry": "unknown",
        "config": {"vision": {"num_heads": 2}, "bridge": {"dim_head": 8}},
        "state_dict": entries,
        "how": {"frames": "tensor('clip', [1, 4, 3, 8, 8])"},
    }
    tokens = _one_by_one(image, torch.from_numpy(clip[0]), tensor(*entries[-1][:2])[0])
    return written(root, spec, {"frames": clip}, {"video_v2t_feats": bridge(tokens).numpy()})


def _one_by_one(image: nn.Module, frames: Tensor, positions: Sequence[Any]) -> Tensor:
    pairs = zip(frames, positions, strict=True)
    return torch.cat([image(frame[None]) + torch.from_numpy(at) for frame, at in pairs], 1)
