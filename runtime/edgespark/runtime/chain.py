"""From a modality's input to its tokens in the language space, along the route of the manifest."""

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence

import numpy as np

from edgespark.runtime.backends import Array
from edgespark.runtime.errors import UnknownModality
from edgespark.runtime.inputs import Prepared, prepare
from edgespark.runtime.manifest import Manifest, Route
from edgespark.runtime.overlap import overlapped
from edgespark.runtime.parts import Parts
from edgespark.runtime.ports import check_finite, part_and_port
from edgespark.runtime.stats import Record
from edgespark.runtime.tokens import Tokenizer
from edgespark.runtime.wording import near

KEPT = 64 << 20
"""Bytes of routes' outputs that are kept: thirteen modalities of 256 tokens, 4096 wide, are 55 MB.

Of a small model they are hundreds of inputs, and of a board of 8 GB less than a hundredth."""


def route_named(manifest: Manifest, modality: str) -> Route:
    """Return the modality's route; UnknownModality names the near ones and all there are."""
    routes = {route.modality: route for route in manifest.routes}
    if modality not in routes:
        raise UnknownModality(
            f"no modality {modality!r}{near(modality, routes)}; "
            f"this bundle takes: {', '.join(routes)}"
        )
    return routes[modality]


class Chain:
    """Runs routes; outputs are kept by the content of the prepared input."""

    def __init__(
        self, manifest: Manifest, parts: Parts, tokenizer: Tokenizer, at_once: int = 1
    ) -> None:
        """Take what the routes need; nothing is run yet.

        Up to `at_once` routes without a common part run at the same time (`overlap.workers`).
        """
        self._parts = parts
        self._tokenizer = tokenizer
        self._manifest = manifest
        self._at_once = at_once
        self._preparing = threading.Lock()
        self._kept: OrderedDict[bytes, Array] = OrderedDict()

    def prepared(self, modality: str, value: object, record: Record) -> Prepared:
        """Return the arrays that the modality's route starts from; InputError as `prepare`."""
        route = route_named(self._manifest, modality)
        with record.stage(f"prepare.{modality}"):
            made = prepare(route, value, self._tokenizer.encode)
        record.valid[modality] = made.valid
        return made

    def tokens(self, modality: str, value: object, record: Record) -> Array:
        """Return the modality's tokens, float32 [1, tokens, width], which must not be changed.

        DeviceError, which names the part, where one gives NaN or infinity.
        """
        return self.all_tokens({modality: value}, record)[modality]

    def all_tokens(self, modalities: Mapping[str, object], record: Record) -> dict[str, Array]:
        """Return each modality's tokens, in the order given: see `tokens`.

        Where several fail, the error of the first is raised. Stages of routes that run at the same
        time take longer in all than the clock shows.
        """
        routes = [route_named(self._manifest, modality) for modality in modalities]
        apart = groups(routes)
        if min(self._at_once, len(apart)) > 1:
            made = self._overlapped(routes, apart, modalities, record)
        else:
            made = [self._made(route, modalities[route.modality], record) for route in routes]
        for key, tokens in made:
            self._keep(key, tokens)
        return {route.modality: tokens for route, (_, tokens) in zip(routes, made, strict=True)}

    def _overlapped(
        self,
        routes: Sequence[Route],
        apart: Sequence[Sequence[int]],
        modalities: Mapping[str, object],
        record: Record,
    ) -> list[tuple[bytes, Array]]:
        records = [Record() for _ in routes]

        def make(number: int) -> tuple[bytes, Array]:
            route = routes[number]
            return self._made(route, modalities[route.modality], records[number])

        try:
            made = overlapped(apart, make, self._at_once)
        finally:
            for each in records:
                _add(record, each)
        return [made[number] for number in range(len(routes))]

    def _made(self, route: Route, value: object, record: Record) -> tuple[bytes, Array]:
        """Return what the route gives, and the key under which it is kept."""
        with self._preparing:  # one at a time: it may hold warnings back, for the whole process
            prepared = self.prepared(route.modality, value, record)
        key = _digest(route.modality, prepared.arrays)
        if key in self._kept:
            record.cached.append(route.modality)
            return key, self._kept[key]
        # a copy, since the part's next run writes there again
        tokens = self._run(route, prepared.arrays, record).copy()
        tokens.flags.writeable = False
        return key, tokens

    def _keep(self, key: bytes, tokens: Array) -> None:
        if tokens.nbytes > KEPT:
            return
        self._kept[key] = tokens
        self._kept.move_to_end(key)
        while sum(each.nbytes for each in self._kept.values()) > KEPT:
            self._kept.popitem(last=False)

    def embed(self, ids: list[int], record: Record, stage: str = "") -> Array:
        """Return the embeddings of text ids, float32 [1, ids, width]."""
        name = self._manifest.language.embedder
        inputs = {"input_ids": np.array([ids], np.int64)}
        made = self._parts.run(name, record, inputs, stage=stage)
        check_finite(name, made, self._parts.source(name).overflow)
        return made["embeds"]

    def clear(self) -> None:
        """Forget every kept output."""
        self._kept.clear()

    def _run(self, route: Route, arrays: Mapping[str, Array], record: Record) -> Array:
        known = dict(arrays)
        targets: dict[str, dict[str, str]] = {}
        for wire in route.wires:
            part, port = part_and_port(wire.target)
            # moved to the end: a part runs when its last wire is reached
            targets[part] = {**targets.pop(part, {}), port: wire.source}
        for part, sources in targets.items():
            inputs = {port: known[source] for port, source in sources.items()}
            with self._preparing:  # a warning of what runs must not be held back by a preparation
                source = self._parts.source(part)
            made = self._parts.run(part, record, inputs)
            check_finite(part, made, source.overflow)
            known.update({f"{part}.{port}": array for port, array in made.items()})
        return known[route.output]


def groups(routes: Sequence[Route]) -> list[list[int]]:
    """Put routes that share a part, be it through others, together: groups of their places."""
    found: list[tuple[set[str], list[int]]] = []
    for number, route in enumerate(routes):
        parts, numbers = {part_and_port(wire.target)[0] for wire in route.wires}, [number]
        for group in [each for each in found if each[0] & parts]:
            found.remove(group)
            parts, numbers = parts | group[0], group[1] + numbers
        found.append((parts, sorted(numbers)))
    return sorted(numbers for _, numbers in found)


def _add(record: Record, other: Record) -> None:
    """Write down what another record says of a route."""
    for name, took in other.stages.items():
        record.stages[name] = record.stages.get(name, 0.0) + took
    record.valid |= other.valid
    record.cached += other.cached


def _digest(modality: str, arrays: Mapping[str, Array]) -> bytes:
    digest = hashlib.sha256(modality.encode())
    for name, array in sorted(arrays.items()):
        digest.update(f"|{name}|{array.dtype.str}|{array.shape}|".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.digest()
