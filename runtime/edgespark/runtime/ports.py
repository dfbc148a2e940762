"""Ports against what is there: arrays, and the tensors of a graph."""

from collections.abc import Mapping, Sequence

import numpy as np

from edgespark.runtime.backends import Array
from edgespark.runtime.errors import DeviceError
from edgespark.runtime.manifest import Axis, Part, Port


def written(port: Port) -> str:
    """Write a port with its dtype, its axes and their sizes."""
    return f"{port.dtype} [{', '.join(f'{axis.name} {spanned(axis)}' for axis in port.axes)}]"


def spanned(axis: Axis) -> str:
    """Write the sizes that an axis may take."""
    return str(axis.low) if axis.static else f"{axis.low}…{axis.high}"


OVERFLOW = "its arithmetic overflows on this input"
"""Why a part that was verified gives what is not finite; there is no other reason."""


def check_finite(part: str, outputs: Mapping[str, Array], reason: str = OVERFLOW) -> None:
    """Refuse outputs that hold NaN or infinity: DeviceError, which names the part and the reason.

    The reason also says what to do: see `lowered.Source.overflow`.
    """
    for name, array in outputs.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise DeviceError(f"{part} gave {name} that are not finite: {reason}")


def misfits(part: Part, inputs: Mapping[str, Array], outputs: Mapping[str, Array]) -> list[str]:
    """Return which of the outputs of a run do not have the shape that their port promises.

    A dynamic axis has the size that the axis of that name has among the inputs.
    """
    sizes = {
        axis.name: size
        for port in part.inputs
        for axis, size in zip(port.axes, inputs[port.name].shape, strict=False)
    }
    return [
        f"gave {port.name!r} of shape {list(outputs[port.name].shape)}, not {written(port)}"
        for port in part.outputs
        if port.name in outputs and not _kept(port, outputs[port.name].shape, sizes)
    ]


def _kept(port: Port, shape: Sequence[int], sizes: Mapping[str, int]) -> bool:
    pairs = zip(port.axes, shape, strict=False)
    alike = all(axis.static or size == sizes.get(axis.name, size) for axis, size in pairs)
    return alike and takes(port, shape)


def takes(port: Port, sizes: Sequence[int]) -> bool:
    """Tell whether an array of these sizes fits the port's axes."""
    pairs = zip(port.axes, sizes, strict=False)
    return len(sizes) == len(port.axes) and all(a.low <= size <= a.high for a, size in pairs)


def part_and_port(name: str) -> tuple[str, str]:
    """Return both halves of "part.port": parts have no dot in their name, ports may have."""
    part, _, port = name.partition(".")
    return part, port
