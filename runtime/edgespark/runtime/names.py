"""The names that a file gives to agents and nodes, which are kept until its end."""

from collections.abc import Sized

from edgespark.runtime.errors import InputError
from edgespark.runtime.wording import shown

MOST_NAMES = 1 << 16
"""Names of a file that are told apart; no scene has so many agents, no model so many nodes."""
LONGEST_NAME = 1 << 10
"""Letters of a name; so all of them take 64 MiB at most, or 256 in scripts beyond Unicode's BMP."""


def check_room(where: str, what: str, known: Sized, name: str) -> None:
    """Refuse one more name of an agent or a node, where it is too long or they are too many.

    Raises InputError that begins with `where` and calls each of them `what`.
    """
    if len(name) > LONGEST_NAME:
        raise InputError(
            f"{where}: the name of {what} {shown(name)} has {len(name)} letters; expected "
            f"{LONGEST_NAME} at most"
        )
    if len(known) >= MOST_NAMES:
        raise InputError(
            f"{where}: has more {what}s than the {MOST_NAMES} that are told apart: keep those that "
            "are needed"
        )
