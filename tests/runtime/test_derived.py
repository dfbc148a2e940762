"""Derived graphs: what serves a graph is found, and nothing from `derived/` is taken on trust."""

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edgespark.runtime import derived
from edgespark.runtime.bundle import Bundle
from edgespark.runtime.cli import main
from edgespark.runtime.derived import CACHE, Found, check_files, find, fingerprint, usable
from edgespark.runtime.derived_record import FILE
from edgespark.runtime.derived_shelf import entries
from edgespark.runtime.errors import BundleError
from tests.runtime.lowered_decoder import GRAPH, LOWERING, derive, file, record, text
from tests.runtime.on_disk import write
from tests.runtime.stand_in import StandIn
from tests.runtime.test_manifest import patched

ATTACKS = sorted((Path(__file__).parent / "attacks_derived").glob("*.json"))


@pytest.fixture
def bundle(stand_in: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bundle:
    monkeypatch.delenv(CACHE, raising=False)
    return Bundle.open(write(stand_in, tmp_path / "bundle"))


def looked_for(bundle: Bundle, part: str = "decoder") -> Found | None:
    of = bundle.manifest.part(part)
    return find(bundle, of, of.graphs[0], LOWERING)


def found(bundle: Bundle) -> Found:
    made = looked_for(bundle)
    assert made is not None
    return made


def refusal(call: Callable[[], object]) -> BundleError:
    with pytest.raises(BundleError) as caught:
        call()
    assert "delete this folder" in caught.value.problems[-1]
    assert str(caught.value).replace("\n", "").isprintable()
    return caught.value


def test_what_was_derived_is_found_with_its_ports_and_its_own_bytes(bundle: Bundle) -> None:
    assert looked_for(bundle) is None
    folder = derive(bundle)
    made = found(bundle)
    assert made.files.root == folder
    assert made.bytes == len(GRAPH)
    ready = derived.program(made, threads=3)
    assert (ready.graph, ready.threads, ready.folder, ready.data) == (GRAPH, 3, None, ())
    assert [port.name for port in ready.inputs] == [
        *("inputs_embeds", "select", "seqlens_k", "total_sequence_length"),
        "past.0",
    ]
    assert [port.name for port in ready.outputs] == ["hidden", "logits", "new.0"]
    assert ready.where == f"derived/{folder.name}/decoder.fp32.onnx"


def test_weights_beside_a_derived_graph_are_hashed_and_named(bundle: Bundle) -> None:
    folder = derive(bundle)
    weights = file("decoder.fp32.onnx.data", b"weights")
    (folder / weights.path).write_bytes(b"weights")
    (folder / FILE).write_bytes(text(replace(found(bundle).record, data=(weights,))))
    ready = derived.program(found(bundle), threads=None)
    assert (ready.folder, ready.data) == (folder, (weights.path,))
    assert found(bundle).bytes == len(GRAPH) + len(b"weights")
    (folder / weights.path).write_bytes(b"WEIGHTS")
    for call in (derived.program, lambda made, _: check_files(made)):
        error = refusal(lambda: call(found(bundle), None))  # noqa: B023 called at once
        assert "was changed" in str(error)


def test_nothing_else_has_the_fingerprint_of_a_graph(bundle: Bundle, tmp_path: Path) -> None:
    one, other = (bundle.manifest.part(name) for name in ("head_rgb", "head_sar"))
    graph = one.graphs[0]
    language = replace(bundle.manifest.language, context=95)
    shorter = Bundle(tmp_path, replace(bundle.manifest, language=language))
    made = {
        fingerprint(bundle, one, graph, LOWERING),
        fingerprint(bundle, one, graph, "cpu-0"),
        fingerprint(bundle, other, graph, LOWERING),  # the same bytes may serve two parts
        fingerprint(bundle, one, replace(graph, precision="int8"), LOWERING),
        fingerprint(bundle, one, replace(graph, data=(graph.file,)), LOWERING),
        fingerprint(shorter, one, graph, LOWERING),
    }
    assert len(made) == 6
    assert fingerprint(bundle, one, graph, LOWERING) in made


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda path: path.stem)
def test_a_bad_record_is_refused(attack: Path, bundle: Bundle) -> None:
    case = json.loads(attack.read_text(encoding="utf-8"))
    record_file = derive(bundle) / FILE
    if "raw" in case:
        record_file.write_text(case["raw"], encoding="utf-8")
    else:
        value = patched(json.loads(record_file.read_bytes()), case["patch"])
        record_file.write_text(json.dumps(value), encoding="utf-8")
    error = refusal(lambda: looked_for(bundle))
    assert [each for each in case["expect"] if each not in str(error)] == []
    assert str(record_file.parent) in str(error)


@pytest.mark.parametrize(
    "content",
    [b"\xff\xfe{}", b"[" * 200_000, b" " * (derived.LIMIT + 1), b"\0" * 100],
    ids=["utf-16", "deep", "huge", "zeros"],
)
def test_a_hostile_record_is_refused(content: bytes, bundle: Bundle) -> None:
    (derive(bundle) / FILE).write_bytes(content)
    refusal(lambda: looked_for(bundle))


def test_a_part_that_is_no_decoder_keeps_its_ports(bundle: Bundle) -> None:
    folder = derive(bundle, part="bridge")
    assert looked_for(bundle, "bridge") is not None
    decoder = bundle.manifest.part("decoder")
    value = json.loads((folder / FILE).read_bytes())
    value["states"] = json.loads(text(record(decoder, decoder.graphs[0])))["states"]
    (folder / FILE).write_text(json.dumps(value))
    assert "other ports" in str(refusal(lambda: looked_for(bundle, "bridge")))


def moved(path: Path, to: Path) -> None:
    path.rename(to)
    path.symlink_to(to)


def instead(make: Callable[[Path], None]) -> Callable[[Path, Path], None]:
    """Put something else in the record's place."""

    def put(folder: Path, _outside: Path) -> None:
        (folder / FILE).unlink()
        make(folder / FILE)

    return put


LINKS: dict[str, Callable[[Path, Path], None]] = {
    "the folder": moved,
    "the record": lambda folder, outside: moved(folder / FILE, outside),
    "a loop": instead(lambda path: path.symlink_to(path.name)),
    "a folder in the record's place": instead(Path.mkdir),
    "a pipe": instead(os.mkfifo),
    "no record": instead(lambda _: None),
}


@pytest.mark.parametrize("case", LINKS)
def test_no_link_leads_out_and_nothing_is_waited_for(
    case: str, bundle: Bundle, tmp_path: Path
) -> None:
    LINKS[case](derive(bundle), tmp_path / "outside")
    refusal(lambda: looked_for(bundle))


def test_a_graph_that_is_a_link_out_of_its_folder_is_refused(
    bundle: Bundle, tmp_path: Path
) -> None:
    folder = derive(bundle)
    moved(folder / "decoder.fp32.onnx", tmp_path / "outside")
    assert "leads out" in str(refusal(lambda: derived.program(found(bundle), None)))


def test_derived_may_not_lead_out_of_the_bundle(bundle: Bundle, tmp_path: Path) -> None:
    (bundle.root / "derived").symlink_to(tmp_path)
    assert "leads out of the bundle" in str(refusal(lambda: looked_for(bundle)))


@pytest.mark.parametrize("change", ["changed", "cut", "gone"])
def test_changed_bytes_are_found_before_they_run(change: str, bundle: Bundle) -> None:
    path = derive(bundle) / "decoder.fp32.onnx"
    path.write_bytes(GRAPH[::-1] if change == "changed" else GRAPH[1:])
    if change == "gone":
        path.unlink()
    made = found(bundle)
    for call in (check_files, lambda made: derived.program(made, None)):
        assert str(path.parent) in str(refusal(lambda: call(made)))  # noqa: B023 called at once


def test_a_cache_serves_where_the_bundle_has_nothing(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cached = derive(bundle, tmp_path / "cache")
    assert looked_for(bundle) is None
    monkeypatch.setenv(CACHE, str(tmp_path / "cache"))
    assert found(bundle).files.root == cached
    own = derive(bundle)
    assert found(bundle).files.root == own
    monkeypatch.setenv(CACHE, str(tmp_path / "none"))
    assert found(bundle).files.root == own


@pytest.mark.parametrize(
    ("installed", "needed", "told"),
    [
        ("1.31.1", "1.31", ""),
        ("1.31.0", "1.31.1", "1.31.1 or newer, 1.31.0 is installed"),
        ("1.9.0", "1.31", "1.31 or newer, 1.9.0 is installed"),
        ("1.31", "1.31.0", ""),
        ("2.0", "1.31", ""),
        ("1.32.0.dev20260101", "1.31", ""),
        ("1.31.0rc1+cu12", "1.31", ""),
    ],
)
def test_an_engine_that_is_too_old_is_told(
    installed: str, needed: str, told: str, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    derive(bundle)
    made = replace(found(bundle).record, onnxruntime=needed)
    engine: Any = type("Engine", (), {"version": staticmethod(lambda: installed)})
    monkeypatch.setattr(derived, "backend", lambda _: engine)
    assert usable(made) == (f"cpu-2 of decoder fp32 needs onnxruntime {told}" if told else "")


def test_what_lies_there_is_listed_and_what_is_stale_or_broken_is_told(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf = bundle.root / "derived"
    assert entries(bundle) == ()
    folders = [derive(bundle, part=part) for part in ("bridge", "decoder")]
    stale = shelf / ("0" * 32)
    stale.mkdir()
    (stale / "x").write_bytes(b"12345")
    (shelf / "calibration").mkdir()
    (folders[0] / FILE).write_bytes(b"{}")
    cache = tmp_path / "cache"
    (cache / ("1" * 32)).mkdir(parents=True)  # another bundle's
    cached = derive(bundle, cache, "head_rgb")
    monkeypatch.setenv(CACHE, str(cache))
    listed = entries(bundle)
    assert [each.folder for each in listed] == [*folders, cached, stale]
    assert [each.stale for each in listed] == [False, False, False, True]
    assert ["version 1" in each.problem for each in listed] == [True, False, False, False]
    assert listed[-1].bytes == 5
    assert Bundle.open(bundle.root).problems() == []


def test_inspect_lists_what_was_derived(bundle: Bundle, capsys: pytest.CaptureFixture[str]) -> None:
    graph = derive(bundle) / "decoder.fp32.onnx"
    stale = bundle.root / "derived" / ("0" * 32)
    stale.mkdir()
    assert main(["inspect", str(bundle.root), "--json"]) == 0
    first, second = json.loads(capsys.readouterr().out)["derived"]
    assert (first["part"], first["precision"], first["form"]) == ("decoder", "fp32", "cpu-2")
    assert (first["bytes"] > len(GRAPH), first["stale"], second["stale"]) == (True, False, True)
    assert main(["inspect", str(bundle.root), "--hash"]) == 0
    out = capsys.readouterr().out
    assert "derived, cpu-2: decoder fp32 (" in out
    assert "derived, stale: 1 folders, 0 B; see `edgespark build --prune`" in out
    graph.write_bytes(b"changed")
    assert main(["inspect", str(bundle.root)]) == 0
    assert main(["inspect", str(bundle.root), "--hash"]) == 3
    assert "delete this folder" in capsys.readouterr().err
