"""`edgespark build`: what it makes is proved, whole, found by the runtime, and safe to lose."""

import errno
import json
import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from edgespark.engines import lowerings, proof, shelf
from edgespark.engines.build import Outcome, build, check, chosen, prune
from edgespark.engines.cpu_parts import lower_part
from edgespark.engines.shelf import open_shelf
from edgespark.engines.targets import TARGETS, target_named
from edgespark.runtime import cli, derived
from edgespark.runtime.bundle import Bundle
from edgespark.runtime.cli import main
from edgespark.runtime.derived import CACHE, check_files, find
from edgespark.runtime.device import DEVICES
from edgespark.runtime.errors import (
    BundleError,
    CheckError,
    DeviceError,
    EdgesparkWarning,
    OutputError,
    UsageError,
)
from tests.conftest import ROOT
from tests.engines.derivable import CPU, PATH, built, derivable


@pytest.fixture
def bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bundle:
    monkeypatch.delenv(CACHE, raising=False)
    return derivable(tmp_path / "bundle")


def encoder(bundle: Bundle) -> Outcome:
    return built(bundle)["encoder_rgb int8"]


def loaded(bundle: Bundle) -> derived.Found | None:
    """Return what `load` would find of the encoder, hashed."""
    part = bundle.manifest.part("encoder_rgb")
    found = find(bundle, part, part.graphs[1], CPU.lowering)
    if found is not None:
        check_files(found)
    return found


def names(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir()) if folder.exists() else []


def test_what_has_another_form_is_made_and_found(bundle: Bundle) -> None:
    done = built(bundle)
    made = done["encoder_rgb int8"]
    assert made.state == "made"
    found = loaded(bundle)
    assert found is not None
    assert made.folder == found.files.root
    assert found.record.onnxruntime == "1.20"
    graph = onnx.load_from_string(derived.program(found, None).graph)
    assert [node.op_type for node in graph.graph.node][-1] == "MatMulIntegerToFloat"
    assert made.before is not None
    assert made.after is not None
    assert (made.before.form, made.after.form) == ("portable", "cpu-2")
    assert made.after.error <= made.after.limit
    assert Bundle.open(bundle.root).problems() == []
    others = {name: each.reason for name, each in done.items() if each is not made}
    assert {each.state for each in done.values()} == {"made", "portable"}
    assert others["embedder fp32"] == "one Gather: nothing is to be gained"
    assert others["encoder_rgb fp32"] == "nothing in it is of a form that the lowering takes"
    assert others["decoder fp32"]  # the passes know no attention in it, and say so


def test_what_is_there_and_whole_is_kept(bundle: Bundle) -> None:
    first = encoder(bundle).folder
    assert first is not None
    changed = (first / "derived.json").stat().st_mtime_ns
    again = encoder(bundle)
    assert (again.state, again.folder, again.after) == ("kept", first, None)
    assert (first / "derived.json").stat().st_mtime_ns == changed


def test_only_graphs_of_the_variants_asked_for_are_built(bundle: Bundle) -> None:
    assert {job.graph.precision for job in chosen(bundle, ["fp32"])} == {"fp32"}
    jobs = chosen(bundle, ["int8"])
    assert [job.graph.precision for job in jobs if job.part.name == "encoder_rgb"] == ["int8"]
    assert len(chosen(bundle)) == len(bundle.manifest.parts) + 1
    with pytest.raises(UsageError, match=r"no precision 'int88' .did you mean 'int8'"):
        chosen(bundle, ["int88"])


@pytest.mark.parametrize("damage", ["changed", "cut", "no record", "another record"])
def test_what_is_damaged_is_made_again_and_told(damage: str, bundle: Bundle) -> None:
    folder = encoder(bundle).folder
    assert folder is not None
    graph, record = folder / "encoder_rgb.int8.onnx", folder / "derived.json"
    if damage == "no record":
        record.unlink()
    elif damage == "another record":
        record.write_text(record.read_text().replace('"encoder_rgb"', '"embedder"'))
    else:
        content = graph.read_bytes()
        graph.write_bytes(content[:-1] + (b"" if damage == "cut" else b"?"))
    with pytest.raises(BundleError, match="delete this folder"):
        loaded(bundle)
    with pytest.warns(EdgesparkWarning, match="it is made again"):
        assert encoder(bundle).state == "made"
    assert loaded(bundle) is not None


def test_a_changed_source_is_refused_before_anything_is_made(bundle: Bundle) -> None:
    path = bundle.root / PATH
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    with pytest.raises(BundleError, match=r"encoder_rgb\.int8\.onnx' was changed"):
        encoder(bundle)
    assert names(bundle.root / "derived") == [".lock"]


def wrong(scale: float) -> Callable[..., Any]:
    """Lower as it is done, then change a weight's scale: a pass with a fault."""
    honest = lower_part

    def lower(graph: Path, role: Any, precision: Any, into: Path) -> Any:  # noqa: ANN401 as it is
        made = honest(graph, role, precision, into)
        if made is not None:
            model = onnx.load(into)
            for each in model.graph.initializer:
                if each.data_type == onnx.TensorProto.FLOAT:
                    array = onnx.numpy_helper.to_array(each) * np.float32(scale)
                    each.CopyFrom(onnx.numpy_helper.from_array(array, each.name))
            into.write_bytes(model.SerializeToString())
        return made

    return lower


def test_a_lowering_that_computes_otherwise_is_thrown_away(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(lowerings, "lower_part", wrong(1.5))
    done = list(build(chosen(bundle), CPU, threads=1))
    (failed,) = (each for each in done if each.state == "failed")
    assert failed.folder is None
    assert names(bundle.root / "derived") == [".lock"]
    with pytest.raises(
        CheckError, match=r"encoder_rgb int8 cpu-2: .* beyond its limit of 1\.0e-01"
    ):
        check(done)
    assert main(["build", str(bundle.root), "--json"]) == 5
    out, err = capsys.readouterr()
    made = json.loads(out)
    assert made["ok"] is False
    assert "the portable graph stays" in err


def test_a_lowering_that_adds_an_error_of_its_own_within_the_limit_is_thrown_away(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lowerings, "lower_part", wrong(1.01))
    made = encoder(bundle)
    assert made.after is not None
    assert made.after.ok
    assert (made.state, made.folder) == ("failed", None)
    assert "standard deviations from the portable graph" in made.reason
    assert names(bundle.root / "derived") == [".lock"]


def test_a_lowering_that_is_clearly_slower_is_not_kept(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proof, "by_turns", lambda _: [1.0, 1.2])
    made = encoder(bundle)
    assert (made.state, made.folder) == ("portable", None)
    assert "slower on this machine by more than 10%" in made.reason
    assert names(bundle.root / "derived") == [".lock"]
    monkeypatch.setattr(proof, "by_turns", lambda _: [1.0, 1.05])
    assert encoder(bundle).state == "made"


def test_a_lowering_with_ports_that_the_runtime_would_refuse_is_thrown_away(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = lowerings.lowering_of

    def without_outputs(*given: Any) -> Any:  # noqa: ANN401 as it is
        lower = honest(*given)
        if isinstance(lower, str):
            return lower
        return lambda *job: made if isinstance(made := lower(*job), str) else bare(made)

    def bare(made: Any) -> Any:  # noqa: ANN401 as it is
        return replace(made, outputs=())

    monkeypatch.setattr("edgespark.engines.build.lowering_of", without_outputs)
    made = encoder(bundle)
    assert (made.state, made.folder) == ("failed", None)
    assert made.reason == "encoder_rgb int8: it has other ports than part 'encoder_rgb'"


def test_an_engine_that_is_too_old_cannot_prove_it(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(derived, "usable", lambda _: "it needs a newer one")
    with pytest.raises(DeviceError, match="it needs a newer one: install that"):
        encoder(bundle)
    assert names(bundle.root / "derived") == [".lock"]


def test_a_kill_at_any_moment_leaves_nothing_that_would_be_loaded(tmp_path: Path) -> None:
    script = [sys.executable, "-m", "tests.engines.killed_builds", str(tmp_path / "bundle")]
    done = subprocess.run(script, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    counts = dict(each.split("=") for each in done.stdout.split())
    assert set(counts) == {"nothing", "whole"}


def command(bundle: Bundle) -> "subprocess.Popen[str]":
    script = [sys.executable, "-m", "tests.engines.derivable", str(bundle.root)]
    return subprocess.Popen(
        script, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_two_builders_at_once_make_one_and_keep_one(bundle: Bundle) -> None:
    both = [command(bundle) for _ in range(2)]
    told = [each.communicate(timeout=120) for each in both]
    assert [each.returncode for each in both] == [0, 0], told
    assert sorted(out for out, _ in told) == ["kept", "made"]
    assert loaded(bundle) is not None


def test_a_builder_waits_for_another_and_says_so(bundle: Bundle) -> None:
    with open_shelf(bundle):
        waiting = command(bundle)
        assert waiting.stderr is not None
        told = waiting.stderr.readline()
        assert "another build writes to" in told
        time.sleep(0.1)
        assert waiting.poll() is None
        assert names(bundle.root / "derived") == [".lock"]
    out, _ = waiting.communicate(timeout=120)
    assert (waiting.returncode, out) == (0, "made")


@pytest.fixture
def read_only(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> Bundle:
    """Return the bundle on a disk that nothing can be written to, as far as a build can tell."""
    mkdir = Path.mkdir

    def refuse(path: Path, *given: Any, **named: Any) -> None:  # noqa: ANN401 as mkdir has it
        if path.is_relative_to(bundle.root):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))
        mkdir(path, *given, **named)

    monkeypatch.setattr(Path, "mkdir", refuse)
    return bundle


def test_a_read_only_bundle_is_served_from_the_cache(
    read_only: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(OutputError, match="EDGESPARK_CACHE name a folder"):
        encoder(read_only)
    cache = tmp_path / "some" / "cache"
    monkeypatch.setenv(CACHE, str(cache))
    made = encoder(read_only)
    assert made.state == "made"
    assert made.folder is not None
    assert made.folder.parent == cache
    assert encoder(read_only).state == "kept"
    assert loaded(read_only) is not None
    assert not (read_only.root / "derived").exists()


def test_a_broken_graph_that_cannot_be_replaced_is_told(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = encoder(bundle).folder
    assert folder is not None
    (folder / "derived.json").unlink()
    monkeypatch.setenv(CACHE, str(tmp_path / "cache"))
    monkeypatch.setattr(shelf, "folders", lambda _: [tmp_path / "cache"])
    with pytest.raises(BundleError, match="delete this folder"):
        encoder(bundle)


@pytest.mark.parametrize("bytes_left", [0, 200])
def test_a_full_disk_leaves_nothing_half_written(bytes_left: int, bundle: Bundle) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (bytes_left, before[1]))
    try:
        with pytest.raises(OutputError, match="make room and give the same command again"):
            encoder(bundle)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert names(bundle.root / "derived") == [".lock"]
    assert encoder(bundle).state == "made"


def test_a_disk_without_room_is_refused_before_anything_is_written(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: (0, 0, 10))
    with pytest.raises(OutputError, match=r"needs about \d+ bytes, 10 are free"):
        encoder(bundle)
    assert names(bundle.root / "derived") == [".lock"]


def test_stale_folders_are_told_and_pruned_and_nothing_else_is(
    bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = encoder(bundle).folder
    assert folder is not None
    held = bundle.root / "derived"
    shutil.copytree(folder, held / ("0" * 32))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "kept").write_bytes(b"x")
    (held / ("1" * 32)).symlink_to(elsewhere)
    (held / "calibration").mkdir()
    assert main(["build", str(bundle.root), "--json"]) == 0
    out, err = capsys.readouterr()
    assert len(json.loads(out)["stale"]) == 2
    assert "--prune removes them" in err
    assert main(["build", str(bundle.root), "--json", "--prune"]) == 0
    out, err = capsys.readouterr()
    made = json.loads(out)
    assert (made["stale"], made["pruned"]) == ([], ["0" * 32, "1" * 32])
    assert names(held) == sorted([".lock", folder.name, "calibration"])
    assert names(elsewhere) == ["kept"]
    assert prune(bundle) == []


def test_a_build_in_a_folder_that_leads_out_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    (bundle.root / "derived").symlink_to(tmp_path)
    with pytest.raises(BundleError, match="leads out of the bundle"):
        encoder(bundle)


def test_the_command_shows_what_became_of_each_graph(
    bundle: Bundle, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["build", str(bundle.root), "--target", "cpu", "--progress"]) == 0
    out, err = capsys.readouterr()
    head, line, *others = out.splitlines()
    assert head.split() == ["part", "precision", "state", "size", "error", "limit", "time"]
    assert line.split()[:3] == ["encoder_rgb", "int8", "made"]
    assert all(each.startswith("portable: ") for each in others)
    assert "build [" in err
    assert main(["build", str(bundle.root), "--json", "--precision", "int8"]) == 0
    made = json.loads(capsys.readouterr().out)
    by = {(each["name"], each["precision"]): each for each in made["parts"]}
    assert by["encoder_rgb", "int8"]["state"] == "kept"
    assert by["encoder_rgb", "int8"]["form"] == made["lowering"] == "cpu-2"
    assert ("encoder_rgb", "fp32") not in by
    assert by["embedder", "fp32"]["form"] == "portable"
    assert by["embedder", "fp32"]["reason"]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["BUNDLE", "--target", "cqu"], 2, "no target 'cqu' (did you mean 'cpu'?)"),
        (["BUNDLE", "--target", "tensorrt-10.3"], 4, "up to opset 20: all but int4"),
        (["BUNDLE", "--target", "tensorrt-10.13"], 4, "up to opset 24: all precisions"),
        (["BUNDLE", "--target", "tensorrt-rtx"], 4, "builds nothing for it yet, only for cpu"),
        (["BUNDLE", "--precision", "int5"], 2, "no precision 'int5'"),
        (["BUNDLE", "--precision", ""], 2, "no precision ''"),
        (["BUNDLE", "--threads", "0"], 2, "threads"),
        (["nowhere"], 2, "no bundle at 'nowhere'"),
        ([], 2, "required: bundle"),
    ],
)
def test_wrong_use_is_one_line(
    arguments: list[str],
    code: int,
    said: str,
    bundle: Bundle,
    capsys: pytest.CaptureFixture[str],
) -> None:
    given = [str(bundle.root) if each == "BUNDLE" else each for each in arguments]
    assert main(["build", *given]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1
    assert said in err
    assert not (bundle.root / "derived").exists()


def test_without_onnx_the_pip_command_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def missing(_: str) -> Any:  # noqa: ANN401 never returns
        raise ModuleNotFoundError("No module named 'onnx'", name="onnx")

    monkeypatch.setattr(cli, "import_module", missing)
    assert main(["build", "x"]) == 2
    assert "pip install 'edgespark[export]'" in capsys.readouterr().err


def test_every_lowering_that_the_runtime_looks_for_is_a_targets() -> None:
    made = {each.lowering: each.device for each in TARGETS.values() if each.lowering}
    assert {each.lowering: each.name for each in DEVICES.values() if each.lowering} == made
    assert target_named("cpu") is CPU
    assert all(name == each.name for name, each in TARGETS.items())


def test_the_real_decoder_is_lowered_within_its_limits(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(CACHE, raising=False)
    shutil.copytree(tiny, tmp_path / "tiny", ignore=shutil.ignore_patterns("derived"))
    bundle = Bundle.open(tmp_path / "tiny")
    jobs = [job for job in chosen(bundle) if job.part.role == "decoder"]
    done = {each.job.graph.precision: each for each in build(jobs, CPU)}
    assert {name: each.state for name, each in done.items()} == {
        "fp32": "made",
        "fp16": "portable",
        "int8": "made",
    }
    for each in (done["fp32"], done["int8"]):
        assert each.after is not None
        assert each.after.error <= each.after.limit
    again = {each.job.graph.precision: each.state for each in build(jobs, CPU)}
    assert again == {"fp32": "kept", "fp16": "portable", "int8": "kept"}


def test_a_table_of_targets_that_lower_nothing_leaves_all_portable(bundle: Bundle) -> None:
    plain = replace(CPU, attention="appended", operators="onnx")
    assert {each.state for each in build(chosen(bundle), plain)} == {"portable"}
