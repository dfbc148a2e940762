"""OneLLM from a checkpoint to answers: parts that are shared, weights that are streamed."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray

from edgespark.engines.streamed import store
from edgespark.export import build, placing
from edgespark.export.exporter import export
from edgespark.export.models.onellm.sources import filled
from edgespark.export.precisions import LIMITS
from edgespark.export.recipes import recipe
from edgespark.export.recipes.onellm_routes import TEMPLATE
from edgespark.runtime import InputError, MissingInput, Spark, UnknownModality, UsageError, load
from edgespark.runtime.bundle import Bundle
from edgespark.runtime.device import device_named
from edgespark.runtime.errors import CheckError, EdgesparkWarning
from edgespark.runtime.generation import Generation
from edgespark.runtime.inspect import describe, render
from edgespark.runtime.prepared import Prepared
from edgespark.runtime.verify import rows
from tests.export.onellm_on_disk import MODALITIES, SMALL, blueprint, checkpoint, tensors

INPUTS: dict[str, Any] = {
    "image": Prepared(arrays={"pixels": np.zeros((1, 3, 224, 224), np.float32)}),
    "imu": Prepared(arrays={"signal": np.ones((1, 6, 400), np.float32)}),
}
QUESTION = "What is it?"


@pytest.fixture(scope="module")
def bundle(onellm: Bundle) -> Bundle:
    return onellm


@pytest.fixture(scope="module")
def spark(bundle: Bundle) -> Spark:
    return load(bundle.root, precision="fp32")


def test_nothing_is_left_beside_the_bundle(bundle: Bundle) -> None:
    assert {each.name for each in bundle.root.parent.iterdir()} == {"bundle", "checkpoint"}
    assert bundle.problems() == []


def test_the_trunk_and_the_experts_are_stored_once(bundle: Bundle) -> None:
    names = [part.name for part in bundle.manifest.parts]
    own = [f"{kind}_{each}" for each in MODALITIES for kind in ("encoder", "projection", "bridge")]
    assert sorted(names) == sorted([*own, "trunk", "experts", "embedder", "decoder"])
    for route in bundle.manifest.routes:
        targets = [wire.target.partition(".")[0] for wire in route.wires]
        assert targets[1::2] == ["trunk", "experts"]


def test_without_data_only_the_llm_has_integers(bundle: Bundle) -> None:
    found = {
        part.name: [graph.precision for graph in part.graphs] for part in bundle.manifest.parts
    }
    assert found.pop("decoder") == ["fp32", "int8", "int4"]
    assert found.pop("embedder") == ["fp32", "int8"]
    assert set(map(tuple, found.values())) == {("fp32",)}


def test_narrower_weights_are_smaller_and_further_from_pytorch(bundle: Bundle) -> None:
    graphs = bundle.manifest.part("decoder").graphs
    sizes = [graph.data[0].bytes for graph in graphs]
    assert sizes[0] > 3 * sizes[1] > 3 * sizes[2]
    errors = [each.error for each in bundle.manifest.evidence.parity if each.part == "decoder"]
    assert errors[0] < 1e-5 < errors[1] < errors[2]
    layers = [each.layers for each in bundle.manifest.evidence.parity if each.part == "decoder"]
    assert [len(each) for each in layers] == [SMALL.llm.depth + 1] * 3
    assert "by layer, the head last:" in render(describe(bundle))


def test_the_bundle_verifies(bundle: Bundle) -> None:
    for row in rows(bundle, device_named("cpu"), None):
        assert row.ok, row


@pytest.mark.parametrize("modalities", [("image",), ("imu",), ("imu", "image")])
def test_the_runtime_embeds_as_pytorch_does(modalities: tuple[str, ...], spark: Spark) -> None:
    given: dict[str, Any] = {name: INPUTS[name] for name in modalities}
    spark.generate(QUESTION, max_tokens=5, temperature=0.0, **given)
    assert spark.stats.prompt_tokens == 1 + 32 * len(given) + len(TEMPLATE) - 8 + len(QUESTION)
    wanted = [_tokens(name) for name in modalities]
    np.testing.assert_allclose(spark.embed(**given), np.concatenate(wanted), atol=2e-4)


@torch.no_grad()
def _tokens(modality: str) -> NDArray[np.float32]:
    read = {name.removeprefix("llma."): each for name, each in tensors().items()}.__getitem__
    (x,) = (torch.from_numpy(each) for each in INPUTS[modality].arrays.values())
    for part in ("tokenizer.{}", "trunk", "projection.{}", "experts", "bridge.{}"):
        x = filled(SMALL, part.format(modality), read)(x)
    return np.asarray(x[0].numpy())


@pytest.mark.parametrize("precision", ["fp32", "int8", "int4"])
def test_every_variant_answers_the_same_each_time(precision: str, bundle: Bundle) -> None:
    first, second = (
        load(bundle.root, precision=precision).generate(QUESTION, image=INPUTS["image"])
        for _ in range(2)
    )
    assert first == second


def test_the_released_decoding_is_another(spark: Spark) -> None:
    right, released = (
        spark.generate(QUESTION, max_tokens=20, temperature=0, decoding=name, **INPUTS)
        for name in (None, "released")
    )
    assert right != released


def test_what_the_released_code_does_is_the_default(bundle: Bundle) -> None:
    language = bundle.manifest.language
    assert language.generation == Generation(max_tokens=128, temperature=0.1, top_p=0.75)
    assert language.stop == ("###",)
    assert language.decodings == {"released": 2}


def test_one_modality_alone_is_exported_alone(tmp_path: Path) -> None:
    made = export(blueprint(tmp_path / "c", ("imu",)), tmp_path / "b", replace=False)
    assert [route.modality for route in made.manifest.routes] == ["imu"]
    assert made.manifest.preferred == {"cpu": "fp16"}
    with pytest.warns(EdgesparkWarning, match="cpu computes fp16 in float32"):
        spark = load(made.root)
    assert spark.embed(imu=INPUTS["imu"]).shape == (32, 128)


def test_a_checkpoint_of_another_model_is_told_tensor_by_tensor(tmp_path: Path) -> None:
    path = checkpoint(tmp_path)
    state = torch.load(path, weights_only=True)
    state["llma.norm.gain"] = state.pop("llma.norm.weight")
    state["llma.output.weight"] = state["llma.output.weight"][:5].clone()
    torch.save(state, path)
    with pytest.raises(InputError) as caught:
        recipe_of(path)
    for told in ("norm.weight", "norm.gain", "output.weight: expected [258, 128], got [5, 128]"):
        assert told in str(caught.value)


def recipe_of(path: Path, *modalities: str) -> object:
    from edgespark.export.recipes.onellm import onellm_blueprint

    return onellm_blueprint(SMALL, path, modalities)


def test_a_checkpoint_without_its_tokenizer_is_told(tmp_path: Path) -> None:
    path = checkpoint(tmp_path)
    (tmp_path / "tokenizer.json").unlink()
    with pytest.raises(MissingInput, match="tokenizer"):
        recipe_of(path)


def test_an_unknown_modality_lists_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(UnknownModality, match="no 'smell'; it has: image, rgbd, imu"):
        recipe_of(checkpoint(tmp_path), "smell")


def test_no_checkpoint_is_wrong_use() -> None:
    with pytest.raises(UsageError, match="give --checkpoint"):
        recipe("onellm-7b").blueprint("onellm-7b", None, ())


def test_a_layer_that_is_too_far_off_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build, "LIMITS", {**LIMITS, "int4": 1e-3})
    made = blueprint(tmp_path / "c", ("imu",))
    with (
        pytest.warns(EdgesparkWarning, match="kept in"),
        pytest.raises(CheckError, match=r"decoder: layer \d of the int4 graph differs.* 0\.001 is"),
    ):
        export(made, tmp_path / "b", replace=False, precisions=("int4",))
    assert not (tmp_path / "b").exists()


def test_an_interrupted_export_goes_on_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = blueprint(tmp_path / "c", ("imu",))
    stored: list[str] = []
    enough = 3

    def counted(*arguments: Any, **named: Any) -> onnx.ModelProto:  # noqa: ANN401 as `store`
        if len(stored) == enough:
            raise KeyboardInterrupt
        stored.append(arguments[3])
        return store(*arguments, **named)

    monkeypatch.setattr(placing, "store", counted)
    with pytest.warns(EdgesparkWarning, match="kept in"), pytest.raises(KeyboardInterrupt):
        export(made, tmp_path / "b", replace=False, precisions=("fp32",))
    assert not (tmp_path / "b").exists()
    first, stored[:], enough = list(stored), [], 100
    export(made, tmp_path / "b", replace=False, precisions=("fp32",))
    assert len(first) == 3
    assert not set(first) & set(stored)
