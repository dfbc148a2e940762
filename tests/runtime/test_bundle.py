"""The files of a bundle: what is opened, what is refused, and that it says why."""

import contextlib
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from edgespark.runtime.bundle import Bundle
from edgespark.runtime.errors import BundleError, MissingInput
from edgespark.runtime.manifest import File
from tests.runtime import bundles

DATA = "graphs/decoder.fp32.onnx.data"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return bundles.write(tmp_path / "bundle")


def refusal(root: Path) -> BundleError:
    with pytest.raises(BundleError) as caught:
        Bundle.open(root)
    assert caught.value.exit_code == 3
    str(caught.value).encode()  # can be printed
    return caught.value


def test_a_valid_bundle_opens_without_a_problem(root: Path) -> None:
    bundle = Bundle.open(str(root))

    assert bundle.root == root
    assert bundle.problems() == []
    assert {file.path for file in bundle.files()} == set(bundles.contents())


def test_each_file_is_read_as_it_was_written(root: Path) -> None:
    bundle = Bundle.open(root)

    for file in bundle.files():
        assert bundle.read(file) == bundles.contents()[file.path]
        assert bundle.verified(file) == root / file.path


def test_a_folder_that_is_not_there_is_a_missing_input(tmp_path: Path) -> None:
    for path in (tmp_path / "none", tmp_path / ("x" * 300), tmp_path / "nul\0"):
        with pytest.raises(MissingInput, match="no bundle at") as caught:
            Bundle.open(path)
        assert caught.value.exit_code == 2


def test_a_file_is_no_bundle(root: Path) -> None:
    with pytest.raises(MissingInput, match=r"a bundle is one, with manifest\.json in it"):
        Bundle.open(root / "card.md")


def test_a_folder_without_a_manifest_is_no_bundle(tmp_path: Path) -> None:
    assert "no manifest.json in it, so this is not a bundle" in str(refusal(tmp_path))


def make_folder(path: Path) -> None:
    path.mkdir()


def make_pipe(path: Path) -> None:
    os.mkfifo(path)


def make_loop(path: Path) -> None:
    path.symlink_to(path.name)


def make_dangling(path: Path) -> None:
    path.symlink_to("nowhere")


REPLACEMENTS: dict[str, tuple[Callable[[Path], None], str]] = {
    "folder": (make_folder, "is not a regular file"),
    "pipe": (make_pipe, "is not a regular file"),
    "loop": (make_loop, "cannot be read"),
    "dangling": (make_dangling, "is missing"),
}


@pytest.mark.parametrize("name", ["manifest.json", "tokenizer.json", "graphs/decoder.fp32.onnx"])
@pytest.mark.parametrize("kind", REPLACEMENTS)
def test_what_is_no_regular_file_is_an_error_and_never_a_hang(
    kind: str, name: str, root: Path
) -> None:
    make, expected = REPLACEMENTS[kind]
    (root / name).unlink()
    make(root / name)

    found = refusal(root).problems if name == "manifest.json" else Bundle.open(root).problems()

    assert any(name in each and expected in each for each in found)


@pytest.mark.parametrize("name", ["manifest.json", "card.md"])
def test_a_link_that_leaves_the_bundle_is_an_error_even_to_equal_bytes(
    name: str, root: Path
) -> None:
    outside = root.parent / "outside"
    (root / name).rename(outside)
    (root / name).symlink_to(outside)

    found = refusal(root).problems if name == "manifest.json" else Bundle.open(root).problems()

    assert list(found) == [f"{name!r} leads out of the bundle, to {outside}"]


def test_a_linked_folder_that_leaves_the_bundle_is_an_error(root: Path) -> None:
    (root / "samples").rename(root.parent / "samples")
    (root / "samples").symlink_to(root.parent / "samples")

    found = Bundle.open(root).problems()

    assert any("'samples/rgb.npz' leads out of the bundle" in each for each in found)
    assert "'samples' is a link that leads out of the bundle" in found


def test_a_link_inside_the_bundle_is_followed(root: Path) -> None:
    (root / "card.md").rename(root / "text.md")
    (root / "card.md").symlink_to("text.md")

    assert Bundle.open(root).problems() == ["'text.md' is not in the manifest"]


def test_a_bundle_may_be_reached_through_a_link(root: Path) -> None:
    (root.parent / "current").symlink_to(root)

    assert Bundle.open(root.parent / "current").root == root


def test_a_bundle_stays_found_when_the_working_directory_changes(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(root.parent)
    bundle = Bundle.open("bundle")
    monkeypatch.chdir("/")

    assert bundle.problems() == []


@pytest.mark.parametrize("path", sorted(bundles.contents()))
def test_a_flipped_byte_in_any_file_is_told(path: str, root: Path) -> None:
    content = bytearray((root / path).read_bytes())
    content[-1] ^= 1
    (root / path).write_bytes(content)
    bundle = Bundle.open(root)
    file = next(each for each in bundle.files() if each.path == path)

    for use in (bundle.read, bundle.verified):
        with pytest.raises(BundleError, match="was changed: its SHA-256 is"):
            use(file)
    assert [each for each in bundle.problems() if path not in each] == []


@pytest.mark.parametrize("flip", [('"mean": 90.0', '"mean": 90.5'), ('"hand-made"', '"hand-Made"')])
def test_a_change_that_looks_right_is_told_by_the_digest(flip: tuple[str, str], root: Path) -> None:
    path = root / "manifest.json"
    path.write_text(path.read_text().replace(*flip, 1))

    (told,) = refusal(root).problems
    assert told.startswith("was changed or damaged: its digest is ")


def test_a_change_that_can_be_named_is_told_by_name(root: Path) -> None:
    path = root / "manifest.json"
    path.write_text(path.read_text().replace('"name"', '"surname"', 1))

    assert "$.surname: unknown field" in str(refusal(root))


def test_another_layout_of_the_same_manifest_is_the_same(root: Path) -> None:
    path = root / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()), sort_keys=True))

    assert Bundle.open(root).problems() == []


def test_a_manifest_without_a_digest_is_damaged(root: Path) -> None:
    path = root / "manifest.json"
    value = json.loads(path.read_text())
    del value["sha256"]
    path.write_text(json.dumps(value))

    assert "was changed or damaged" in str(refusal(root))


def test_a_flipped_bit_in_any_byte_of_the_manifest_is_told(root: Path) -> None:
    path = root / "manifest.json"
    honest = path.read_bytes()
    for place in [*range(0, len(honest), 61), *range(len(honest) - 90, len(honest) - 1)]:
        content = bytearray(honest)
        content[place] ^= 1 << place % 8
        path.write_bytes(content)
        with contextlib.suppress(BundleError):
            assert Bundle.open(root).problems() != []


def test_a_bundle_that_was_resealed_is_whole(root: Path) -> None:
    (root / "card.md").write_bytes(b"another card")
    bundles.reseal(root)

    assert Bundle.open(root).problems() == []


@pytest.mark.parametrize("content", [b"", b"x" * 5000])
def test_a_file_of_another_size_is_told_with_both_sizes(content: bytes, root: Path) -> None:
    (root / DATA).write_bytes(content)

    assert Bundle.open(root).problems() == [
        f"{DATA!r} has {len(content)} bytes, the manifest says 4096"
    ]


def test_missing_changed_and_unlisted_files_are_all_told_at_once(root: Path) -> None:
    (root / "card.md").unlink()
    (root / "tokenizer.json").write_bytes(b"[]")
    (root / "graphs/spare.onnx").write_bytes(b"")
    (root / "derived/0f").mkdir(parents=True)
    (root / "derived/0f/engine.plan").write_bytes(b"made later")

    found = Bundle.open(root).problems()

    assert len(found) == 3
    assert found[1:] == ["'card.md' is missing", "'graphs/spare.onnx' is not in the manifest"]
    assert found[0].startswith("'tokenizer.json' was changed")


def test_derived_may_not_lead_out_of_the_bundle(root: Path) -> None:
    (root / "derived").symlink_to("/")

    assert Bundle.open(root).problems() == ["'derived' is a link that leads out of the bundle"]


def test_a_path_through_a_file_is_an_error(root: Path) -> None:
    bundle = Bundle.open(root)
    file = File(path="card.md/inner", bytes=0, sha256="0" * 64)

    with pytest.raises(BundleError, match=r"'card\.md/inner' cannot be read"):
        bundle.read(file)
