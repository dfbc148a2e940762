"""Lynx's vision encoder, bridge and video path, at the sizes of a case's tensors."""

import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from edgespark.export.models.bridge import Bridge
from edgespark.export.models.config import Perceiver, Transformer, Video
from edgespark.export.models.positions import resized_positions
from edgespark.export.models.video import FramePositions, VideoEncoder
from edgespark.export.models.vision import VisionTransformer
from edgespark.runtime.errors import InputError
from tests.golden.case import Array, Arrays, Case
from tests.golden.launch import Launch, stage

VISION, BRIDGE, POSITIONS = "vision_encoder.", "bridge.", "vision_encoder.pos_embed"
HEAD_DIM, BRIDGE_HEAD_DIM = 88, 64  # Lynx's own, where a config does not say


def vision(case: Case, launch: Launch) -> Arrays:
    """Encode an image: rows of the tokens, their statistics, and a resized position table."""
    pixels = _ranked(case, 4)
    size = _image(case, pixels.shape[-1])
    model = VisionTransformer(size)
    case.fill({VISION: model}, _positions(case, size))
    feed = {"pixels": pixels}
    tokens = launch(stage(model, feed, "tokens"))(feed)["tokens"]
    return _statistics(case, tokens) | _resized(case, size)


def bridge(case: Case, launch: Launch) -> Arrays:
    """Bridge tokens of media: v2t_feats, and the mask of its latents, which hides none."""
    model = Bridge(*_bridge(case))
    case.fill({BRIDGE: model})
    feed = {"media": _ranked(case, 3)}
    made = launch(stage(model, feed, "v2t_feats"))(feed)
    return made | {"v2t_atts": np.ones(made["v2t_feats"].shape[:2], np.int64)}


def video(case: Case, launch: Launch) -> Arrays:
    """Encode the frames one by one, tell where each stands, and bridge all tokens at once."""
    frames = _clip(case)
    image = _image(case, frames.shape[-1])
    size = Video(of="rgb", frames=case.shapes()["absolute_frame_pos_embed"][1], image=image)
    single, positions = VisionTransformer(image), FramePositions(size)
    across = Bridge(*_bridge(case))
    case.fill({VISION: single, "": positions, BRIDGE: across}, _positions(case, image))
    feed = {"frames": frames}
    tokens = launch(stage(VideoEncoder(single, positions), feed, "media"))(feed)
    made = launch(stage(across, tokens, "video_v2t_feats"))(tokens)["video_v2t_feats"]
    return {"video_v2t_feats": made, "video_v2t_atts": np.ones(made.shape[:2], np.int64)}


def _ranked(case: Case, rank: int) -> Array:
    found = [each for each in case.inputs().values() if each.ndim == rank]
    if len(found) != 1:
        raise InputError(f"{case.name}: expected one input of {rank} axes, got {len(found)}")
    return found[0]


def _clip(case: Case) -> Array:
    """Return the frames [batch, frames, bands, rows, columns]; one clip may lack the first axis."""
    found = [each for each in case.inputs().values() if each.ndim in (4, 5)]
    if len(found) != 1:
        raise InputError(f"{case.name}: expected one input of frames, got {len(found)}")
    return found[0].reshape(-1, *found[0].shape[-4:])


def _image(case: Case, side: int) -> Transformer:
    shapes = case.shapes()
    width, bands, patch, _ = shapes[f"{VISION}patch_embed.proj.weight"]
    return Transformer(
        bands=bands,
        size=side,
        patch=patch,
        width=width,
        depth=_count(case, rf"{VISION}blocks\.(\d+)\."),
        heads=_setting(case, "num_heads", width // HEAD_DIM),
        hidden=shapes[f"{VISION}blocks.0.mlp.fc1.weight"][0],
    )


def _bridge(case: Case) -> tuple[int, int, Perceiver]:
    shapes = case.shapes()
    latents, width = shapes[f"{BRIDGE}latents"]
    double, media = shapes[f"{BRIDGE}layers.0.0.to_kv.weight"]
    each = _setting(case, "dim_head", BRIDGE_HEAD_DIM)
    multiple = shapes[f"{BRIDGE}layers.0.1.1.weight"][0] // width
    depth = _count(case, rf"{BRIDGE}layers\.(\d+)\.")
    size = Perceiver(
        latents=latents, depth=depth, heads=double // 2 // each, head_dim=each, multiple=multiple
    )
    return media, width, size


def _count(case: Case, pattern: str) -> int:
    found = (re.match(pattern, name) for name in case.shapes())
    return 1 + max(int(each[1]) for each in found if each)


def _setting(case: Case, key: str, default: int) -> int:
    return int(next(_settings(case.config, key), default))


def _settings(config: Any, key: str) -> Iterator[Any]:  # noqa: ANN401 any part of a config
    """Find a key wherever it stands in a config."""
    if isinstance(config, dict):
        if key in config:
            yield config[key]
        for each in config.values():
            yield from _settings(each, key)


def _positions(case: Case, size: Transformer) -> dict[str, torch.Tensor]:
    """Resize the state dict's position table where it is of another grid than the input."""
    return {POSITIONS: resized_positions(case.tensor(POSITIONS), size.size // size.patch)}


def _statistics(case: Case, tokens: Array) -> Arrays:
    return {
        "tokens_rows": tokens[:, _rows(case, "tokens_rows", tokens.shape[1])],
        "tokens_mean_over_dim": tokens.mean(-1),
        "tokens_std_over_dim": tokens.std(-1),
        "tokens_mean_over_tokens": tokens.mean(1),
    }


def _resized(case: Case, size: Transformer) -> Arrays:
    """Resize the position table that is an input, where there is one."""
    tables = {name: each for name, each in case.inputs().items() if name.startswith("pos_embed")}
    if not tables:
        return {}
    table = torch.from_numpy(tables.popitem()[1])
    resized = resized_positions(table, size.size // size.patch).numpy()
    rows = _rows(case, "pos_embed_resized_rows", size.tokens)
    return {"pos_embed_resized_rows": resized[:, rows]}


def _rows(case: Case, output: str, count: int) -> list[int]:
    """Read which rows an output holds from its note ("rows [0, 1, 5] of …"); else all."""
    note = str(case.spec.get("output_notes", {}).get(output, ""))
    found = re.search(r"rows \[([\d, ]+)\]", note)
    return [int(each) for each in found[1].split(",")] if found else list(range(count))
