"""Which precision every part has in a variant, and how far its graph may be from PyTorch."""

from collections.abc import Mapping, Sequence
from math import prod

from torch import Tensor

from edgespark.engines.weight_only import Weights
from edgespark.export.stage import Stage
from edgespark.runtime.errors import UsageError
from edgespark.runtime.integers import Integers
from edgespark.runtime.manifest import Precision, Role, Variant

PRECISIONS: tuple[Precision, ...] = ("fp32", "fp16", "int8", "int4")
FLOATS: tuple[Precision, ...] = ("fp32", "fp16")
INTEGERS: tuple[Precision, ...] = ("int8", "int4")
"""Precisions in which a decoder's weights are integers, and its states may be."""
BY_WEIGHT = ("decoder", "embedder")
"""Roles whose weights are changed one by one, whatever they are read from."""
LIMITS: dict[Precision, float] = {"fp32": 1e-4, "fp16": 2e-2, "int8": 1.0, "int4": 1.5}
"""Greatest |graph - PyTorch|, in standard deviations of PyTorch's output, of any one value.

Those of integers tell a wrong graph from a rounded one, not a good model from a bad one: scores do
that. allspark-tiny's decoder is off by 0.20 in INT8, half of it from ONNX Runtime's kernels, which
round activations too, and by 0.62 in INT4; with the scales of one matrix in the wrong places it is
off by 1.7 and 2.2.
"""
BYTES: dict[Precision, float] = {"fp32": 4.0, "fp16": 2.1, "int8": 1.2, "int4": 0.75}
"""Bytes per weight, scales and vectors among them, at most."""
FLOAT = 4  # bytes
PREFERRED = ("fp32", "int8", "int4", "fp16")  # on a CPU, which computes fp16 as fp32


def asked(names: Sequence[str]) -> tuple[Precision, ...]:
    """Return the precisions of these names, in order; UsageError lists those there are."""
    known = {str(each): each for each in PRECISIONS}
    if unknown := [name for name in names if name not in known]:
        told = ", ".join(map(repr, unknown))
        raise UsageError(f"cannot export precision {told}; there are: {', '.join(known)}")
    if not names:
        raise UsageError(f"no precision to export; there are: {', '.join(known)}")
    if len(set(names)) < len(names):
        raise UsageError(f"a precision stands twice in {','.join(names)}")
    return tuple(known[name] for name in names)


def integers(role: Role, precision: Precision, made: Weights) -> Integers | None:
    """Return how a decoder's weights are integers, for the manifest; None where none are."""
    if role != "decoder" or precision not in INTEGERS:
        return None
    if precision == "int8":
        return Integers(block=0, signed=False, rounding=made.rounding, last=8)
    return Integers(block=made.block, signed=made.signed, rounding=made.rounding, last=made.last)


def form(
    stage: Stage, precision: Precision, among: Sequence[Precision], *, data: bool = False
) -> Precision:
    """Return the precision that a stage has in the variant named `precision`.

    INT8 and INT4 of the decoder are of weights alone, and so is the embedder's table, INT8 in both.
    The other stages are INT8 where there is `data` to calibrate them on, in the variant int4 too if
    int8 is `among` those that are exported; without, they are as in the last float precision among
    them (fp32 if there is none).
    """
    if precision in FLOATS or stage.role == "decoder":
        return precision
    if stage.role == "embedder" or (data and "int8" in (precision, *among)):
        return "int8"
    floats = [each for each in among if each in FLOATS]
    return floats[-1] if floats else "fp32"


def forms(stage: Stage, among: Sequence[Precision], *, data: bool = False) -> tuple[Precision, ...]:
    """Return every precision that a stage needs, each once."""
    return tuple(dict.fromkeys(form(stage, each, among, data=data) for each in among))


def check_brought(stages: Sequence[Stage], among: Sequence[Precision]) -> None:
    """Refuse to change the weights of an LLM with a graph of its own: UsageError names both."""
    for stage in stages:
        wrong = [each for each in forms(stage, among) if each != "fp32"]
        if stage.graph is not None and stage.role in BY_WEIGHT and wrong:
            raise UsageError(
                f"{stage.name} brings a graph of its own, which is taken as it is, at fp32: "
                f"{', '.join(wrong)} cannot be exported; leave it out"
            )


def variants(
    stages: Sequence[Stage], among: Sequence[Precision], *, data: bool = False
) -> tuple[Variant, ...]:
    """Return a variant for each precision, named as it."""
    return tuple(
        Variant(
            name=precision,
            precisions={stage.name: form(stage, precision, among, data=data) for stage in stages},
        )
        for precision in among
    )


def preferred(among: Sequence[Precision]) -> dict[str, str]:
    """Return the variant that each device takes when none is asked for."""
    return {"cpu": next(each for each in PREFERRED if each in among)}


def expected_bytes(stage: Stage, precision: Precision) -> int:
    """Estimate what a stage's graph takes on disk, from above."""
    numbers = sum(each.numel() for each in stage.module.state_dict().values())
    return int(numbers * BYTES[precision])


def reference_bytes(stage: Stage) -> int:
    """Count the bytes of a stage's probes and of what the stage gives for them."""
    return sum(_probed_bytes(stage, probe) for probe in stage.probes)


def _probed_bytes(stage: Stage, probe: Mapping[str, Tensor]) -> int:
    sizes = {
        axis.name: size
        for port in stage.fed
        for axis, size in zip(port.axes, probe[port.name].shape, strict=True)
    }
    given = (prod(sizes.get(axis.name, axis.low) for axis in port.axes) for port in stage.given)
    return sum(each.nbytes for each in probe.values()) + FLOAT * sum(given)
