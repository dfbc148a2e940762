"""Which device runs a bundle, and whether this machine's packages allow it."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

from edgespark.runtime.errors import DeviceError, UsageError
from edgespark.runtime.manifest import Precision
from edgespark.runtime.wording import near

How: TypeAlias = Literal["native", "emulated"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Device:
    """A device by name, the backend that serves it, and what it truly computes in.

    `widened` are the precisions whose arithmetic the backend carries out in float32: it shows their
    rounding and overflow only where each tensor is rounded apart (`Program.exact`). `lowering`
    names what derived graphs are made by for this device ("": it runs portable graphs alone).
    """

    name: str
    backend: str
    widened: frozenset[Precision] = frozenset()
    lowering: str = ""

    def how(self, precision: Precision) -> How:
        """Say how a graph of that precision is measured on this device.

        "emulated" where it computes in float32, and every tensor is rounded to that precision.
        """
        return "emulated" if precision in self.widened else "native"


DEVICES = {
    "cpu": Device(name="cpu", backend="onnxruntime", widened=frozenset({"fp16"}), lowering="cpu-2"),
}
AUTO = "cpu"  # the best device that this version knows
PLANNED = ("cuda", "tensorrt")
RIVALS = ("onnxruntime", "onnxruntime-gpu")


def device_named(name: str) -> Device:
    """Return the device of that name ("auto": the best one).

    UsageError for an unknown name, DeviceError for one that this version cannot run on.
    """
    if name == "auto":
        return DEVICES[AUTO]
    if name in PLANNED:
        raise DeviceError(
            f"device {name!r}: this version runs on cpu only; use device='cpu' or 'auto'"
        )
    if not isinstance(name, str) or name not in DEVICES:
        known = ("auto", *DEVICES, *PLANNED)
        raise UsageError(f"no device {name!r}{near(name, known)}; there are: {', '.join(known)}")
    return DEVICES[name]


def check_packages() -> None:
    """Refuse an environment that holds both builds of ONNX Runtime.

    They share one folder: the one installed last overwrites half of the other, without a word.
    """
    if all(map(_installed, RIVALS)):
        raise DeviceError(
            "onnxruntime and onnxruntime-gpu are both installed and corrupt each other; run:\n"
            "pip uninstall -y onnxruntime onnxruntime-gpu && pip install onnxruntime"
        )


def _installed(distribution: str) -> bool:
    from importlib import metadata  # noqa: PLC0415 costs more than the rest of this module

    try:
        metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return False
    return True
