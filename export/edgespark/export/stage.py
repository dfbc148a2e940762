"""A stage of the chain before it is exported: a PyTorch module with its ports and its probes."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn

from edgespark.runtime.manifest import Port, Role, State


@dataclass(frozen=True, kw_only=True, slots=True)
class Stage:
    """One part of the chain as PyTorch has it.

    `module` takes one tensor per input port, then one list of the past states where there are any;
    it gives one tensor per output port, then the new states. `probes` are inputs by port name:
    the graph is traced with the first (every dynamic axis at 2 or more there) and compared with
    the module on all; all become the bundle's reference. `graph` is the stage's ONNX, its inputs
    and outputs named as the ports, where another exporter has made it: then nothing is traced.
    `weights`, where there is one, gives an entry of the module's state dict by its name: the module
    then lies on the meta device, and never has them all at once.
    """

    name: str
    role: Role
    module: nn.Module
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    states: tuple[State, ...] = ()
    probes: tuple[dict[str, Tensor], ...]
    graph: bytes | None = None
    weights: Callable[[str], Tensor] | None = None

    @property
    def fed(self) -> tuple[Port, ...]:
        """All ports that are read, the past states last."""
        return (*self.inputs, *(state.past for state in self.states))

    @property
    def given(self) -> tuple[Port, ...]:
        """All ports that are written, the new states last."""
        return (*self.outputs, *(state.new for state in self.states))
