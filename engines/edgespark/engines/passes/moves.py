"""The cheap operators that may lie between products, by what they do to rounded numbers."""

MOVES = frozenset(
    {
        "Concat",
        "Expand",
        "Flatten",
        "Gather",
        "GatherElements",
        "GatherND",
        "Max",
        "MaxPool",
        "Min",
        "Neg",
        "Pad",
        "ReduceMax",
        "ReduceMin",
        "Relu",
        "Reshape",
        "Slice",
        "Split",
        "Squeeze",
        "Tile",
        "Transpose",
        "Unsqueeze",
        "Where",
    }
)
"""They move, choose or negate numbers: before or after them, rounding gives the same."""

ROUNDS = frozenset(
    {
        "Add",
        "Clip",
        "Div",
        "Erf",
        "Gelu",
        "HardSigmoid",
        "LeakyRelu",
        "Mul",
        "Sigmoid",
        "Sub",
        "Tanh",
    }
)
"""They compute: what they give is rounded anew."""

MEASURES = frozenset({"Shape", "Size"})
"""They look at no number: any dtype will do."""
