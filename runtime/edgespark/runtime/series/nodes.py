"""The nodes of a graph: those of an input must be those that the model learned."""

from collections import Counter
from collections.abc import Sequence

from edgespark.runtime.errors import InputError
from edgespark.runtime.preprocessing import Series
from edgespark.runtime.wording import listed, shown


def check_count(record: Series, found: int, name: str) -> None:
    """Refuse another number of nodes than the model learned; InputError."""
    if found != len(record.nodes):
        raise InputError(f"{name}: has {found} nodes; {_static(record)}")


def check_names(record: Series, found: Sequence[str], name: str) -> None:
    """Refuse names, in any order, that are not those of the model's nodes; InputError."""
    double = [node for node, count in Counter(found).items() if count > 1]
    if double:
        raise InputError(f"{name}: has more than one node {listed(double, shown)}")
    there, known = set(found), set(record.nodes)
    lacking = [node for node in record.nodes if node not in there]
    strange = [node for node in found if node not in known]
    if lacking or strange:
        told = [f"lacks {listed(lacking, shown)}"] if lacking else []
        told += [f"has {listed(strange, shown)} besides"] if strange else []
        raise InputError(f"{name}: has {len(found)} nodes and {', '.join(told)}; {_static(record)}")


def _static(record: Series) -> str:
    return (
        f"the graph is static: the model was exported for {len(record.nodes)} nodes "
        f"({listed(record.nodes)}), and another graph needs another model"
    )
