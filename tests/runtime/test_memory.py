"""Sizes that no machine holds: the error says for what the memory did not suffice."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from edgespark.runtime import cli, memory
from edgespark.runtime.decoder import Decoder
from edgespark.runtime.errors import DeviceError
from edgespark.runtime.memory import zeros
from edgespark.runtime.resample import Average
from tests.runtime.lowered_decoder import in_place
from tests.runtime.stand_in import CONTEXT, StandIn, decoder_part

HUGE = 1 << 45


@pytest.mark.parametrize("shape", [(HUGE,), (HUGE, HUGE)])
def test_an_array_that_does_not_fit_names_its_purpose(shape: tuple[int, ...]) -> None:
    with pytest.raises(DeviceError, match=r"the states \[.* does not fit the memory"):
        zeros(shape, "float32", "the states")


def states() -> None:
    part = decoder_part()
    Decoder(part, part.graphs[0].states, HUGE)


def logits() -> None:
    part = decoder_part()
    hidden, logits = part.outputs
    axes = (*logits.axes[:2], replace(logits.axes[2], low=HUGE, high=HUGE))
    Decoder(replace(part, outputs=(hidden, replace(logits, axes=axes))), (), 8)


def image() -> None:
    Average(3, (HUGE, 1), (1, 1))


@pytest.mark.parametrize("make", [states, logits, image])
def test_a_manifest_of_huge_sizes_is_a_device_error(make: Callable[[], None]) -> None:
    with pytest.raises(DeviceError, match="does not fit the memory"):
        make()


def test_a_context_beyond_the_memory_is_a_device_error(stand_in: StandIn) -> None:
    language = replace(stand_in.manifest.language, context=HUGE)
    stand_in.manifest = replace(stand_in.manifest, language=language)
    with pytest.raises(DeviceError, match="does not fit the memory"):
        stand_in.spark().generate("hi", max_tokens=2)


def test_memory_that_ends_elsewhere_is_one_line_and_exit_code_4(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(*_: object) -> int:
        raise MemoryError("Unable to allocate 3 GiB")

    monkeypatch.setattr(cli, "_dispatch", run)
    assert cli.main(["verify"]) == 4
    assert capsys.readouterr().err == (
        "edgespark: error: the memory does not suffice: Unable to allocate 3 GiB\n"
    )


def kept_in_place(context: int = CONTEXT) -> Decoder:
    part = decoder_part()
    return Decoder(part, tuple(map(in_place, part.graphs[0].states)), context, in_place=True)


def test_states_that_would_take_more_than_is_left_are_refused_with_both_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = 1 << 20  # x 16 float32: 64 MiB
    monkeypatch.setattr(memory, "TOLD", tmp_path / "meminfo")
    (tmp_path / "meminfo").write_text("MemTotal: 99999999 kB\nMemAvailable:   3072 kB\n")
    with pytest.raises(DeviceError, match=r"take 64 MiB, of which 3 MiB .*--portable.*--int8-c"):
        kept_in_place(context)
    assert kept_in_place().length == 0


@pytest.mark.parametrize("content", [None, "", "MemAvailable: much kB", "MemFree: 0 kB"])
def test_a_system_that_does_not_say_what_is_left_refuses_nothing(
    content: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "TOLD", tmp_path / "meminfo")
    if content is not None:
        (tmp_path / "meminfo").write_text(content)
    assert memory.available() is None
    assert kept_in_place().length == 0
