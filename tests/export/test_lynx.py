"""allspark-7b: a Lynx checkpoint is read strictly, and says in the runtime what PyTorch says."""

import json
import pickle
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import Tensor

from edgespark.export.exporter import export
from edgespark.export.lynx_checkpoint import lynx_model
from edgespark.export.models.allspark import AllSpark
from edgespark.export.models.config import AllSparkConfig, Video
from edgespark.export.models.counts import counts
from edgespark.export.models.lynx import EVA, FRAMES, IMAGE, LYNX
from edgespark.export.models.positions import resized_positions
from edgespark.export.recipes.lynx import blueprint, lower_casing, lynx_blueprint
from edgespark.export.reference import TorchChain
from edgespark.export.sequences import Writer
from edgespark.export.weights import TOKENIZER
from edgespark.runtime import load
from edgespark.runtime.errors import InputError, MissingInput, UsageError
from edgespark.runtime.preprocessing import Frames, Text
from tests.export.small import byte_tokenizer

GOLDEN = Path(__file__).parents[3] / "shared" / "golden" / "lynx"
SIDE = 28  # pixels: a grid of 2 x 2 patches
Weights = dict[str, Tensor]


def reduced() -> AllSparkConfig:
    """Cut Lynx's depths and widths; the names of its tensors stay."""
    image = replace(EVA, size=SIDE, width=32, depth=2, heads=2, hidden=48)
    frame = replace(IMAGE, rows=SIDE, columns=SIDE)
    video = Frames(count=FRAMES, frame=frame)
    return replace(
        LYNX,
        name="lynx-small",
        records={"rgb": frame, "video": video, "language": Text(max_tokens=64)},
        encoders={"rgb": image, "video": Video(of="rgb", frames=FRAMES, image=image)},
        bridge=replace(LYNX.bridge, latents=4, heads=2, head_dim=8, multiple=2),
        llm=replace(
            LYNX.llm,
            vocabulary=300,
            width=32,
            depth=3,
            heads=2,
            hidden=48,
            context=128,
            adapters=(0, 2),
            bottleneck=16,
        ),
    )


CONFIG = reduced()


def lynx_name(name: str) -> str:
    """Say by hand how Lynx calls a tensor of ours."""
    kind, *rest = name.split(".")
    if kind == "LLM":
        return name
    owner, *rest = rest
    if owner == "video":
        return ".".join(rest)
    return ".".join(({"encoders": "vision_encoder", "bridges": "bridge"}[kind], *rest))


@pytest.fixture(scope="module")
def model() -> AllSpark:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        made = AllSpark(CONFIG)
        for parameter in made.parameters():
            torch.nn.init.normal_(parameter, std=0.2)
    return made.eval()


@pytest.fixture
def weights(model: AllSpark) -> Weights:
    found = {lynx_name(name): tensor.clone() for name, tensor in model.state_dict().items()}
    for layer in range(CONFIG.llm.depth):  # what transformers 4.28 keeps beside the weights
        found[f"LLM.model.layers.{layer}.self_attn.rotary_emb.inv_freq"] = torch.ones(8)
    return found


def whole(weights: Weights, folder: Path) -> None:
    torch.save(weights, folder / "lynx.pt")


def wrapped(weights: Weights, folder: Path) -> None:
    named = {f"model.{name}": tensor for name, tensor in weights.items()}
    torch.save({"model": named, "step": 7}, folder / "lynx.pth")


def half(weights: Weights, folder: Path) -> None:
    torch.save({name: tensor.half() for name, tensor in weights.items()}, folder / "lynx.bin")


def shards(weights: Weights, folder: Path) -> None:
    names = sorted(weights)
    for index in range(2):
        part = {name: weights[name].contiguous() for name in names[index::2]}
        safetensors.torch.save_file(part, folder / f"model-{index}-of-2.safetensors")


def rotary(model: AllSpark) -> Tensor:
    return dict(model.named_buffers())["LLM.cos"]


@pytest.mark.parametrize("write", [whole, wrapped, shards])
def test_a_checkpoint_is_read_by_its_names(
    write: Callable[[Weights, Path], None], weights: Weights, model: AllSpark, tmp_path: Path
) -> None:
    write(weights, tmp_path)

    found = lynx_model(CONFIG, tmp_path)
    wanted = model.state_dict()
    assert found.state_dict().keys() == wanted.keys()
    assert all(torch.equal(tensor, wanted[name]) for name, tensor in found.state_dict().items())
    assert torch.equal(rotary(found), rotary(model))
    assert not any(each.is_meta for each in (*found.parameters(), *found.buffers()))


def test_weights_in_half_precision_are_read_as_float32(weights: Weights, tmp_path: Path) -> None:
    half(weights, tmp_path)

    found = lynx_model(CONFIG, tmp_path)
    assert {each.dtype for each in found.parameters()} == {torch.float32}
    latents = found.state_dict()["bridges.rgb.latents"]
    assert torch.equal(latents, weights["bridge.latents"].half().float())


@pytest.mark.parametrize("case", ["vision", "bridge", "llm_adapter"])
def test_every_name_of_the_public_code_has_its_place(case: str) -> None:
    path = GOLDEN / case / "spec.json"
    if not path.is_file():
        pytest.skip(f"no {path}")
    listed = {each[0] for each in json.loads(path.read_text())["state_dict"] if len(each) == 3}
    known = {lynx_name(name) for name in meta(LYNX).state_dict()}
    assert listed <= known


def meta(config: AllSparkConfig) -> AllSpark:
    with torch.device("meta"):
        return AllSpark(config)


def test_at_full_size_it_has_8_billion_parameters() -> None:
    found = counts(meta(LYNX))

    assert sum(found.values()) == pytest.approx(8.41e9, rel=0.001)
    assert found["encoder_rgb"] == pytest.approx(0.987e9, rel=0.001)
    assert not [name for name in found if name.startswith("head_")]


def test_positions_of_another_grid_are_resized(weights: Weights, tmp_path: Path) -> None:
    table = torch.randn(1, 1 + 4 * 4, 32, generator=torch.Generator().manual_seed(0))
    whole(weights | {"vision_encoder.pos_embed": table}, tmp_path)

    found = lynx_model(CONFIG, tmp_path)
    assert torch.equal(found.state_dict()["encoders.rgb.pos_embed"], resized_positions(table, 2))


def test_an_embedding_for_padding_is_kept(weights: Weights, tmp_path: Path) -> None:
    more = {"LLM.model.embed_tokens.weight", "LLM.lm_head.weight"}
    grown = {name: torch.cat((weights[name], torch.zeros(1, 32))) for name in more}
    whole(weights | grown, tmp_path)

    assert lynx_model(CONFIG, tmp_path).config.llm.vocabulary == 301


def test_all_that_is_wrong_is_told_at_once_by_the_checkpoint_s_names(
    weights: Weights, tmp_path: Path
) -> None:
    weights["bridge.queries"] = weights.pop("bridge.latents")
    weights["vision_encoder.blocks.0.attn.k_proj.bias"] = torch.zeros(32)
    weights["LLM.model.norm.weight"] = torch.zeros(33)
    del weights["absolute_frame_pos_embed"]
    whole(weights, tmp_path)

    with pytest.raises(InputError) as caught:
        lynx_model(CONFIG, tmp_path)
    for part in (
        "missing: absolute_frame_pos_embed; missing: bridge.latents",
        "unexpected: bridge.queries; unexpected: vision_encoder.blocks.0.attn.k_proj.bias",
        "LLM.model.norm.weight: expected [32], got [33]",
    ):
        assert part in str(caught.value)


def test_only_the_prefix_is_stripped_and_not_its_letters(weights: Weights, tmp_path: Path) -> None:
    whole({f"modelmodel.{name}": tensor for name, tensor in weights.items()}, tmp_path)

    with pytest.raises(InputError, match=r"unexpected: modelmodel\.LLM"):
        lynx_model(CONFIG, tmp_path)


class Code:
    """What a checkpoint must never be able to run."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (pytest.fail, ("a checkpoint ran code",))


def cut(weights: Weights, folder: Path) -> None:
    whole(weights, folder)
    path = folder / "lynx.pt"
    path.write_bytes(path.read_bytes()[:5000])


def cut_shard(weights: Weights, folder: Path) -> None:
    shards(weights, folder)
    path = folder / "model-1-of-2.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def twice(weights: Weights, folder: Path) -> None:
    whole(weights, folder)
    wrapped(weights, folder)


Write = Callable[[Weights, Path], object]
BROKEN: dict[str, tuple[Write, type[InputError], str]] = {
    "nothing": (lambda _, folder: folder, MissingInput, "no weights"),
    "no folder": (lambda _, folder: folder.rmdir(), MissingInput, "expected a folder"),
    "cut": (cut, InputError, r"lynx\.pt: no checkpoint"),
    "empty": (lambda _, to: (to / "lynx.pt").touch(), InputError, r"lynx\.pt: no checkpoint"),
    "code": (
        lambda _, to: (to / "lynx.pt").write_bytes(pickle.dumps(Code(), protocol=2)),
        InputError,
        "no checkpoint of tensors alone",
    ),
    "cut shard": (cut_shard, InputError, r"1-of-2\.safetensors: no safetensors"),
    "a tensor alone": (
        lambda _, to: torch.save(torch.zeros(1), to / "lynx.pt"),
        InputError,
        "holds a Tensor",
    ),
    "a number": (
        lambda _, to: torch.save({"step": 7}, to / "lynx.pt"),
        InputError,
        "'step' is a int; expected a tensor",
    ),
    "twice": (twice, InputError, "stands twice"),
    "odd positions": (
        lambda weights, to: whole(
            weights | {"vision_encoder.pos_embed": torch.zeros(1, 4, 32)}, to
        ),
        InputError,
        "square grid",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_checkpoint_is_refused(case: str, weights: Weights, tmp_path: Path) -> None:
    write, kind, text = BROKEN[case]
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    write(weights, folder)
    with pytest.raises(kind, match=text):
        lynx_model(CONFIG, folder)


def test_without_a_checkpoint_or_its_tokenizer_it_says_what_is_needed(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="give --checkpoint DIR"):
        blueprint("allspark-7b", None, ())
    with pytest.raises(MissingInput, match=r"no tokenizer\.json"):
        blueprint("allspark-7b", tmp_path, ())
    (tmp_path / TOKENIZER).write_text("{}")
    with pytest.raises(InputError, match="no tokenizer"):
        blueprint("allspark-7b", tmp_path, ())


def test_text_is_lower_cased_as_in_lynx(tmp_path: Path) -> None:
    byte_tokenizer().save(str(tmp_path / TOKENIZER))
    tokenizer = lower_casing(tmp_path)
    assert tokenizer.encode("What IS it").ids == tokenizer.encode("what is it").ids


GIVEN: tuple[Mapping[str, tuple[int, ...]], ...] = (
    {"rgb": (3, SIDE, SIDE)},
    {"video": (5, 3, SIDE, SIDE)},
    {"video": (5, 3, SIDE, SIDE), "rgb": (3, SIDE, SIDE)},
    {},
)


def test_runtime_and_pytorch_say_the_same(
    weights: Weights, model: AllSpark, tmp_path: Path
) -> None:
    checkpoint = tmp_path / "checkpoint"
    checkpoint.mkdir()
    whole(weights, checkpoint)
    byte_tokenizer().save(str(checkpoint / TOKENIZER))
    bundle = export(lynx_blueprint(CONFIG, checkpoint, ()), tmp_path / "out", replace=False)
    spark, tokenizer = load(bundle.root), lower_casing(checkpoint)
    writer = Writer(CONFIG, tokenizer)
    chain, rng = TorchChain(model, writer, writer.end), np.random.default_rng(0)

    assert [route.modality for route in bundle.manifest.routes] == ["rgb", "video", "language"]
    for shapes in GIVEN:
        inputs: dict[str, Any] = {
            name: rng.integers(0, 256, size, np.uint8) for name, size in shapes.items()
        }
        wanted = tokenizer.decode(chain.generate("What is it?", inputs, max_tokens=16)).strip()
        assert wanted
        assert spark.generate("What is it?", max_tokens=16, **inputs) == wanted
