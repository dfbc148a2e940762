"""XML files (W3C XML 1.0), looked at before a library reads them."""

from pathlib import Path
from xml.parsers.expat import ExpatError, ParserCreate

from edgespark.runtime.errors import InputError

PIECE = 1 << 10
"""Bytes that are read at a time."""


def refuse_doctype(path: Path) -> None:
    """Refuse a file that declares a document type, reading no further than to its root element.

    Entities, which can make little text endless or stand for other files, are declared there;
    formats of data need none. Whether the file is XML at all is left to who reads it. Raises
    InputError.
    """
    seen: list[str] = []
    parser = ParserCreate()
    parser.StartDoctypeDeclHandler = lambda *_: seen.append("doctype")
    parser.StartElementHandler = lambda *_: seen.append("root")
    try:
        with path.open("rb") as file:
            while not seen and (piece := file.read(PIECE)):
                parser.Parse(piece)
    except (ExpatError, ValueError, LookupError):  # broken, or of another encoding
        pass
    if seen and seen[0] == "doctype":
        raise InputError(
            f"{path}: declares a document type, which is not read: remove <!DOCTYPE …>"
        )
