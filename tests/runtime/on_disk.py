"""The stand-in for a bundle, written to disk with references and samples of its own making."""

import hashlib
import io
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgespark.runtime.manifest import Part, Port
from tests.runtime.stand_in import FUNCTIONS, LABELS, SIZE, StandIn, tokenizer_bytes

Array = NDArray[Any]


def write(stand_in: StandIn, root: Path, instead: Mapping[str, bytes] | None = None) -> Path:
    """Write the stand-in as a bundle on disk, with `instead` in some files, return its folder."""
    contents = {"tokenizer.json": tokenizer_bytes(), "samples/rgb.npz": samples(stand_in)}
    for each in stand_in.manifest.parts:
        contents[each.graphs[0].file.path] = f"graph of {each.name}\n".encode()
        contents[each.reference.path] = reference(each)
    contents |= instead or {}
    for path, content in contents.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content)
    plain = asdict(stand_in.manifest)
    _seal(plain, contents)
    (root / "manifest.json").write_text(json.dumps(plain))
    stand_in.sessions.clear()  # what was run to make the samples is not the tests' concern
    return root


def npz(arrays: Mapping[str, Array]) -> bytes:
    stream = io.BytesIO()
    np.savez(stream, allow_pickle=False, **arrays)
    return stream.getvalue()


def reference(part: Part) -> bytes:
    """Return inputs of random numbers, and what the honest functions give for them."""
    draw = np.random.default_rng(3)
    ports = [*part.inputs, *(state.past for state in part.graphs[0].states)]
    given = {port.name: _drawn(draw, port) for port in ports}
    made = FUNCTIONS[part.name](given)
    arrays = {f"in.{name}": array for name, array in given.items()}
    return npz({**arrays, **{f"out.{name}": array for name, array in made.items()}})


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


def _drawn(draw: np.random.Generator, port: Port) -> Array:
    sizes = [axis.high if axis.static else 1 for axis in port.axes]
    if port.dtype == "int64":
        return np.zeros(sizes, np.int64)
    return draw.normal(size=sizes).astype(port.dtype)


def _seal(value: object, contents: Mapping[str, bytes]) -> None:
    """Put true sizes and digests into every record of a file."""
    if isinstance(value, dict) and "sha256" in value:
        content = contents[value["path"]]
        value.update(bytes=len(content), sha256=hashlib.sha256(content).hexdigest())
    children = value.values() if isinstance(value, dict) else value
    for child in children if isinstance(children, Iterable) and not isinstance(value, str) else ():
        _seal(child, contents)
