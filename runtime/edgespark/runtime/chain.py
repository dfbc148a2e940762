"""From a modality's input to its tokens in the language space, along the route of the manifest."""

import hashlib
from collections import OrderedDict
from collections.abc import Mapping

import numpy as np

from edgespark.runtime.backends import Array
from edgespark.runtime.errors import UnknownModality
from edgespark.runtime.inputs import Prepared, prepare
from edgespark.runtime.manifest import Manifest, Route
from edgespark.runtime.parts import Parts
from edgespark.runtime.ports import check_finite, part_and_port
from edgespark.runtime.stats import Record
from edgespark.runtime.tokens import Tokenizer
from edgespark.runtime.wording import near

KEPT = 8  # routes' outputs that are kept: a few scenes, each with a few modalities


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

    def __init__(self, manifest: Manifest, parts: Parts, tokenizer: Tokenizer) -> None:
        """Take what the routes need; nothing is run yet."""
        self._parts = parts
        self._tokenizer = tokenizer
        self._manifest = manifest
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
        route = route_named(self._manifest, modality)
        prepared = self.prepared(modality, value, record)
        key = _digest(modality, prepared.arrays)
        if key in self._kept:
            record.cached.append(modality)
        else:
            # a copy, since the part's next run writes there again
            self._kept[key] = self._run(route, prepared.arrays, record).copy()
            self._kept[key].flags.writeable = False
        self._kept.move_to_end(key)
        while len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        return self._kept[key]

    def embed(self, ids: list[int], record: Record, stage: str = "") -> Array:
        """Return the embeddings of text ids, float32 [1, ids, width]."""
        name = self._manifest.language.embedder
        inputs = {"input_ids": np.array([ids], np.int64)}
        made = self._parts.run(name, record, inputs, stage=stage)
        check_finite(name, made)
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
            made = self._parts.run(part, record, inputs)
            check_finite(part, made)
            known.update({f"{part}.{port}": array for port, array in made.items()})
        return known[route.output]


def _digest(modality: str, arrays: Mapping[str, Array]) -> bytes:
    digest = hashlib.sha256(modality.encode())
    for name, array in sorted(arrays.items()):
        digest.update(f"|{name}|{array.dtype.str}|{array.shape}|".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.digest()
