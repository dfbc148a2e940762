"""Why a device takes a variant: the record of a choice that was made by figures."""

from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """Why a device takes a variant when none is asked for.

    By variant, `ms` is the time of one step of the decoder, and `lost` is what the task that loses
    most loses on data against float32: points of an accuracy, per cent of an error. Empty where
    there was nothing to measure on. `why` says it in words.
    """

    device: str
    variant: str
    why: str
    ms: dict[str, float] = field(default_factory=dict)
    lost: dict[str, float] = field(default_factory=dict)
