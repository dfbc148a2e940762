"""A benchmark refuses first what it could not write, and loses nothing that it measured."""

import argparse
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks import first_token, llm_formats, older_cpu
from edgespark.runtime.errors import CheckError


@pytest.mark.parametrize("main", [first_token.main, llm_formats.main])
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


def test_a_bundle_that_is_none_is_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["it", str(tmp_path)])
    assert first_token.main() == 3
    assert capsys.readouterr().err.startswith("error: ")


def test_what_was_measured_is_printed_even_where_its_place_fails(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert first_token.publish({"ms": 1.5}, tmp_path / "gone" / "x.json") == 2
    told = capsys.readouterr()
    assert json.loads(told.out) == {"ms": 1.5}
    assert "was not written: No such file" in told.err
    assert first_token.publish({"ms": 1.5}, tmp_path / "x.json") == 0
    assert json.loads((tmp_path / "x.json").read_text()) == {"ms": 1.5}


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
