"""A small calibration set on disk, which the tests of sets share."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgespark.calibration.sets import CalibrationSet, Item, Items, Rows, write_set

WALK = "time,agent,x,y\n0,1,0,0\n0.4,1,1,0\n"
CODE = np.array(["x = 1", "y = 2", "z = 3"])


def save(folder: Path, **columns: NDArray[Any]) -> Path:
    """Write columns as the .npy files of a folder of rows."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, column in columns.items():
        np.save(folder / f"{name}.npy", column)
    return folder


def lay(root: Path) -> Path:
    """Write the files of a set, without its manifest."""
    (root / "walks").mkdir(parents=True)
    for name in ("a", "b"):
        (root / "walks" / f"{name}.csv").write_text(WALK + name)
    save(root / "code", input=CODE, label=np.arange(3), question=CODE, answer=CODE)
    np.save(root / "walks" / "target.npy", np.ones((3, 2), np.float32))
    return root


def items() -> Items:
    return Items(
        items=(
            Item(path="walks/a.csv", options={"agent": "1", "at": "0.4"}),
            Item(path="walks/b.csv", target="walks/target.npy", question="where?", answer="here"),
        )
    )


def made(root: Path) -> CalibrationSet:
    """Write a set of two files of one modality and three rows of another."""
    return write_set(lay(root), {"trajectory": items(), "code": Rows(folder="code")}, seed=7)


def manifest(root: Path) -> dict[str, Any]:
    """Return the manifest of a set as plain JSON."""
    plain: dict[str, Any] = json.loads((root / "calibration.json").read_text(encoding="utf-8"))
    return plain


def rewrite(root: Path, plain: dict[str, Any]) -> Path:
    """Write the manifest of a set anew."""
    (root / "calibration.json").write_text(json.dumps(plain), encoding="utf-8")
    return root


def listed(root: Path, path: str) -> dict[str, Any]:
    """Return what a manifest says of a file."""
    content = (root / path).read_bytes()
    return {
        "path": path,
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
    }
