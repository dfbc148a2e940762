"""`python -m tests.golden CASE_DIR`: one golden case, in PyTorch and as an exported graph.

Prints one JSON line {"case", "torch_error", "onnx_error", "integers_exact"}; what else was compared
goes to stderr. Exit 2 where the folder is no case, or of a kind that is not known.
"""

import argparse
import json
import sys
from contextlib import redirect_stdout
from pathlib import Path

from edgespark.runtime.errors import EdgesparkError
from tests.golden.compare import Comparison, compare


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.golden", description=__doc__)
    parser.add_argument("folder", type=Path, metavar="CASE_DIR", help="a folder with a spec.json")
    folder = parser.parse_args().folder
    try:
        with redirect_stdout(sys.stderr):  # the exporter may speak
            found = compare(folder)
    except EdgesparkError as error:
        sys.stderr.write(f"error: {error}\n")
        return error.exit_code
    sys.stderr.write(details(found))
    sys.stdout.write(json.dumps(found.told) + "\n")
    return 0


def details(found: Comparison) -> str:
    pairs = [(name, error, found.onnx[name]) for name, error in found.torch.items()]
    lines = [
        *(f"{name}: {torch:.1e} torch, {onnx:.1e} onnx" for name, torch, onnx in pairs),
        *(f"{name}: {'exact' if exact else 'NOT EXACT'}" for name, exact in found.exact.items()),
        *(f"{name}: not compared" for name in found.left),
    ]
    return "".join(f"  {line}\n" for line in lines)


if __name__ == "__main__":
    sys.exit(main())
