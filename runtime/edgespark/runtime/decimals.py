"""Decimal numbers as text, written in one way in all formats."""

import re

from edgespark.runtime.wording import shown

NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)


def number_from_text(text: str) -> float:
    """Read ASCII digits with a decimal point and an exponent; ValueError for what is no such text.

    So underscores, separators of thousands, other scripts' digits, "inf" and "nan" are no numbers.
    One that is beyond float64 is infinite.
    """
    stripped = text.strip()
    if NUMBER.fullmatch(stripped) is None:
        raise ValueError(f"{shown(text)} is no number")
    return float(stripped)
