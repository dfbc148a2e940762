"""`edgespark build` where something is wrong: it tells where the fault lies, and what helps."""

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from edgespark.engines import build as builds
from edgespark.engines import lowerings
from edgespark.engines.build import Outcome, prune
from edgespark.engines.cpu_parts import lower_part
from edgespark.engines.proof import Proof
from edgespark.engines.shelf import Shelf, open_shelf, own_shelf
from edgespark.runtime import derived, in_place, load, verify
from edgespark.runtime.backends import Program, Session
from edgespark.runtime.backends import onnxruntime as backend
from edgespark.runtime.bundle import Bundle, bytes_from_manifest
from edgespark.runtime.cli import main
from edgespark.runtime.derived import CACHE, find
from edgespark.runtime.derived_record import Derived
from edgespark.runtime.derived_shelf import Entry
from edgespark.runtime.errors import BundleError, DeviceError, EdgesparkWarning, OutputError
from edgespark.runtime.in_place import Laid
from edgespark.runtime.reference import Probe
from edgespark.runtime.verify import Row
from tests.engines.derivable import CPU, PATH, built, derivable

STALE = "0" * 32


@pytest.fixture
def bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bundle:
    monkeypatch.delenv(CACHE, raising=False)
    return derivable(tmp_path / "bundle")


def encoder(bundle: Bundle) -> Outcome:
    return built(bundle)["encoder_rgb int8"]


def made(bundle: Bundle) -> Path:
    folder = encoder(bundle).folder
    assert folder is not None
    return folder


def found(bundle: Bundle) -> derived.Found | None:
    part = bundle.manifest.part("encoder_rgb")
    return find(bundle, part, part.graphs[1], CPU.lowering)


def refuse_writes(monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
    """Let nothing be made below `root`, as on a disk that is read-only."""
    mkdir = Path.mkdir

    def refuse(path: Path, *given: Any, **named: Any) -> None:  # noqa: ANN401 as mkdir has it
        if path.is_relative_to(root):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))
        mkdir(path, *given, **named)

    monkeypatch.setattr(Path, "mkdir", refuse)


def put(folder: Path, graph: bytes) -> None:
    """Put another graph in a derived folder, with hashes that are right."""
    record = json.loads((folder / "derived.json").read_bytes())
    told = record["file"]
    (folder / told["path"]).write_bytes(graph)
    told |= {"bytes": len(graph), "sha256": hashlib.sha256(graph).hexdigest()}
    (folder / "derived.json").write_text(json.dumps(record))


def unknown(folder: Path) -> bytes:
    """Return the graph of a derived folder with an operator that no engine has."""
    model = onnx.load(folder / "encoder_rgb.int8.onnx")
    model.graph.node[0].domain = "com.nowhere"
    model.opset_import.add(domain="com.nowhere", version=1)
    return bytes(model.SerializeToString())


def other_port(folder: Path) -> bytes:
    model = onnx.load(folder / "encoder_rgb.int8.onnx")
    model.graph.node[-1].output[0] = model.graph.output[0].name = "strange"
    return bytes(model.SerializeToString())


UNOPENED: dict[str, Callable[[Path], bytes]] = {
    "no graph": lambda _: b"hello",
    "an unknown operator": unknown,
    "another port": other_port,
}


def test_what_is_broken_in_a_read_only_bundle_is_told_and_the_cache_is_left_alone(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = made(bundle)
    cached = tmp_path / "cache" / own.name
    shutil.copytree(own, cached)
    monkeypatch.setenv(CACHE, str(cached.parent))
    (own / "derived.json").unlink()
    before = (cached / "derived.json").stat().st_ino
    refuse_writes(monkeypatch, bundle.root)
    for call in (lambda: encoder(bundle), lambda: found(bundle)):
        with pytest.raises(BundleError, match="delete this folder") as told:
            call()
        assert str(told.value).startswith(f"{own}: ")
    assert (cached / "derived.json").stat().st_ino == before
    shutil.rmtree(own)
    assert encoder(bundle).folder == cached


@pytest.mark.parametrize("what", UNOPENED)
def test_a_graph_of_right_hashes_that_does_not_open_is_made_again(
    what: str, bundle: Bundle
) -> None:
    folder = made(bundle)
    put(folder, UNOPENED[what](folder))
    assert found(bundle) is not None
    with pytest.warns(EdgesparkWarning, match="it is made again") as told:
        assert encoder(bundle).state == "made"
    assert str(folder) in str(told[0].message)
    assert "delete" not in str(told[0].message)
    assert encoder(bundle).state == "kept"


def short(monkeypatch: pytest.MonkeyPatch, said: str) -> None:
    """Let nothing that is derived be opened, as where memory or threads are refused."""
    honest = backend.open_session

    def refuse(program: Program) -> Session:
        if program.where.startswith("derived/"):
            raise DeviceError(f"{program.where}: {said}")
        return honest(program)

    monkeypatch.setattr(backend, "open_session", refuse)


def test_what_cannot_be_opened_for_want_of_memory_is_not_deleted(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = made(bundle)
    before = (folder / "derived.json").stat().st_ino
    with monkeypatch.context() as patched:
        short(patched, "std::bad_alloc")
        with pytest.raises(DeviceError, match="bad_alloc") as told:
            encoder(bundle)
        assert "delete" not in str(told.value)
        assert main(["build", str(bundle.root)]) == 4
        assert "bad_alloc" in capsys.readouterr().err
    assert (folder / "derived.json").stat().st_ino == before
    assert encoder(bundle).state == "kept"


def test_what_does_not_open_is_left_until_another_one_is_made(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = made(bundle)
    put(folder, unknown(folder))

    def full(_: Shelf, __: int, what: str) -> None:
        if what == "encoder_rgb int8":
            raise OutputError("the disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(Shelf, "check_room", full)
        with (
            pytest.warns(EdgesparkWarning, match="it is made again"),
            pytest.raises(OutputError, match="disk is full"),
        ):
            encoder(bundle)
    assert found(bundle) is not None


def test_what_does_not_open_goes_where_nothing_takes_its_place(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = made(bundle)
    put(folder, unknown(folder))
    monkeypatch.setattr(lowerings, "lower_part", lambda *_: None)
    with pytest.warns(EdgesparkWarning, match="it is made again"):
        assert encoder(bundle).state == "portable"
    assert found(bundle) is None


@pytest.mark.parametrize("where", ["opened", "laid"])
def test_a_proof_that_memory_does_not_suffice_for_is_no_fault_of_what_was_made(
    where: str, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    if where == "opened":
        short(monkeypatch, "std::bad_alloc")
    else:

        def refuse(session: Session, probe: Probe, record: Derived | None) -> Laid:
            if record is not None:
                raise DeviceError("its states do not fit the memory")
            return in_place.laid(session, probe, record)

        monkeypatch.setattr(verify, "laid", refuse)
    with pytest.raises(DeviceError, match=r"bad_alloc|do not fit the memory") as told:
        encoder(bundle)
    assert "thrown away" not in str(told.value)
    assert [each.name for each in (bundle.root / "derived").iterdir()] == [".lock"]


@pytest.mark.parametrize("what", UNOPENED)
def test_load_says_which_folder_to_delete_where_a_graph_does_not_open(
    what: str, bundle: Bundle
) -> None:
    folder = made(bundle)
    put(folder, UNOPENED[what](folder))
    spark = load(bundle.root, precision="int8")
    image = np.zeros(spark_shape(bundle), np.float32)
    with pytest.raises((BundleError, DeviceError)) as told:
        spark.generate("hi", rgb=image, max_tokens=1)
    for said in (str(folder), "delete this folder", "edgespark build"):
        assert said in str(told.value)
    assert "manifest" not in str(told.value)
    assert main(["verify", str(bundle.root)]) in {3, 4}


def spark_shape(bundle: Bundle) -> tuple[int, ...]:
    axes = bundle.manifest.part("encoder_rgb").inputs[0].axes[1:]
    return tuple(axis.low for axis in axes)


def test_what_the_engine_is_too_old_to_open_is_kept(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(made(bundle), b"hello")
    monkeypatch.setattr(derived, "usable", lambda _: "it needs a newer one")
    assert encoder(bundle).state == "kept"


@pytest.mark.parametrize("what", UNOPENED)
def test_a_lowering_whose_graph_does_not_run_fails_and_stops_nothing(
    what: str, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(graph: Path, role: Any, precision: Any, into: Path) -> Any:  # noqa: ANN401 as it is
        given = lower_part(graph, role, precision, into)
        if given is not None:
            into.write_bytes(UNOPENED[what](into.parent))
        return given

    monkeypatch.setattr(lowerings, "lower_part", broken)
    done = built(bundle)
    failed = done["encoder_rgb int8"]
    assert (failed.state, failed.folder) == ("failed", None)
    assert failed.reason.startswith("encoder_rgb int8 cpu-2: what was made does not run: ")
    assert "delete" not in failed.reason
    assert [each.state for each in done.values()].count("failed") == 1
    assert [each.name for each in (bundle.root / "derived").iterdir()] == [".lock"]


def changed(bundle: Bundle, factor: float) -> Bundle:
    """Change the weights of the portable encoder, with hashes that are right."""
    model = onnx.load(bundle.root / PATH)
    for each in model.graph.initializer:
        if each.data_type == onnx.TensorProto.FLOAT:
            array = onnx.numpy_helper.to_array(each) * np.float32(factor)
            each.CopyFrom(onnx.numpy_helper.from_array(array, each.name))
    content = model.SerializeToString()
    (bundle.root / PATH).write_bytes(content)
    part = bundle.manifest.part("encoder_rgb")
    wide, narrow = part.graphs
    digest = hashlib.sha256(content).hexdigest()
    file = replace(narrow.file, bytes=len(content), sha256=digest)
    graphs = (wide, replace(narrow, file=file))
    parts = [
        replace(each, graphs=graphs) if each.name == part.name else each
        for each in bundle.manifest.parts
    ]
    manifest = replace(bundle.manifest, parts=tuple(parts))
    (bundle.root / "manifest.json").write_bytes(bytes_from_manifest(manifest))
    return Bundle.open(bundle.root)


def test_a_portable_graph_that_is_beyond_its_limit_is_not_told_as_the_lowerings_fault(
    bundle: Bundle, capsys: pytest.CaptureFixture[str]
) -> None:
    failed = encoder(changed(bundle, 3.0))
    assert (failed.state, failed.folder) == ("failed", None)
    assert failed.reason.startswith("encoder_rgb int8: the portable graph itself is ")
    assert "edgespark verify" in failed.reason
    assert main(["build", str(bundle.root)]) == 5
    assert "the portable graph itself is" in capsys.readouterr().err


def measured(error: float, form: str) -> Row:
    return Row(
        name="a",
        precision="int8",
        error=error,
        limit=0.1,
        bytes=1,
        ms=1.0,
        how="native",
        form=form,
    )


@pytest.mark.parametrize(
    ("before", "after", "apart", "said"),
    [
        (0.01, 0.01, 0.001, ""),
        (0.01, 0.5, 0.5, "a int8 cpu-2: 5.0e-01 standard deviations from PyTorch"),
        (0.01, 0.05, 0.04, "a int8 cpu-2: 4.0e-02 standard deviations from the portable"),
        (0.5, 0.5, 0.001, "a int8: the portable graph itself"),
        (0.5, 0.01, 0.5, "a int8: the portable graph itself"),  # of codes that saturate
        (float("inf"), float("inf"), float("inf"), "a int8: the portable graph itself"),
    ],
)
def test_a_fault_is_told_of_the_graph_that_has_it(
    before: float, after: float, apart: float, said: str
) -> None:
    proof = Proof(
        before=measured(before, "portable"),
        after=measured(after, "cpu-2"),
        apart=apart,
        margin=0.01,
        timed=False,
    )
    assert proof.fault.startswith(said) if said else not proof.fault


def test_what_another_process_has_pruned_is_forgiven(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = "1" * 32
    for name in (STALE, other):
        (bundle.root / "derived" / name).mkdir(parents=True)

    @contextmanager
    def late(given: Bundle) -> Iterator[Shelf]:
        with own_shelf(given) as shelf:
            assert shelf.remove(STALE)  # by a process that held the lock before
            yield shelf

    monkeypatch.setattr(builds, "own_shelf", late)
    assert prune(bundle) == [other]
    assert [each.name for each in (bundle.root / "derived").iterdir()] == [".lock"]


def test_to_remove_what_is_gone_is_no_error(bundle: Bundle) -> None:
    with open_shelf(bundle) as shelf:
        assert not shelf.remove(STALE)


def test_what_is_pruned_meanwhile_has_no_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stale = tmp_path / STALE
    (stale / "inner").mkdir(parents=True)
    (stale / "inner" / "x").write_bytes(b"12345")
    entry = Entry(folder=stale)
    assert entry.bytes == 5
    walk = os.walk

    def late(top: Path) -> Any:  # noqa: ANN401 as walk has it
        told = list(walk(top))
        shutil.rmtree(top)
        return told

    monkeypatch.setattr(os, "walk", late)
    assert entry.bytes == 0
    monkeypatch.undo()
    assert entry.bytes == 0


def test_nothing_is_pruned_where_nothing_can_be_written_and_the_cache_is_no_help(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (bundle.root / "derived" / STALE).mkdir(parents=True)
    monkeypatch.setenv(CACHE, str(tmp_path / "cache"))
    refuse_writes(monkeypatch, bundle.root)
    with pytest.raises(OutputError, match="Read-only file system; let it be written"):
        prune(bundle)
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("what", ["a file", "a link to nothing", "the cache is in a file"])
def test_a_file_in_the_folders_place_is_to_be_moved_away(
    what: str, bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = bundle.root / "derived"
    if what == "a file":
        place.write_bytes(b"")
    elif what == "a link to nothing":
        place.symlink_to(bundle.root / "nothing")
    else:
        place = tmp_path / "file" / "cache"
        place.parent.write_bytes(b"")
        monkeypatch.setenv(CACHE, str(place))
        refuse_writes(monkeypatch, bundle.root)
    with pytest.raises(OutputError) as told:
        encoder(bundle)
    assert str(place) in str(told.value)
    assert "move that away" in str(told.value)
    assert CACHE not in str(told.value)


def test_a_link_among_derived_folders_is_not_followed(bundle: Bundle, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "large").write_bytes(b"x" * 1000)
    link = made(bundle).parent / STALE
    link.symlink_to(elsewhere)
    assert Entry(folder=link, wanted=None).bytes == 0


def test_a_shelf_that_was_removed_meanwhile_is_told(bundle: Bundle) -> None:
    with open_shelf(bundle) as shelf:
        shutil.rmtree(shelf.folder)
        with pytest.raises(OutputError, match=r"removed meanwhile: give the same command again"):
            shelf.check_room(1, "a graph")


def test_what_cannot_be_thrown_away_is_in_nobodys_way(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = made(bundle)
    (folder / "encoder_rgb.int8.onnx").write_bytes(b"broken")

    def refused(path: Path) -> None:
        if path.exists():
            raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr("edgespark.engines.shelf._remove", refused)
    with pytest.warns(EdgesparkWarning, match=r"it is made again|cannot be removed: Permission"):
        assert encoder(bundle).state == "made"
    with pytest.warns(EdgesparkWarning, match=r"draft cannot be removed: Permission denied"):
        assert encoder(bundle).state == "kept"
