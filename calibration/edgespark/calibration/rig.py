"""A chain on which graphs are exchanged again and again, and only what is behind them runs anew."""

import hashlib
from collections import OrderedDict
from collections.abc import Mapping

import numpy as np

from edgespark.calibration.chain import Swap, open_part, opened
from edgespark.calibration.outcomes import Tap
from edgespark.runtime.backends import Array, Program, Rebound, Session
from edgespark.runtime.bundle import Bundle

ROOM = 1 << 28
"""Bytes of outputs that are kept."""


class Rig:
    """The chain of a bundle's own graphs, with some exchanged.

    What its own graphs gave is kept by what they were given: where one part is exchanged, those in
    front of it do not run again.
    """

    def __init__(self, bundle: Bundle, *, threads: int | None = None, room: int = ROOM) -> None:
        """Prepare to open the parts when they are first used, and to keep `room` bytes."""
        self._programs: dict[str, Program] = {}
        self._own: dict[str, Session] = {}
        self._swaps: Mapping[str, Swap] = {}
        self._put: dict[str, Session] = {}
        self._kept = _Kept(room)
        self.tap = Tap(bundle.manifest.language.decoder, self._seat)
        self.model = opened(bundle, opens=self.tap.open, threads=threads)

    def exchange(self, graphs: Mapping[str, Swap]) -> None:
        """Let these parts have these graphs, and all others their own.

        The graphs must have the states of the bundle's own.
        """
        for session in self._put.values():
            session.close()
        self._put.clear()
        self._swaps = graphs
        self.model.chain.clear()

    def close(self) -> None:
        """Free all sessions, and what was kept."""
        self.exchange({})
        self.model.drop(None)
        self._own.clear()
        self._kept = _Kept(0)

    def run(
        self, name: str, inputs: Mapping[str, Array], outputs: Mapping[str, Array] | None
    ) -> dict[str, Array]:
        """Run the graph that the part has now."""
        if name in self._swaps:
            if name not in self._put:
                program = self._swaps[name].program(self._programs[name])
                self._put[name] = open_part(name, program)
            return self._put[name].run(inputs, outputs)
        key = _digest(name, inputs)
        found = self._kept.get(key)
        if found is None:
            return self._kept.put(key, self._own[name].run(inputs, outputs))
        return {port: _into(array, (outputs or {}).get(port)) for port, array in found.items()}

    def _seat(self, name: str, program: Program) -> Session:
        self._programs[name] = program
        self._own[name] = open_part(name, program)
        return _Seat(self, name, self._own[name])


class _Seat(Rebound):
    """A part's place in the chain: runs whatever graph the part has now."""

    def __init__(self, rig: Rig, name: str, own: Session) -> None:
        self._rig = rig
        self._name = name
        self._own = own

    def run(
        self, inputs: Mapping[str, Array], outputs: Mapping[str, Array] | None = None
    ) -> dict[str, Array]:
        return self._rig.run(self._name, inputs, outputs)

    def close(self) -> None:
        self._own.close()


class _Kept:
    """Outputs by a digest of part and inputs; what was used longest ago goes first."""

    def __init__(self, room: int) -> None:
        self._room = room
        self._found: OrderedDict[bytes, dict[str, Array]] = OrderedDict()

    def get(self, key: bytes) -> dict[str, Array] | None:
        if key in self._found:
            self._found.move_to_end(key)
        return self._found.get(key)

    def put(self, key: bytes, made: dict[str, Array]) -> dict[str, Array]:
        """Keep a copy, and return what was given."""
        self._found[key] = {port: array.copy() for port, array in made.items()}
        self._room -= _bytes(self._found[key])
        while self._room < 0:
            self._room += _bytes(self._found.popitem(last=False)[1])
        return made


def _bytes(arrays: Mapping[str, Array]) -> int:
    return sum(array.nbytes for array in arrays.values())


def _into(array: Array, bound: Array | None) -> Array:
    """Write into the array that the caller bound, if there is one."""
    if bound is None:
        return np.array(array)
    np.copyto(bound, array)
    return bound


def _digest(name: str, inputs: Mapping[str, Array]) -> bytes:
    digest = hashlib.sha256(name.encode())
    for port, array in sorted(inputs.items()):
        digest.update(f"|{port}|{array.dtype.str}|{array.shape}|".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.digest()
