r"""Whether tensorrt-rtx takes a bundle's graphs: each is parsed and built, strongly typed.

    python benchmarks/rtx_builds.py build/tiny --precision fp16,int8 --json builds.json

Needs `edgespark[rtx]`, and no GPU: it runs on the CPU. Each graph is built in a process of its own,
with the shapes that its ports allow, for every target at once; a crash of the library is a refusal
like another.
The seconds are of parsing and building alone, one process at a time, not of starting Python or
importing the library; engines are neither kept nor run. Of the products of a graph (MatMul, Gemm,
Conv) it is counted how many the builder reports as kernels of two INT8 factors. The last line is
one JSON document; the exit code is 5 where a graph is refused.
"""

import argparse
import multiprocessing
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from multiprocessing.connection import Connection
from pathlib import Path

import onnx

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.document import destination, publish, stamp  # noqa: E402 found by the line above
from edgespark.engines.passes.wiring import WORK  # noqa: E402
from edgespark.engines.rtx import TARGETS, build, node_names, spans  # noqa: E402
from edgespark.runtime.bundle import Bundle  # noqa: E402
from edgespark.runtime.errors import EdgesparkError, MissingExtra, UsageError  # noqa: E402
from edgespark.runtime.manifest import Graph, Part  # noqa: E402
from edgespark.runtime.progress import track  # noqa: E402

PATIENCE = 600  # seconds for one graph


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """What came of one graph: `refused` is the reason, "" where an engine was built."""

    part: str
    precision: str
    refused: str = ""
    seconds: float = 0.0
    bytes: int = 0
    products: int = 0
    in_int8: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Order:
    """One graph to build, and for what."""

    bundle: Bundle
    part: Part
    graph: Graph
    targets: tuple[str, ...]


def verdict(order: Order) -> Verdict:
    """Build the graph in this process; EdgesparkError where it is refused."""
    path, *_ = [order.bundle.verified(each) for each in (order.graph.file, *order.graph.data)]
    ports = (*order.part.inputs, *(state.past for state in order.graph.states))
    built = build(path, spans(ports), order.targets)
    nodes = onnx.load(path, load_external_data=False).graph.node
    names, products = node_names(nodes), [each for each in nodes if each.op_type in WORK]
    return Verdict(
        part=order.part.name,
        precision=order.graph.precision,
        seconds=round(built.seconds, 2),
        bytes=len(built.plan),
        products=len(products),
        in_int8=sum(built.in_int8(names[each.output[0]]) for each in products),
    )


def answer(order: Order, to: "Connection[Verdict | EdgesparkError, None]") -> None:
    """Send the verdict or what stood against it: what a process is started for."""
    try:
        to.send(verdict(order))
    except EdgesparkError as error:
        to.send(error)


def apart(order: Order) -> Verdict:
    """Build the graph in a process of its own; MissingExtra where the library is not installed."""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=answer, args=(order, sender))
    process.start()
    sender.close()
    try:
        found = receiver.recv() if receiver.poll(PATIENCE) else f"not done in {PATIENCE} s"
    except EOFError:
        process.join()
        found = f"the library crashed: the process ended with {process.exitcode}"
    finally:
        process.kill()
        process.join()
    if isinstance(found, (MissingExtra, UsageError)):
        raise found
    if isinstance(found, Verdict):
        return found
    return Verdict(part=order.part.name, precision=order.graph.precision, refused=str(found))


def orders(bundle: Bundle, precisions: Sequence[str], targets: tuple[str, ...]) -> Iterator[Order]:
    """Give each graph of the bundle, of the precisions asked for (none: all of them)."""
    for part in bundle.manifest.parts:
        for graph in part.graphs:
            if not precisions or graph.precision in precisions:
                yield Order(bundle=bundle, part=part, graph=graph, targets=targets)


def line(made: Verdict) -> str:
    """Write one row of the table."""
    head = f"{made.part:22} {made.precision:5}"
    if made.refused:
        return f"{head} REFUSED: {made.refused}"
    size = f"{made.bytes / 1e6:8.2f} MB"
    return f"{head} {made.seconds:7.2f} s {size}  INT8 products {made.in_int8}/{made.products}"


def split(text: str) -> tuple[str, ...]:
    """Read "a,b" as a and b."""
    return tuple(each.strip() for each in text.split(",") if each.strip())


def run(given: argparse.Namespace) -> int:
    """Build what is asked for, and print the table; 5 where a graph is refused."""
    bundle = Bundle.open(given.bundle)
    asked = list(orders(bundle, given.precision, given.targets))
    if not asked:
        raise UsageError(f"the bundle has no graph of precision {', '.join(given.precision)}")
    load = os.getloadavg()[0]
    with track(asked, "building", len(asked)) as shown:
        made = [apart(each) for each in shown]
    print("\n".join(line(each) for each in made))
    report = {
        "bundle": bundle.manifest.name,
        "sha256": bundle.manifest.sha256,
        "targets": given.targets,
        "tensorrt_rtx": metadata.version("tensorrt_rtx"),
        "cores": os.cpu_count(),
        "load": [round(load, 1), round(os.getloadavg()[0], 1)],
        **stamp(),
        "refused": sum(bool(each.refused) for each in made),
        "graphs": [asdict(each) for each in made],
    }
    failed = publish(report, given.json)
    return 5 if report["refused"] else failed


def main() -> int:
    """Read the command line and run; an error on purpose is one line on stderr."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("bundle")
    parser.add_argument("--precision", type=split, default=(), help="fp32,fp16,… (default: all)")
    parser.add_argument("--targets", type=split, default=TARGETS, help=",".join(TARGETS))
    parser.add_argument("--json", type=destination, help="where to keep that document as well")
    try:
        return run(parser.parse_args())
    except EdgesparkError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
