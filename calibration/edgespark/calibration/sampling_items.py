"""Which samples are drawn from files: windows of rasters, and any other file as it is."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from math import prod
from pathlib import Path
from typing import TypeAlias

from edgespark.calibration.sampling import Room, shuffled, windows
from edgespark.calibration.sampling_patterns import Pattern, matched
from edgespark.calibration.set_manifest import Item
from edgespark.calibration.windows import Ground, is_raster, room_of
from edgespark.runtime.errors import InputError, UsageError
from edgespark.runtime.grid import Window
from edgespark.runtime.wording import listed

Shown: TypeAlias = Callable[[Iterable[Item], str, int], AbstractContextManager[Iterable[Item]]]
"""Is given samples, a title and how many are wanted; gives them back while it shows progress."""
USUAL = 64
"""Windows of a modality, at most, where nobody says how many."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Wish:
    """How samples are chosen: how many of a modality (None: the usual), from which draws.

    `size` is the side of windows in pixels, `least` the share of one that must be valid, 0…1.
    """

    count: int | None = None
    size: int = 224
    seed: int = 0
    least: float = 0.9


@dataclass(frozen=True, kw_only=True, slots=True)
class Rasters:
    """The rasters of one modality in a folder, and the options that each of them has."""

    root: Path
    modality: str
    options: Mapping[str, Mapping[str, str]]
    wish: Wish


def items(root: Path, patterns: Iterable[Pattern], wish: Wish, shown: Shown) -> tuple[Item, ...]:
    """Return the samples of one modality, which all the patterns are of.

    Rasters give windows; any other file is one sample, and of more than are wanted some are drawn.
    Raises InputError where a pattern matches nothing, a raster cannot be read, or there are too few
    windows; UsageError for patterns that do not go together.
    """
    found = [(path, each) for each in patterns for path in matched(root, each)]
    modality = found[0][1].modality
    counts = Counter(path for path, _ in found)
    if twice := sorted(path for path, count in counts.items() if count > 1):
        raise UsageError(f"{modality}: more than one pattern has {listed(twice)}")
    options = {path: each.options for path, each in found}
    rasters = [path for path in options if is_raster(root / path)]
    if not rasters:
        order = shuffled(len(found), wish.seed, modality)[: wish.count]
        return tuple(_item(*list(options.items())[k]) for k in sorted(order))
    if len(rasters) < len(found):
        other = next(path for path in options if path not in rasters)
        raise UsageError(
            f"{modality}: {rasters[0]} is a raster, which gives windows, and {other} is a sample "
            "by itself: give patterns that match only the one or the other"
        )
    return _windows(Rasters(root=root, modality=modality, options=options, wish=wish), shown)


def _windows(rasters: Rasters, shown: Shown) -> tuple[Item, ...]:
    wish, modality = rasters.wish, rasters.modality
    if any("window" in options for options in rasters.options.values()):
        raise UsageError(f"{modality}: windows are drawn; leave the option window out")
    rooms = {path: room_of(rasters.root / path, wish.size) for path in rasters.options}
    count = _usual(rooms.values()) if wish.count is None else wish.count
    with shown(_rounds(rasters, rooms, count), f"sample {modality}", count) as drawn:
        found = tuple(drawn)
    if len(found) < (1 if wish.count is None else count):
        raise InputError(
            f"{rasters.root}: found {len(found)} of {count} windows of {modality} in {len(rooms)} "
            f"rasters, of {wish.size} x {wish.size} pixels with {wish.least:.0%} of them valid: "
            "ask for fewer (--count), smaller ones (--size), or fewer valid pixels (--min-valid)"
        )
    return found


def _rounds(rasters: Rasters, rooms: Mapping[str, Room], count: int) -> Iterator[Item]:
    """Give windows, one of each raster in turn, until there are so many or no more are found."""
    wish, left, turn = rasters.wish, count, 0
    shares = _shares(count, rooms)
    drawn = {path: _drawn(rasters, path, room, shares[path]) for path, room in rooms.items()}
    while drawn:
        paths = sorted(drawn)
        for k in shuffled(len(paths), wish.seed, rasters.modality, "files", turn):
            window = next(drawn[paths[k]], None)
            if window is None:
                del drawn[paths[k]]
                continue
            yield _item(paths[k], {**_cut(rooms[paths[k]], window), **rasters.options[paths[k]]})
            left -= 1
            if not left:
                return
        turn += 1


def _drawn(rasters: Rasters, path: str, room: Room, share: int) -> Iterator[Window]:
    ground = Ground(least=rasters.wish.least, options=rasters.options[path])
    suits = partial(ground.suits, rasters.root / path)
    return windows(room, share, suits, rasters.wish.seed, rasters.modality, path)


def _usual(rooms: Iterable[Room]) -> int:
    """Return how many windows cover the rasters, or the usual number where that is less."""
    cover = (-(-room.columns // room.size) * -(-room.rows // room.size) for room in rooms)
    return min(sum(cover), USUAL)


def _shares(count: int, rooms: Mapping[str, Room]) -> dict[str, int]:
    """Return how many windows each raster is expected to give, where all is valid: one or more."""
    made, left = dict[str, int](), count
    order = sorted(rooms, key=lambda path: (prod(rooms[path].places), path))
    for k, path in enumerate(order):
        even = max(-(-left // (len(order) - k)), 1)
        made[path] = min(even, prod(rooms[path].places))
        left -= made[path]
    return made


def _cut(room: Room, window: Window) -> dict[str, str]:
    """Return the option that means the window; a raster that is one window needs none."""
    if window == (0, 0, room.columns, room.rows):
        return {}
    return {"window": ",".join(map(str, window))}


def _item(path: str, options: Mapping[str, str]) -> Item:
    try:
        return Item(path=path, options=dict(options))
    except ValueError as error:
        raise InputError(f"{path}: cannot be a sample: {error}") from error
