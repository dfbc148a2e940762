"""A graph's inputs and outputs, brought to the ports that a part declares."""

from collections.abc import Iterable, Mapping

import onnx

from edgespark.runtime.errors import CheckError
from edgespark.runtime.manifest import Port


def rename(model: onnx.ModelProto, names: Mapping[str, str]) -> onnx.ModelProto:
    """Give tensors other names, wherever they are read or written but in graphs within nodes.

    CheckError where the graph uses one of the new names already.
    """
    graph = model.graph
    nodes = [(node, field) for node in graph.node for field in ("input", "output")]
    used = {name for node, field in nodes for name in getattr(node, field)}
    if taken := sorted(used & set(names.values()) - names.keys()):
        raise CheckError(f"the graph already has tensors named {', '.join(taken)}")
    for node, field in nodes:
        for place, name in enumerate(getattr(node, field)):
            getattr(node, field)[place] = names.get(name, name)
    for value in (*graph.input, *graph.output, *graph.initializer, *graph.value_info):
        value.name = names.get(value.name, value.name)
    return model


def declare(
    model: onnx.ModelProto, inputs: Iterable[Port], outputs: Iterable[Port]
) -> onnx.ModelProto:
    """Write the ports' axes into the graph: sizes where they are static, names where they are not.

    CheckError where the graph has other inputs or outputs than the ports say.
    """
    for kind, values, ports in (
        ("inputs", model.graph.input, list(inputs)),
        ("outputs", model.graph.output, list(outputs)),
    ):
        found, wanted = [each.name for each in values], [port.name for port in ports]
        if sorted(found) != sorted(wanted):
            raise CheckError(
                f"the graph has {kind} {', '.join(found)}; expected {', '.join(wanted)}"
            )
        for port in ports:
            _write(next(each for each in values if each.name == port.name), port)
    return model


def _write(value: onnx.ValueInfoProto, port: Port) -> None:
    shape = value.type.tensor_type.shape
    shape.ClearField("dim")
    for axis in port.axes:
        dim = shape.dim.add()
        if axis.static:
            dim.dim_value = axis.low
        else:
            dim.dim_param = axis.name
