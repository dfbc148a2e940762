"""Files of graphs: GraphML, and CSV files of edges; only the names of their nodes are taken."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from edgespark.runtime.errors import InputError
from edgespark.runtime.markup import Part, check_root, parts
from edgespark.runtime.names import LONGEST_NAME, check_room
from edgespark.runtime.paths import by_suffix, checked_file
from edgespark.runtime.preprocessing import Series
from edgespark.runtime.rows import column, comma_rows
from edgespark.runtime.series.nodes import check_names
from edgespark.runtime.wording import listed, shown

ENDS = ("source", "from", "start", "u"), ("target", "to", "end", "v")
NAMED = ("name", "label")
FORM, ROOT, GRAPH, NODE = "GraphML", "graphml", "graph", "node"


def check_graph(record: Series, name: str | Path) -> None:
    """Refuse a graph whose nodes are not the model's.

    The nodes of GraphML are named by their ids, or by a `name` or `label` that each has; those of a
    CSV file of edges stand in its columns `source` and `target` (or from, to; start, end; u, v),
    one without an edge beside an empty cell. Raises InputError.
    """
    path = checked_file(name)
    choices = by_suffix(path, FORMATS)(path)
    if not any(sorted(names) == sorted(record.nodes) for names in choices):
        check_names(record, choices[-1], str(path))


def _edges(path: Path) -> list[list[str]]:
    rows = comma_rows(path)
    _, header = next(rows)
    source, target = (column(path, header, end) for end in ENDS)
    if source is None or target is None:
        raise InputError(
            f"{path}: expected a CSV file of edges with the columns source and target, got "
            f"{listed(header)}"
        )
    found: dict[str, None] = {}
    for line, cells in rows:
        for node in (cells[source], cells[target]):
            if node and node not in found:
                check_room(f"{path}: line {line}", NODE, found, node)
                found[node] = None
    return [list(found)]


@dataclass(slots=True)
class Reader:
    """What has been read of a GraphML file: which keys stand for names, and what each node has."""

    path: Path
    graphs: int = 0
    keys: dict[str, str] = field(default_factory=dict)
    nodes: dict[str, dict[str, str]] = field(default_factory=dict)
    last: dict[str, str] = field(default_factory=dict)

    def take(self, part: Part) -> None:
        """Go on with the next start or end of an element."""
        take = TAKEN.get((part.ends, part.name))
        if take is not None:
            take(self, part)

    def named(self, key: str) -> list[str]:
        """Return the nodes' values of a key, of those that have one."""
        return [given[key] for given in self.nodes.values() if given.get(key)]


def _begin_graph(reader: Reader, part: Part) -> None:
    reader.graphs += part.inside == ROOT  # a group of nodes may have one of its own
    if reader.graphs > 1:
        raise InputError(f"{reader.path}: holds more than one graph; expected the model's")


def _begin_key(reader: Reader, part: Part) -> None:
    names = part.attributes.get("id", ""), part.attributes.get("attr.name", "")
    check_room(str(reader.path), "key", reader.keys, max(names, key=len))
    reader.keys[names[0]] = names[1]


def _begin_node(reader: Reader, part: Part) -> None:
    name = part.attributes.get("id", "")
    check_room(str(reader.path), NODE, reader.nodes, name)
    if not name or name in reader.nodes:
        raise InputError(f"{reader.path}: has no id for a node, or has it twice: {shown(name)}")
    reader.last = reader.nodes[name] = {}


def _end_data(reader: Reader, part: Part) -> None:
    key = part.attributes.get("key", "")
    if part.inside == NODE and key not in reader.keys:
        raise InputError(f"{reader.path}: cannot be read as GraphML: no key {shown(key)} before")
    if part.inside == NODE and reader.keys[key] in NAMED:
        _name(reader, reader.keys[key], part)


def _end_label(reader: Reader, part: Part) -> None:
    _name(reader, "label", part)


def _name(reader: Reader, key: str, part: Part) -> None:
    reader.last[key] = part.text.strip()[: LONGEST_NAME + 1]  # longer is no node's name


TAKEN: dict[tuple[bool, str], Callable[[Reader, Part], None]] = {
    (False, GRAPH): _begin_graph,
    (False, "key"): _begin_key,
    (False, NODE): _begin_node,
    (True, "data"): _end_data,
    (True, "NodeLabel"): _end_label,  # yEd's
}
"""The starts and ends of elements that are looked at."""


def _graphml(path: Path) -> list[list[str]]:
    """Return the ids, behind them the names and labels where each node has one.

    Only these are kept of the file; http://graphml.graphdrawing.org/specification.html.
    """
    reader = Reader(path)
    for part in parts(path, FORM):
        check_root(path, part, ROOT, FORM)
        reader.take(part)
    if not reader.graphs:
        raise InputError(f"{path}: holds no graph; expected a GraphML file")
    ids = list(reader.nodes)
    given = [reader.named(key) for key in NAMED]
    return [ids, *(names for names in given if names and len(names) == len(ids))]


FORMATS: dict[str, Callable[[Path], list[list[str]]]] = {".graphml": _graphml, ".csv": _edges}
