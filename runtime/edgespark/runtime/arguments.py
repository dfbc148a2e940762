"""Inputs as they are written on the command line: NAME=VALUE."""

from collections.abc import Callable, Mapping
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
    (and `nodata=0`, `overviews=true`, `scale=0.0001`, `offset=-0.1`, `linear=true`).
    """

    text: str

    def words(self) -> str | Path:
        """Return the text itself, or the path of the file that holds it."""
        if self.text == "@":
            raise InputError("expected the path of a text file after @")
        return Path(self.text[1:]) if self.text.startswith("@") else self.text

    def raster(self) -> Raster:
        """Return the raster that is meant; InputError as `file`."""
        path, options = self.file("raster", RASTER)
        return Raster(path, **options)

    def file(self, what: str, known: Mapping[str, "Option"]) -> tuple[str, dict[str, Any]]:
        """Return the path that is meant, and the options after its last "?".

        A file whose name is the whole text wins over options. Raises InputError for an option that
        is unknown, malformed or stands twice; `what` says what kind of file was expected.
        """
        text = self.text.removeprefix("@")
        path, mark, query = text.rpartition("?")
        if not mark or _exists(text):
            path, query = text, ""
        if not path:
            raise InputError(f"expected the path of a {what}, got {self.text!r}")
        return path, _options(query, known)


@dataclass(frozen=True, slots=True)
class Option:
    """How an option's text is read (ValueError or KeyError if it cannot be), and how it looks."""

    read: Callable[[str], Any]
    like: str


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


def _options(query: str, known: Mapping[str, Option]) -> dict[str, Any]:
    options: dict[str, Any] = {}
    for item in query.split("&") if query else ():
        name, _, value = item.partition("=")
        if name not in known:
            raise InputError(f"no option {name!r}; there are: {', '.join(known) or 'none'}")
        if name in options:
            raise InputError(f"option {name!r} stands more than once")
        try:
            options[name] = known[name].read(value)
        except (ValueError, KeyError) as error:
            raise InputError(
                f"option {item!r} is malformed; it looks like {known[name].like}"
            ) from error
    return options


def whole(text: str) -> tuple[int, ...]:
    """Read whole numbers with commas between them."""
    return tuple(int(number) for number in text.split(","))


def truth(text: str) -> bool:
    """Read true or false."""
    return TRUTHS[text.lower()]


RASTER = {
    "window": Option(whole, "window=COLUMN,ROW,WIDTH,HEIGHT"),
    "bands": Option(whole, "bands=4,3,2"),
    "nodata": Option(float, "nodata=0 or nodata=nan"),
    "overviews": Option(truth, "overviews=true"),
    "scale": Option(float, "scale=0.0001"),
    "offset": Option(float, "offset=-0.1"),
    "linear": Option(truth, "linear=true"),
}
