"""`edgespark run`: an answer, scores and the times of the stages, for people and for programs."""

import io
import json
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgespark.runtime.cli import main
from edgespark.runtime.commands.drawn import DRAW
from edgespark.runtime.commands.run import _further
from edgespark.runtime.errors import EdgesparkWarning
from edgespark.runtime.inputs import Encode, Prepared, prepare
from edgespark.runtime.manifest import Route
from edgespark.runtime.spark import load
from edgespark.runtime.wording import printable
from tests.runtime.kinds import TRACK
from tests.runtime.narrow import narrowed
from tests.runtime.on_disk import write
from tests.runtime.stand_in import StandIn


def printed(arguments: list[str]) -> str:
    """Return what the command writes to stdout; it must succeed."""
    with redirect_stdout(io.StringIO()) as out:
        assert main(arguments) == 0
    return out.getvalue()


def test_a_precision_that_is_computed_in_float32_is_told_once(
    stand_in: StandIn, folder: Path, image: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    narrowed(stand_in, "bridge", "fp16")
    write(stand_in, folder)
    arguments = ["run", str(folder), "--input", f"rgb={image}", "--prompt", "what?"]
    assert main([*arguments, "--precision", "fp16", "--json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["widened"] == ["bridge"]
    assert err.count("warning: cpu computes fp16 in float32 (1 of 12 parts)") == 1
    assert not any(each.exact for each in stand_in.programs)
    assert main([*arguments, "--precision", "fp16"]) == 0
    assert capsys.readouterr().out.startswith("fp16 on cpu, computed in float32:")
    assert main([*arguments, "--json"]) == 0
    out, err = capsys.readouterr()
    assert (json.loads(out)["widened"], err) == ([], "")


def test_programs_are_warned_of_a_precision_that_is_computed_in_float32(
    stand_in: StandIn, folder: Path
) -> None:
    narrowed(stand_in, "bridge", "fp16")
    write(stand_in, folder)
    with pytest.warns(EdgesparkWarning, match="computes fp16 in float32") as caught:
        spark = load(folder, precision="fp16")
    assert [each.filename for each in caught] == [__file__]
    assert spark.stats.widened == ("bridge",)
    assert load(folder, precision="fp32").stats.widened == ()


@pytest.fixture
def track(tmp_path: Path) -> Path:
    path = tmp_path / "track.npy"
    np.save(path, TRACK)
    return path


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "scene.npy"
    np.save(path, np.random.default_rng(1).normal(size=(3, 4, 4)).astype(np.float32))
    return path


def test_run_gives_one_document_with_the_agreed_keys(
    folder: Path, image: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["run", str(folder), "--input", f"rgb={image}", "--prompt", "what?", "--json"]
    assert main(arguments) == 0
    out, err = capsys.readouterr()
    made = json.loads(out)
    assert err == ""
    assert isinstance(made["answer"], str)
    assert sum(made["scores"].values()) == pytest.approx(1)
    assert (made["prediction"], made["embedding"], made["unit"]) == (None, None, None)
    assert (made["device"], made["precision"]) == ("cpu", "fp32")
    assert {"prepare.rgb", "encoder_rgb", "decoder.prefill", "head_rgb"} <= set(made["stages"])
    assert out.isascii()


@pytest.mark.parametrize(
    ("task", "modality", "key"),
    [
        ("generate", "rgb", "answer"),
        ("classify", "rgb", "scores"),
        ("predict", "range", "prediction"),
        ("embed", "rgb", "embedding"),
    ],
)
def test_a_task_gives_its_own_result_only(
    folder: Path, tmp_path: Path, task: str, modality: str, key: str
) -> None:
    bands = {"rgb": 3, "range": 2}[modality]
    np.save(tmp_path / "x.npy", np.ones((bands, 4, 4), np.float32))
    given = ["run", str(folder), "--input", f"{modality}={tmp_path / 'x.npy'}", "--task", task]
    made = json.loads(printed([*given, "--json"]))
    keys = ("answer", "scores", "prediction", "embedding")
    assert [name for name in keys if made[name] is not None] == [key]
    assert "fp32 on cpu:" in printed(given)


def test_without_a_prompt_the_bundle_asks_its_own_question_and_says_so(
    folder: Path, image: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", str(folder), "--input", f"rgb={image}"]) == 0
    out, err = capsys.readouterr()
    assert "'What is here?'" in err
    assert "total" in out


def test_a_forecast_is_given_beside_the_answer_to_its_own_question(
    folder: Path, track: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", str(folder), "--input", f"trajectory={track}", "--json"]) == 0
    out, err = capsys.readouterr()
    made = json.loads(out)
    assert err == "edgespark: no --prompt: asking 'Whither?'\n"
    assert isinstance(made["answer"], str)
    assert (made["scores"], made["embedding"]) == (None, None)
    assert made["prediction"] == load(folder).predict(trajectory=track).tolist()
    assert np.shape(made["prediction"]) == (3, 2)
    assert made["unit"] == "m"
    assert {"prepare.trajectory", "encoder_trajectory", "walk"} <= set(made["stages"])


def test_a_forecast_is_drawn_with_its_unit_a_line_per_step(folder: Path, track: Path) -> None:
    given = ["run", str(folder), "--input", f"trajectory={track}"]
    _, drawn, _ = printed(given).split("\n\n")
    title, *lines = drawn.splitlines()
    assert title == "prediction in m:"
    values = load(folder).predict(trajectory=track)
    rows = [list(map(float, line.split())) for line in lines]
    np.testing.assert_allclose(rows, values, atol=1e-4)


@pytest.mark.parametrize(
    ("values", "lines"),
    [
        ([448262.125, 5411932.5], [" 448262.125 5411932.5"]),
        ([[1.0, -2.5]], [" 1. -2.5"]),
        ([[[1.0], [2.0]], [[3.0], [4.0]]], [" 1.", " 2.", " 3.", " 4."]),
        ([2e-7, 0.0], [" 2.e-07 0.e+00"]),
        ([0.0] * 2000, [" " + " 0." * 2000]),
    ],
    ids=["far", "rows", "blocks", "tiny", "many"],
)
def test_a_prediction_of_any_shape_and_size_is_drawn_whole(values: Any, lines: list[str]) -> None:  # noqa: ANN401 nested lists
    title, *drawn = DRAW["prediction"](values, "").splitlines()
    assert title == "prediction:"
    assert [line.split() for line in drawn] == [line.split() for line in lines]


def test_the_first_modality_asks_where_no_prompt_is_given(
    folder: Path, image: Path, track: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    inputs = {"rgb": f"rgb={image}", "trajectory": f"trajectory={track}"}
    for first, second, asked in (
        ("rgb", "trajectory", "What is here?"),
        ("trajectory", "rgb", "Whither?"),
    ):
        given = ["--input", inputs[first], "--input", inputs[second], "--max-tokens", "4"]
        assert main(["run", str(folder), *given, "--json"]) == 0
        out, err = capsys.readouterr()
        assert f"asking {asked!r}" in err
        assert "no scores: trajectory has no classification head" in err
        assert (json.loads(out)["scores"], json.loads(out)["prediction"]) == (None, None)


def test_a_prompt_is_asked_in_the_place_of_every_question(
    folder: Path, track: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["run", str(folder), "--input", f"trajectory={track}", "--prompt", "?"]
    assert main(given) == 0
    assert "asking" not in capsys.readouterr().err


def test_the_times_stand_first_then_the_scores_and_the_answer_last(
    folder: Path, image: Path
) -> None:
    given = ["run", str(folder), "--input", f"rgb={image}", "--prompt", "what?"]
    times, scores, answer = printed(given).split("\n\n")
    assert times.startswith("fp32 on cpu:\n")
    assert "decoder.prefill" in times
    assert "water" in scores
    spoken = json.loads(printed([*given, "--json"]))["answer"]
    assert answer == printable(spoken, keep="\n") + "\n"


def test_an_input_without_a_head_gives_the_answer_alone(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", str(folder), "--input", "language=a note", "--prompt", "?", "--json"]) == 0
    out, err = capsys.readouterr()
    made = json.loads(out)
    assert made["scores"] is None
    assert made["answer"]
    assert err.count("\n") == 1
    assert "no scores: language has no classification head" in err


def test_heads_with_other_labels_give_the_answer_and_a_line_why_there_are_no_scores(
    folder: Path, stand_in: StandIn, image: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    head = stand_in.manifest.route("sar").head
    assert head is not None
    other = replace(head, labels=("ship", "sea", "ice"))
    routes = [
        replace(route, head=other) if route.modality == "sar" else route
        for route in stand_in.manifest.routes
    ]
    stand_in.manifest = replace(stand_in.manifest, routes=tuple(routes))
    bundle = write(stand_in, folder.with_name("other"))
    np.save(image.with_name("sar.npy"), np.ones((2, 4, 4), np.float32))
    inputs = ["--input", f"rgb={image}", "--input", f"sar={image.with_name('sar.npy')}"]
    assert main(["run", str(bundle), *inputs, "--prompt", "?", "--json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["scores"] is None
    assert "no scores: the heads of rgb and sar have different labels" in err


def test_answer_and_scores_read_each_input_once(
    folder: Path, image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = []

    def watched(route: Route, value: object, encode: Encode) -> Prepared:
        if not isinstance(value, Prepared):
            read.append(route.modality)
        return prepare(route, value, encode)

    monkeypatch.setattr("edgespark.runtime.chain.prepare", watched)
    printed(["run", str(folder), "--input", f"rgb={image}", "--prompt", "what?"])
    assert read == ["rgb"]


def test_a_prompt_alone_expects_no_scores(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", str(folder), "--prompt", "?"]) == 0
    assert capsys.readouterr().err == ""


def test_the_choices_of_generation_reach_it(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def answer(*more: str) -> str:
        assert main(["run", str(folder), "--prompt", "?", "--json", *more]) == 0
        return str(json.loads(capsys.readouterr().out)["answer"])

    greedy = answer()
    assert answer("--max-tokens", "1") != greedy
    assert answer("--stop", greedy[1]) == greedy[: greedy.index(greedy[1])]
    hot = ("--temperature", "3", "--top-p", "0.9")
    assert answer(*hot, "--seed", "1") == answer(*hot, "--seed", "1") != greedy
    assert answer(*hot, "--seed", "1", "--top-k", "1") == greedy
    assert answer("--prompt-lookup", "3") == greedy


def test_the_real_bundle_answers_on_the_command_line(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with np.load(tiny / "samples" / "rgb.npz") as samples:
        np.save(tmp_path / "x.npy", samples["input"][0])
    given = ["run", str(tiny), "--input", f"rgb={tmp_path / 'x.npy'}", "--json"]
    assert main([*given, "--max-tokens", "8"]) == 0
    made = json.loads(capsys.readouterr().out)
    assert sum(made["scores"].values()) == pytest.approx(1)


def test_a_bundle_without_heads_says_nothing_of_scores(
    stand_in: StandIn, capsys: pytest.CaptureFixture[str]
) -> None:
    routes = tuple(replace(route, head=None) for route in stand_in.manifest.routes)
    stand_in.manifest = replace(stand_in.manifest, routes=routes)
    assert _further(stand_in.spark(), {"rgb": None}) == []
    assert not capsys.readouterr().err
