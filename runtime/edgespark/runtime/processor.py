"""What the CPU can do with small integers: instructions that decide which kernels run fast."""

import platform
from functools import cache
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")
LINES = ("flags", "Features")  # what x86 and Arm call them there
TOLD = (
    *("avx2", "avx512f", "avx512_vnni", "avx_vnni", "amx_int8"),
    *("asimddp", "i8mm", "sve"),
)
DOT_PRODUCTS = frozenset({"avx512_vnni", "avx_vnni", "amx_int8"})
QUANTISED = b"QuantizeLinear"  # stands as it is in the bytes of a graph with that operator
X86 = frozenset({"x86_64", "AMD64"})


@cache
def instructions() -> tuple[str, ...]:
    """Return the instruction sets for products of vectors and of int8, as Linux names them.

    Those of x86 are "avx2", "avx512f", "avx512_vnni", "avx_vnni" and "amx_int8", those of Arm
    "asimddp", "i8mm" and "sve". Empty where the system does not say.
    """
    try:
        lines = CPUINFO.read_text(errors="replace").splitlines()
    except OSError:
        return ()
    pairs = (line.partition(":") for line in lines)
    has = next((rest.split() for name, _, rest in pairs if name.strip() in LINES), [])
    return tuple(each for each in TOLD if each in has)


def lacks_dot_products() -> bool:
    """Tell whether this is an x86 that does not say that it has a dot product of int8.

    Without one it adds two products of uint8 and int8 up in 16 bits, which saturate.
    """
    has = instructions()
    return platform.machine() in X86 and not DOT_PRODUCTS & set(has)


def wide_sums(graph: bytes) -> bool:
    """Tell whether the graph's int8 products need kernels that cannot saturate on this machine.

    These are slower. Graphs without quantised activations have no such products.
    """
    return QUANTISED in graph and lacks_dot_products()
