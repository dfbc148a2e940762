"""The seam to the inference engines: one `Session` shape, and one literal table of backends."""

from collections.abc import Mapping
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

    def close(self) -> None:
        """Free the graph and its weights; the session cannot run after that."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Program:
    """What a backend needs to open a graph.

    `graph` are the bytes that were hashed, `where` names the graph in messages. `inputs` and
    `outputs` are what the manifest promises, states included. `folder` is where the external data
    lies, and `data` are the names of the files there that were hashed: the graph may read no other
    (None and empty where there are none). `threads` is the number of CPU threads of one run (None:
    the backend's). `exact` runs the graph as it is written, node by node, without any optimiser:
    where a backend computes float16 in float32, a tensor that goes through two Identities is then
    rounded all the same, and overflows.
    """

    where: str
    graph: bytes
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    folder: Path | None = None
    data: tuple[str, ...] = ()
    threads: int | None = None
    exact: bool = False


class Backend(Protocol):
    """What a backend's module offers."""

    def open_session(self, program: Program) -> Session:
        """Make the graph ready, after comparing it with what the manifest promises.

        BundleError where it is broken, has other ports, or reads a file that was not hashed;
        DeviceError where it cannot run here.
        """


def backend(name: str) -> Backend:
    """Import the backend of that name; KeyError where the table has none."""
    return cast("Backend", import_module(BACKENDS[name]))
