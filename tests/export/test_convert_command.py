"""`edgespark convert`: what it writes is a checkpoint like the one that it was given."""

import json
from pathlib import Path

import pytest
import torch

from edgespark.export.checkpoints.stored import open_checkpoint
from edgespark.runtime.cli import main
from tests.export.onellm_on_disk import checkpoint


def test_a_converted_checkpoint_holds_the_same_tensors(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = checkpoint(tmp_path / "c")
    for _ in range(2):  # again: nothing is left to do
        assert main(["convert", str(path), "--out", str(tmp_path / "s"), "--json"]) == 0
        told = json.loads(capsys.readouterr().out)
        assert told["tokenizer"] == ["tokenizer.json"]
    first, second = open_checkpoint(path), open_checkpoint(tmp_path / "s")
    assert told["tensors"] == len(first.shapes)
    assert first.shapes == second.shapes
    for name in list(first.shapes)[::50]:
        torch.testing.assert_close(first.tensor(name), second.tensor(name), rtol=0, atol=0)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["nowhere.pth", "--out", "s"], "nowhere.pth"),
        (["c/consolidated.00-of-01.pth", "--out", "c"], "is where the checkpoint lies"),
        (["c", "--out", "full"], "is no conversion"),
    ],
)
def test_what_cannot_be_converted_is_one_line(
    given: list[str],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    checkpoint(tmp_path / "c")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("keep")
    monkeypatch.chdir(tmp_path)
    assert main(["convert", *given]) == 2
    assert said in capsys.readouterr().err
    assert (tmp_path / "full" / "mine.txt").read_text() == "keep"
