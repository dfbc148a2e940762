"""What the README tells people to type does what it says."""

import os
import re
import shlex
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from edgespark.export.recipes import RECIPES
from edgespark.export.worlds.world import RECORDS
from edgespark.runtime.arguments import RASTER
from edgespark.runtime.cli import export_engines, main
from edgespark.runtime.frames.decode import DEMUXERS
from edgespark.runtime.frames.read import OPTIONS as VIDEO
from edgespark.runtime.inputs import OPENERS
from edgespark.runtime.points.files import COLOURED_FORMATS, COLOURED_OPTIONS
from edgespark.runtime.points.files import FORMATS as CLOUDS
from edgespark.runtime.points.files import OPTIONS as BOUNDS
from edgespark.runtime.series.files import FORMATS as SERIES
from edgespark.runtime.series.files import OPTIONS as MOMENTS
from edgespark.runtime.series.graphs import FORMATS as GRAPHS
from edgespark.runtime.signals.files import MOTION, VOXELS
from edgespark.runtime.signals.files import OPTIONS as CLIPS
from edgespark.runtime.sound.files import FORMATS as SOUNDS
from edgespark.runtime.sound.files import OPTIONS as SPANS
from edgespark.runtime.tables.read import OPENERS as TABLES
from edgespark.runtime.tables.read import OPTIONS as ROWS
from edgespark.runtime.tracks.files import FORMATS as TRACKS
from edgespark.runtime.tracks.files import OPTIONS as AGENTS
from edgespark.runtime.views.files import OPENERS as PICTURES
from edgespark.runtime.views.read import PAIR

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
FEWER = {  # all samples would take minutes
    "--scores": ["--samples", "5"],
    "--calibration": ["--samples", "2"],
}


def code_lines() -> Iterator[str]:
    """Give the lines of indented and fenced code; a command that goes on is one line."""
    fenced = False
    for line in README.replace("\\\n", " ").splitlines():
        if line.startswith("```"):
            fenced = not fenced
        elif fenced or line.startswith("    "):
            yield line.strip()


COMMANDS = [line for line in code_lines() if line.startswith("edgespark ")]
INPUTS = re.findall(r"`(--input [^`]+)`", README.partition("## The thirteen")[2])
KINDS: dict[str, tuple[Iterable[str], Iterable[str]]] = {
    "imagery": (filter(None, OPENERS), RASTER),
    "video": ((*DEMUXERS, ".npy"), VIDEO),
    "point cloud": (CLOUDS, BOUNDS),
    "table": (TABLES, ROWS),
    "trajectory": (TRACKS, AGENTS),
    "graph": ({*SERIES, *GRAPHS}, MOMENTS),
    "picture": (PICTURES, PAIR),
    "sound": (SOUNDS, SPANS),
    "motion": (MOTION, CLIPS),
    "voxels": (VOXELS, ()),
    "coloured points": (COLOURED_FORMATS, COLOURED_OPTIONS),
}
"""What the readers know: suffixes and options."""
NARROW = ["allspark-tiny", "--parts", "rgb", "--precision", "fp32,int8", "--budget", "5"]
SCRIPTS = re.findall(r"^```python\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def place(tiny: Path, calibration: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder that looks like a clone after `make demo`."""
    pytest.importorskip("rasterio", reason="the extra [geo] is not installed")
    made = tmp_path_factory.mktemp("clone")
    (made / "build").mkdir()
    for name in ("tiny", "mine"):
        (made / "build" / name).symlink_to(tiny.resolve())
    (made / "build" / "calibration").symlink_to(calibration.resolve())
    given = ["--calibration", str(calibration), "--samples", "8"]
    assert export_engines([*NARROW, *given, "--out", str(made / "build" / "narrow")]) == 0
    (made / "examples").symlink_to(ROOT / "examples")
    (made / "scenes").mkdir()
    shutil.copy(ROOT / "examples" / "scene-msi.tif", made / "scenes")
    return made


def test_there_are_commands_and_a_script_to_run() -> None:
    assert {line.split()[1] for line in COMMANDS} == {
        "run",
        "inspect",
        "verify",
        "sample",
        "calibrate",
        "build",
    }
    assert SCRIPTS


def test_every_modality_has_an_example() -> None:
    assert [shlex.split(line)[1].partition("=")[0] for line in INPUTS] == list(ordered(RECORDS))


def ordered(modalities: Iterable[str]) -> list[str]:
    """Give them as they stand in the README."""
    return sorted(modalities, key=lambda name: README.index(f"| `{name}` |"))


@pytest.mark.parametrize("kind", KINDS)
def test_the_files_and_options_of_a_kind_are_those_that_its_reader_knows(kind: str) -> None:
    (row,) = re.findall(rf"^\| {kind} \| (.*) \|$", README, flags=re.MULTILINE)
    suffixes, options = KINDS[kind]
    assert set(re.findall(r"`(\.\w+)`", row)) == set(suffixes)
    assert set(re.findall(r"`(\w+)=`", row)) == set(options)


def test_every_extra_is_told_with_what_it_brings() -> None:
    project = (ROOT / "pyproject.toml").read_text("utf-8")
    extras = project.partition("[project.optional-dependencies]\n")[2].partition("\n[")[0]
    found: dict[str, list[str]] = {}
    for line in extras.splitlines():
        if begun := re.match(r"(\w+) = \[", line):
            names = found.setdefault(begun[1], [])
        names += re.findall(r'"([\w\[\]-]+)[><=]', line)
    del found["dev"]
    for extra, wanted in found.items():
        (row,) = re.findall(rf"^\| {extra} \| (.*?) \|", README, flags=re.MULTILINE)
        assert row.split(", ") == wanted


def test_every_recipe_is_told() -> None:
    told = [line.split()[1] for line in code_lines() if line.startswith("export-engines ")]
    assert set(RECIPES) <= set(told)
    assert all((ROOT / name).is_file() for name in told if name not in RECIPES)


@pytest.mark.parametrize("given", INPUTS)
def test_an_example_of_the_readme_is_answered(
    given: str, place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(place)
    assert main(["run", "build/tiny", *shlex.split(given)]) == 0, capsys.readouterr().err
    told = capsys.readouterr()
    assert told.out
    assert "warning" not in told.err


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_of_the_readme_succeeds(
    line: str, place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(place)
    arguments = shlex.split(line, comments=True)[1:]
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
