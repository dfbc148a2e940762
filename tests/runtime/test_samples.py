"""Held-out samples of a bundle: what is wrong with them is the bundle's fault, not its user's."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgespark.runtime.cli import main
from tests.runtime.on_disk import npz, write
from tests.runtime.stand_in import StandIn

HONEST: dict[str, Any] = {
    "input": np.ones((2, 3, 4, 4), np.float32),
    "label": np.array([0, 1]),
    "question": np.array(["what?", "where?"]),
    "answer": np.array(["a", "b"]),
}


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"label": np.zeros((2, 2), int)}, "'label' does not hold one value per sample"),
        ({"question": np.array([1, 2])}, "'question' does not hold one value per sample"),
        ({"answer": np.array([b"a", b"b"])}, "'answer' does not hold one value per sample"),
        ({"question": np.array(["what?", " "])}, "sample 1 of rgb: the prompt is empty"),
        ({"question": np.array(["a" * 99, "b"])}, "sample 0 of rgb: prompt and inputs take"),
        ({"input": np.ones((2, 3, 4, 4))}, "sample 0 of rgb: rgb: array (3, 4, 4): holds float64"),
        ({"input": np.ones(2, np.float32)}, "sample 0 of rgb: rgb: array (): has shape ()"),
    ],
)
def test_samples_that_no_call_could_take_are_a_broken_bundle(
    stand_in: StandIn,
    folder: Path,
    changed: dict[str, Any],
    said: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    write(stand_in, folder, {"samples/rgb.npz": npz({**HONEST, **changed})})
    assert main(["verify", str(folder), "--scores"]) == 3
    out, err = capsys.readouterr()
    assert out == ""
    assert said in err
