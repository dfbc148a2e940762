"""Arrays in an .npz file (NumPy's NEP 1 in a zip archive), read as if a stranger had made it."""

import io
import zipfile
import zlib
from tokenize import TokenError

import numpy as np

from edgespark.runtime.backends import Array
from edgespark.runtime.errors import BundleError
from edgespark.runtime.letters import has_letters

BROKEN = (
    *(OSError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError),
    *(ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError, MemoryError),
    *(SyntaxError, TokenError),
)
"""What zipfile raises for damage, encryption and unknown methods, and numpy for odd headers."""

GROWTH = 64
"""How many times its size in the file an archive may take in memory; honest arrays stay below."""
ALLOWANCE = 64 << 20
"""Bytes that an archive may take in memory whatever its size."""


def arrays_from_npz(content: bytes, where: str) -> dict[str, Array]:
    """Return the arrays by name; `where` names the file in messages.

    BundleError where it is none, holds objects, or would take far more memory than it has bytes.
    """
    try:
        _check_size(content)
        with np.load(io.BytesIO(content), allow_pickle=False) as loaded:
            return {name: _array(loaded[name]) for name in loaded.files}
    except BROKEN as error:
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise BundleError(where, [f"no .npz of plain arrays: {reason}"]) from error


def _check_size(content: bytes) -> None:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        unpacked = sum(entry.file_size for entry in archive.infolist())
    if unpacked > GROWTH * len(content) + ALLOWANCE:
        raise ValueError(f"its {len(content)} bytes would become {unpacked}")


def _array(value: object) -> Array:
    if not isinstance(value, np.ndarray):  # an entry that is no .npy file comes as its bytes
        raise TypeError("an entry is no .npy file")
    if not has_letters(value):
        raise ValueError("text in it holds what is no letter of Unicode")
    return value
