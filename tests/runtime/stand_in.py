"""A stand-in for a bundle: its parts are numpy functions that follow the real contract of ports."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from edgespark.runtime.backends import Program, Session
from edgespark.runtime.bundle import Bundle
from edgespark.runtime.device import DEVICES
from edgespark.runtime.manifest import (
    Axis,
    Evidence,
    File,
    Graph,
    Head,
    Language,
    Manifest,
    Part,
    Port,
    Role,
    Route,
    Samples,
    State,
    Variant,
    Wire,
)
from edgespark.runtime.model import Model, Setup
from edgespark.runtime.preprocessing import Band, Imagery, Text
from edgespark.runtime.spark import Spark

Array = NDArray[Any]
Arrays = dict[str, Array]
Function = Callable[[Mapping[str, Array]], Arrays]
WIDTH, CONTEXT, SIZE = 16, 96, 4
LABELS = ("water", "forest", "city")
BEGIN, END = 256, 257
VOCABULARY = 258


def tokenizer_bytes() -> bytes:
    """Return the file of a tokenizer with one token per byte, and a begin and an end."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {letter: index for index, letter in enumerate(alphabet)}
    made = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    made.add_special_tokens(["<s>", "</s>"])
    return str(made.to_str()).encode()


class Weights:
    def __init__(self) -> None:
        draw = np.random.default_rng(7)
        self.embeddings = draw.normal(size=(VOCABULARY, WIDTH)).astype(np.float32)
        self.mix = draw.normal(size=(WIDTH, WIDTH)).astype(np.float32)
        self.heads = draw.normal(size=(2, WIDTH, len(LABELS))).astype(np.float32)
        self.bands = draw.normal(size=(3, WIDTH)).astype(np.float32)


WEIGHTS = Weights()


def embed(given: Mapping[str, Array]) -> Arrays:
    return {"embeds": WEIGHTS.embeddings[given["input_ids"]]}


def encode(given: Mapping[str, Array]) -> Arrays:
    means = given["pixels"].mean(axis=(2, 3))
    tokens = means[:, None, :] * np.array([1, -1], np.float32)[None, :, None]
    return {"tokens": tokens.astype(np.float32)}


def bridge(given: Mapping[str, Array]) -> Arrays:
    media = given["media"]
    return {"tokens": media @ WEIGHTS.bands[: media.shape[-1]]}


def decode(given: Mapping[str, Array]) -> Arrays:
    """Mix each position into a running sum: what came before matters, and in which order."""
    turn = np.cos(given["position_ids"][0] + 1.0)[:, None, None, None]
    rows = (given["inputs_embeds"] @ WEIGHTS.mix).transpose(1, 0, 2)[:, :, None, :] * turn
    seen = np.concatenate([given["past.0"], rows.astype(np.float32)]).cumsum(axis=0)
    last = np.tanh(seen[len(given["past.0"]) + given["select"]])[:, :, 0].transpose(1, 0, 2)
    logits = last @ WEIGHTS.embeddings.T
    return {"hidden": last, "logits": logits, "new.0": rows.astype(np.float32)}


def score(row: int) -> Function:
    return lambda given: {"scores": given["hidden"] @ WEIGHTS.heads[row]}


FUNCTIONS: dict[str, Function] = {
    "encoder_rgb": encode,
    "encoder_sar": encode,
    "bridge": bridge,
    "embedder": embed,
    "decoder": decode,
    "head_rgb": score(0),
    "head_sar": score(1),
    "depth": lambda given: {"scores": given["hidden"][..., :2] * 10},
}


@dataclass
class FakeSession:
    """Runs a numpy function as a `Session`, and keeps what it was called with."""

    function: Function
    calls: list[tuple[dict[str, Array], dict[str, Array]]] = field(default_factory=list)
    closed: bool = False

    def run(
        self, inputs: Mapping[str, Array], outputs: Mapping[str, Array] | None = None
    ) -> dict[str, Array]:
        assert not self.closed
        given = dict(outputs or {})
        self.calls.append((dict(inputs), given))
        made = self.function(inputs)
        for name, array in given.items():
            assert array.flags.c_contiguous
            assert array.shape == made[name].shape
            assert array.dtype == made[name].dtype
            array[...] = made[name]
        return {**made, **given}

    def close(self) -> None:
        self.closed = True


@dataclass
class StandIn:
    """A bundle without files; `sessions` are those that were opened, by part."""

    manifest: Manifest = field(default_factory=lambda: stand_in_manifest())
    functions: dict[str, Function] = field(default_factory=lambda: dict(FUNCTIONS))
    sessions: dict[str, FakeSession] = field(default_factory=dict)
    reads: list[str] = field(default_factory=list)
    root: Path = Path("stand-in")

    def read(self, file: File) -> bytes:
        self.reads.append(file.path)
        return tokenizer_bytes() if file.path == "tokenizer.json" else b""

    def open_session(self, program: Program) -> Session:
        name = program.where.split("/")[1].split(".")[0]
        self.sessions[name] = FakeSession(self.functions[name])
        return self.sessions[name]

    def spark(self) -> Spark:
        setup = Setup(device=DEVICES["cpu"], variant=self.manifest.variants[0])
        return Spark(Model(cast("Bundle", self), setup, self.open_session), setup)


def file(path: str) -> File:
    return File(path=path, bytes=0, sha256="0" * 64)


def port(name: str, *sizes: int | str, dtype: str = "float32") -> Port:
    axes = [
        Axis(name=f"axis{i}", low=s, high=s)
        if isinstance(s, int)
        else Axis(name=s, low=0, high=999)
        for i, s in enumerate(sizes)
    ]
    return Port(name=name, dtype=cast("Any", dtype), axes=tuple(axes))


def part(
    name: str, role: Role, ports: tuple[list[Port], list[Port]], states: tuple[State, ...] = ()
) -> Part:
    graph = Graph(
        precision="fp32", file=file(f"graphs/{name}.fp32.onnx"), states=states, limit=1e-4
    )
    return Part(
        name=name,
        role=role,
        inputs=tuple(ports[0]),
        outputs=tuple(ports[1]),
        graphs=(graph,),
        reference=file(f"reference/{name}.npz"),
    )


def encoder(name: str, bands: int) -> Part:
    pixels = port("pixels", "batch", bands, SIZE, SIZE)
    return part(name, "encoder", ([pixels], [port("tokens", "batch", 2, bands)]))


def head(name: str, classes: int) -> Part:
    hidden = port("hidden", "batch", "selected", WIDTH)
    return part(name, "head", ([hidden], [port("scores", "batch", "selected", classes)]))


def decoder_part() -> Part:
    state = State(
        past=port("past.0", "past", "batch", 1, WIDTH),
        new=port("new.0", "sequence", "batch", 1, WIDTH),
    )
    inputs = [
        port("inputs_embeds", "batch", "sequence", WIDTH),
        port("position_ids", "batch", "sequence", dtype="int64"),
        port("select", "selected", dtype="int64"),
    ]
    outputs = [
        port("hidden", "batch", "selected", WIDTH),
        port("logits", "batch", "selected", VOCABULARY),
    ]
    return part("decoder", "decoder", (inputs, outputs), (state,))


def parts() -> tuple[Part, ...]:
    tokens = port("tokens", "batch", "tokens", WIDTH)
    ids = port("input_ids", "batch", "sequence", dtype="int64")
    return (
        encoder("encoder_rgb", 3),
        encoder("encoder_sar", 2),
        part("bridge", "bridge", ([port("media", "batch", "tokens", "channels")], [tokens])),
        part("embedder", "embedder", ([ids], [port("embeds", "batch", "sequence", WIDTH)])),
        decoder_part(),
        head("head_rgb", 3),
        head("head_sar", 3),
        head("depth", 2),
    )


def imagery(bands: int) -> Imagery:
    names = [Band(name=f"b{i}", low=-1000, high=1000, mean=0, std=1) for i in range(bands)]
    return Imagery(
        bands=tuple(names),
        rows=SIZE,
        columns=SIZE,
        dtypes=("float32",),
        unit="1",
        min_valid=0.5,
        gsd_low=1,
        gsd_high=100,
    )


def route(modality: str, bands: int, head: Head | None) -> Route:
    wires = (
        Wire(source="pixels", target=f"encoder_{modality}.pixels"),
        Wire(source=f"encoder_{modality}.tokens", target="bridge.media"),
    )
    return Route(
        modality=modality,
        preprocessing=imagery(bands),
        wires=wires,
        output="bridge.tokens",
        prompt=f"{modality}:",
        head=head,
    )


def classifier(part: str, prompt: str, labels: tuple[str, ...] = LABELS) -> Head:
    return Head(part=part, task="classification", prompt=prompt, labels=labels)


def stand_in_manifest() -> Manifest:
    depth = Head(part="depth", task="regression", prompt=" depth", unit="m")
    sar = route("sar", 2, classifier("head_sar", " kind", LABELS[::-1]))
    text = Route(
        modality="language",
        preprocessing=Text(max_tokens=40),
        wires=(Wire(source="ids", target="embedder.input_ids"),),
        output="embedder.embeds",
        prompt="text:",
    )
    language = Language(
        tokenizer=file("tokenizer.json"),
        embedder="embedder",
        decoder="decoder",
        context=CONTEXT,
        begin=(BEGIN,),
        end=(END,),
        template=" Q:{prompt} A:",
        question="What is here?",
    )
    made = parts()
    return Manifest(
        name="stand-in",
        licence="Apache-2.0",
        parts=made,
        routes=(
            route("rgb", 3, classifier("head_rgb", " class")),
            sar,
            replace(sar, modality="range", prompt="range:", head=depth),
            text,
        ),
        language=language,
        variants=(Variant(name="fp32", precisions={p.name: "fp32" for p in made}),),
        preferred={"cpu": "fp32"},
        samples=(Samples(modality="rgb", file=file("samples/rgb.npz")),),
        evidence=Evidence(versions={}, parity=()),
    )
