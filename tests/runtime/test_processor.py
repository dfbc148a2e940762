"""What the system says of its CPU: read as it is, and no harm where it says nothing."""

import platform
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgespark.runtime import load, processor
from edgespark.runtime.processor import instructions, lacks_dot_products

X86 = (
    "processor\t: 0\nflags\t\t: fpu sse2 {}\nbugs\t\t: none\n\nprocessor\t: 1\nflags\t\t: fpu avx\n"
)
ARM = "processor\t: 0\nFeatures\t: fp asimd {}\nCPU part\t: 0xd42\n"


@pytest.fixture(autouse=True)
def _anew() -> Iterator[None]:
    instructions.cache_clear()
    yield
    instructions.cache_clear()


@pytest.mark.parametrize(
    ("machine", "text", "has", "lacks"),
    [
        ("x86_64", X86.format("avx2"), ("avx2",), True),
        ("x86_64", X86.format("avx512f avx2"), ("avx2", "avx512f"), True),
        ("x86_64", X86.format("avx2 avx_vnni"), ("avx2", "avx_vnni"), False),
        ("x86_64", X86.format("avx512_vnni avx512f"), ("avx512f", "avx512_vnni"), False),
        ("x86_64", X86.format(""), (), True),
        ("aarch64", ARM.format("asimddp i8mm"), ("asimddp", "i8mm"), False),
        ("x86_64", "\xff\n:\n", (), True),
        ("x86_64", None, (), True),
        ("aarch64", None, (), False),
    ],
)
def test_instructions_are_those_that_the_first_core_has(  # noqa: PLR0913 a case has all of these
    *,
    machine: str,
    text: str | None,
    has: tuple[str, ...],
    lacks: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if text is not None:
        (tmp_path / "cpuinfo").write_text(text, encoding="latin-1")
    monkeypatch.setattr(processor, "CPUINFO", tmp_path / "cpuinfo")
    monkeypatch.setattr(platform, "machine", lambda: machine)
    assert instructions() == has
    assert lacks_dot_products() is lacks


@pytest.mark.parametrize("lacks", [True, False])
def test_stats_name_the_parts_whose_products_cannot_saturate(
    lacks: bool,  # noqa: FBT001 a case
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(processor, "lacks_dot_products", lambda: lacks)
    monkeypatch.setattr("edgespark.runtime.processor.QUANTISED", b"graph of decoder")
    spark = load(folder)
    assert spark.stats.unsaturated == ()
    spark.generate("hi", max_tokens=1)
    assert spark.stats.unsaturated == (("decoder",) if lacks else ())
