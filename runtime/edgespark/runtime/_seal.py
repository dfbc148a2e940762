"""The manifest's own digest: what finds damage in the one file that no other file names.

It covers what the manifest says, not how it is laid out, and leaves out the sizes and digests of
files: those prove themselves against the files. It finds damage, not forgery.
"""

import hashlib
import json
from typing import TypeAlias

FIELD = "sha256"
FILE_FIELDS = {"path", "bytes", FIELD}

Json: TypeAlias = "dict[str, Json] | list[Json] | str | int | float | bool | None"


def digest(manifest: dict[str, Json]) -> str:
    """Return the SHA-256 of the manifest's canonical JSON, in lower-case hexadecimal digits.

    Canonical: without the top-level field `sha256`, with every file record as its path alone, keys
    sorted, no white space, ASCII.
    """
    covered = {name: _covered(value) for name, value in manifest.items() if name != FIELD}
    text = json.dumps(covered, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def problem(manifest: dict[str, Json]) -> str:
    """Return what is wrong with the digest that the manifest names; "" if nothing is."""
    found, said = digest(manifest), manifest.get(FIELD)
    if found == said:
        return ""
    return f"was changed or damaged: its digest is {found[:16]}…, it says {str(said)[:16]}…"


def _covered(value: Json) -> Json:
    if isinstance(value, list):
        return [_covered(each) for each in value]
    if not isinstance(value, dict):
        return value
    if value.keys() == FILE_FIELDS:
        return value["path"]
    return {name: _covered(each) for name, each in value.items()}
