"""A stand-in for a bundle: its manifest, and sessions that run numpy functions."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import prod
from pathlib import Path
from typing import Any, cast

from edgespark.runtime.backends import Program, Rebound, Session
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
from edgespark.runtime.preprocessing import Preprocessing, Text
from edgespark.runtime.spark import Spark
from edgespark.runtime.starts import starts
from tests.runtime.kinds import POINTS, SIZE, TABLE, TRACKS, imagery
from tests.runtime.stand_in_parts import (
    BEGIN,
    END,
    FORECAST,
    FUNCTIONS,
    LABELS,
    VOCABULARY,
    WEIGHTS,
    WIDTH,
    Array,
    Arrays,
    Function,
    bridge,
    decode,
    score,
    tokenizer_bytes,
)

__all__ = [
    "BEGIN",
    "CONTEXT",
    "END",
    "FUNCTIONS",
    "LABELS",
    "SIZE",
    "VOCABULARY",
    "WEIGHTS",
    "WIDTH",
    "Array",
    "Arrays",
    "FakeSession",
    "StandIn",
    "bridge",
    "decode",
    "decoder_part",
    "file",
    "part",
    "port",
    "score",
    "tokenizer_bytes",
]
CONTEXT = 96


@dataclass
class FakeSession(Rebound):
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
    """A bundle without files; `sessions` are those that were opened last, by part.

    A function "PART.PRECISION" serves that graph, "PART" all others of the part.
    """

    manifest: Manifest = field(default_factory=lambda: stand_in_manifest())
    functions: dict[str, Function] = field(default_factory=lambda: dict(FUNCTIONS))
    sessions: dict[str, FakeSession] = field(default_factory=dict)
    reads: list[str] = field(default_factory=list)
    programs: list[Program] = field(default_factory=list)
    root: Path = Path("stand-in")

    def read(self, file: File) -> bytes:
        self.reads.append(file.path)
        return tokenizer_bytes() if file.path == "tokenizer.json" else b""

    def open_session(self, program: Program) -> Session:
        name, precision = program.where.split("/")[-1].split(".")[:2]
        function = self.functions.get(f"{name}.{precision}", self.functions[name])
        self.sessions[name] = FakeSession(function)
        self.programs.append(program)
        return self.sessions[name]

    def spark(self) -> Spark:
        setup = Setup(device=DEVICES["cpu"], variant=self.manifest.variants[0], kept=True)
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


def encoder_of(modality: str, record: Preprocessing, tokens: int, channels: int) -> Part:
    """Return an encoder of all arrays that the record's preparation gives."""
    ports = (list(starts(record)), [port("tokens", "batch", tokens, channels)])
    return part(f"encoder_{modality}", "encoder", ports)


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
        encoder_of("point_cloud", POINTS, POINTS.groups, 3),
        encoder_of("table", TABLE, TABLE.rows, len(TABLE.columns)),
        encoder_of("trajectory", TRACKS, 2, 3),
        part("bridge", "bridge", ([port("media", "batch", "tokens", "channels")], [tokens])),
        part("embedder", "embedder", ([ids], [port("embeds", "batch", "sequence", WIDTH)])),
        decoder_part(),
        head("head_rgb", 3),
        head("head_sar", 3),
        head("depth", 2),
        head("walk", prod(FORECAST)),
    )


def route(modality: str, record: Preprocessing, head: Head | None, question: str = "") -> Route:
    """Return a route from all arrays of the record through its own encoder and the bridge."""
    name = f"encoder_{modality}"
    wires = [Wire(source=each.name, target=f"{name}.{each.name}") for each in starts(record)]
    return Route(
        modality=modality,
        preprocessing=record,
        wires=(*wires, Wire(source=f"{name}.tokens", target="bridge.media")),
        output="bridge.tokens",
        prompt=f"{modality}:",
        question=question,
        head=head,
    )


def classifier(part: str, prompt: str, labels: tuple[str, ...] = LABELS) -> Head:
    return Head(part=part, task="classification", prompt=prompt, labels=labels)


def forecaster() -> Head:
    return Head(
        part="walk",
        task="regression",
        prompt=" walk",
        shape=FORECAST,
        scale=0.5,
        unit="m",
        anchored=True,
        metrics=("ADE", "FDE"),
    )


def routes() -> tuple[Route, ...]:
    depth = Head(part="depth", task="regression", prompt=" depth", unit="m")
    sar = route("sar", imagery(2), classifier("head_sar", " kind", LABELS[::-1]))
    text = Route(
        modality="language",
        preprocessing=Text(max_tokens=40),
        wires=(Wire(source="ids", target="embedder.input_ids"),),
        output="embedder.embeds",
        prompt="text:",
    )
    return (
        route("rgb", imagery(3), classifier("head_rgb", " class")),
        sar,
        replace(sar, modality="range", prompt="range:", head=depth),
        text,
        route("point_cloud", POINTS, classifier("head_rgb", " class")),
        route("table", TABLE, None),
        route("trajectory", TRACKS, forecaster(), "Whither?"),
    )


def stand_in_manifest() -> Manifest:
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
        routes=routes(),
        language=language,
        variants=(Variant(name="fp32", precisions={p.name: "fp32" for p in made}),),
        preferred={"cpu": "fp32"},
        samples=(Samples(modality="rgb", file=file("samples/rgb.npz")),),
        evidence=Evidence(versions={}, parity=()),
    )
