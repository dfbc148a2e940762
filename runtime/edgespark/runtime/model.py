"""The parts of one variant put together: sequences in, text and scores out."""

import warnings
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from edgespark.runtime.backends import Array
from edgespark.runtime.bundle import Bundle
from edgespark.runtime.chain import Chain, route_named
from edgespark.runtime.decoder import Draft, Limits, Undrafted, generate
from edgespark.runtime.device import Device
from edgespark.runtime.drafts import Drafts
from edgespark.runtime.errors import EdgesparkWarning
from edgespark.runtime.lookup import Lookup
from edgespark.runtime.loop import Loop, Steps
from edgespark.runtime.manifest import Axis, Head, Manifest, Port, Route, Variant
from edgespark.runtime.options import Options
from edgespark.runtime.overlap import workers
from edgespark.runtime.parts import Open, Parts, Running
from edgespark.runtime.ports import check_finite, part_and_port
from edgespark.runtime.prompt import Piece, check_length, length
from edgespark.runtime.sampling import chooser
from edgespark.runtime.states import Arrays
from edgespark.runtime.stats import Record
from edgespark.runtime.tokens import Text, Tokenizer


@dataclass(frozen=True, kw_only=True, slots=True)
class Setup:
    """On what a bundle runs: device, precisions, and CPU threads (None: the backend's choice).

    With `emulated` a precision that the device widens is rounded as it says, which takes longer.
    With `lowered` graphs that were derived for the device run, where they lie. With `kept` what a
    sequence shares with the last one is not fed again, a long one is fed in chunks, and modalities
    may run at the same time: otherwise each part runs once for each, one after the other.
    """

    device: Device
    variant: Variant
    threads: int | None = None
    emulated: bool = False
    lowered: bool = False
    kept: bool = False

    @property
    def widened(self) -> tuple[str, ...]:
        """The parts that are computed in float32, though their graph is of another precision."""
        if self.emulated:
            return ()
        chosen = self.variant.precisions.items()
        return tuple(part for part, each in chosen if each in self.device.widened)

    def warn(self) -> None:
        """Warn of precisions that the device computes in float32; of no other thing."""
        if not self.widened:
            return
        precisions = self.variant.precisions
        narrow = " and ".join(sorted({precisions[part] for part in self.widened}))
        warnings.warn(
            f"{self.device.name} computes {narrow} in float32 ({len(self.widened)} of "
            f"{len(precisions)} parts): what comes out is nearly that of fp32, and tells little of "
            f"a device that computes in {narrow} itself; edgespark verify rounds as such a device "
            "does",
            EdgesparkWarning,
            stacklevel=3,
        )

    @property
    def running(self) -> Running:
        """How the graphs run."""
        return Running(
            threads=self.threads,
            exact=self.device.widened if self.emulated else frozenset(),
            lowered=self.device if self.lowered else None,
        )


class Model:
    """What a `Spark` runs, one call at a time."""

    def __init__(self, bundle: Bundle, setup: Setup, opener: Open) -> None:
        """Read the tokenizer; parts are opened with `opener` when they are first used."""
        self.manifest: Manifest = bundle.manifest
        self._language = bundle.manifest.language
        file = self._language.tokenizer
        logits = _port(self.manifest, f"{self._language.decoder}.logits")
        self._tokenizer = Tokenizer(bundle.read(file), file.path, logits.axes[-1].high)
        self._parts = Parts(bundle, setup.variant.precisions, opener, setup.running)
        at_once = workers(setup.threads) if setup.kept else 1
        self.chain = Chain(bundle.manifest, self._parts, self._tokenizer, at_once)
        self._kept = setup.kept
        self._loop: Loop | None = None

    @property
    def lowered(self) -> tuple[str, ...]:
        """The opened parts that run a graph derived for this device."""
        return self._parts.lowered

    @property
    def unsaturated(self) -> tuple[str, ...]:
        """The opened parts whose int8 products run by kernels that cannot saturate: see `Stats`."""
        return self._parts.unsaturated

    def check_room(self, modalities: Iterable[str], text: str, new: int) -> None:
        """Refuse what cannot fit the context, before any input is read: UsageError."""
        routes = [route_named(self.manifest, modality) for modality in modalities]
        texts = [text, *(route.prompt for route in routes)]
        tokens = [_tokens(self.manifest, route) for route in routes]
        positions = len(self._language.begin) + length(list(map(self._tokenizer.encode, texts)))
        check_length(
            positions + sum(axis.low for axis in tokens),
            new,
            self._language.context,
            exact=all(axis.static for axis in tokens),
        )

    def blocks(self, modalities: Mapping[str, object], record: Record) -> list[Piece]:
        """Return what stands before the question: begin, then prompt and tokens per modality."""
        routes = [route_named(self.manifest, modality) for modality in modalities]
        prompts = [self._encoded(route.prompt, record) for route in routes]
        tokens = self.chain.all_tokens(modalities, record).values()
        pieces: list[Piece] = [list(self._language.begin)]
        for pair in zip(prompts, tokens, strict=True):
            pieces.extend(pair)
        return pieces

    def sequence(self, blocks: list[Piece], text: str, new: int, record: Record) -> Array:
        """Put blocks and text together: return what is to be fed, float32 [1, positions, width].

        UsageError if they take no position, or do not fit the context with `new` more. The next
        call writes there again.
        """
        pieces = [*blocks, self._encoded(text, record)]
        check_length(length(pieces), new, self._language.context)
        return self._opened().put(pieces, record)

    def feed(self, embeddings: Array, record: Record) -> Arrays:
        """Feed the sequence, or go on with it; return the decoder's outputs at its last position.

        They are written over by the next call.
        """
        *_, made = self._opened().feed(embeddings, record)
        return made

    def answer(
        self,
        embeddings: Array,
        options: Options,
        record: Record,
        cancelled: Callable[[], bool] = bool,
    ) -> Generator[str, None, None]:
        """Generate what follows the sequence, piece by piece, until its end or a stop string.

        It also ends, without its last piece, at the first token or chunk after which it is
        `cancelled`.
        """
        drafted = min(options.prompt_lookup, options.max_tokens - 1)
        self._opened().reserve(1 + drafted)
        logits = np.empty((0, 0))
        for made in self._opened().feed(embeddings, record):
            if cancelled():
                return
            logits = made["logits"][0]
        text = Text(self._tokenizer.decode, (*options.stop, *self._language.stop))
        for token in self._ids(logits, options, record):
            if cancelled():
                return
            record.new_tokens += 1
            if piece := text.add(token):
                yield piece
            if text.stopped:
                break
        if piece := text.finish():
            yield piece

    def _ids(self, logits: Array, options: Options, record: Record) -> Iterator[int]:
        """Give the ids that follow, the first from the logits behind the sequence."""
        loop = self._opened()
        limits = Limits(end=self._language.end, max_tokens=options.max_tokens)
        guesses: Draft = Undrafted()
        if options.prompt_lookup:
            guesses = Drafts(Lookup(loop.ids), options.prompt_lookup, record)
        loop.forget(options.forget)
        choose = chooser(options.sampling)
        return generate(logits, Steps(loop, record), choose, limits, guesses)

    def scores(
        self, chosen: Mapping[str, Head], blocks: list[Piece], record: Record
    ) -> dict[str, Array]:
        """Return what each modality's head gives, float32 [outputs].

        The decoder runs once per distinct head prompt; heads with the same prompt share its state.
        """
        hidden: dict[str, Array] = {}
        scores = {}
        for modality, head in chosen.items():
            if head.prompt not in hidden:
                embeddings = self.sequence(blocks, head.prompt, 0, record)
                made = self.feed(embeddings, record)
                hidden[head.prompt] = made["hidden"].copy()  # the decoder writes there again
            inputs = {"hidden": hidden[head.prompt]}
            outputs = self._parts.run(head.part, record, inputs)
            check_finite(head.part, outputs, self._parts.source(head.part).overflow)
            scores[modality] = outputs["scores"][0, 0].copy()  # modalities may share a head
        return scores

    def drop(self, name: str | None) -> None:
        """Free one part, or with None all that was loaded or kept; UsageError for no part."""
        self._parts.drop(name)
        if name in (None, self._language.decoder):
            self._loop = None
        elif name == self._language.embedder and self._loop is not None:
            self._loop.unbind()
        if name is None:
            self.chain.clear()

    def _encoded(self, text: str, record: Record) -> list[int]:
        with record.stage("tokenise"):
            return self._tokenizer.encode(text)

    def _opened(self) -> Loop:
        if self._loop is None:
            self._loop = Loop(self._parts, self.chain, self._language, kept=self._kept)
        return self._loop


def _tokens(manifest: Manifest, route: Route) -> Axis:
    """Return how many tokens the route gives."""
    return _port(manifest, route.output).axes[1]


def _port(manifest: Manifest, name: str) -> Port:
    part, output = part_and_port(name)
    return next(port for port in manifest.part(part).outputs if port.name == output)
