"""Exports of the hand-made bundle, for the tests of the writer."""

from collections.abc import Callable
from pathlib import Path

from edgespark.export.pack import Draft, pack
from edgespark.runtime import _decode
from edgespark.runtime.bundle import Bundle
from edgespark.runtime.manifest import Manifest
from tests.runtime import bundles


def made(name: str) -> Manifest:
    """Return the hand-made manifest under another name, to tell bundles apart."""
    manifest, problems = _decode.decode(Manifest, bundles.manifest() | {"name": name})
    assert manifest is not None, problems
    return manifest


def fill(draft: Draft) -> None:
    for path, content in bundles.contents().items():
        draft.add(path, content)


def nothing(_: Draft) -> None:
    pass


def export(
    out: Path,
    name: str = "new",
    *,
    replace: bool = False,
    amid: Callable[[Draft], object] = nothing,
) -> Bundle:
    """Export the hand-made bundle; `amid` happens between the last file and the manifest."""
    with pack(out, replace=replace) as draft:
        fill(draft)
        amid(draft)
        return draft.finish(made(name))


def names(folder: Path) -> set[str]:
    return {each.name for each in folder.iterdir()}


def assert_old(out: Path) -> None:
    bundle = Bundle.open(out)
    assert bundle.manifest.name == "old"
    assert bundle.problems() == []
    assert names(out.parent) == {"out"}
