"""XML files (W3C XML 1.0), read element by element; nothing that was read is held."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple
from xml.parsers.expat import ExpatError, ParserCreate, XMLParserType

from edgespark.runtime.errors import InputError
from edgespark.runtime.wording import short, shown

PIECE = 1 << 14
"""Bytes that are read at a time."""
LONGEST = 1 << 16
"""Bytes of a tag or a comment, and before the first element; letters of a text that are kept."""
DEEPEST = 1 << 8
"""Elements within one another; formats of data have about ten."""
MOST_NAMES = 1 << 12
"""Names of elements and attributes; the parser keeps each."""


class Part(NamedTuple):
    """The start or the end of an element.

    Names are without their prefixes; `inside` is the element around it, "" around the first one.
    At its end, `text` is what stands between it and the tag before.
    """

    ends: bool
    name: str
    inside: str
    attributes: dict[str, str]
    text: str = ""


@dataclass(slots=True)
class Reader:
    """What is open at a place of an XML file, and what has been met since it was last asked."""

    where: str
    names: dict[str, str] = field(default_factory=dict)
    open: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    met: list[Part] = field(default_factory=list)
    text: str = ""
    begun: bool = False
    waiting: int = 0

    def parser(self) -> XMLParserType:
        """Return a parser that calls this."""
        parser = ParserCreate(intern=self.names)
        parser.buffer_text = True
        parser.StartDoctypeDeclHandler = self._doctype
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._letters
        parser.DefaultHandler = self._other
        return parser

    def taken(self) -> list[Part]:
        """Return what has been met, and forget it."""
        met, self.met = self.met, []
        return met

    def check_waiting(self, form: str) -> None:
        """Refuse a file in which nothing is met for too long."""
        if self.waiting > LONGEST:
            raise InputError(
                f"{self.where}: has no element in {LONGEST} bytes; expected a {form} file"
            )

    def _doctype(self, *_: object) -> None:
        raise InputError(
            f"{self.where}: declares a document type, which is not read: remove <!DOCTYPE …>"
        )

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self.begun, self.waiting, self.text = True, 0, ""
        if len(self.open) >= DEEPEST or len(self.names) > MOST_NAMES:
            raise InputError(
                f"{self.where}: has elements of more than {DEEPEST} levels or {MOST_NAMES} names"
            )
        local = name.rpartition(":")[2]
        self.met.append(Part(ends=False, name=local, inside=self._around(), attributes=attributes))
        self.open.append((local, attributes))

    def _end(self, _: str) -> None:
        self.waiting = 0
        name, attributes = self.open.pop()
        part = Part(
            ends=True, name=name, inside=self._around(), attributes=attributes, text=self.text
        )
        self.met.append(part)
        self.text = ""

    def _letters(self, text: str) -> None:
        self.waiting = 0
        self.text += text[: LONGEST - len(self.text)]

    def _other(self, _: str) -> None:
        self.waiting = 0 if self.begun else self.waiting

    def _around(self) -> str:
        return self.open[-1][0] if self.open else ""


def parts(path: Path, form: str) -> Iterator[Part]:
    """Yield the starts and ends of an XML file's elements, in their order.

    A document type is refused: entities, which can make little text endless or stand for other
    files, are declared there, and formats of data need none. `form` is what messages say was
    expected. Raises InputError for what is no XML, and for tags, names or levels without end.
    """
    reader = Reader(str(path))
    parser = reader.parser()
    try:
        with path.open("rb") as file:
            while piece := file.read(PIECE):
                reader.waiting += len(piece)
                parser.Parse(piece)
                yield from reader.taken()
                reader.check_waiting(form)
        parser.Parse(b"", True)  # noqa: FBT003 expat's way to say that this was all
    except InputError:
        raise
    except (ExpatError, LookupError, ValueError) as error:  # these two: an unknown encoding
        raise InputError(f"{path}: cannot be read as {form}: {short(str(error))}") from error
    except OSError as error:  # a broken disk
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    yield from reader.taken()


def check_root(path: Path, part: Part, name: str, form: str) -> None:
    """Refuse a first element of another name than the format's; InputError."""
    if not part.inside and part.name != name:
        raise InputError(f"{path}: holds {shown(part.name)}; expected a {form} file")
