"""What can go wrong, from the root down; each error is also a builtin one.

EdgesparkError                    exit code
├── UsageError(ValueError)            2     the call cannot be carried out as it was written
│   ├── InputError                    2     an input that no part of the bundle can take
│   │   └── MissingInput(FileNotFoundError)   a path that leads to no file
│   ├── UnknownModality(KeyError)     2     a modality that the bundle has no route for
│   ├── OutputError(OSError)          2     a place where nothing can, or must, be written
│   └── MissingExtra(ImportError)     2     an optional dependency that is not installed
├── BundleError(ValueError)           3     the bundle on disk is not what its manifest says
├── DeviceError(RuntimeError)         4     this machine cannot run the bundle as asked
│   └── GraphRefused                  4     the engine refuses a graph, whatever room it has
└── CheckError(ArithmeticError)       5     a measured value is beyond its declared limit

EdgesparkWarning(UserWarning) is for what may be wrong but can be carried out.
"""

from collections.abc import Sequence


class EdgesparkError(Exception):
    """Root of every error raised on purpose."""

    exit_code = 1


class UsageError(EdgesparkError, ValueError):
    """The call cannot be carried out as it was written."""

    exit_code = 2


class InputError(UsageError):
    """An input has a content, type or shape that no part of the bundle can take."""


class MissingInput(InputError, FileNotFoundError):
    """A path that was given as input leads to no file."""


class UnknownModality(UsageError, KeyError):
    """A modality that the bundle has no route for."""

    def __str__(self) -> str:
        """Return the text as it is; KeyError alone would quote it."""
        return str(self.args[0])


class OutputError(UsageError, OSError):
    """Nothing can be written at that place, or must not be."""


class MissingExtra(UsageError, ImportError):
    """An optional dependency is not installed; the text holds the command that installs it."""


class BundleError(EdgesparkError, ValueError):
    """The bundle on disk is not what its manifest says; lists every problem found."""

    exit_code = 3

    def __init__(self, where: str, problems: Sequence[str]) -> None:
        """Name the file or folder, and each problem with it."""
        joined = problems[0] if len(problems) == 1 else "".join(f"\n  {each}" for each in problems)
        super().__init__(f"{where}: {joined}")
        self.problems = tuple(problems)


class DeviceError(EdgesparkError, RuntimeError):
    """The machine at hand cannot run the bundle on the device or at the precision asked for."""

    exit_code = 4


class GraphRefused(DeviceError):
    """The engine that is installed cannot run a graph, however much memory it is given."""


class CheckError(EdgesparkError, ArithmeticError):
    """A measured value is beyond its declared limit."""

    exit_code = 5


class EdgesparkWarning(UserWarning):
    """Something that may be wrong, but that can be carried out."""
