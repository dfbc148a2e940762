"""The parts of one variant put together: sequences in, text and scores out."""

from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import dataclass
from functools import partial

from edgespark.runtime.backends import Array
from edgespark.runtime.bundle import Bundle
from edgespark.runtime.chain import Chain, route_named
from edgespark.runtime.decoder import PREFILL, Decoder, Limits, generate
from edgespark.runtime.device import Device
from edgespark.runtime.manifest import Axis, Head, Manifest, Port, Route, Variant
from edgespark.runtime.memory import zeros
from edgespark.runtime.options import Options
from edgespark.runtime.parts import Open, Parts
from edgespark.runtime.ports import check_finite, part_and_port
from edgespark.runtime.prompt import Piece, check_length, join, length, text_ids
from edgespark.runtime.sampling import chooser
from edgespark.runtime.stats import Record
from edgespark.runtime.tokens import Text, Tokenizer


@dataclass(frozen=True, kw_only=True, slots=True)
class Setup:
    """On what a bundle runs: device, precisions, and CPU threads (None: the backend's choice).

    With `emulated` a precision that the device widens is rounded as it says, which takes longer.
    """

    device: Device
    variant: Variant
    threads: int | None = None
    emulated: bool = False

    @property
    def widened(self) -> tuple[str, ...]:
        """The parts that are computed in float32, though their graph is of another precision."""
        if self.emulated:
            return ()
        chosen = self.variant.precisions.items()
        return tuple(part for part, each in chosen if each in self.device.widened)


class Model:
    """What a `Spark` runs, one call at a time."""

    def __init__(self, bundle: Bundle, setup: Setup, opener: Open) -> None:
        """Read the tokenizer; parts are opened with `opener` when they are first used."""
        self.manifest: Manifest = bundle.manifest
        self._language = bundle.manifest.language
        file = self._language.tokenizer
        logits = _port(self.manifest, f"{self._language.decoder}.logits")
        self._tokenizer = Tokenizer(bundle.read(file), file.path, logits.axes[-1].high)
        exact = setup.device.widened if setup.emulated else ()
        self._parts = Parts(bundle, setup.variant.precisions, opener, setup.threads, exact)
        self.chain = Chain(bundle.manifest, self._parts, self._tokenizer)
        self._decoder: Decoder | None = None
        self._room: Array | None = None

    def check_room(self, modalities: Iterable[str], text: str, new: int) -> None:
        """Refuse what cannot fit the context, before any input is read: UsageError."""
        routes = [route_named(self.manifest, modality) for modality in modalities]
        texts = [text, *(route.prompt for route in routes)]
        tokens = [_tokens(self.manifest, route) for route in routes]
        positions = len(self._language.begin) + length(list(map(self._tokenizer.encode, texts)))
        exact = all(axis.static for axis in tokens)
        check_length(
            positions + sum(axis.low for axis in tokens),
            new,
            self._language.context,
            "take" if exact else "take at least",
        )

    def blocks(self, modalities: Mapping[str, object], record: Record) -> list[Piece]:
        """Return what stands before the question: begin, then prompt and tokens per modality."""
        routes = [route_named(self.manifest, modality) for modality in modalities]
        pieces: list[Piece] = [list(self._language.begin)]
        for route in routes:
            pieces.append(self._encoded(route.prompt, record))
            pieces.append(self.chain.tokens(route.modality, modalities[route.modality], record))
        return pieces

    def sequence(self, blocks: list[Piece], text: str, new: int, record: Record) -> Array:
        """Return blocks and text as float32 [1, positions, width]; UsageError if they do not fit.

        `new` more positions are left free in the context. The next call writes there again.
        """
        pieces = [*blocks, self._encoded(text, record)]
        record.prompt_tokens = length(pieces)
        check_length(record.prompt_tokens, new, self._language.context)
        embeds = self.chain.embed(text_ids(pieces), record)
        with record.stage("assemble"):
            if self._room is None:
                shape = (1, self._language.context, embeds.shape[-1])
                self._room = zeros(shape, "float32", "the sequence")
            return join(pieces, embeds, self._room)

    def answer(
        self, embeddings: Array, options: Options, record: Record
    ) -> Generator[str, None, None]:
        """Generate what follows the sequence, piece by piece, until its end or a stop string."""
        limits = Limits(end=self._language.end, max_tokens=options.max_tokens)
        text = Text(self._tokenizer.decode, (*options.stop, *self._language.stop))
        embed = partial(self.chain.embed, record=record, stage="decoder.steps")
        feed = self._fresh(record, options.forget)
        for token in generate(feed, embeddings, embed, chooser(options.sampling), limits):
            record.new_tokens += 1
            if piece := text.add(token):
                yield piece
            if text.stopped:
                break
        if piece := text.finish():
            yield piece

    def scores(
        self, chosen: Mapping[str, Head], blocks: list[Piece], record: Record
    ) -> dict[str, Array]:
        """Return what each modality's head gives, float32 [outputs].

        The decoder runs once per distinct head prompt; heads with the same prompt share its state.
        """
        hidden: dict[str, Array] = {}
        made = {}
        for modality, head in chosen.items():
            if head.prompt not in hidden:
                embeddings = self.sequence(blocks, head.prompt, 0, record)
                step = self._fresh(record)(embeddings, PREFILL)
                hidden[head.prompt] = step["hidden"].copy()  # the decoder writes there again
            inputs = {"hidden": hidden[head.prompt]}
            outputs = self._parts.run(head.part, record, inputs)
            check_finite(head.part, outputs)
            made[modality] = outputs["scores"][0, 0].copy()  # modalities may share a head
        return made

    def drop(self, name: str | None) -> None:
        """Free one part, or with None all that was loaded or kept; UsageError for no part."""
        self._parts.drop(name)
        if name in (None, self._language.decoder):
            self._decoder = self._room = None
        if name is None:
            self.chain.clear()

    def _encoded(self, text: str, record: Record) -> list[int]:
        with record.stage("tokenise"):
            return self._tokenizer.encode(text)

    def _fresh(self, record: Record, forget: int = 0) -> Callable[[Array, str], dict[str, Array]]:
        """Return the function that feeds the decoder, which holds no sequence yet.

        After the prompt the last `forget` positions are forgotten.
        """
        name = self._language.decoder
        if self._decoder is None:
            part, states = self.manifest.part(name), self._parts.graph(name).states
            self._decoder = Decoder(part, states, self._language.context)
        decoder = self._decoder
        decoder.restart()

        def feed(embeddings: Array, stage: str) -> dict[str, Array]:
            made = decoder.feed(embeddings, partial(self._parts.run, name, record, stage=stage))
            if stage == PREFILL:
                decoder.forget(forget)
            return made

        return feed


def _tokens(manifest: Manifest, route: Route) -> Axis:
    """Return how many tokens the route gives."""
    return _port(manifest, route.output).axes[1]


def _port(manifest: Manifest, name: str) -> Port:
    part, output = part_and_port(name)
    return next(port for port in manifest.part(part).outputs if port.name == output)
