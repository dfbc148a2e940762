"""Recipes in Python files of one's own, whose faults are told by file and line."""

import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import module_from_spec, spec_from_file_location
from os.path import abspath
from pathlib import Path
from types import ModuleType

from edgespark.export.blueprint import Blueprint
from edgespark.export.blueprint_types import check_types
from edgespark.runtime.errors import EdgesparkError, UsageError
from edgespark.runtime.paths import checked_file

NAME = "edgespark_recipe_{}"  # in sys.modules, so that the file may hold dataclasses


class FileRecipe:
    """A recipe that a file defines, as `blueprint(name, folder, modalities)`."""

    def __init__(self, path: Path) -> None:
        """Run the file, as an import would.

        MissingInput or InputError where it cannot be read; UsageError, with its line, where it
        fails, or where it defines no such function.
        """
        self._path = checked_file(path)
        with _told(self._path):
            self._module = _run(self._path)
        if not callable(getattr(self._module, "blueprint", None)):
            raise UsageError(
                f"{path}: defines no function blueprint(name, folder, modalities); "
                "see edgespark.export.recipes.Recipe"
            )

    def blueprint(self, name: str, folder: Path | None, modalities: tuple[str, ...]) -> Blueprint:
        """Let the file make the model; UsageError where it fails, or gives something else.

        InputError where what it gives holds other things than a Blueprint does.
        """
        with _told(self._path):
            made = self._module.blueprint(name, folder, modalities)
        if not isinstance(made, Blueprint):
            raise UsageError(
                f"{self._path}: blueprint() returned a {type(made).__name__}; "
                "expected an edgespark.export.blueprint.Blueprint"
            )
        with _told(self._path):
            check_types(made)
        return made


def _run(path: Path) -> ModuleType:
    name = NAME.format(path.stem)
    spec = spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise UsageError(f"{path}: is no Python file")
    module = module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Turn what the file raises, but this project's own errors, into one line that says where."""
    try:
        yield
    except (EdgesparkError, MemoryError, KeyboardInterrupt):
        raise
    except BaseException as error:  # somebody else's code may raise anything, sys.exit() too
        raise UsageError(f"{_where(path, error)}: {_words(error)}") from error


def _where(path: Path, error: BaseException) -> str:
    """Name the file, and the line of it that was running last."""
    if isinstance(error, SyntaxError) and _is(error.filename, path):
        return f"{path}:{error.lineno}"
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if _is(frame.filename, path)]
    return f"{path}:{lines[-1]}" if lines else str(path)


def _is(name: str | None, path: Path) -> bool:
    """Tell whether that is the file; an import makes its name absolute."""
    return isinstance(name, str) and abspath(name) == abspath(path)  # noqa: PTH100 never fails


def _words(error: BaseException) -> str:
    """Return the error's type, and the first line of what it says, if it can say it."""
    lines: list[str] = []
    with suppress(Exception):
        lines = str(error).strip().splitlines()
    return ": ".join([type(error).__name__, *lines[:1]])
