"""The parts of one variant put together: sequences in, text and scores out."""

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from functools import partial

from edgespark.runtime.backends import Array
from edgespark.runtime.bundle import Bundle
from edgespark.runtime.chain import Chain, route_named
from edgespark.runtime.decoder import Decoder, Limits, generate
from edgespark.runtime.device import Device
from edgespark.runtime.manifest import Head, Manifest, Variant
from edgespark.runtime.options import Options
from edgespark.runtime.parts import Open, Parts
from edgespark.runtime.prompt import Piece, check_length, length, sequence
from edgespark.runtime.sampling import chooser
from edgespark.runtime.stats import Record
from edgespark.runtime.tasks import check_scores
from edgespark.runtime.tokens import Text, Tokenizer


@dataclass(frozen=True, kw_only=True, slots=True)
class Setup:
    """On what a bundle runs: device, precisions, and CPU threads (None: the backend's choice)."""

    device: Device
    variant: Variant
    threads: int | None = None


class Model:
    """What a `Spark` runs, one call at a time."""

    def __init__(self, bundle: Bundle, setup: Setup, opener: Open) -> None:
        """Read the tokenizer; parts are opened with `opener` when they are first used."""
        self.manifest: Manifest = bundle.manifest
        self._language = bundle.manifest.language
        file = self._language.tokenizer
        self._tokenizer = Tokenizer(bundle.read(file), file.path)
        self._parts = Parts(bundle, setup.variant.precisions, opener, setup.threads)
        self.chain = Chain(bundle.manifest, self._parts, self._tokenizer)
        self._decoder: Decoder | None = None

    def blocks(self, modalities: Mapping[str, object], record: Record) -> list[Piece]:
        """Return what stands before the question: begin, then prompt and tokens per modality."""
        routes = [route_named(self.manifest, modality) for modality in modalities]
        pieces: list[Piece] = [list(self._language.begin)]
        for route in routes:
            pieces.append(self._tokenizer.encode(route.prompt))
            pieces.append(self.chain.tokens(route.modality, modalities[route.modality], record))
        return pieces

    def sequence(self, blocks: list[Piece], text: str, new: int, record: Record) -> Array:
        """Return blocks and text as float32 [1, positions, width]; UsageError if they do not fit.

        `new` more positions are left free in the context.
        """
        pieces = [*blocks, self._tokenizer.encode(text)]
        record.prompt_tokens = length(pieces)
        check_length(record.prompt_tokens, new, self._language.context)
        return sequence(pieces, partial(self.chain.embed, record=record))

    def answer(
        self, embeddings: Array, options: Options, record: Record
    ) -> Generator[str, None, None]:
        """Generate what follows the sequence, piece by piece, until its end or a stop string."""
        limits = Limits(end=self._language.end, max_tokens=options.max_tokens)
        text = Text(self._tokenizer.decode, (*options.stop, *self._language.stop))
        embed = partial(self.chain.embed, record=record, stage="decoder.steps")
        feed = self._fresh(record)
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
                step = self._fresh(record)(embeddings, "decoder.prefill")
                hidden[head.prompt] = step["hidden"].copy()  # the decoder writes there again
            inputs = {"hidden": hidden[head.prompt]}
            scores = self._parts.run(head.part, record, inputs)["scores"]
            check_scores(scores, head.part)
            made[modality] = scores[0, 0]
        return made

    def drop(self, name: str | None) -> None:
        """Free one part, or with None all that was loaded or kept; UsageError for no part."""
        self._parts.drop(name)
        if name in (None, self._language.decoder):
            self._decoder = None
        if name is None:
            self.chain.clear()

    def _fresh(self, record: Record) -> Callable[[Array, str], dict[str, Array]]:
        """Return the function that feeds the decoder, which holds no sequence yet."""
        name = self._language.decoder
        if self._decoder is None:
            part, states = self.manifest.part(name), self._parts.graph(name).states
            self._decoder = Decoder(part, states, self._language.context)
        decoder = self._decoder
        decoder.restart()

        def feed(embeddings: Array, stage: str) -> dict[str, Array]:
            return decoder.feed(embeddings, partial(self._parts.run, name, record, stage=stage))

        return feed
