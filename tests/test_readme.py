"""What the README tells people to type does what it says."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgespark.runtime.cli import main

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
FEWER = {"--scores": ["--samples", "5"]}  # all held-out samples would take minutes


def code_lines() -> Iterator[str]:
    """Give the lines of indented and fenced code; a command that goes on is one line."""
    fenced = False
    for line in README.replace("\\\n", " ").splitlines():
        if line.startswith("```"):
            fenced = not fenced
        elif fenced or line.startswith("    "):
            yield line.strip()


COMMANDS = [line for line in code_lines() if line.startswith("edgespark ")]
SCRIPTS = re.findall(r"^```python\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def place(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder that looks like a clone after `make demo`."""
    pytest.importorskip("rasterio", reason="the extra [geo] is not installed")
    made = tmp_path_factory.mktemp("clone")
    (made / "build").mkdir()
    for name in ("tiny", "mine"):
        (made / "build" / name).symlink_to(tiny.resolve())
    if (ROOT / "examples" / "scene-rgb.tif").is_file():
        (made / "examples").symlink_to(ROOT / "examples")
    else:
        script = ROOT / "examples" / "make_scenes.py"
        subprocess.run([sys.executable, script, made / "examples"], check=True)
    return made


def test_there_are_commands_and_a_script_to_run() -> None:
    assert {line.split()[1] for line in COMMANDS} == {"run", "inspect", "verify"}
    assert SCRIPTS


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_of_the_readme_succeeds(
    line: str, place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(place)
    arguments = shlex.split(line)[1:]
    more = [each for option in FEWER.keys() & set(arguments) for each in FEWER[option]]
    assert main([*arguments, *more]) == 0, capsys.readouterr().err
    assert capsys.readouterr().out


@pytest.mark.parametrize("script", SCRIPTS)
def test_the_script_of_the_readme_runs(
    script: str, place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(place)
    exec(compile(script, os.fspath(ROOT / "README.md"), "exec"), {})  # noqa: S102 it is the test
    assert capsys.readouterr().out
