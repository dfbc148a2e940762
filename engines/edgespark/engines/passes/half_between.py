"""Cheap operators between float16 tensors in float16, so that no Casts stand around them."""

from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

import onnx
from onnx import NodeProto

from edgespark.engines.passes.casts import FLOAT, narrowed, narrows, unfit, widens
from edgespark.engines.passes.kinds import kinds
from edgespark.engines.passes.moves import MEASURES, MOVES, ROUNDS
from edgespark.engines.passes.rotations import rotations
from edgespark.engines.passes.wiring import Wiring, copied, wiring


def half_between(model: onnx.ModelProto, wide: AbstractSet[str]) -> onnx.ModelProto:
    """Let cheap operators compute in float16 where all that they read is float16 already.

    Needs a graph of `half_products`; `wide` are tensors that float16 must not hold. Gives a copy.
    What only moves numbers is float16 where its readers are, float32 where none of them is.
    Float32 stay: softmax and norms, squares, rotations, what a constant keeps so, and sums of two
    computed tensors that a norm reads (the residual stream of a transformer): in float16 they make
    the error of allspark-tiny's encoders and bridges 1.5 times as large, and save no Cast.
    """
    made = copied(model)
    return narrowed(made, _Choice.of(made, wide).made())


@dataclass(slots=True)
class _Choice:
    """What is known of the tensors: `half` come from float16, `either` from constants alone."""

    graph: onnx.GraphProto
    wires: Wiring
    floats: AbstractSet[str]
    fit: AbstractSet[str]
    barred: AbstractSet[str]
    exposed: AbstractSet[str]
    half: set[str]
    either: set[str] = field(default_factory=set)
    chosen: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, model: onnx.ModelProto, wide: AbstractSet[str]) -> "_Choice":
        graph, wires = model.graph, wiring(model.graph)
        return cls(
            graph=graph,
            wires=wires,
            floats={name for name, kind in kinds(model).items() if kind == FLOAT},
            fit={each.name for each in graph.initializer if not unfit(each)},
            barred=wide | rotations(graph),
            exposed=_exposed(graph, wires),
            half={node.output[0] for node in graph.node if widens(node)},
        )

    def made(self) -> set[str]:
        """Choose along the graph, then let what only moves numbers follow its readers."""
        for node in self.graph.node:
            if self._may(node) and (read := self._read(node)) <= self.half | self.either:
                self._choose(node, given=bool(read & self.half))
        for node in reversed(self.graph.node):
            if node.op_type in MOVES and node.output[0] in self.floats:
                self._follow(node)
        return self.chosen

    def _choose(self, node: NodeProto, *, given: bool) -> None:
        """Choose a node that reads what is `given` as float16, or constants alone."""
        if node.op_type in MOVES or (node.op_type in ROUNDS and given and not self._apart(node)):
            (self.half if given else self.either).update(node.output)
            self.chosen.add(node.output[0])

    def _follow(self, node: NodeProto) -> None:
        wanted = [each for name in node.output for each in self._wanted(name)]
        if all(wanted) and self._may(node):
            self.chosen.add(node.output[0])
        elif not any(wanted) or self.half.isdisjoint(self._read(node)):
            self.chosen.discard(node.output[0])

    def _wanted(self, name: str) -> Iterator[bool]:
        """Tell of each reader whether it wants float16; who takes the graph's output does not."""
        if name in self.wires.outputs:
            yield False
        for node, _ in self.wires.readers.get(name, []):
            if node.op_type not in MEASURES:
                yield narrows(node) or node.output[0] in self.chosen

    def _read(self, node: NodeProto) -> set[str]:
        """Name the float32 tensors that a node reads, but for constants that fit."""
        return (set(node.input) & self.floats) - self.fit

    def _apart(self, node: NodeProto) -> bool:
        """Tell whether a node that could be float16 stays float32."""
        computed = [name for name in node.input if name not in self.wires.weights]
        sums = node.op_type in ("Add", "Sub") and len(computed) > 1
        return _squares(node) or (sums and node.output[0] in self.exposed)

    def _may(self, node: NodeProto) -> bool:
        """Tell whether float16 could hold all that the node reads and makes."""
        names = {*node.input, *node.output}
        unheld = (names & self.wires.weights.keys() & self.floats) - self.fit
        return node.output[0] in self.floats and not unheld and self.barred.isdisjoint(names)


def _exposed(graph: onnx.GraphProto, wires: Wiring) -> set[str]:
    """Name what is read as float32 whatever is chosen, by itself or when it has been moved."""
    found = set(wires.outputs)
    for node in reversed(graph.node):
        rounds = node.op_type in ROUNDS and not _squares(node)
        unseen = node.op_type in MOVES and found.isdisjoint(node.output)
        if not (rounds or unseen or narrows(node) or node.op_type in MEASURES):
            found.update(node.input)
    return found


def _squares(node: NodeProto) -> bool:
    return node.op_type == "Mul" and len(set(node.input)) == 1
