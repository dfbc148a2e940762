"""Recipes by name and in files of one's own, and the modalities that they add."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import helper
from torch import Tensor, nn

from edgespark.export.blueprint import Blueprint
from edgespark.export.cli import main
from edgespark.export.models.config import Task
from edgespark.export.recipes import RECIPES, recipe
from edgespark.export.recipes.base import random_model
from edgespark.export.recipes.decoders import BATCH, port
from edgespark.export.recipes.extend import Modality, add, extend
from edgespark.export.recipes.routes import chain
from edgespark.export.stage import Stage
from edgespark.export.trace import OPSET, graph_of
from edgespark.runtime import load
from edgespark.runtime.errors import CheckError, InputError, MissingInput, UsageError
from edgespark.runtime.preprocessing import Points, Series, Text
from tests.export.small import SMALL, byte_tokenizer, random_checkpoint

EXAMPLES = Path(__file__).parents[2] / "examples"
MOST_LINES = 40
GAUGES = Series(nodes=("a", "b"), steps=4, predicted=2, interval=60.0, mean=0, std=1, unit="m")
FORECAST = Task(prompt="\nlevel:", question="How high?", shape=(2, 2), unit="m")


class Encoder(nn.Module):
    """Makes each step a token."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(6, 8)

    def forward(self, series: Tensor) -> Tensor:
        found: Tensor = self.linear(series.flatten(2))
        return found


class Wrong(nn.Module):
    """Gives what it was made with."""

    def __init__(self, found: object) -> None:
        super().__init__()
        self.found = found

    def forward(self, *_: Tensor) -> object:
        return self.found


@pytest.fixture(scope="module")
def base() -> Blueprint:
    return chain(random_model(SMALL), byte_tokenizer(), {}, ("language",), b"# card\n")


@pytest.fixture
def gauges() -> Modality:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Modality(
            name="gauges",
            record=GAUGES,
            encoder=Encoder(),
            examples=(torch.rand(3, 4, 2, 3),),
            prompt="gauges:",
            task=FORECAST,
        )


def stages(made: Blueprint) -> dict[str, Stage]:
    return {each.name: each for each in made.stages}


def test_a_modality_brings_its_parts_its_route_and_its_name(
    base: Blueprint, gauges: Modality
) -> None:
    made = extend(base, gauges)

    assert made.name == "small+gauges"
    assert stages(made).keys() - stages(base).keys() == {
        "encoder_gauges",
        "bridge_gauges",
        "head_gauges",
    }
    assert made.routes[:-1] == base.routes
    route = made.routes[-1]
    assert route.head is not None
    assert (route.prompt, route.question, route.head.anchored) == ("gauges:", "How high?", True)
    assert b"nothing above was measured" in made.card


@pytest.mark.parametrize(
    ("chosen", "found"),
    [
        ((), ["language", "gauges"]),
        (("language",), ["language"]),
        (("gauges",), ["gauges"]),
        (("gauges", "language"), ["language", "gauges"]),
    ],
)
def test_the_modalities_asked_for_are_those_that_are_there(
    chosen: tuple[str, ...],
    found: list[str],
    base: Blueprint,
    gauges: Modality,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Given:
        def blueprint(
            self, name: str, folder: Path | None, modalities: tuple[str, ...]
        ) -> Blueprint:
            assert (name, folder) == ("small", None)
            assert set(modalities) <= {"language"}
            return base

    monkeypatch.setattr("edgespark.export.recipes.extend.recipe", lambda _: Given())
    made = add("small", gauges, None, chosen)

    assert [route.modality for route in made.routes] == found
    assert {"embedder", "decoder"} <= stages(made).keys()


def test_a_bridge_and_a_head_of_one_s_own_are_kept(base: Blueprint, gauges: Modality) -> None:
    bridge, head = nn.Linear(8, 16), nn.Linear(16, 4)
    made = stages(extend(base, replace(gauges, bridge=bridge, head=head)))

    assert made["bridge_gauges"].module is bridge
    assert made["head_gauges"].module is head
    assert [axis.high for axis in made["bridge_gauges"].outputs[0].axes[1:]] == [4, 16]


def test_fresh_weights_are_the_same_each_time(base: Blueprint, gauges: Modality) -> None:
    one, other = (stages(extend(base, gauges))["bridge_gauges"].module for _ in range(2))
    wanted = other.state_dict()
    assert all(torch.equal(tensor, wanted[name]) for name, tensor in one.state_dict().items())


UNFIT: dict[str, tuple[dict[str, object], str]] = {
    "name": ({"name": "my wind"}, "no Python identifier"),
    "name taken": ({"name": "language"}, "small already has"),
    "text": ({"record": Text(max_tokens=4)}, "a text goes to the embedder"),
    "head alone": ({"task": None, "head": nn.Linear(16, 4)}, "a head needs a task"),
    "no examples": ({"examples": ()}, "0 arrays of examples; the record gives series"),
    "one example": ({"examples": (torch.rand(1, 4, 2, 3),)}, "needs 2 or more examples"),
    "shape": ({"examples": (torch.rand(3, 5, 2, 3),)}, r"expected float32 \[n, 4, 2, 3\], got"),
    "dtype": ({"examples": (torch.rand(3, 4, 2, 3).double(),)}, "got float64"),
    "encoder fails": ({"encoder": nn.Linear(5, 5)}, "encoder cannot run on the examples: mat1"),
    "no tensor": ({"encoder": Wrong((1,))}, "the encoder gives a tuple; expected a tensor"),
    "no tokens": ({"encoder": nn.Flatten()}, r"gives float32 \[3, 24\]; expected float32 \[3, tok"),
    "not finite": ({"encoder": Wrong(torch.full((3, 1, 8), torch.nan))}, "not finite"),
    "bridge": ({"bridge": nn.Linear(8, 15)}, "gives 15 channels; the LLM has 16"),
    "head": ({"head": nn.Linear(16, 5)}, r"gives \[5\] values; the task has 4"),
}


@pytest.mark.parametrize("case", UNFIT)
def test_what_does_not_fit_is_told(case: str, base: Blueprint, gauges: Modality) -> None:
    change, text = UNFIT[case]
    with pytest.raises(InputError, match=text):
        extend(base, replace(gauges, **change))  # type: ignore[arg-type] # the case's fields


def test_all_that_does_not_fit_is_told_at_once(base: Blueprint, gauges: Modality) -> None:
    wrong = replace(gauges, name="1", examples=(torch.rand(1, 1),))
    with pytest.raises(
        InputError, match=r"no Python identifier.*; examples of 'series'.*; needs 2"
    ):
        extend(base, wrong)


FILES = {
    "syntax": ("import os\n\ndef blueprint(:\n", r"mine\.py:3: SyntaxError"),
    "import": ("import json\n\nimport nowhere_at_all\n", r"mine\.py:3: ModuleNotFoundError"),
    "failure": ("def blueprint(*a):\n    x = 1\n    return x / 0\n", r"mine\.py:3: ZeroDivision"),
    "deep": (
        "import json\n\ndef blueprint(*a):\n    return json.loads('{')\n",
        r"mine\.py:4: JSONDecodeError",
    ),
    "no function": ("x = 1\n", r"mine\.py: defines no function blueprint\(name, folder, modal"),
    "no callable": ("blueprint = 1\n", r"mine\.py: defines no function"),
    "too few parameters": ("def blueprint():\n    pass\n", r"mine\.py: TypeError"),
    "something else": (
        "def blueprint(*a):\n    return {}\n",
        r"blueprint\(\) returned a dict; exp",
    ),
    "no text": ("\x00", r"mine\.py"),
}


@pytest.mark.parametrize("case", FILES)
def test_a_faulty_file_is_told_with_its_line_and_leaves_nothing(case: str, tmp_path: Path) -> None:
    content, text = FILES[case]
    path = tmp_path / "mine.py"
    path.write_text(content)
    with pytest.raises(UsageError, match=text):
        main([str(path), "--out", str(tmp_path / "out")])
    assert [each.name for each in tmp_path.iterdir() if each.suffix] == ["mine.py"]
    assert not (tmp_path / "out").exists()


def test_an_error_of_this_project_passes_through_a_file_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(
        "from edgespark.runtime.errors import InputError\n"
        "def blueprint(*a):\n    raise InputError('the wind is not to be had')\n"
    )
    with pytest.raises(InputError, match=r"^the wind is not to be had$"):
        recipe(str(path)).blueprint("mine", None, ())


def test_a_file_may_hold_dataclasses_and_is_told_its_own_name(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(
        "from __future__ import annotations\nfrom dataclasses import dataclass, field\n"
        "@dataclass(slots=True)\nclass A:\n    x: list[int] = field(default_factory=list)\n"
        "def blueprint(name, folder, chosen):\n    raise ValueError((name, folder, chosen))\n"
    )
    with pytest.raises(UsageError, match=r"\('mine', None, \('a', 'b'\)\)"):
        main([str(path), "--out", str(tmp_path / "out"), "--parts", "a,b"])


def test_a_file_that_is_not_there_and_an_unknown_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingInput, match=r"nowhere\.py: there is no such file"):
        recipe(str(tmp_path / "nowhere.py"))
    (tmp_path / "folder.py").mkdir()
    with pytest.raises(InputError, match="is a folder"):
        recipe(str(tmp_path / "folder.py"))
    with pytest.raises(UsageError, match=r"did you mean 'allspark-base'.*any path to a \.py file"):
        recipe("allspark-bass")


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_by_name_can_be_imported(name: str) -> None:
    assert callable(recipe(name).blueprint)


@pytest.mark.parametrize("name", ["own_modality.py", "transformers_modality.py"])
def test_the_examples_are_short(name: str) -> None:
    assert len((EXAMPLES / name).read_text().splitlines()) <= MOST_LINES


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return random_checkpoint(tmp_path_factory.mktemp("weights"))


def exported(name: str, checkpoint: Path, out: Path, parts: str) -> Path:
    path = str(EXAMPLES / name)
    assert main([path, "--checkpoint", str(checkpoint), "--parts", parts, "--out", str(out)]) == 0
    return out


def test_the_example_of_an_own_encoder_runs_beside_the_small_model_s(
    checkpoint: Path, tmp_path: Path
) -> None:
    out = exported("own_modality.py", checkpoint, tmp_path / "out", "wind,code")
    spark = load(out)
    manifest = spark.manifest
    assert manifest.name == "allspark-tiny+wind"
    assert [route.modality for route in manifest.routes] == ["code", "wind"]

    path = tmp_path / "mast.csv"
    times = [f"2024-05-01T{k // 6:02}:{k % 6}0:00Z" for k in range(36)]
    rows = [f"{time},{5 + k / 10},{7 + k / 10}" for k, time in enumerate(times)]
    path.write_text("\n".join(["time,40 m,120 m", *rows]) + "\n")
    told = spark.predict(wind=path)
    assert told.shape == (6, 2)
    assert np.isfinite(told).all()
    assert isinstance(spark.generate("How will it blow?", wind=path, code="x = 1"), str)


def test_the_example_of_transformers_brings_the_graph_that_optimum_made(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("optimum.exporters.onnx")
    out = exported("transformers_modality.py", checkpoint, tmp_path / "out", "photo,code")
    spark = load(out)

    assert spark.embed(photo=np.zeros((3, 64, 64), np.uint8)).shape == (8, 192)
    graph = onnx.load(out / "graphs" / "encoder_photo.fp32.onnx").graph
    assert any(node.name.startswith("/encoder/layer") for node in graph.node)  # optimum's names
    assert "allspark-tiny+photo" in capsys.readouterr().out


def test_a_model_with_other_inputs_than_the_record_is_refused() -> None:
    pytest.importorskip("optimum.exporters.onnx")
    from transformers import ViTConfig, ViTModel

    from edgespark.export.optimum_graphs import encoder_graph

    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "intermediate_size": 8}
    config = ViTConfig(image_size=8, patch_size=4, num_attention_heads=1, **sizes)
    with pytest.raises(
        InputError, match=r"ViTModel takes pixel_values; .* neighbourhoods, centres"
    ):
        encoder_graph(ViTModel(config), Points(count=8, groups=2, neighbours=2))


def relu(name: str = "tokens") -> bytes:
    """Make a graph by hand, as another exporter might: its axes have names of its own."""
    values = [helper.make_tensor_value_info(each, 1, ["n", "w"]) for each in ("media", name)]
    node = helper.make_node("Relu", ["media"], [name])
    graph = helper.make_graph([node], "any", values[:1], values[1:])
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=10)
    return bytes(made.SerializeToString())


def brings(graph: bytes) -> Stage:
    return Stage(
        name="bridge_own",
        role="bridge",
        module=nn.ReLU(),
        inputs=(port("media", BATCH, ("channels", 3)),),
        outputs=(port("tokens", BATCH, ("channels", 3)),),
        probes=({"media": torch.zeros(2, 3)},),
        graph=graph,
    )


def test_a_graph_that_a_stage_brings_gets_the_axes_of_its_ports() -> None:
    graph = onnx.load_from_string(graph_of(brings(relu()))).graph
    found = [
        [axis.dim_param or axis.dim_value for axis in each.type.tensor_type.shape.dim]
        for each in (*graph.input, *graph.output)
    ]
    assert found == [["batch", 3], ["batch", 3]]


def test_a_graph_of_other_ports_and_one_that_is_none_are_refused() -> None:
    with pytest.raises(CheckError, match="bridge_own: the graph has outputs y; expected tokens"):
        graph_of(brings(relu("y")))
    with pytest.raises(InputError, match="bridge_own: brings no ONNX graph"):
        graph_of(brings(b"\xff\xff"))


class Untraceable(nn.Module):
    """Decides by what a tensor holds, which no tracer can follow."""

    def forward(self, media: Tensor) -> Tensor:
        return media if media.sum() > 0 else -media


def test_a_module_that_cannot_be_traced_is_told_in_one_line() -> None:
    stage = replace(brings(b""), graph=None, module=Untraceable())
    with pytest.raises(
        InputError, match=r"bridge_own: PyTorch cannot trace the module: .+"
    ) as caught:
        graph_of(stage)
    assert "\n" not in str(caught.value)
