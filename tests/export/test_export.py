"""From the recipe's name to a bundle that says what PyTorch says."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgespark.export.cli import main
from edgespark.export.evaluate import held_out_dialogues
from edgespark.export.models.allspark import AllSpark
from edgespark.export.models.tiny import TINY
from edgespark.export.reference import TorchChain
from edgespark.export.sequences import Writer
from edgespark.export.weights import SHIPPED, checkpoint
from edgespark.export.worlds.dataset import HELD_OUT, Samples, make
from edgespark.export.worlds.world import ASKED, SUBJECTS
from edgespark.runtime import Spark, load
from edgespark.runtime.bundle import Bundle
from edgespark.runtime.derived import CACHE
from edgespark.runtime.errors import (
    DeviceError,
    MissingInput,
    OutputError,
    UnknownModality,
    UsageError,
)

EACH = 20
MIXED = (
    ("sar", "rgb"),
    ("msi", "language", "hsi"),
    ("point_cloud", "table", "video"),
    ("trajectory", "graph"),
    ("code", "rgb", "infrared"),
    TINY.modalities,
)


@pytest.fixture(scope="module")
def spark(tiny: Path) -> Spark:
    return load(tiny, precision="fp32")


@pytest.fixture(scope="module")
def chain() -> TorchChain:
    source = checkpoint(SHIPPED / "allspark-tiny")
    model = AllSpark(TINY)
    source.fill(model)
    writer = Writer(TINY, source.tokenizer)
    return TorchChain(model, writer, writer.end)


@pytest.fixture(scope="module")
def held() -> Samples:
    return make(HELD_OUT, 0, EACH)


@pytest.mark.parametrize("names", [*[(name,) for name in TINY.modalities], *MIXED], ids=" ".join)
def test_bundle_and_pytorch_give_the_same_greedy_text(
    names: tuple[str, ...], spark: Spark, chain: TorchChain, held: Samples
) -> None:
    asked = ASKED[names[0]]
    talks = held_out_dialogues(SUBJECTS[asked], held.label[asked].tolist())
    for index, talk in enumerate(talks[: EACH if len(names) == 1 else 4]):
        raw = {name: held.raw[name][index] for name in names}
        inputs: dict[str, Any] = {n: str(v) if n in TINY.texts else v for n, v in raw.items()}
        assert spark.generate(talk.question, **inputs) == chain.answer(talk.question, inputs)


@pytest.mark.parametrize("modality", ["trajectory", "graph"])
def test_bundle_and_pytorch_give_the_same_forecast(
    modality: str, spark: Spark, chain: TorchChain, held: Samples
) -> None:
    for raw in held.raw[modality][:5]:
        told = spark.predict(**{modality: raw})
        assert told.shape == TINY.tasks[modality].shape
        wanted = chain.predict(modality, raw)
        assert np.abs(told - wanted).max() <= 1e-4 * TINY.tasks[modality].scale


def test_some_parts_make_a_smaller_bundle_with_what_its_target_runs_fastest(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(CACHE, raising=False)
    out = tmp_path / "small"
    given = ["allspark-tiny", "--out", str(out), "--parts", "sar", "--target", "cpu", "--json"]
    assert main(given) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["modalities"] == ["sar"]
    assert {part["name"] for part in told["parts"]} == {
        "encoder_sar",
        "bridge_sar",
        "embedder",
        "decoder",
        "head_sar",
    }
    states = {part["name"]: part["state"] for part in told["derived"]["parts"]}
    assert (told["derived"]["lowering"], states["decoder"]) == ("cpu-2", "made")
    assert Bundle.open(out).problems() == []
    scene = np.full((2, 64, 64), -12.0, np.float32)
    answers = [
        load(out, portable=portable).generate("What is here?", sar=scene)
        for portable in (False, True)
    ]
    assert answers[0]
    assert answers[0] == answers[1]


BAD = {
    "unknown recipe": (["allspark-tin"], UsageError, "did you mean 'allspark-tiny'"),
    "empty modality": (["allspark-tiny", "--parts", "rgb,"], UnknownModality, "has no"),
    "unknown modality": (["allspark-tiny", "--parts", "rgb,sonar"], UnknownModality, "sonar"),
    "unknown precision": (["allspark-tiny", "--precision", "int9"], UsageError, "int9"),
    "unknown option": (["allspark-tiny", "--recipe"], UsageError, "--recipe"),
    "unknown target": (["allspark-tiny", "--target", "cqu"], UsageError, "did you mean 'cpu'"),
    "later target": (["allspark-tiny", "--target", "tensorrt-10.9"], DeviceError, "only for cpu"),
    "no checkpoint": (["allspark-tiny", "--checkpoint", "nowhere"], MissingInput, "nowhere"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_wrong_call_is_refused_and_leaves_nothing(case: str, tmp_path: Path) -> None:
    arguments, kind, text = BAD[case]
    with pytest.raises(kind, match=text):
        main([*arguments, "--out", str(tmp_path / "out")])
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_the_way_is_refused_before_the_work(tmp_path: Path) -> None:
    place = tmp_path / "file"
    place.write_text("mine")
    with pytest.raises(OutputError, match="file"):
        main(["allspark-tiny", "--out", str(place), "--replace"])
    assert place.read_text() == "mine"
