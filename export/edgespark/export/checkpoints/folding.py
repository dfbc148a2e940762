"""Long lists of names, told on few lines."""

import re
from collections.abc import Iterable

from edgespark.runtime.wording import printable

LONG = 24
"""Lines; a longer list has names that differ in one number on one line: `layers.{0-31}.norm`."""
NUMBER = re.compile(r"(?<=\.)\d{1,9}(?=\.)")


def lines(names: list[str]) -> list[str]:
    """Return the names; of a long list, those alike but for a number on one line."""
    safe = [printable(name) for name in names]
    return safe if len(safe) <= LONG else folded(folded(safe))


def folded(names: Iterable[str]) -> list[str]:
    """Put names on one line that differ only in their first number that still stands alone."""
    groups: dict[str, list[int]] = {}
    for name in names:
        pattern = NUMBER.sub("{}", name, count=1)
        groups.setdefault(pattern, [])
        groups[pattern] += [int(each) for each in NUMBER.findall(name)[:1]]
    return [_filled(pattern, numbers) for pattern, numbers in groups.items()]


def _filled(pattern: str, numbers: list[int]) -> str:
    if not numbers:
        return pattern
    return pattern.replace("{}", str(numbers[0]) if len(numbers) == 1 else _ranges(numbers), 1)


def _ranges(numbers: list[int]) -> str:
    """Write [0, 1, 2, 5] as {0-2,5}."""
    runs: list[list[int]] = []
    for each in sorted(set(numbers)):
        if runs and each == runs[-1][-1] + 1:
            runs[-1].append(each)
        else:
            runs.append([each])
    return "{" + ",".join(f"{r[0]}-{r[-1]}" if len(r) > 1 else str(r[0]) for r in runs) + "}"
