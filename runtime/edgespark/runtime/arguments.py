"""Inputs as they are written on the command line: NAME=VALUE."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgespark.runtime.errors import InputError, UsageError
from edgespark.runtime.grid import Raster

TRUTHS = {"true": True, "1": True, "false": False, "0": False}


@dataclass(frozen=True, slots=True)
class Argument:
    """The right side of NAME=VALUE; what it means depends on the modality's kind.

    For text it is the text, or `@PATH` a file that holds it. For imagery it is a path, with or
    without `@`, then options after the last "?": `scene.tif?window=0,0,224,224&bands=4,3,2`
    (and `nodata=0`, `overviews=true`).
    """

    text: str

    def words(self) -> str | Path:
        """Return the text itself, or the path of the file that holds it."""
        if self.text == "@":
            raise InputError("expected the path of a text file after @")
        return Path(self.text[1:]) if self.text.startswith("@") else self.text

    def raster(self) -> Raster:
        """Return the raster that is meant; a file whose name is the whole text wins over options.

        Raises InputError for an option that is unknown, malformed or stands twice.
        """
        text = self.text.removeprefix("@")
        path, mark, query = text.rpartition("?")
        if not mark or _exists(text):
            path, query = text, ""
        if not path:
            raise InputError(f"expected the path of a raster, got {self.text!r}")
        return Raster(path, **_options(query))


def parse_argument(text: str) -> tuple[str, Argument]:
    """Split NAME=VALUE into the modality and its argument; UsageError where one is missing."""
    name, sign, value = text.partition("=")
    if not sign or not name.strip() or not value:
        raise UsageError(
            f"input {text!r} is not NAME=VALUE, as in rgb=scene.tif or language=@notes.txt"
        )
    return name.strip(), Argument(value)


def _exists(text: str) -> bool:
    try:
        return Path(text).exists()
    except (OSError, ValueError):  # a text too long to be a name, or with a NUL in it
        return False


def _options(query: str) -> dict[str, Any]:
    options: dict[str, Any] = {}
    for item in query.split("&") if query else ():
        name, _, value = item.partition("=")
        if name not in _READ:
            raise InputError(f"no option {name!r}; there are: {', '.join(_READ)}")
        if name in options:
            raise InputError(f"option {name!r} stands more than once")
        try:
            options[name] = _READ[name](value)
        except (ValueError, KeyError) as error:
            raise InputError(
                f"option {item!r} is malformed; it looks like {_LIKE[name]}"
            ) from error
    return options


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(number) for number in text.split(","))


def _truth(text: str) -> bool:
    return TRUTHS[text.lower()]


_READ: dict[str, Callable[[str], Any]] = {
    "window": _numbers,
    "bands": _numbers,
    "nodata": float,
    "overviews": _truth,
}
_LIKE = {
    "window": "window=COLUMN,ROW,WIDTH,HEIGHT",
    "bands": "bands=4,3,2",
    "nodata": "nodata=0 or nodata=nan",
    "overviews": "overviews=true",
}
