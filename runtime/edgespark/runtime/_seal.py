"""The manifest's own digest: what finds damage in the one file that no other file names.

Its last field, `sha256`, is the digest of the file's bytes with 64 zeros in place of the digits.
It finds damage, not forgery: whoever changes the manifest on purpose can write the digest too.
"""

import hashlib
import re

from edgespark.runtime.manifest import UNSEALED

SEAL = re.compile(rb'"sha256"[ \t\r\n]*:[ \t\r\n]*"([0-9a-f]{64})"[ \t\r\n]*}[ \t\r\n]*\Z')
LONGEST = 1024  # bytes of the file's end that are searched: the field, and white space around it


def seal(content: bytes) -> bytes:
    """Return the manifest's bytes with their digest in its place; ValueError if there is none."""
    begin, end = _place(content)
    return content[:begin] + _digest(content, begin, end) + content[end:]


def problem(content: bytes) -> str:
    """Return what is wrong with the digest of a manifest that is strict JSON; "" if nothing is."""
    try:
        begin, end = _place(content)
    except ValueError as error:
        return f"was changed or damaged: {error}"
    found, said = _digest(content, begin, end).decode(), content[begin:end].decode()
    if found == said:
        return ""
    return f"was changed or damaged: its SHA-256 is {found[:16]}…, it says {said[:16]}…"


def _place(content: bytes) -> tuple[int, int]:
    found = SEAL.search(content, max(0, len(content) - LONGEST))
    if found is None:
        raise ValueError("its last field is not sha256, its own digest in 64 hexadecimal digits")
    return found.span(1)


def _digest(content: bytes, begin: int, end: int) -> bytes:
    zeroed = content[:begin] + UNSEALED.encode() + content[end:]
    return hashlib.sha256(zeroed).hexdigest().encode()
