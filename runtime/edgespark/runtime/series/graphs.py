"""Files of graphs: GraphML, and CSV files of edges; only the names of their nodes are taken."""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import ParseError

from edgespark.runtime.errors import InputError, MissingExtra
from edgespark.runtime.markup import refuse_doctype
from edgespark.runtime.paths import by_suffix, checked_file
from edgespark.runtime.preprocessing import Series
from edgespark.runtime.rows import comma_rows
from edgespark.runtime.series.nodes import check_names

ENDS = ("source", "from", "start", "u"), ("target", "to", "end", "v")
NAMED = ("name", "label")
BROKEN = (ParseError, OSError, LookupError, ValueError, TypeError, AttributeError)
"""What networkx raises for files that are no GraphML."""
LARGEST = 1 << 26
"""Bytes of a GraphML file, which is read whole."""


def check_graph(record: Series, name: str | Path) -> None:
    """Refuse a graph whose nodes are not the model's.

    The nodes of GraphML are named by their ids, or by a `name` or `label` that each has; those of a
    CSV file of edges stand in its columns `source` and `target` (or from, to; start, end; u, v),
    one without an edge beside an empty cell. Raises InputError, MissingExtra.
    """
    path = checked_file(name)
    choices = by_suffix(path, FORMATS)(path)
    if not any(sorted(names) == sorted(record.nodes) for names in choices):
        check_names(record, choices[-1], str(path))


def _edges(path: Path) -> list[list[str]]:
    rows = comma_rows(path)
    _, names = next(rows)
    header = [name.lower() for name in names]
    places = [next((i for i, name in enumerate(header) if name in end), None) for end in ENDS]
    if None in places:
        raise InputError(
            f"{path}: expected a CSV file of edges with the columns source and target, got "
            f"{', '.join(names[:6])}"
        )
    found: dict[str, None] = {}
    for _, cells in rows:
        found.update((cells[place], None) for place in places if place is not None and cells[place])
    return [list(found)]


def _graphml(path: Path) -> list[list[str]]:
    """Return the ids, behind them the names and labels where each node has one."""
    if path.stat().st_size > LARGEST:
        raise InputError(f"{path}: is larger than {LARGEST} bytes; a graph of nodes was expected")
    refuse_doctype(path)
    networkx = _networkx()
    try:
        nodes = dict(networkx.read_graphml(path).nodes(data=True))
    except (*BROKEN, networkx.NetworkXException) as error:
        raise InputError(f"{path}: cannot be read as GraphML: {_reason(error)}") from error
    ids = [str(node) for node in nodes]
    given = [[str(data[key]) for data in nodes.values() if data.get(key)] for key in NAMED]
    return [ids, *(names for names in given if names and len(names) == len(ids))]


def _reason(error: Exception) -> str:
    return str(error).partition("\n")[0][:120] or type(error).__name__


def _networkx() -> Any:  # noqa: ANN401 imported late
    try:
        return import_module("networkx")
    except ImportError as error:
        raise MissingExtra(
            f"GraphML is read with networkx, which cannot be imported ({error}): "
            "pip install 'edgespark[graphs]'"
        ) from error


FORMATS: dict[str, Callable[[Path], list[list[str]]]] = {".graphml": _graphml, ".csv": _edges}
