"""A benchmark refuses first what it could not write, and loses nothing that it measured."""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from benchmarks import (
    children,
    document,
    encoder,
    first_token,
    greedy_answers,
    llm,
    llm_formats,
    older_cpu,
    planted_outlier,
    precision_scores,
    rtx_builds,
    terramesh_ranges,
)
from benchmarks.peers import encoder_summary
from edgespark.runtime.errors import CheckError

WRITERS = (
    encoder,
    first_token,
    greedy_answers,
    llm,
    llm_formats,
    older_cpu,
    planted_outlier,
    precision_scores,
    rtx_builds,
    terramesh_ranges,
)


@pytest.mark.parametrize("main", [each.main for each in WRITERS], ids=lambda main: main.__module__)
@pytest.mark.parametrize("place", ["missing/x.json", "."])
def test_a_document_that_cannot_be_written_is_refused_before_anything_is_measured(
    main: Callable[[], int],
    place: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["it", "nowhere", "--json", place])
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 2
    assert "argument --json: " in capsys.readouterr().err


@pytest.mark.parametrize("script", [first_token, greedy_answers])
def test_a_bundle_that_is_none_is_one_line(
    script: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["it", str(tmp_path)])
    assert script.main() == 3
    assert capsys.readouterr().err.startswith("error: ")


def test_what_was_measured_is_printed_even_where_its_place_fails(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert document.publish({"ms": 1.5}, tmp_path / "gone" / "x.json") == 2
    told = capsys.readouterr()
    assert json.loads(told.out) == {"ms": 1.5}
    assert "was not written: No such file" in told.err
    assert document.publish({"ms": 1.5}, tmp_path / "x.json") == 0
    assert json.loads((tmp_path / "x.json").read_text()) == {"ms": 1.5}


def _fifo(folder: Path) -> Path:
    os.mkfifo(folder / "fifo")
    return folder / "fifo"


def _loop(folder: Path) -> Path:
    (folder / "loop").symlink_to(folder / "loop")
    return folder / "loop"


NO_PLACES: dict[str, Callable[[Path], Path]] = {
    "a folder": lambda folder: folder,
    "no folder": lambda folder: folder / "gone" / "x.json",
    "a file for a folder": lambda _: Path(__file__) / "x.json",
    "a pipe": _fifo,
    "a loop": _loop,
    "a long name": lambda folder: folder / ("x" * 300),
}


@pytest.mark.parametrize("make", NO_PLACES.values(), ids=NO_PLACES)
def test_what_no_document_can_be_put_in_is_no_destination(
    make: Callable[[Path], Path], tmp_path: Path
) -> None:
    with pytest.raises(argparse.ArgumentTypeError):
        document.destination(str(make(tmp_path)))


def test_a_document_that_is_not_written_whole_leaves_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    place = document.destination(str(tmp_path / "x.json"))
    assert document.keep({"round": 1}, place) == 0
    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", full)
        assert document.keep({"round": 2}, place) == 2
    assert "No space left" in capsys.readouterr().err
    assert json.loads(place.read_text()) == {"round": 1}
    assert list(tmp_path.iterdir()) == [place]


def test_a_document_behind_a_link_is_written_where_the_link_leads(tmp_path: Path) -> None:
    link = tmp_path / "link.json"
    link.symlink_to(tmp_path / "x.json")
    assert document.keep({"ms": 1}, document.destination(str(link))) == 0
    assert link.is_symlink()
    assert json.loads((tmp_path / "x.json").read_text()) == {"ms": 1}


def _llm_round(given: argparse.Namespace) -> dict[str, dict[str, Any]]:
    report = {
        "figures": {"decode_16": 50.0, "prefill_16": 20.0},
        "others": {"decode_16": 0.0, "prefill_16": 0.0},
        "thrown": 0,
        "bundle": None,
        "versions": {"numpy": "2"},
    }
    plain = ("load_s", "choice_us", "loaded_mb", "loaded_anonymous_mb", "peak_mb", "anonymous_mb")
    report |= dict.fromkeys((*plain, "step_bytes", "cache_bytes"), 1.0)
    return {"bandwidth": {"gb_s": 30.0}} | dict.fromkeys(given.forms, report)


def _encoder_round(given: argparse.Namespace) -> dict[str, dict[str, Any]]:
    return {form: {"ms": 10.0, "thrown": 0, "versions": {"numpy": "2"}} for form in given.forms}


Case = tuple[ModuleType, Callable[[argparse.Namespace], dict[str, dict[str, Any]]], list[str]]
LLM: Case = (llm, _llm_round, ["--forms", "edgespark-int4", "--no-proofs"])
ENCODER: Case = (
    encoder,
    _encoder_round,
    ["--forms", encoder_summary.BASE, encoder_summary.LOWERED],
)
LOST = children.ChildError("form failed")


@pytest.mark.parametrize(
    ("case", "end"),
    [
        (LLM, (KeyboardInterrupt(), 130)),
        (LLM, (LOST, 1)),
        (LLM, (None, 0)),
        (ENCODER, (KeyboardInterrupt(), 130)),
        (ENCODER, (LOST, 1)),
        (ENCODER, (None, 0)),
    ],
)
def test_a_run_that_stops_has_written_and_prints_every_round_before(
    case: Case,
    end: tuple[BaseException | None, int | str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (script, made, options), (stop, code) = case, end
    place, seen = tmp_path / "x.json", list[int]()

    def one_round(given: argparse.Namespace, number: int) -> dict[str, dict[str, Any]]:
        seen.append(json.loads(place.read_text())["rounds"] if place.exists() else 0)
        if number == 2 and stop is not None:
            raise stop
        return made(given)

    monkeypatch.setattr(sys, "argv", ["it", "--rounds", "3", "--json", str(place), *options])
    monkeypatch.setattr(script, "ROOT", tmp_path)
    monkeypatch.setattr(script, "prepare", lambda _: None)
    monkeypatch.setattr(script, "one_round", one_round)
    monkeypatch.setattr(llm, "prove", lambda _: {})
    try:
        ended = script.main()
    except SystemExit as error:
        ended = error.code
    assert (ended, seen) == (code, [0, 1, 2])
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert told == json.loads(place.read_text())
    assert told["rounds"] == (3 if stop is None else 2)


@pytest.mark.parametrize(
    ("said", "told"), [("", "here: it ended with code -9 and said nothing"), ("a\nb\n", "here: b")]
)
def test_a_process_that_failed_is_told_by_its_last_words_or_its_code(
    said: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failed(*_: object, **__: object) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess([], -9, stdout="", stderr=said)

    monkeypatch.setattr(subprocess, "run", failed)
    given = argparse.Namespace(bundle="b", precision=("fp32",), parts=())
    with pytest.raises(CheckError, match=f"^{told}$"):
        older_cpu.measured("here", given, tmp_path)
