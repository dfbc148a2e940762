"""The manifest's reader: no contradiction, and no hostile byte, goes unnoticed or untold."""

import copy
import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgespark.runtime import _decode, bundle, manifest, preprocessing
from edgespark.runtime.bundle import MANIFEST_LIMIT, Bundle, bytes_from_manifest
from edgespark.runtime.errors import BundleError
from edgespark.runtime.manifest import VERSION, File, Manifest
from tests.runtime import bundles

ATTACKS = sorted((Path(__file__).parent / "attacks").glob("*.json"))
Json = dict[str, Any]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return bundles.write(tmp_path / "bundle")


def patched(value: Json, patch: list[Json]) -> Json:
    """Apply the add, replace and remove of RFC 6902 in place."""
    for step in patch:
        *way, last = [int(key) if key.isdigit() else key for key in step["path"].split("/")[1:]]
        at: Any = value
        for key in way:
            at = at[key]
        if step["op"] != "add":
            del at[last]  # an error where nothing is: the case would not test what it says
        if step["op"] != "remove" and isinstance(at, list):
            at.insert(last, step["value"])
        elif step["op"] != "remove":
            at[last] = step["value"]
    return value


def refusal(root: Path) -> BundleError:
    with pytest.raises(BundleError) as caught:
        Bundle.open(root)
    assert caught.value.exit_code == 3
    str(caught.value).encode()  # can be printed
    return caught.value


def test_a_manifest_written_and_read_again_is_the_same(root: Path) -> None:
    made = Bundle.open(root).manifest
    again, problems = _decode.decode(Manifest, _decode.parse(bytes_from_manifest(made).decode()))

    assert problems == []
    assert again == made


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda path: path.stem)
def test_a_bad_manifest_is_refused_with_its_json_path(attack: Path, root: Path) -> None:
    case = json.loads(attack.read_text(encoding="utf-8").replace("{version}", str(VERSION)))
    if "raw" in case:
        (root / "manifest.json").write_text(case["raw"], encoding="utf-8")
    else:
        bundles.write_manifest(root, patched(bundles.manifest(), case["patch"]))

    error = refusal(root)

    assert [each for each in case["expect"] if each not in str(error)] == []
    assert str(root / "manifest.json") in str(error)
    if case.get("alone"):
        assert len(error.problems) == 1


@pytest.mark.parametrize(
    "content",
    [
        b"\xff\xfe{}",
        b"[" * 200_000,
        b'{"a":' * 100_000,
        b'{"format": "edgespark-bundle", "version": %d' % VERSION + b"0" * 10_000 + b"}",
        b'{"format": "edgespark-bundle", "version": %d, "name": "\0"}' % VERSION,
        b"\0" * 100,
        b" " * (MANIFEST_LIMIT + 1),
        b'{"format": "edgespark-bundle", "version": 1e999}',
    ],
    ids=["utf-16", "lists", "objects", "digits", "nul", "zeros", "long", "infinite"],
)
def test_a_hostile_manifest_is_refused_without_a_traceback(content: bytes, root: Path) -> None:
    (root / "manifest.json").write_bytes(content)

    assert len(refusal(root).problems) == 1


def test_a_deep_value_in_a_field_is_refused(root: Path) -> None:
    value = bundles.manifest()
    deep: Any = []
    for _ in range(400):
        deep = [deep]
    value["name"] = deep

    bundles.write_manifest(root, value)

    assert "$.name: expected str, got list" in str(refusal(root))


def places(value: object) -> list[tuple[Any, Any]]:
    """Return each container in the value with each of its keys."""
    pairs: list[tuple[Any, object]] = []
    if isinstance(value, dict):
        pairs = list(value.items())
    elif isinstance(value, list):
        pairs = list(enumerate(value))
    return [(value, key) for key, _ in pairs] + [
        place for _, inner in pairs for place in places(inner)
    ]


PLACES = len(places(bundles.manifest()))
VALUES = st.sampled_from(
    ["", ".", "a.b", "fp32", "rgb", "decoder", 0, 1, -1, 2**40, 0.5, True, None, [], {}, [[]], [""]]
)


@settings(max_examples=120, deadline=None)
@given(st.lists(st.tuples(st.integers(0, PLACES - 1), VALUES | st.none()), min_size=1, max_size=4))
def test_no_manifest_makes_the_reader_raise(changes: list[tuple[int, Any]]) -> None:
    value = bundles.manifest()
    for index, new in changes:
        found = places(value)
        container, key = found[index % len(found)]
        container[key] = new

    made, problems = bundle._judged(bundles.sealed(value))

    assert made is not None or problems
    if made is not None and not problems:
        assert bundle._judged(bundle.bytes_from_manifest(made)) == (made, [])


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_no_swap_of_two_values_makes_the_reader_raise(data: st.DataObject) -> None:
    value = bundles.manifest()
    found = places(value)
    (one, a), (other, b) = (found[data.draw(st.integers(0, PLACES - 1))] for _ in range(2))
    one[a], other[b] = copy.deepcopy(other[b]), copy.deepcopy(one[a])

    made, problems = bundle._judged(bundles.sealed(value))

    assert made is not None or problems


RECORDS = [
    *(each for each in vars(manifest).values() if dataclasses.is_dataclass(each)),
    *(each for each in vars(preprocessing).values() if dataclasses.is_dataclass(each)),
]


@pytest.mark.parametrize("record", RECORDS)
def test_the_specification_names_every_field(record: type[File]) -> None:
    text = (Path(__file__).parents[2] / "docs" / "bundle.md").read_text(encoding="utf-8")

    assert [each.name for each in dataclasses.fields(record) if f"`{each.name}`" not in text] == []
