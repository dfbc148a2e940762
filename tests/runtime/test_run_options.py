"""`edgespark run`: what is drafted, which graphs run, and what is told of it."""

import io
import json
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgespark.runtime.cli import main
from edgespark.runtime.commands.drawn import paragraphs
from edgespark.runtime.processor import instructions
from edgespark.runtime.spark import Spark, load
from edgespark.runtime.stats import Stats
from tests.runtime.stand_in import StandIn


def printed(arguments: list[str]) -> str:
    """Return what the command writes to stdout; it must succeed."""
    with redirect_stdout(io.StringIO()) as out:
        assert main(arguments) == 0
    return out.getvalue()


def test_what_was_drafted_and_kept_is_told(
    stand_in: StandIn, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    honest = stand_in.functions["decoder"]

    def cycling(given: Any) -> dict[str, Any]:  # noqa: ANN401 the arrays of a session
        """Say a, b, c again and again, by position."""
        made = honest(given)
        places = len(given["past.0"]) + given["select"]
        made["logits"] = np.zeros_like(made["logits"])
        made["logits"][0, np.arange(len(places)), 65 + places % 3] = 1
        return made

    stand_in.functions["decoder"] = cycling
    given = ["run", str(folder), "--prompt", "?", "--json", "--max-tokens", "20"]

    def told(*more: str) -> dict[str, Any]:
        assert main([*given, *more]) == 0
        made: dict[str, Any] = json.loads(capsys.readouterr().out)
        return made

    plain, drafted = told(), told("--prompt-lookup", "4")
    assert drafted["answer"] == plain["answer"]
    assert (plain["drafted"], plain["accepted"]) == (0, 0)
    assert 0 < drafted["accepted"] <= drafted["drafted"]
    assert drafted["new_tokens"] == plain["new_tokens"] == 20


def test_the_graphs_that_run_and_the_instructions_are_told(folder: Path) -> None:
    made = json.loads(printed(["run", str(folder), "--prompt", "?", "--json", "--portable"]))
    assert made["lowered"] == made["unsaturated"] == []
    assert made["instructions"] == list(instructions())
    assert made["reused_tokens"] == 0


@pytest.mark.parametrize("portable", [True, False])
def test_portable_is_what_the_bundle_is_loaded_as(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    portable: bool,  # noqa: FBT001 a case
) -> None:
    asked = []

    def watched(*given: Any, **options: Any) -> Spark:  # noqa: ANN401 as `load`
        asked.append(options["portable"])
        return load(*given, **options)

    monkeypatch.setattr("edgespark.runtime.commands.run.load", watched)
    printed(["run", str(folder), "--prompt", "?", *["--portable"] * portable])
    assert asked == [portable]


def test_parts_that_run_derived_graphs_stand_in_the_first_line() -> None:
    stats = Stats(
        device="cpu",
        precision="int8",
        precisions={},
        threads=None,
        stages={"decoder": 1.0},
        lowered=("decoder", "bridge"),
    )
    (times,) = paragraphs({}, [stats], "")
    assert times.startswith("int8 on cpu, graphs derived for decoder, bridge:\n")


def test_modalities_that_a_later_task_took_from_an_earlier_one_are_told(folder: Path) -> None:
    np.save(folder.parent / "rgb.npy", np.ones((3, 4, 4), np.float32))
    given = ["run", str(folder), "--input", f"rgb={folder.parent / 'rgb.npy'}", "--json"]
    assert json.loads(printed([*given, "--prompt", "?"]))["cached"] == ["rgb"]
    assert json.loads(printed([*given, "--task", "classify"]))["cached"] == []


def test_a_narrow_integer_of_numpy_is_a_number_of_threads(folder: Path, stand_in: StandIn) -> None:
    spark = load(folder, threads=np.int8(2))  # type: ignore[arg-type]
    spark.generate("hi", max_tokens=1)
    assert {type(each.threads) for each in stand_in.programs[-2:]} == {int}
