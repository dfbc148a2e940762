"""Recipes and checkpoints that are made to end, hang or mislead an export."""

import os
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from torch import nn

from edgespark.export.blueprint import Blueprint
from edgespark.export.blueprint_types import check_types
from edgespark.export.exporter import export
from edgespark.export.lynx_checkpoint import lynx_tensors
from edgespark.export.recipes import lynx
from edgespark.export.recipes.base import random_model
from edgespark.export.recipes.files import FileRecipe
from edgespark.export.recipes.lynx import lower_casing
from edgespark.export.recipes.routes import chain
from edgespark.export.weights import TOKENIZER
from edgespark.runtime.cli import export_engines
from edgespark.runtime.errors import InputError, MissingInput
from tests.export.small import SMALL, byte_tokenizer

ENDS = {
    "exit at once": ("import sys; sys.exit(0)", r"mine\.py:1: SystemExit: 0"),
    "exit": ("def blueprint(*_):\n    raise SystemExit", r"mine\.py:2: SystemExit"),
    "generator exit": ("def blueprint(*_):\n    raise GeneratorExit", r"mine\.py:2: GeneratorExit"),
    "stop": ("def blueprint(*_):\n    raise StopIteration(3)", r"mine\.py:2: StopIteration: 3"),
    "no words": (
        "class A(Exception):\n    def __str__(self): raise ValueError\nraise A",
        r"mine\.py:3: A",
    ),
    "no text": (
        "class A(Exception):\n    def __str__(self): return 3\nraise A",
        r"mine\.py:3: A",
    ),
    "lines": ("raise ValueError('one\\ntwo')", r"mine\.py:1: ValueError: one"),
    "syntax": ("x = 1\nx = = 2", r"mine\.py:2: SyntaxError: invalid syntax.*"),
}


@pytest.mark.parametrize("case", ENDS)
def test_whatever_a_recipe_raises_is_one_line_with_its_place(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    content, said = ENDS[case]
    (tmp_path / "mine.py").write_text(content)
    monkeypatch.chdir(tmp_path)
    assert export_engines(["mine.py", "--out", "out"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1
    assert re.search(rf"error: {said}$", err.strip())
    assert not (tmp_path / "out").exists()


def test_an_interrupt_passes_through_a_recipe(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.py").write_text("raise KeyboardInterrupt")
    assert export_engines([str(tmp_path / "mine.py"), "--out", str(tmp_path / "out")]) == 130
    assert capsys.readouterr().err == "edgespark: interrupted\n"


@pytest.fixture(scope="module")
def base() -> Blueprint:
    return chain(random_model(SMALL), byte_tokenizer(), {}, ("language",), b"# card\n")


UNFIT: dict[str, tuple[dict[str, object], str]] = {
    "no stages": ({"stages": ()}, "stages is empty, expected one Stage or more"),
    "stages of text": ({"stages": ("hello",)}, "stages holds str, expected Stage"),
    "stages of another kind": ({"stages": None}, "stages is a NoneType, expected a tuple of Stage"),
    "card": ({"card": "# card"}, "card is a str, expected bytes"),
    "name": ({"name": None}, "name is a NoneType, expected str"),
    "language": ({"language": 3}, "language is a int, expected a function of a File"),
    "what language gives": ({"language": repr}, "language() gives a str, expected a Language"),
    "routes": ({"routes": [1]}, "routes is a list, expected a tuple of Route"),
    "scores": ({"scores": (1, "a")}, "scores holds int, str, expected Score"),
}


@pytest.mark.parametrize("case", UNFIT)
def test_fields_of_other_types_are_told_before_anything_is_traced(
    case: str, base: Blueprint, tmp_path: Path
) -> None:
    change, said = UNFIT[case]
    with pytest.raises(InputError) as caught:
        export(replace(base, **change), tmp_path / "out", replace=False)  # type: ignore[arg-type] # the case's fields
    assert said in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_all_that_is_of_another_type_is_told_at_once(base: Blueprint) -> None:
    first, *rest = base.stages
    wrong = replace(first, module=3, probes=(), graph="a")  # type: ignore[arg-type] # wrong on purpose
    made = replace(base, stages=(wrong, *rest), card=1)  # type: ignore[arg-type] # as above
    with pytest.raises(InputError) as caught:
        check_types(made)
    for said in ("card is a int", "module is a int", "probes is empty", "graph is a str"):
        assert said in str(caught.value)
    assert f"stage {first.name!r}: " in str(caught.value)
    check_types(base)
    check_types(replace(base, stages=(replace(first, module=nn.Identity()),)))


def test_what_language_raises_is_told_with_its_line(tmp_path: Path, base: Blueprint) -> None:
    path = tmp_path / "mine.py"
    path.write_text(
        "from dataclasses import replace\nbase = None\n"
        "def language(file):\n    return file.nowhere\n"
        "def blueprint(*_):\n    return replace(base, language=language)\n"
    )
    recipe = FileRecipe(path)
    vars(recipe._module)["base"] = base
    with pytest.raises(ValueError, match=r"mine\.py:4: AttributeError"):
        recipe.blueprint("mine", None, ())


@pytest.mark.parametrize("option", ["--out", "--checkpoint"])
def test_an_empty_folder_is_not_the_current_one(
    option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    given = {"--out": "somewhere", "--checkpoint": "somewhere"} | {option: ""}
    options = [each for pair in given.items() for each in pair]
    assert export_engines(["allspark-7b", *options]) == 2
    assert f"{option}: is empty; expected a path" in capsys.readouterr().err


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("/dev/zero")])
def test_a_pipe_or_a_device_in_a_checkpoint_is_refused(
    make: Callable[[Path], None], tmp_path: Path
) -> None:
    make(tmp_path / TOKENIZER)
    with pytest.raises(InputError, match=rf"{TOKENIZER}: is a device or a pipe; expected a file"):
        lower_casing(tmp_path)
    for name in ("a.safetensors", "a.pt"):
        make(tmp_path / name)
        with pytest.raises(InputError, match=rf"{name}: is a device or a pipe; expected a file"):
            lynx_tensors(tmp_path)
        (tmp_path / name).unlink()


def test_a_tokenizer_beyond_any_size_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(MissingInput, match=f"no {TOKENIZER}"):
        lower_casing(tmp_path)
    (tmp_path / TOKENIZER).write_bytes(bytes(101))
    monkeypatch.setattr(lynx, "TOKENIZER_LIMIT", 100)
    with pytest.raises(InputError, match="has more than 100 bytes, so it is no tokenizer"):
        lower_casing(tmp_path)
