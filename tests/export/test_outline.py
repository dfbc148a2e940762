"""A stage is traced without its weights, and with them it computes what it would have."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper
from torch import Tensor, nn

from edgespark.engines.streamed import store
from edgespark.engines.weight_only import PRECISIONS
from edgespark.export.models.config import Llama
from edgespark.export.models.llama import LlamaDecoder, rotations
from edgespark.export.outline import outline
from edgespark.export.recipes.decoders import BATCH, port, streamed
from edgespark.export.stage import Stage
from edgespark.export.trace import OPSET, reference
from edgespark.runtime.backends import Program, Session, backend
from edgespark.runtime.errors import InputError
from edgespark.runtime.manifest import Precision
from edgespark.runtime.verify import distance
from tests.engines.weightless import absent_shapes

SIZE = Llama(
    vocabulary=31, width=32, depth=2, heads=2, hidden=48, context=24, adapters=(0,), bottleneck=8
)
WATCHED = {"model.layers.0": "after.0", "model.layers.1": "after.1"}
# greatest |graph - module| of any one value, in standard deviations
LIMITS: dict[Precision, float] = {"fp32": 1e-5, "fp16": 1e-2, "int8": 0.1, "int4": 1.0}


def session(stage: Stage, model: onnx.ModelProto, folder: Path, data: str) -> Session:
    program = Program(
        where=stage.name,
        graph=model.SerializeToString(),
        inputs=stage.fed,
        outputs=stage.given,
        folder=folder,
        data=(data,),
    )
    return backend("onnxruntime").open_session(program)


@pytest.fixture(scope="module")
def real() -> LlamaDecoder:
    torch.manual_seed(0)
    return LlamaDecoder(SIZE).eval()


@pytest.fixture(scope="module")
def stage() -> Stage:
    with torch.device("meta"):
        module = LlamaDecoder(SIZE)
    module.cos, module.sin = rotations(SIZE)
    return streamed(module.eval(), module.get_parameter)[1]


@pytest.fixture(scope="module")
def outlined(stage: Stage) -> onnx.ModelProto:
    return outline(stage, WATCHED)


def source(module: nn.Module) -> dict[str, np.ndarray]:
    return {name: each.detach().numpy() for name, each in module.named_parameters()}


def test_the_graph_waits_for_every_parameter_by_its_own_name(
    outlined: onnx.ModelProto, real: LlamaDecoder
) -> None:
    shapes = {name: tuple(each.shape) for name, each in real.named_parameters()}
    shapes.pop("model.embed_tokens.weight")  # another stage's
    assert absent_shapes(outlined) == shapes
    assert outlined.ByteSize() < 100_000


def test_nothing_turns_a_weight_when_the_graph_runs(outlined: onnx.ModelProto) -> None:
    turned = [node.input[0] for node in outlined.graph.node if node.op_type == "Transpose"]
    assert not {each.name for each in outlined.graph.initializer} & set(turned)
    dims = {each.name: list(each.dims) for each in outlined.graph.initializer}
    assert dims["lm_head.weight"] == [32, 31]
    assert dims["model.layers.1.mlp.up_proj.weight"] == [32, 48]


def test_the_module_is_as_before(outlined: onnx.ModelProto, stage: Stage) -> None:
    assert outlined.graph.name == "decoder"
    assert all(each.is_meta for each in stage.module.parameters())
    assert not any(module._forward_hooks for module in stage.module.modules())


def test_the_graph_has_its_ports_opset_and_nothing_of_the_machine(
    outlined: onnx.ModelProto, stage: Stage
) -> None:
    assert [each.name for each in outlined.graph.input] == [port.name for port in stage.fed]
    assert [each.name for each in outlined.graph.output] == [port.name for port in stage.given]
    assert [(each.domain, each.version) for each in outlined.opset_import] == [("", OPSET)]
    assert b".py" not in outlined.SerializeToString()
    shape = outlined.graph.output[0].type.tensor_type.shape.dim
    assert [each.dim_param or each.dim_value for each in shape] == ["batch", "selected", 32]


@pytest.mark.parametrize("precision", PRECISIONS)
def test_with_its_weights_the_graph_computes_what_the_module_does(
    precision: Precision,
    outlined: onnx.ModelProto,
    stage: Stage,
    real: LlamaDecoder,
    tmp_path: Path,
) -> None:
    made = store(outlined, source(real).__getitem__, tmp_path, "w.data", precision)
    opened = session(stage, made, tmp_path, "w.data")
    for probe in stage.probes:
        wanted = reference(replace(stage, module=real), probe)
        got = opened.run({name: each.numpy() for name, each in probe.items()})
        for name, array in wanted.items():
            assert distance(got[name], array) <= LIMITS[precision]


def test_a_watched_layer_is_a_tensor_of_that_name(
    outlined: onnx.ModelProto, stage: Stage, real: LlamaDecoder, tmp_path: Path
) -> None:
    kept: dict[str, Tensor] = {}
    for name, tensor in WATCHED.items():

        def keep(_m: nn.Module, _i: object, out: tuple[Tensor, ...], to: str = tensor) -> None:
            kept[to] = out[0]

        real.get_submodule(name).register_forward_hook(keep)
    probe = stage.probes[0]
    reference(replace(stage, module=real), probe)
    made = store(outlined, source(real).__getitem__, tmp_path, "w.data", "fp32")
    for name in WATCHED.values():
        made.graph.output.append(
            helper.make_tensor_value_info(name, TensorProto.FLOAT, ["a", "b", 32])
        )
    got = session(stage, made, tmp_path, "w.data").run(
        {name: each.numpy() for name, each in probe.items()}
    )
    for name in WATCHED.values():
        assert distance(got[name], kept[name].numpy()) <= 1e-5


class Classifier(nn.Module):
    """Embeds ids, pools them, and has two linear layers on [batch, width], one frozen in part."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(11, 16)
        self.first = nn.Linear(16, 16)
        self.norm = nn.BatchNorm1d(16)
        self.second = nn.Linear(16, 5)
        self.unused = nn.Linear(3, 3)

    def forward(self, ids: Tensor) -> Tensor:
        pooled = self.table(ids).mean(1)
        made: Tensor = self.second(self.norm(torch.relu(self.first(pooled))))
        return made


@pytest.fixture
def classifier() -> Stage:
    torch.manual_seed(0)
    return Stage(
        name="classifier",
        role="encoder",
        module=Classifier().eval(),
        inputs=(port("ids", BATCH, ("tokens", 4), dtype="int64"),),
        outputs=(port("scores", BATCH, ("classes", 5)),),
        probes=({"ids": torch.tensor([[1, 2, 3, 4], [0, 10, 9, 1]])},),
    )


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_a_real_module_and_layers_with_bias_work_too(
    precision: Precision, classifier: Stage, tmp_path: Path
) -> None:
    model = outline(classifier)
    kinds = {node.op_type for node in model.graph.node}
    assert "MatMul" in kinds
    assert not {"Gemm", "Transpose"} & kinds
    shapes = absent_shapes(model)
    assert shapes["first.weight"] == shapes["second.weight"][::-1][:1] * 2
    assert "unused.weight" not in shapes
    assert "norm.running_mean" not in shapes
    own = source(classifier.module)
    made = store(model, own.__getitem__, tmp_path, "w.data", precision)
    probe = classifier.probes[0]
    got = session(classifier, made, tmp_path, "w.data").run({"ids": probe["ids"].numpy()})
    wanted = reference(classifier, probe)["scores"]
    assert distance(got["scores"], wanted) <= LIMITS[precision]


def test_a_buffer_without_data_is_an_error(classifier: Stage) -> None:
    with pytest.raises(InputError, match=r"buffer 'norm\.running_mean' has no data"):
        outline(replace(classifier, module=classifier.module.to("meta")))


def test_a_parameter_of_another_dtype_is_an_error(classifier: Stage) -> None:
    with pytest.raises(InputError, match=r"'table\.weight' is torch\.float16"):
        outline(replace(classifier, module=classifier.module.half()))


def test_a_watched_module_that_is_not_there_is_an_error(classifier: Stage) -> None:
    with pytest.raises(InputError, match="no submodule 'third' to watch"):
        outline(classifier, {"third": "x"})


def test_a_watched_module_that_is_not_called_is_an_error(classifier: Stage) -> None:
    with pytest.raises(InputError, match="unused: watched, but the stage never calls it"):
        outline(classifier, {"unused": "x"})
    assert all(np.isfinite(each).all() for each in source(classifier.module).values())


def test_a_watched_module_that_gives_an_output_is_an_error(classifier: Stage) -> None:
    with pytest.raises(InputError, match="second: watched, but the stage gives what it gives"):
        outline(classifier, {"second": "x"})
