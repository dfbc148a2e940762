"""Routes that share no part run at the same time, and give what they give one after another."""

import os
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from edgespark.runtime import lowered, overlap, parts
from edgespark.runtime.chain import Chain, groups
from edgespark.runtime.errors import InputError
from edgespark.runtime.overlap import overlapped, workers
from edgespark.runtime.stats import Record
from tests.runtime.stand_in import SIZE, Array, Arrays, StandIn
from tests.runtime.stand_in_parts import Function

RGB = np.random.default_rng(2).normal(size=(3, SIZE, SIZE)).astype(np.float32)
SAR = np.random.default_rng(3).normal(size=(2, SIZE, SIZE)).astype(np.float32)
PATIENCE = 20.0  # seconds that a test waits for what must come


def apart() -> StandIn:
    """Return a stand-in whose sar and range end at their encoder: they share no part with rgb."""
    made = StandIn()
    routes = [
        replace(each, wires=each.wires[:-1], output="encoder_sar.tokens")
        if each.modality in {"sar", "range"}
        else each
        for each in made.manifest.routes
    ]
    made.manifest = replace(made.manifest, routes=tuple(routes))
    return made


def chain(made: StandIn, at_once: int = 2) -> Chain:
    found = made.spark()._model.chain
    found._at_once = at_once
    return found


def given() -> dict[str, object]:
    return {"rgb": RGB, "sar": SAR, "range": SAR + 1, "language": "abc"}


def test_routes_without_a_common_part_run_at_the_same_time() -> None:
    made, both = apart(), threading.Barrier(2, timeout=PATIENCE)
    for part in ("encoder_rgb", "encoder_sar"):
        plain = made.functions[part]

        def meet(fed: Mapping[str, Array], plain: Function = plain) -> Arrays:
            both.wait()  # broken, were one done before the other
            return plain(fed)

        made.functions[part] = meet
    tokens = chain(made).all_tokens({"rgb": RGB, "sar": SAR}, Record())
    assert list(tokens) == ["rgb", "sar"]


@pytest.mark.parametrize("order", [["rgb", "sar", "range", "language"], ["range", "rgb", "sar"]])
def test_tokens_and_records_are_those_of_one_after_another(order: list[str]) -> None:
    wanted, got = Record(), Record()
    values = {name: given()[name] for name in order}
    alone = chain(apart(), 1).all_tokens(values, wanted)
    found = chain(apart()).all_tokens(values, got)
    assert list(found) == list(alone) == order
    assert all((found[name] == alone[name]).all() for name in order)
    assert list(got.stages) == list(wanted.stages)
    assert (got.valid, got.cached) == (wanted.valid, [])


def test_routes_that_share_a_part_never_run_at_the_same_time() -> None:
    made, busy = apart(), threading.Lock()
    plain = made.functions["encoder_sar"]

    def alone(fed: Mapping[str, Array]) -> Arrays:
        assert busy.acquire(blocking=False)
        time.sleep(0.01)  # long enough for another to come
        busy.release()
        return plain(fed)

    made.functions["encoder_sar"] = alone
    found = chain(made, 4)
    for step in range(3):
        found.all_tokens({"rgb": RGB + step, "sar": SAR + step, "range": SAR - step}, Record())


def test_what_shares_a_part_through_others_is_one_group() -> None:
    manifest = apart().manifest
    names = ("sar", "table", "language", "range", "rgb")
    assert groups([manifest.route(name) for name in names]) == [[0, 3], [1, 4], [2]]
    bridged = replace(
        manifest.route("sar"), wires=(*manifest.route("sar").wires, manifest.route("rgb").wires[-1])
    )
    routes = [manifest.route("range"), manifest.route("rgb"), bridged]
    assert groups(routes) == [[0, 1, 2]]


def test_the_first_modality_that_fails_is_told() -> None:
    made = apart()
    broken = {"rgb": np.ones((3, 3)), "sar": np.ones((3, 3))}
    record = Record()
    with pytest.raises(InputError, match="sar:"):
        chain(made).all_tokens({"language": "abc", **dict(reversed(broken.items()))}, record)
    with pytest.raises(InputError, match="rgb:"):
        chain(made).all_tokens(broken, Record())
    assert "prepare.language" in record.stages


def test_what_was_kept_is_told_for_each_modality() -> None:
    found = chain(apart())
    first, second = Record(), Record()
    kept = found.all_tokens({"rgb": RGB}, first)
    both = found.all_tokens({"sar": SAR, "rgb": RGB.copy()}, second)
    assert both["rgb"] is kept["rgb"]
    assert (first.cached, second.cached) == ([], ["rgb"])
    assert {"prepare.rgb", "encoder_sar"} <= second.stages.keys()
    assert "encoder_rgb" not in second.stages


def test_groups_run_at_the_same_time() -> None:
    both = threading.Barrier(2, timeout=PATIENCE)

    def work(number: int) -> int:
        if number in {0, 1}:
            both.wait()  # broken, were one done before the other
        return number * 10

    assert overlapped([[0, 2], [1]], work, 2) == {0: 0, 1: 10, 2: 20}


def test_what_is_in_a_group_runs_in_order_and_never_at_the_same_time() -> None:
    seen: list[int] = []
    busy = threading.Lock()

    def work(number: int) -> None:
        if number % 2:
            assert busy.acquire(blocking=False)
            seen.append(number)
            busy.release()

    overlapped([[1, 3, 5, 7], [0, 2]], work, 2)
    assert seen == [1, 3, 5, 7]


def test_the_error_of_the_first_in_order_is_raised_and_later_ones_are_not_begun() -> None:
    failed, begun = threading.Event(), []

    def work(number: int) -> None:
        begun.append(number)
        if number == 0:
            assert failed.wait(PATIENCE)
            raise InputError("first")
        failed.set()
        raise InputError("second")

    with pytest.raises(InputError, match="first"):
        overlapped([[0, 2], [1, 3]], work, 2)
    assert sorted(begun) == [0, 1]


@pytest.mark.parametrize(
    ("cores", "threads", "wanted"),
    [
        *((1, None, 1), (2, None, 1), (3, None, 1), (4, None, 2), (8, None, 4), (64, None, 4)),
        *((8, 1, 1), (8, 4, 2), (2, 16, 1)),
    ],
)
def test_overlap_needs_cores(
    cores: int, threads: int | None, wanted: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = set(range(cores))
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: given, raising=False)
    assert workers(threads) == wanted


def test_an_interrupt_lets_no_worker_begin_what_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    begun, leaving, seen = threading.Event(), threading.Event(), []

    class Interrupted(ThreadPoolExecutor):
        def map(self, *given: Any, **named: Any) -> Any:  # noqa: ANN401 passed on
            super().map(*given, **named)
            assert begun.wait(PATIENCE)
            raise KeyboardInterrupt

        def __exit__(self, *told: object) -> None:
            leaving.set()
            super().__exit__(*told)  # type: ignore[arg-type] # passed on

    def work(number: int) -> None:
        seen.append(number)
        begun.set()
        assert leaving.wait(PATIENCE)

    monkeypatch.setattr(overlap, "ThreadPoolExecutor", Interrupted)
    with pytest.raises(KeyboardInterrupt):
        overlapped([[0, 1, 2]], work, 2)
    assert seen == [0]


class Owned:
    """A lock that knows which thread holds it."""

    def __init__(self) -> None:
        self._lock, self.owner = threading.Lock(), 0

    def __enter__(self) -> None:
        self._lock.acquire()
        self.owner = threading.get_ident()

    def __exit__(self, *_: object) -> None:
        self.owner = 0
        self._lock.release()


def test_what_runs_for_a_part_is_found_while_no_input_is_prepared(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found, lock, alone = chain(apart()), Owned(), list[bool]()
    plain = lowered.source

    def told(*given: Any) -> Any:  # noqa: ANN401 passed on
        alone.append(lock.owner == threading.get_ident())  # a preparation may hold warnings back
        return plain(*given)

    monkeypatch.setattr(found, "_preparing", lock)
    monkeypatch.setattr(parts, "source", told)
    found.all_tokens({"rgb": RGB, "sar": SAR}, Record())
    assert alone == [True] * 3
