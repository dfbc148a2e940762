"""Which bands of a file are the model's: by number, by name, by wavelength, else by order."""

import re
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from math import isnan

import numpy as np

from edgespark.runtime.errors import EdgesparkWarning, InputError
from edgespark.runtime.grid import Raster
from edgespark.runtime.preprocessing import Imagery
from edgespark.runtime.wording import listed

NANOMETRES = {"nm": 1.0, "nanometer": 1.0, "um": 1e3, "µm": 1e3, "μm": 1e3, "micron": 1e3}
NANOMETRES |= {"micrometer": 1e3, "nanometre": 1.0, "micrometre": 1e3, "mm": 1e6, "angstrom": 0.1}
MICRONS_END = 30.0
"""A wavelength without a unit is in micrometres up to here and in nanometres above: no optical
sensor begins below 100 nm, or ends beyond 30 µm."""
SHARE = 0.04
"""How far from a band's wavelength another may lie, as a share of it: 27 nm in red."""
NUMBERED = re.compile(r"(?:band|b)?0*(\d+[a-z]?)")


def chosen_bands(
    raster: Raster,
    names: Sequence[str],
    record: Imagery,
    wavelengths: Sequence[float | None] = (),
) -> tuple[int, ...]:
    """Return the numbers, from 1, of the bands to read; InputError where they do not fit.

    `names` and `wavelengths`, in nanometres (None where it tells none, NaN where none that can be
    read), are the file's; bands called "alpha" are masks, and taken only where asked for. The
    caller's `bands` come first; then names, where all of the record's are the file's too (B01 is B1
    and Band 1); then wavelengths, where all of the record's bands have one, and any of the file's:
    the nearest, within half the median spacing of the record's bands and SHARE of the wavelength;
    then the file's own order, with a warning where names speak against it.
    """
    own = [i for i, name in enumerate(names, 1) if name != "alpha"]
    bands = raster.bands or _by_name(names, own, record)
    bands = bands or _by_wavelength(raster, wavelengths, own, record) or tuple(own)
    _check(raster, names, record, bands)
    if bands == tuple(own) and not raster.bands:
        _warn_of_order(raster, names, record)
    return bands


def nanometres(value: str | None, unit: str | None) -> float | None:
    """Return a wavelength that a file tells in nanometres; None where it is no length.

    Without a unit, it is taken for micrometres or nanometres by what it could be.
    """
    try:
        number = float(value or "")
    except ValueError:
        return None
    if not 0 < number < float("inf"):
        return None
    if not unit:
        return number * (1e3 if number <= MICRONS_END else 1)
    factor = NANOMETRES.get(unit.strip().lower().removesuffix("s"))
    return number * factor if factor else None


def normal_name(name: str) -> str:
    """Return a band's name without case, signs, words in brackets, and zeros before its number."""
    plain = re.sub(r"\(.*|[^\w]|_", "", name.lower())
    number = NUMBERED.fullmatch(plain)
    return f"b{number[1]}" if number else plain


def _by_name(names: Sequence[str], own: Sequence[int], record: Imagery) -> tuple[int, ...] | None:
    found = _places(names, own)
    wanted = [normal_name(band.name) for band in record.bands]
    if len(set(wanted)) < len(wanted) or not all(name in found for name in wanted):
        return None
    return tuple(found[name] for name in wanted)


def _places(names: Sequence[str], own: Sequence[int]) -> dict[str, int]:
    """Return the numbers of the bands by name; none where the names only count, or repeat."""
    plain = [normal_name(names[i - 1]) for i in own]
    times = Counter(plain)
    counts = all(re.fullmatch(r"band\s*\d+", names[i - 1].lower()) for i in own)
    if counts and plain == [f"b{i}" for i in range(1, len(plain) + 1)]:
        return {}
    return {name: i for name, i in zip(plain, own, strict=True) if name and times[name] == 1}


def _by_wavelength(
    raster: Raster, wavelengths: Sequence[float | None], own: Sequence[int], record: Imagery
) -> tuple[int, ...] | None:
    known = _known(wavelengths, own)
    wanted = [band.wavelength for band in record.bands if band.wavelength is not None]
    if not known or len(wanted) < len(record.bands):
        return None
    _check_known(raster, known, own)
    steps = [b - a for a, b in zip(sorted(wanted), sorted(wanted)[1:], strict=False)]
    half = float(np.median(steps)) / 2 if steps else float("inf")
    taken = []
    for band, length in zip(record.bands, wanted, strict=True):
        near, number = min((abs(each - length), i) for i, each in known.items())
        most = min(half, SHARE * length)
        if near > most:
            raise InputError(
                f"{raster.path}: has no band near {band.name!r} at {length:g} nm: the nearest, "
                f"{number} at {known[number]:g} nm, is {near:.4g} nm away, more than {most:.4g}; "
                "choose what stands for it with bands="
            )
        taken.append(number)
    _warn_of_shared(raster, record, taken)
    return tuple(taken)


def _known(wavelengths: Sequence[float | None], own: Sequence[int]) -> dict[int, float]:
    """Return what the file tells of its bands' wavelengths, by number; NaN cannot be read."""
    lengths = {i: wavelengths[i - 1] for i in own} if wavelengths else {}
    return {i: length for i, length in lengths.items() if length is not None}


def _check_known(raster: Raster, known: Mapping[int, float], own: Sequence[int]) -> None:
    """Refuse a file that tells some wavelengths: its order may be any, and would not be told."""
    lacking = [str(i) for i in own if isnan(known.get(i, float("nan")))]
    if lacking:
        raise InputError(
            f"{raster.path}: tells wavelengths, but none that can be read of its bands "
            f"{listed(lacking)}: choose those that the model takes with bands=, in its order"
        )


def _warn_of_shared(raster: Raster, record: Imagery, taken: Sequence[int]) -> None:
    """Warn where one band of the file is the nearest to several of the record's."""
    names: dict[int, list[str]] = {}
    for band, number in zip(record.bands, taken, strict=True):
        names.setdefault(number, []).append(band.name)
    shared = [f"{i} for {' and '.join(some)}" for i, some in names.items() if len(some) > 1]
    if shared:
        warnings.warn(
            f"{raster.path}: has fewer wavelengths than the model: its bands {listed(shared)} are "
            "taken more than once; choose them with bands=",
            EdgesparkWarning,
            stacklevel=2,
        )


def _check(raster: Raster, names: Sequence[str], record: Imagery, bands: tuple[int, ...]) -> None:
    wanted = f"{len(record.bands)} ({listed([band.name for band in record.bands])})"
    numbered = listed([f"{i} {name}".strip() for i, name in enumerate(names, 1)])
    if len(bands) != len(record.bands):
        found = f"found {len(bands)} bands ({numbered})"
        if raster.bands:
            found = f"bands={','.join(map(str, bands))} names {len(bands)} bands"
        raise InputError(
            f"{raster.path}: {found}, expected {wanted}: choose them with bands=, in that order"
        )
    if max(bands) > len(names):
        raise InputError(
            f"{raster.path}: has no band {max(bands)}; there are {len(names)}: {numbered}"
        )


def _warn_of_order(raster: Raster, names: Sequence[str], record: Imagery) -> None:
    """Warn where a band is taken for one whose name another has; names that repeat say nothing."""
    own = [i for i, name in enumerate(names, 1) if name != "alpha"]
    found = _places(names, own)
    wanted = [normal_name(band.name) for band in record.bands]
    wrong = [
        f"{number} ({names[number - 1]}) as {band.name}"
        for number, band, name in zip(own, record.bands, wanted, strict=True)
        if len(set(wanted)) == len(wanted) and found.get(name, number) != number
    ]
    if wrong:
        warnings.warn(
            f"{raster.path}: its bands are taken in their own order, against their names: "
            f"{listed(wrong)}; choose them with bands=",
            EdgesparkWarning,
            stacklevel=2,
        )
