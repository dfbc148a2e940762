"""What the readers share: arrays out of values, files told by their suffix, XML without types."""

from pathlib import Path

import numpy as np
import pytest

from edgespark.runtime.arrays import array_from_value, unmasked
from edgespark.runtime.errors import InputError, MissingInput
from edgespark.runtime.markup import Part, parts
from edgespark.runtime.paths import by_suffix, check_path
from edgespark.runtime.wording import listed

KINDS = {".csv": 1, ".npy": 2, "": 3}


def test_an_array_is_taken_as_it_is() -> None:
    masked = np.ma.MaskedArray([1, 2], [False, True])
    assert array_from_value(masked, "an array") is masked


def test_a_list_is_no_array() -> None:
    with pytest.raises(InputError, match="expected an array or a path, got list"):
        array_from_value([1, 2], "an array or a path")


def test_what_is_masked_becomes_nan() -> None:
    made = unmasked(np.ma.MaskedArray([1, 2], [False, True]))
    assert made.dtype == np.float64
    np.testing.assert_array_equal(made, [1, np.nan])
    plain = np.arange(3)
    assert unmasked(plain) is plain


def test_a_file_is_told_by_its_suffix(tmp_path: Path) -> None:
    assert by_suffix("a.CSV", KINDS) == 1
    assert by_suffix(tmp_path / "scene", KINDS) == KINDS[""]
    (tmp_path / "a.gif").touch()
    with pytest.raises(InputError, match=r"what it is by '\.gif'; there are: \.csv, \.npy$"):
        by_suffix(tmp_path / "a.gif", KINDS)
    with pytest.raises(MissingInput, match="there is no such file"):
        by_suffix(tmp_path / "b.gif", KINDS)


@pytest.mark.parametrize("path", ["", None, 3, b"a.csv"])
def test_what_is_no_path_is_refused(path: object) -> None:
    with pytest.raises(InputError, match="expected the path of a table, got"):
        check_path(path, "table")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_a_document_type_is_refused_in_any_encoding(tmp_path: Path, encoding: str) -> None:
    path, head = tmp_path / "a.xml", f'<?xml version="1.0" encoding="{encoding}"?>{" " * 5000}'
    path.write_bytes(f'{head}<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>'.encode(encoding))
    with pytest.raises(InputError, match=r"a\.xml: declares a document type"):
        list(parts(path, "GPX"))
    path.write_bytes(f"{head}<a>{'<b/>' * 9}<!DOCTYPE a></a>".encode(encoding))
    with pytest.raises(InputError, match=r"a\.xml: cannot be read as GPX"):
        list(parts(path, "GPX"))


@pytest.mark.parametrize("content", [b"", b"no XML", b'<?xml version="1.0" encoding="big5"?><a/>'])
def test_what_is_no_xml_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.xml").write_bytes(content)
    with pytest.raises(InputError, match=r"a\.xml: cannot be read as GPX"):
        list(parts(tmp_path / "a.xml", "GPX"))


def test_elements_are_told_with_what_is_around_them(tmp_path: Path) -> None:
    (tmp_path / "a.xml").write_text('<a b="1">x<g:c>y&lt;</g:c>z</a>')
    assert list(parts(tmp_path / "a.xml", "GPX")) == [
        Part(ends=False, name="a", inside="", attributes={"b": "1"}),
        Part(ends=False, name="c", inside="a", attributes={}),
        Part(ends=True, name="c", inside="a", attributes={}, text="y<"),
        Part(ends=True, name="a", inside="", attributes={"b": "1"}, text="z"),
    ]


def test_of_many_names_the_first_are_listed() -> None:
    assert listed("abc") == "a, b, c"
    assert listed(map(str, range(30))).endswith("10, 11 and 18 more")
