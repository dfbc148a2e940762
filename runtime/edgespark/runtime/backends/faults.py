"""Tell a machine that has not enough left from a graph that an engine cannot run."""

from edgespark.runtime.errors import DeviceError, GraphRefused

SHORTAGE = (
    *("bad_alloc", "bad allocation", "allocate memory"),
    *("pthread", "Resource temporarily unavailable"),
)
"""How C++ libraries say that memory or threads were refused, which ONNX Runtime passes on."""


def failed(told: str, error: Exception) -> DeviceError:
    """Return the error for a graph that failed as `told`: GraphRefused where that is its own fault.

    What ends as an error of no certain kind may be the machine's.
    """
    text = first_line(error)
    unsure = isinstance(error, (MemoryError, RuntimeError)) or "RuntimeException" in str(
        type(error)
    )
    short = any(each in str(error) for each in SHORTAGE)
    return (DeviceError if unsure or short else GraphRefused)(f"{told}: {text}")


def first_line(error: Exception) -> str:
    """Return the first line of an engine's message; the error's type where it says nothing."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
