"""A loaded bundle, ready for questions."""

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Literal, overload

import numpy as np
from numpy.typing import NDArray

from edgespark.runtime.backends import Array, backend
from edgespark.runtime.bundle import Bundle
from edgespark.runtime.chain import route_named
from edgespark.runtime.device import check_packages, device_named
from edgespark.runtime.errors import UsageError
from edgespark.runtime.forecasts import forecast
from edgespark.runtime.manifest import Head, Manifest
from edgespark.runtime.model import Model, Setup
from edgespark.runtime.options import (
    MOST_THREADS,
    Options,
    check_count,
    decoding_named,
    variant_named,
)
from edgespark.runtime.prepared import Prepared
from edgespark.runtime.processor import instructions
from edgespark.runtime.prompt import question
from edgespark.runtime.sampling import Sampling
from edgespark.runtime.stats import Record, Stats
from edgespark.runtime.tasks import check_labels, heads, probabilities
from edgespark.runtime.turns import Stream, Turns


def load(
    bundle: str | Path,
    *,
    device: str = "auto",
    precision: str = "auto",
    threads: int | None = None,
    portable: bool = False,
) -> "Spark":
    """Open a bundle; its parts are hashed and loaded when they are first used.

    `device` is "cpu" or "auto" (the best there is), `precision` the name of a variant of the bundle
    or "auto" (the one it prefers on the device), `threads` how many CPU threads one run takes.
    Where graphs lie that `edgespark build` derived for the device, they run in place of the
    bundle's own; with `portable` they do not.
    MissingInput where there is no such folder, BundleError for a broken bundle, DeviceError where
    this machine cannot run it as asked, UsageError for names and numbers that cannot be. Warns
    where the device computes a precision of the variant in float32, and later where a derived graph
    needs a newer engine than is installed.
    """
    if threads is not None:
        check_count("threads", threads, MOST_THREADS)
        threads = int(threads)  # a narrow integer of numpy's is none to a backend
    chosen = device_named(device)
    check_packages()
    opened = Bundle.open(bundle)
    variant = variant_named(opened.manifest, precision, chosen.name)
    setup = Setup(device=chosen, variant=variant, threads=threads, lowered=not portable, kept=True)
    setup.warn()
    return Spark(Model(opened, setup, backend(chosen.backend).open_session), setup)


class Spark:
    """The chain of a bundle: any of its modalities in; text, classes, values or tokens out.

    Each modality is a keyword; several stand in one sequence, in the order given. A value is a
    path, an array, or a record that says which part of a file is meant (such as `Raster`); for text
    it is a str (the text) or a Path (a file).
    InputError for a value that its modality cannot take, UnknownModality for one that the bundle
    lacks.

    Safe to share between threads: one call runs at a time, the others wait. While a streamed answer
    is unfinished every other call raises UsageError.
    """

    def __init__(self, model: Model, setup: Setup) -> None:
        """Serve a model that runs as `setup` says; `load` makes both."""
        self._model = model
        self._setup = setup
        self._turns = Turns()
        self._record = Record()

    @property
    def manifest(self) -> Manifest:
        """What the bundle says of itself: its modalities, labels, variants and question."""
        return self._model.manifest

    @property
    def stats(self) -> Stats:
        """What the last call took, and on what it ran."""
        record, variant = self._record, self._setup.variant
        return Stats(
            device=self._setup.device.name,
            precision=variant.name,
            precisions=dict(variant.precisions),
            threads=self._setup.threads,
            stages=dict(record.stages),
            valid=dict(record.valid),
            prompt_tokens=record.prompt_tokens,
            new_tokens=record.new_tokens,
            reused_tokens=record.reused_tokens,
            drafted=record.drafted,
            accepted=record.accepted,
            cached=tuple(record.cached),
            widened=self._setup.widened,
            lowered=self._model.lowered,
            instructions=instructions(),
            unsaturated=self._model.unsaturated,
        )

    @overload
    def generate(
        self,
        /,
        prompt: str,
        *,
        max_tokens: int | None = ...,
        temperature: float | None = ...,
        top_p: float | None = ...,
        top_k: int = ...,
        seed: int = ...,
        stop: Sequence[str] = ...,
        decoding: str | None = ...,
        prompt_lookup: int = ...,
        stream: Literal[False] = ...,
        **modalities: object,
    ) -> str: ...

    @overload
    def generate(
        self,
        /,
        prompt: str,
        *,
        max_tokens: int | None = ...,
        temperature: float | None = ...,
        top_p: float | None = ...,
        top_k: int = ...,
        seed: int = ...,
        stop: Sequence[str] = ...,
        decoding: str | None = ...,
        prompt_lookup: int = ...,
        stream: Literal[True],
        **modalities: object,
    ) -> Stream: ...

    def generate(  # noqa: PLR0913 the public signature: a keyword per choice reads best in a call
        self,
        /,
        prompt: str,
        *,
        max_tokens: int | None = None,
        temperature: float | None = None,
        top_p: float | None = None,
        top_k: int = 0,
        seed: int = 0,
        stop: Sequence[str] = (),
        decoding: str | None = None,
        prompt_lookup: int = 0,
        stream: bool = False,
        **modalities: object,
    ) -> str | Stream:
        """Answer the prompt: the text, or with `stream` an iterator over its pieces.

        What is None is the bundle's own choice, in the manifest's `language.generation`; `decoding`
        names one of `language.decodings` (None: the right one).
        Greedy at temperature 0, else drawn from the nucleus `top_p` (above 0, up to 1) of the
        `top_k` likeliest tokens (0: of all), with `seed`. With `prompt_lookup` up to so many tokens
        at once are guessed from what was said before, and read together: faster where an answer
        repeats it, and the same but where two tokens are as likely up to rounding (a portable graph
        with INT8 keys and values reads guesses before these are rounded).
        The text ends after `max_tokens` tokens, or before the first of the `stop` strings and of
        the bundle's own, and is stripped. UsageError for values that cannot be, and for a prompt
        that is empty or leaves no room for `max_tokens` in the context.
        """
        usual = self.manifest.language.generation
        forgotten = decoding_named(self.manifest.language, decoding)
        options = Options(
            max_tokens=usual.max_tokens if max_tokens is None else max_tokens,
            sampling=Sampling(
                temperature=usual.temperature if temperature is None else temperature,
                top_p=usual.top_p if top_p is None else top_p,
                top_k=top_k,
                seed=seed,
            ),
            stop=stop,
            stream=stream,
            prompt_lookup=prompt_lookup,
            forget=forgotten if modalities else 0,
        )
        text = question(self.manifest.language, prompt)
        answer = self._begin(text, options, modalities)
        if stream:
            return answer
        with answer:
            return "".join(answer)

    def classify(self, /, **modalities: object) -> dict[str, float]:
        """Return label → probability, the most probable first, from the modalities' task heads.

        Several modalities: the mean of their heads' log-probabilities, normalised. UsageError where
        a modality has no classification head, or their labels differ.
        """
        chosen = self._heads("classification", modalities)
        check_labels(chosen)
        return probabilities(self._scores(chosen, modalities), chosen)

    def predict(self, /, **modalities: object) -> NDArray[np.float64]:
        """Return what the regression head gives, float64 in the head's shape and unit.

        UsageError where not exactly one modality is given, or it has no regression head.
        """
        chosen = self._heads("regression", modalities)
        if len(chosen) > 1:
            raise UsageError(f"predict takes one modality, got {', '.join(chosen)}")
        ((modality, head),) = chosen.items()
        with self._turn() as record:
            ready = self._model.chain.prepared(modality, modalities[modality], record)
            blocks = self._model.blocks({modality: ready}, record)
            scores = self._model.scores(chosen, blocks, record)
        return forecast(head, scores[modality], ready.anchor)

    def embed(self, /, **modalities: object) -> Array:
        """Return the modalities' tokens in the language space, in order: float32 [tokens, width].

        UsageError where no modality is given.
        """
        if not modalities:
            raise UsageError("embed takes at least one modality")
        for modality in modalities:
            route_named(self.manifest, modality)
        with self._turn() as record:
            tokens = self._model.chain.all_tokens(modalities, record)
        return np.concatenate([each[0] for each in tokens.values()])

    def prepare(self, /, **modalities: object) -> dict[str, Prepared]:
        """Read and prepare inputs once; what is returned can stand in their place in other calls.

        The arrays are those that the record of the modality's preprocessing names. InputError as
        for the calls.
        """
        for modality in modalities:
            route_named(self.manifest, modality)
        with self._turn() as record:
            return {m: self._model.chain.prepared(m, v, record) for m, v in modalities.items()}

    def drop(self, part: str | None = None) -> None:
        """Free the memory of one part, or of all; it is loaded again when it is next used.

        UsageError for a name that is no part of the bundle.
        """
        with self._turns.turn():
            self._model.drop(part)

    def _heads(self, task: str, modalities: Mapping[str, object]) -> dict[str, Head]:
        for modality in modalities:
            route_named(self.manifest, modality)
        return heads(task, self.manifest.routes, list(modalities))

    def _scores(
        self, chosen: Mapping[str, Head], modalities: Mapping[str, object]
    ) -> dict[str, Array]:
        with self._turn() as record:
            blocks = self._model.blocks(modalities, record)
            return self._model.scores(chosen, blocks, record)

    @contextmanager
    def _turn(self) -> Iterator[Record]:
        with self._turns.turn():
            self._record = Record()
            yield self._record

    def _begin(self, text: str, options: Options, modalities: Mapping[str, object]) -> Stream:
        """Take the turn, read the inputs, and leave the turn to the stream that answers."""
        owner = object()
        try:
            self._turns.take(owner)
            record = self._record = Record()
            self._model.check_room(modalities, text, options.max_tokens)
            blocks = self._model.blocks(modalities, record)
            embeddings = self._model.sequence(blocks, text, options.max_tokens, record)
            if options.stream:
                self._turns.keep()
            closed = threading.Event()
            pieces = self._model.answer(embeddings, options, record, closed.is_set)
            return Stream(pieces, partial(self._turns.free, owner), closed.set)
        except BaseException:
            self._turns.free(owner)
            raise
