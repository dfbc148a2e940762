"""From the recipe's name to a bundle that says what PyTorch says."""

import json
from pathlib import Path

import numpy as np
import pytest

from edgespark.export.cli import main
from edgespark.export.evaluate import held_out_dialogues
from edgespark.export.models.allspark import AllSpark
from edgespark.export.models.tiny import TINY
from edgespark.export.reference import TorchChain
from edgespark.export.sequences import Writer
from edgespark.export.weights import SHIPPED, checkpoint
from edgespark.export.worlds.dataset import HELD_OUT, make
from edgespark.runtime import load
from edgespark.runtime.errors import MissingInput, OutputError, UnknownModality, UsageError

SCENES = 50
CHOICES = (("rgb",), ("msi",), ("sar",), ("language",), ("sar", "rgb"), ("msi", "language", "sar"))


def test_bundle_and_pytorch_give_the_same_greedy_text_on_50_scenes(tiny: Path) -> None:
    source = checkpoint(SHIPPED / "allspark-tiny")
    model, writer = AllSpark(TINY), Writer(TINY, source.tokenizer)
    source.fill(model)
    chain, spark = TorchChain(model, writer, writer.end), load(tiny)
    scenes = make(HELD_OUT, 0, SCENES)
    for index, talk in enumerate(held_out_dialogues(scenes.label.tolist())):
        names = CHOICES[index % len(CHOICES)]
        inputs = {name: getattr(scenes, name)[index] for name in names}
        inputs = {name: str(v) if name == "language" else v for name, v in inputs.items()}
        wanted = source.tokenizer.decode(chain.generate(talk.question, inputs)).strip()
        assert spark.generate(talk.question, **inputs) == wanted


def test_some_parts_make_a_smaller_bundle(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "small"
    assert main(["allspark-tiny", "--out", str(out), "--parts", "sar", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["modalities"] == ["sar"]
    assert {part["name"] for part in told["parts"]} == {
        "encoder_sar",
        "bridge_sar",
        "embedder",
        "decoder",
        "head_sar",
    }
    spark = load(out)
    assert spark.generate("What is here?", sar=np.full((2, 64, 64), -12.0, np.float32))


BAD = {
    "unknown recipe": (["allspark-tin"], UsageError, "did you mean 'allspark-tiny'"),
    "empty modality": (["allspark-tiny", "--parts", "rgb,"], UnknownModality, "has no"),
    "unknown modality": (["allspark-tiny", "--parts", "rgb,sonar"], UnknownModality, "sonar"),
    "unknown precision": (["allspark-tiny", "--precision", "int9"], UsageError, "int9"),
    "unknown option": (["allspark-tiny", "--recipe"], UsageError, "--recipe"),
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
