"""Archives of arrays: whatever is wrong with one, it is a broken bundle in one line."""

import io
import zipfile
from collections.abc import Callable

import numpy as np
import pytest

from edgespark.runtime import npz
from edgespark.runtime.errors import BundleError
from edgespark.runtime.npz import arrays_from_npz
from tests.runtime.on_disk import npz as packed


def header(shape: tuple[int, ...], descr: str = "<f4") -> bytes:
    stream = io.BytesIO()
    fields = {"descr": descr, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(stream, fields)
    return stream.getvalue()


def zipped(entry: bytes, method: int = zipfile.ZIP_STORED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        archive.writestr("a.npy", entry)
    return stream.getvalue()


def patched(content: bytes, local: int, central: int, value: int) -> bytes:
    """Return the archive with a byte changed in both headers of its one entry."""
    made = bytearray(content)
    made[local] = made[made.find(b"PK\x01\x02") + central] = value
    return bytes(made)


def damaged() -> bytes:
    made = bytearray(zipped(bytes(range(256)) * 9, zipfile.ZIP_DEFLATED))
    made[50:60] = b"\xff" * 10
    return bytes(made)


def npy() -> bytes:
    stream = io.BytesIO()
    np.save(stream, np.zeros(3))
    return stream.getvalue()


BROKEN: dict[str, Callable[[], bytes]] = {
    "nothing": bytes,
    "an array alone": npy,
    "objects": lambda: zipped(b"\x93NUMPY\x01\x00\x46\x00" + b"{'descr': '|O'}".ljust(70)),
    "no array": lambda: zipped(b"hello"),
    "a header that never ends": lambda: zipped(b"\x93NUMPY\x01\x00\x10\x00" + b"((".ljust(16)),
    "more than an address can count": lambda: zipped(header((1 << 62,))),
    "more than there is": lambda: zipped(header((1 << 45,))),
    "text of no letters": lambda: zipped(header((1,), "<U2") + b"\xff" * 8),
    "less than promised": lambda: zipped(header((9,)) + bytes(8)),
    "a password": lambda: patched(zipped(npy()), 6, 8, 1),
    "an unknown method": lambda: patched(zipped(npy()), 8, 10, 99),
    "damage": damaged,
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_archive_is_a_broken_bundle_in_one_line(name: str) -> None:
    with pytest.raises(BundleError, match=r"x\.npz: no \.npz of plain arrays: .") as caught:
        arrays_from_npz(BROKEN[name](), "x.npz")
    assert "\n" not in str(caught.value)


def test_an_archive_that_would_fill_the_memory_is_not_unpacked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(np, "load", lambda *_, **__: pytest.fail("unpacked"))
    monkeypatch.setattr(npz, "ALLOWANCE", 1 << 20)
    with pytest.raises(BundleError, match=r"its \d+ bytes would become 8388608"):
        arrays_from_npz(zipped(bytes(8 << 20), zipfile.ZIP_DEFLATED), "bomb.npz")


def test_honest_arrays_come_back_by_name() -> None:
    made = {"a": np.arange(3), "b": np.array(["x", "東"])}
    for name, array in arrays_from_npz(packed(made), "x.npz").items():
        np.testing.assert_array_equal(array, made[name])
