"""The stand-in for a bundle, written to disk with references and samples of its own making."""

import io
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgespark.runtime.manifest import Part, Port
from edgespark.runtime.parts import fed
from tests.runtime.bundles import reseal, write_manifest
from tests.runtime.stand_in import FUNCTIONS, LABELS, SIZE, StandIn, tokenizer_bytes

Array = NDArray[Any]


def write(stand_in: StandIn, root: Path, instead: Mapping[str, bytes] | None = None) -> Path:
    """Write the stand-in as a bundle on disk, with `instead` in some files, return its folder."""
    contents = {"tokenizer.json": tokenizer_bytes(), "samples/rgb.npz": samples(stand_in)}
    for each in stand_in.manifest.parts:
        contents |= {g.file.path: f"graph of {each.name}\n".encode() for g in each.graphs}
        contents[each.reference.path] = reference(each)
    contents |= instead or {}
    for path, content in contents.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content)
    write_manifest(root, asdict(stand_in.manifest))
    reseal(root)
    stand_in.sessions.clear()  # what was run to make the samples is not the tests' concern
    return root


def npz(arrays: Mapping[str, Array]) -> bytes:
    stream = io.BytesIO()
    np.savez(stream, **arrays)  # type: ignore[arg-type] # numpy 1.26 takes nothing but arrays
    return stream.getvalue()


def reference(part: Part) -> bytes:
    """Return two probes of random numbers, and what the honest functions give for them."""
    draw = np.random.default_rng(3)
    ports = fed(part, part.graphs[0])
    arrays: dict[str, Array] = {}
    for k, size in enumerate((1, 2)):
        inputs = {port.name: _drawn(draw, port, size) for port in ports}
        for side, each in {"in": inputs, "out": FUNCTIONS[part.name](inputs)}.items():
            arrays |= {f"{k}.{side}.{name}": array for name, array in each.items()}
    return npz(arrays)


def samples(stand_in: StandIn) -> bytes:
    """Return four samples: the head is right on three of them, the answer on one."""
    images = np.random.default_rng(5).normal(size=(4, 3, SIZE, SIZE)).astype(np.float32)
    spark = stand_in.spark()
    best = [LABELS.index(next(iter(spark.classify(rgb=image)))) for image in images]
    best[0] = (best[0] + 1) % len(LABELS)
    answers = [spark.generate("?", rgb=images[0]), *["never"] * 3]
    questions = np.array(["?"] * 4)
    return npz(
        {
            "input": images,
            "label": np.array(best),
            "question": questions,
            "answer": np.array(answers),
        }
    )


def _drawn(draw: np.random.Generator, port: Port, size: int) -> Array:
    sizes = [axis.high if axis.static else size for axis in port.axes]
    if port.dtype == "int64":
        return np.zeros(sizes, np.int64)
    return draw.normal(size=sizes).astype(port.dtype)
