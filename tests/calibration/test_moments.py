"""Second moments: of all rows that pass, a matrix per tensor, in as many runs as memory allows."""

from pathlib import Path

import numpy as np
import pytest

from edgespark.calibration import moments, reservoir
from edgespark.calibration.gather import How, gather
from edgespark.calibration.moments import Wanted, gather_moments
from edgespark.runtime.backends import Array
from edgespark.runtime.bundle import Bundle
from edgespark.runtime.errors import InputError
from tests.calibration.small_chain import drawn, small

TENSORS = {"inputs_embeds": 3, "hidden": 3}


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return small(tmp_path / "bundle")


def wanted(bundle: Bundle) -> Wanted:
    held = gather(bundle, drawn())["decoder"].tensors
    return Wanted(part="decoder", tensors={name: len(held[name].channels) for name in TENSORS})


def test_they_are_the_mean_of_the_rows_that_were_seen(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reservoir, "ROWS", 4096)
    asked = wanted(bundle)
    held = gather(bundle, drawn())["decoder"].tensors
    found = gather_moments(bundle, asked, drawn(), tmp_path / "moments")
    assert list(found) == list(asked.tensors)
    for name, each in found.items():
        rows = held[name].rows.astype(np.float64)
        assert 0 < len(rows) < 4096  # all of them were kept
        np.testing.assert_allclose(each, rows.T @ rows / len(rows), rtol=1e-5, atol=1e-7)
        assert (each == each.T).all()


def test_what_does_not_fit_the_memory_takes_more_runs_and_gives_the_same(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples, asked = drawn(), wanted(bundle)
    whole = gather_moments(bundle, asked, samples, tmp_path / "whole")
    once = dict(samples.read)
    monkeypatch.setattr(moments, "HELD", 1)
    parts = gather_moments(bundle, asked, samples, tmp_path / "parts")
    assert samples.read == {name: 3 * count for name, count in once.items()}
    assert all((whole[name] == parts[name]).all() for name in whole)
    assert len(parts) == 2


def test_a_limit_takes_the_first_samples(bundle: Bundle, tmp_path: Path) -> None:
    asked = wanted(bundle)
    few = gather_moments(bundle, asked, drawn(5), tmp_path / "few", How(limit=3))
    assert all(
        (few[name] == each).all()
        for name, each in gather_moments(bundle, asked, drawn(3), tmp_path / "all").items()
    )


def test_a_tensor_that_is_not_finite_or_never_came_is_named(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = wanted(bundle)
    with pytest.raises(InputError, match="decoder: its tensor 'inputs_embeds' was never computed"):
        gather_moments(bundle, asked, drawn(), tmp_path / "none", How(limit=0))
    monkeypatch.setattr(moments._Sum, "add", _with_infinity)
    with pytest.raises(InputError, match="decoder: its tensor 'inputs_embeds' held NaN or inf"):
        gather_moments(bundle, asked, drawn(), tmp_path / "moments")


def _with_infinity(own: moments._Sum, _: Array) -> None:
    own._sums += np.inf
    own._rows += 1
