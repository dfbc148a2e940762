"""The seam to the inference engines: one `Session` shape, and one literal table of backends."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, TypeAlias, cast

from numpy.typing import NDArray

from edgespark.runtime.manifest import Port

Array: TypeAlias = NDArray[Any]

BACKENDS = {"onnxruntime": "edgespark.runtime.backends.onnxruntime"}


class Session(Protocol):
    """One graph, ready to run."""

    def run(
        self, inputs: Mapping[str, Array], outputs: Mapping[str, Array] | None = None
    ) -> dict[str, Array]:
        """Run the graph once and return every output by name.

        `inputs` holds every input of the graph. `outputs` are C-contiguous arrays of the caller,
        with the final shape and dtype, that the backend writes into; those not given are allocated.
        InputError where an input does not fit the graph, DeviceError where the run fails.
        """

    def bind(self, inputs: Mapping[str, Array], outputs: Mapping[str, Array]) -> Callable[[], None]:
        """Bind every input and output once, and return what runs the graph on them.

        The arrays are kept; a run reads and writes what lies in them at that time, and may be given
        one memory as an input and an output. InputError where an array does not fit the graph, is
        missing or not C-contiguous; a run raises DeviceError as `run` does.
        """

    def close(self) -> None:
        """Free the graph and its weights; the session cannot run after that."""


class Rebound:
    """Gives a session that looks at each of its runs a `bind` that goes through them."""

    def bind(
        self: Session, inputs: Mapping[str, Array], outputs: Mapping[str, Array]
    ) -> Callable[[], None]:
        """Return what calls `run` with these arrays: see `Session.bind`."""

        def run() -> None:
            self.run(inputs, outputs)

        return run


@dataclass(frozen=True, kw_only=True, slots=True)
class Program:
    """What a backend needs to open a graph.

    `graph` are the bytes that were hashed, `where` names the graph in messages. `inputs` and
    `outputs` are what the record promises, states included; `record` is its name in messages.
    `folder` is where the external data
    lies, and `data` are the names of the files there that were hashed: the graph may read no other
    (None and empty where there are none). `threads` is the number of CPU threads of one run (None:
    the backend's). `exact` runs the graph as it is written, node by node, without any optimiser:
    where a backend computes float16 in float32, a tensor that goes through two Identities is then
    rounded all the same, and overflows. `steady` tells that the graph runs again and again with
    little between: its threads may wait for the next run instead of giving up their cores.
    """

    where: str
    graph: bytes
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    folder: Path | None = None
    data: tuple[str, ...] = ()
    threads: int | None = None
    exact: bool = False
    steady: bool = False
    record: str = "the manifest"


class Backend(Protocol):
    """What a backend's module offers."""

    def open_session(self, program: Program) -> Session:
        """Make the graph ready, after comparing it with what the manifest promises.

        BundleError where it is broken, has other ports, or reads a file that was not hashed;
        DeviceError where it cannot run here.
        """

    def version(self) -> str:
        """Return the version of the engine that is installed, such as "1.31.1"."""


def backend(name: str) -> Backend:
    """Import the backend of that name; KeyError where the table has none."""
    return cast("Backend", import_module(BACKENDS[name]))
