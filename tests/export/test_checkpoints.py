"""Checkpoints are read in place, strictly, and without running anything of them."""

import os
from collections.abc import Iterator
from math import prod
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file

from edgespark.export.checkpoints.folding import folded
from edgespark.export.checkpoints.stored import open_checkpoint
from edgespark.export.checkpoints.strict import check_names
from edgespark.export.models.onellm.names import checkpoint_shapes
from edgespark.runtime.errors import InputError, MissingInput
from tests.export.checkpoint_cases import BAD, parallel, saved, tensors
from tests.tools import random_onellm

PLAIN = tensors(prefix="")


def none(_: str) -> bool:
    return False


def maps() -> str:
    return Path("/proc/self/maps").read_text()


@pytest.mark.parametrize("name", BAD)
def test_a_bad_checkpoint_is_an_input_error_that_says_why(name: str, tmp_path: Path) -> None:
    make, told = BAD[name]
    path = make(tmp_path)
    with pytest.raises(InputError) as caught:
        open_checkpoint(path)
    assert told in str(caught.value)
    assert str(tmp_path) in str(caught.value)
    assert "\x1b" not in str(caught.value)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("name", ["nothing", "no files", "half there", "lone rank"])
def test_what_is_not_there_is_missing(name: str, tmp_path: Path) -> None:
    with pytest.raises(MissingInput):
        open_checkpoint(BAD[name][0](tmp_path))


@pytest.mark.parametrize("wrapped", [False, True])
def test_a_single_file_is_read_without_its_prefix(tmp_path: Path, *, wrapped: bool) -> None:
    value = {"model": tensors(), "iter": 3} if wrapped else tensors()
    stored = open_checkpoint(saved(tmp_path / "a.pth", value))
    assert stored.shapes == {name: tuple(each.shape) for name, each in PLAIN.items()}
    assert stored.dtypes == {name: each.dtype for name, each in PLAIN.items()}
    assert all(torch.equal(stored.tensor(name), each) for name, each in PLAIN.items())


def test_a_prefix_that_not_all_names_have_stays(tmp_path: Path) -> None:
    stored = open_checkpoint(saved(tmp_path / "a.bin", {**tensors(), "other": torch.ones(1)}))
    assert set(stored.shapes) == {*tensors(), "other"}


def test_parameters_come_without_gradients(tmp_path: Path) -> None:
    module = torch.nn.Linear(2, 3)
    stored = open_checkpoint(saved(tmp_path / "a.pt", module.state_dict(keep_vars=True)))
    assert not stored.tensor("weight").requires_grad
    assert torch.equal(stored.tensor("weight"), module.weight.detach())


def test_shards_of_several_kinds_make_one_checkpoint(tmp_path: Path) -> None:
    saved(tmp_path / "a.pth", dict(list(tensors().items())[:2]))
    rest = {name: each.contiguous() for name, each in list(tensors().items())[2:]}
    save_file(rest, tmp_path / "b.safetensors")
    (tmp_path / "README.md").write_text("no shard")
    stored = open_checkpoint(tmp_path)
    assert all(torch.equal(stored.tensor(name), each) for name, each in PLAIN.items())


@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
def test_a_tensor_is_a_view_of_the_mapped_file(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    (save_file if suffix == "safetensors" else torch.save)({"a": torch.ones(4)}, path)
    stored = open_checkpoint(path)
    place = stored.tensor("a").data_ptr()
    lines = [line.split() for line in maps().splitlines() if line.endswith(str(path))]
    ranges = [[int(end, 16) for end in line[0].split("-")] for line in lines]
    assert any(low <= place < high for low, high in ranges)
    assert stored.tensor("a").data_ptr() == place


def test_what_is_written_into_a_tensor_does_not_reach_the_file(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.pth", tensors())
    before = path.read_bytes()
    open_checkpoint(path).tensor("norm.weight").fill_(7)
    assert path.read_bytes() == before


def test_the_parts_of_model_parallel_training_are_joined(tmp_path: Path) -> None:
    axes = {
        "llma.tok_embeddings.weight": 1,
        "llma.output.weight": 0,
        "llma.layers.0.attention.wk.weight": 0,
        "llma.layers.0.attention.wo.weight": 1,
        "llma.resample_layers.0.0.feed_forward.w2.weight": 1,
        "llma.layers.0.feed_forward.w3.weight": 0,
    }
    generator = torch.Generator().manual_seed(0)
    whole = {name: torch.randn(6, 9, generator=generator) for name in axes}
    whole["llma.norm.weight"] = torch.randn(6, generator=generator)
    stored = open_checkpoint(parallel(tmp_path, whole, axes))
    assert set(stored.shapes.values()) == {(6, 9), (6,)}
    for name, each in whole.items():
        assert torch.equal(stored.tensor(name.removeprefix("llma.")), each)


def test_the_fingerprint_follows_the_files(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.pth", tensors())
    first = open_checkpoint(path).fingerprint
    assert open_checkpoint(path).fingerprint == first
    os.utime(path, ns=(1, 1))
    assert open_checkpoint(path).fingerprint != first


def test_a_checkpoint_as_wanted_passes(tmp_path: Path) -> None:
    stored = open_checkpoint(saved(tmp_path / "a.pth", tensors()))
    check_names(stored, stored.shapes, none, tmp_path)


def test_all_that_differs_is_told_at_once(tmp_path: Path) -> None:
    stored = open_checkpoint(saved(tmp_path / "a.pth", tensors()))
    wanted = {**stored.shapes, "norm.weight": (6,), "output.weight": (2, 3), "extra": ()}
    del wanted["layers.1.attention.wq.weight"]
    with pytest.raises(InputError) as caught:
        check_names(stored, wanted, lambda name: name == "extra", "a.pth")
    assert str(caught.value).splitlines() == [
        "checkpoint a.pth: 3 of 5 expected tensors are there",
        "  missing (1):",
        "    output.weight",
        "  unexpected (1):",
        "    layers.1.attention.wq.weight",
        "  of the wrong shape (1):",
        "    norm.weight: expected [6], got [5]",
    ]


def test_an_optional_tensor_may_be_absent_or_present_but_not_misshapen(tmp_path: Path) -> None:
    stored = open_checkpoint(saved(tmp_path / "a.pth", {"freqs": torch.ones(2)}))
    check_names(stored, {}, lambda name: name == "freqs", "here")
    check_names(stored, {"freqs": (2,), "other": (1,)}, lambda _: True, "here")
    with pytest.raises(InputError, match=r"freqs: expected \[3\], got \[2\]"):
        check_names(stored, {"freqs": (3,)}, lambda _: True, "here")


def test_a_long_list_has_numbered_names_on_one_line(tmp_path: Path) -> None:
    stored = open_checkpoint(saved(tmp_path / "a.pth", {"other": torch.ones(1)}))
    wanted = {f"layers.{at}.norm.weight": (2,) for at in range(32)}
    wanted |= {f"experts.{e}.{at}.norm": (2,) for e in range(3) for at in range(8) if at != 5}
    wanted["output.weight"] = (2,)
    with pytest.raises(InputError) as caught:
        check_names(stored, wanted, none, "here")
    assert str(caught.value).splitlines() == [
        "checkpoint here: 0 of 54 expected tensors are there",
        "  missing (54):",
        "    layers.{0-31}.norm.weight",
        "    experts.{0-2}.{0-4,6-7}.norm",
        "    output.weight",
        "  unexpected (1):",
        "    other",
    ]


@given(st.sets(st.tuples(st.integers(0, 3), st.integers(0, 3)), max_size=10))
def test_folding_leaves_no_name_out(numbers: set[tuple[int, int]]) -> None:
    names = [f"a.{first}.{second}.b" for first, second in numbers]
    lines = folded(folded(names))
    assert sorted(each for line in lines for each in unfolded(line)) == sorted(names)


def unfolded(line: str) -> Iterator[str]:
    """Write out the first {…} of a line, and what is in its names."""
    before, brace, rest = line.partition("{")
    if not brace:
        yield line
        return
    inside, _, after = rest.partition("}")
    for run in inside.split(","):
        low, _, high = run.partition("-")
        for number in range(int(low), int(high or low) + 1):
            yield from unfolded(f"{before}{number}{after}")


@pytest.mark.parametrize("dtype", random_onellm.DTYPES)
def test_a_random_checkpoint_is_one_by_torch(tmp_path: Path, dtype: str) -> None:
    shapes = {
        "llma.norm.weight": (7,),
        "llma.layers.0.attention.wq.weight": (40, 50),
        "llma.tok_embeddings.weight": (30, 20),
        "llma.clip.logit_scale": (),
    }
    for name in ("a.pth", "b.pth"):
        random_onellm.make(tmp_path / name, shapes, random_onellm.DTYPES[dtype], seed=3)
    stored = open_checkpoint(tmp_path / "a.pth")
    assert stored.shapes == {name.removeprefix("llma."): each for name, each in shapes.items()}
    assert set(stored.dtypes.values()) == {random_onellm.DTYPES[dtype]}
    assert stored.tensor("norm.weight").tolist() == [1] * 7
    assert stored.tensor("layers.0.attention.wq.weight").float().std() == pytest.approx(
        50**-0.5, rel=0.1
    )
    assert stored.tensor("tok_embeddings.weight").float().std() == pytest.approx(0.02, rel=0.1)
    assert all(stored.tensor(name).data_ptr() % 64 == 0 for name in stored.shapes)
    assert (tmp_path / "a.pth").read_bytes() == (tmp_path / "b.pth").read_bytes()
    whole = torch.load(tmp_path / "a.pth", weights_only=True)  # its check sums are tested too
    assert all(torch.equal(whole[f"llma.{name}"], stored.tensor(name)) for name in stored.shapes)


def test_a_random_checkpoint_of_all_layers_has_the_released_size() -> None:
    config = random_onellm.resized(32, 24)
    shapes = checkpoint_shapes(config)
    assert len(shapes) == 940
    assert sum(map(prod, shapes.values())) == 7_597_224_217


def test_a_random_checkpoint_replaces_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.pth").write_text("mine")
    assert random_onellm.main(["--out", str(tmp_path / "a.pth")]) == 2
    assert random_onellm.main(["--out", str(tmp_path / "none" / "a.pth")]) == 2
    assert (tmp_path / "a.pth").read_text() == "mine"
