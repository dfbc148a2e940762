"""The models against the public code's outputs, in PyTorch and as exported graphs."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgespark.export.models.onellm.config import TOKENIZERS
from edgespark.runtime.errors import InputError, MissingInput
from tests.export import small_cases
from tests.golden.case import read
from tests.golden.compare import KINDS, compare
from tests.golden.onellm import Reader

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT.parent / "shared" / "golden"
FULL_SIZE = [f"onellm/{modality}" for modality in TOKENIZERS]  # each of 620 M parameters
MODELS = ("lynx", "onellm", "onellm_small", "pointbert", "staeformer", "tutr", "tabformer")
LIMIT = 1e-4


def cases() -> list[str]:
    """Return every case of these models that there is, and those that are only spoken of."""
    there = {
        path.parent.relative_to(GOLDEN).as_posix()
        for name in MODELS
        for path in (GOLDEN / name).rglob("spec.json")
    }
    return sorted(there | KINDS.keys())


@pytest.mark.parametrize("name", cases())
def test_module_and_graph_equal_the_public_code(name: str) -> None:
    if not (GOLDEN / name / "spec.json").is_file():
        pytest.skip(f"no golden case at ../shared/golden/{name}")
    if name in FULL_SIZE and "EDGESPARK_FULL_SIZE" not in os.environ:
        pytest.skip("of the real size, and slow: set EDGESPARK_FULL_SIZE to run it")
    found = compare(GOLDEN / name)
    assert found.told["torch_error"] <= LIMIT
    assert found.told["onnx_error"] <= LIMIT
    assert max(*found.torch.values(), *found.onnx.values()) <= LIMIT
    assert all(found.exact.values()), found.exact


@pytest.mark.parametrize("make", [small_cases.table, small_cases.video])
def test_other_sizes_come_from_the_spec(make: Callable[[Path], Path], tmp_path: Path) -> None:
    found = compare(make(tmp_path))
    assert set(found.torch) == {found.main}
    assert max(found.torch[found.main], found.onnx[found.main]) <= LIMIT
    assert found.told["integers_exact"]


def test_an_output_that_differs_is_seen(tmp_path: Path) -> None:
    folder = small_cases.table(tmp_path)
    with np.load(folder / "outputs.npz") as stored:
        changed = stored["row_embeddings"] + np.float32(1e-3)
    np.savez(folder / "outputs.npz", row_embeddings=changed)
    found = compare(folder)
    assert min(found.told["torch_error"], found.told["onnx_error"]) > LIMIT


def test_the_command_prints_one_line(tmp_path: Path) -> None:
    done = run(small_cases.table(tmp_path))
    assert done.returncode == 0
    told = json.loads(done.stdout)
    assert done.stdout.count("\n") == 1
    assert list(told) == ["case", "torch_error", "onnx_error", "integers_exact"]
    assert told["case"] == "tabformer"


def test_a_kind_that_is_not_known_is_an_error_that_lists_all(tmp_path: Path) -> None:
    folder = small_cases.table(tmp_path)
    change(folder, case="mystery", entry="Mystery.forward")
    done = run(folder)
    assert done.returncode == 2
    assert not done.stdout
    assert all(name in done.stderr for name in KINDS)
    assert "Traceback" not in done.stderr


def test_a_case_of_another_name_is_known_by_its_entry_point(tmp_path: Path) -> None:
    folder = small_cases.table(tmp_path)
    change(folder, case="tables/second")
    assert compare(folder).told["case"] == "tables/second"


def test_an_input_with_another_sum_is_an_error(tmp_path: Path) -> None:
    folder = small_cases.table(tmp_path)
    spec = read(folder).spec
    change(folder, inputs=[spec["inputs"][0] | {"sha256": "0" * 64}])
    with pytest.raises(InputError, match="sha256"):
        compare(folder)


def test_a_tensor_that_the_model_lacks_is_named(tmp_path: Path) -> None:
    folder = small_cases.table(tmp_path)
    extra = ["tab_embeddings.extra.bias", [2], "float32"]
    change(folder, state_dict=[*read(folder).spec["state_dict"], extra])
    with pytest.raises(InputError, match=r"extra\.bias"):
        compare(folder)


def test_a_tensor_that_the_spec_lacks_is_named(tmp_path: Path) -> None:
    folder = small_cases.table(tmp_path)
    change(folder, state_dict=read(folder).spec["state_dict"][:-1])
    with pytest.raises(InputError, match=r"lin_proj\.bias"):
        compare(folder)


def test_a_config_without_a_size_is_an_error(tmp_path: Path) -> None:
    folder = small_cases.table(tmp_path)
    change(folder, config={"vocab_size": 20})
    with pytest.raises(InputError, match="ncols"):
        compare(folder)


def test_a_folder_that_is_no_case_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(MissingInput, match=r"spec\.json"):
        compare(tmp_path)
    (tmp_path / "spec.json").write_text("{")
    with pytest.raises(InputError, match="no JSON"):
        compare(tmp_path)


def test_a_case_without_its_generator_is_an_error(tmp_path: Path) -> None:
    folder = small_cases.table(tmp_path)
    (tmp_path / "weights.py").unlink()
    with pytest.raises(MissingInput, match=r"weights\.py"):
        compare(folder)


def test_an_entry_of_onellm_without_a_modality_is_an_error(tmp_path: Path) -> None:
    folder = small_cases.table(tmp_path)
    config: dict[str, float] = {"dim": 8, "n_layers": 1, "n_heads": 1, "vocab_size": 9}
    config |= {"multiple_of": 4, "norm_eps": 1e-5, "max_seq_len": 8}
    change(folder, case="speech", entry="Transformer.encode_image(x, modal='speech')")
    change(folder, config=config)
    np.savez(folder / "outputs.npz", tokens=np.zeros(1, np.float32))
    with pytest.raises(InputError, match=r"names no modality.* image, video"):
        compare(folder)


def test_a_tensor_that_no_part_of_onellm_asks_for_is_named(tmp_path: Path) -> None:
    reader = Reader(case=read(small_cases.table(tmp_path)))
    with pytest.raises(InputError, match=r"no part of the model has tab_embeddings\."):
        reader.finish()


def change(folder: Path, **parts: object) -> None:
    spec = json.loads((folder / "spec.json").read_text())
    (folder / "spec.json").write_text(json.dumps(spec | parts))


def run(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.golden", str(folder)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
