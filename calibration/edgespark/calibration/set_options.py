"""Options of samples that lie in files: those of the command line, judged before any is read."""

from collections.abc import Callable, Iterator, Mapping

from edgespark.runtime.arguments import RASTER, Option
from edgespark.runtime.errors import InputError
from edgespark.runtime.frames.read import OPTIONS as VIDEO
from edgespark.runtime.grid import Raster
from edgespark.runtime.points.files import COLOURED_OPTIONS
from edgespark.runtime.series.files import OPTIONS as MOMENTS
from edgespark.runtime.signals.files import OPTIONS as MOTION
from edgespark.runtime.sound.files import OPTIONS as SPANS
from edgespark.runtime.tables.files import TableFile
from edgespark.runtime.tables.read import OPTIONS as ROWS
from edgespark.runtime.tracks.files import OPTIONS as AGENTS
from edgespark.runtime.views.read import PAIR
from edgespark.runtime.wording import near, shown

KINDS: tuple[Mapping[str, Option], ...] = (
    *(RASTER, PAIR, VIDEO, ROWS, AGENTS, MOMENTS),
    *(COLOURED_OPTIONS, SPANS, MOTION),
)
"""The options of each kind of input."""
KNOWN = tuple(dict.fromkeys(name for kind in KINDS for name in kind))
FILES = ("graph", "second")
"""Options that name another file, which then belongs to the sample."""
MARKS = "?&"
"""What parts options from the path and from each other; no value can hold it."""
RECORDS: Mapping[str, Callable[..., object]] = {"window": Raster, "rows": TableFile}
"""What an option must be able to be a part of, where reading its text does not tell enough."""


def option_problems(
    path: str, options: Mapping[str, str], check_path: Callable[[str], None]
) -> Iterator[str]:
    """Tell which options of a file no kind of input has, and which are malformed.

    `check_path` raises ValueError for a path that no sample may have.
    """
    for name, text in options.items():
        if not any(name in kind for kind in KINDS):
            yield f"no option {shown(name)}{near(name, KNOWN)}; there are: {', '.join(KNOWN)}"
        elif set(MARKS) & set(text):
            yield f"option {name}={shown(text)} must hold none of {' '.join(MARKS)}"
        else:
            yield from _problems(path, name, text)
            if name in FILES:
                yield from _refused(check_path, text)


def argument_text(path: str, options: Mapping[str, str]) -> str:
    """Return what would stand behind the modality on the command line; `path` is absolute.

    InputError where one of the paths cannot be written there.
    """
    named = [options[name] for name in FILES if name in options]
    if bad := [each for each in named if set(MARKS) & set(each)]:
        raise InputError(
            f"{bad[0]}: the path of a file that an option names must hold none of "
            f"{' '.join(MARKS)}: rename the folder"
        )
    query = "&".join(f"{name}={text}" for name, text in options.items())
    return f"@{path}?{query}" if query else f"@{path}"


def _problems(path: str, name: str, text: str) -> Iterator[str]:
    kinds = [kind[name] for kind in KINDS if name in kind]
    if not any(_readable(option, text) for option in kinds):
        likes = " or ".join(dict.fromkeys(option.like for option in kinds))
        yield f"option {name}={shown(text)} is malformed; it looks like {likes}"
    elif name in RECORDS:
        yield from _refused(lambda _: RECORDS[name](path, **{name: kinds[0].read(text)}), text)


def _readable(option: Option, text: str) -> bool:
    try:
        option.read(text)
    except (ValueError, KeyError):
        return False
    return True


def _refused(check: Callable[[str], object], text: str) -> Iterator[str]:
    try:
        check(text)
    except ValueError as error:  # InputError is one
        yield str(error)
