"""Write a random OneLLM checkpoint: the released names and sizes, numbers of no meaning.

    python tests/tools/random_onellm.py --out onellm.pth                 # 940 tensors, 15.2 GB
    python tests/tools/random_onellm.py --out small.pth --layers 2 --dtype bfloat16

The file is as `torch.save` writes it. The same seed gives the same numbers, for a tensor of the
same name and shape whatever the other options are. Memory stays below 1 GB.
"""

import argparse
import re
import shutil
import sys
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from math import prod, sqrt
from pathlib import Path

import numpy as np
import torch

from edgespark.export.models.onellm.config import ONELLM, OneLLMConfig
from edgespark.export.models.onellm.names import PREFIX, checkpoint_shapes
from edgespark.runtime.errors import OutputError
from edgespark.runtime.progress import track

ROOT = Path(__file__).parents[2]
Shape = tuple[int, ...]
DTYPES = {"float16": torch.float16, "bfloat16": torch.bfloat16, "float32": torch.float32}
PIECE = 2**22  # numbers drawn at a time
SPARE = 2**20  # bytes: what the file holds beside the numbers
SMALL = 0.02
TABLES = re.compile(r"(.*embeddings?|resample_tokens|start_tag|end_tag)(\..+)?|.*bias")


def main(arguments: Sequence[str] | None = None) -> int:
    given = parser().parse_args(arguments)
    config = resized(given.layers, given.blocks)
    shapes = {PREFIX + name: shape for name, shape in checkpoint_shapes(config).items()}
    try:
        make(given.out, shapes, DTYPES[given.dtype], given.seed)
    except OSError as error:  # OutputError is one
        print(error, file=sys.stderr)  # noqa: T201 a command line tool
        return OutputError.exit_code
    return 0


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    made.add_argument("--out", type=Path, required=True, help="the file to write")
    made.add_argument("--dtype", choices=DTYPES, default="float16")
    made.add_argument("--layers", type=int, default=ONELLM.llm.depth, help="of the LLM")
    made.add_argument("--blocks", type=int, default=ONELLM.clip.depth, help="of CLIP")
    made.add_argument("--seed", type=int, default=0)
    return made


def resized(layers: int, blocks: int) -> OneLLMConfig:
    llm, clip = replace(ONELLM.llm, depth=layers), replace(ONELLM.clip, depth=blocks)
    return replace(ONELLM, llm=llm, clip=clip)


def make(out: Path, shapes: Mapping[str, Shape], dtype: torch.dtype, seed: int) -> None:
    """Write the checkpoint; OutputError where it cannot be, before the long work begins."""
    if str(ROOT) not in sys.path:  # run as a script, Python looks for modules beside it alone
        sys.path.insert(0, str(ROOT))
    from tests.tools.torch_zip import moved_when_whole, write

    needed = sum(map(prod, shapes.values())) * dtype.itemsize + SPARE
    check(out, needed)
    with moved_when_whole(out) as partial:
        title = f"{out.name}: {needed / 1e9:.1f} GB"
        with track(shapes.items(), title, len(shapes)) as items:
            write(partial, shapes, dtype, (drawn(*item, dtype, seed) for item in items))


def check(out: Path, needed: int) -> None:
    if out.exists():
        raise OutputError(f"{out} is there already; give another name")
    if not out.parent.is_dir():
        raise OutputError(f"{out.parent} is no folder")
    free = shutil.disk_usage(out.parent).free
    if needed > free:
        raise OutputError(f"{out}: needs {needed:,} bytes, and {free:,} are free")


def drawn(name: str, shape: Shape, dtype: torch.dtype, seed: int) -> Iterator[memoryview]:
    """Yield the bytes of a tensor, at most PIECE numbers at a time."""
    generator = np.random.default_rng((seed, zlib.crc32(name.removeprefix(PREFIX).encode())))
    spread, left = deviation(name.removeprefix(PREFIX), shape), prod(shape)
    while left:
        count = min(left, PIECE)
        if spread is None:
            values = np.ones(count, np.float32)
        else:
            values = generator.standard_normal(count, np.float32) * np.float32(spread)
        yield torch.from_numpy(values).to(dtype).view(torch.uint8).numpy().data
        left -= count


def deviation(name: str, shape: Shape) -> float | None:
    """Return the standard deviation of a tensor's numbers; None where they are all one (gains)."""
    if TABLES.fullmatch(name.removesuffix(".weight")):
        return SMALL
    if len(shape) < 2:
        return None
    return 1 / sqrt(prod(shape[1:]))


if __name__ == "__main__":
    sys.exit(main())
