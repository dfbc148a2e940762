"""Which precision a part has in which variant."""

from types import SimpleNamespace
from typing import cast

import pytest

from edgespark.export.precisions import asked, check_brought, form, forms, preferred, variants
from edgespark.export.stage import Stage
from edgespark.runtime.errors import UsageError
from edgespark.runtime.manifest import Precision

ENCODER, DECODER, EMBEDDER = (
    cast("Stage", SimpleNamespace(name=role, role=role))
    for role in ("encoder", "decoder", "embedder")
)


@pytest.mark.parametrize(
    ("among", "encoder", "decoder"),
    [
        (("fp32",), ("fp32",), ("fp32",)),
        (("int4",), ("fp32",), ("int4",)),
        (("fp32", "int8", "int4"), ("fp32",), ("fp32", "int8", "int4")),
        (("fp16", "int4"), ("fp16",), ("fp16", "int4")),
        (("fp32", "fp16", "int8"), ("fp32", "fp16"), ("fp32", "fp16", "int8")),
    ],
)
def test_integers_are_the_decoders_alone(
    among: tuple[Precision, ...], encoder: tuple[str, ...], decoder: tuple[str, ...]
) -> None:
    assert forms(ENCODER, among) == encoder
    assert forms(DECODER, among) == decoder
    assert form(ENCODER, among[-1], among) in encoder


def test_a_variant_is_named_as_its_precision() -> None:
    (made,) = variants((ENCODER, DECODER), ("int4",))
    assert made.name == "int4"
    assert made.precisions == {"encoder": "fp32", "decoder": "int4"}


def test_a_cpu_prefers_what_it_computes_as_it_is() -> None:
    assert preferred(("fp16", "int4", "int8")) == {"cpu": "int8"}
    assert preferred(("fp16",)) == {"cpu": "fp16"}


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (["fp64"], "cannot export precision 'fp64'; there are: fp32, fp16, int8, int4"),
        (["fp32", ""], "cannot export precision ''; there are"),
        ([], "no precision to export; there are: fp32"),
        (["int4", "int4"], "stands twice in int4,int4"),
    ],
)
def test_a_precision_that_is_none_is_refused(names: list[str], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        asked(names)


def test_an_llm_that_brings_its_graph_cannot_have_its_weights_changed() -> None:
    brings = cast("Stage", SimpleNamespace(name="llm", role="decoder", graph=b"onnx"))
    photo = cast("Stage", SimpleNamespace(name="photo", role="encoder", graph=b"onnx"))
    check_brought((brings, photo), ("fp32",))
    check_brought((photo,), ("fp32", "fp16", "int8", "int4"))
    with pytest.raises(UsageError, match=r"llm brings a graph of its own.* fp16 cannot"):
        check_brought((photo, brings), ("fp32", "fp16"))


@pytest.mark.parametrize(
    ("among", "encoder", "embedder"),
    [
        (("fp32", "int8"), ("fp32", "int8"), ("fp32", "int8")),
        (("fp16", "int8", "int4"), ("fp16", "int8"), ("fp16", "int8")),
        (("fp16", "int4"), ("fp16",), ("fp16", "int8")),
    ],
)
def test_data_makes_the_other_parts_integers_too(
    among: tuple[Precision, ...], encoder: tuple[str, ...], embedder: tuple[str, ...]
) -> None:
    assert forms(ENCODER, among, data=True) == encoder
    assert forms(EMBEDDER, among, data=True) == embedder


def test_a_table_needs_no_data() -> None:
    assert form(EMBEDDER, "int8", ("fp32", "int8")) == "int8"
    assert form(EMBEDDER, "int4", ("fp32", "int4")) == "int8"
