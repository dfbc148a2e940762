"""The command line: a table of commands, and what an error becomes."""

import io
import sys
import warnings
from _thread import interrupt_main
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from threading import Timer

from edgespark.runtime.commandline import show, tell
from edgespark.runtime.errors import (
    DeviceError,
    EdgesparkError,
    EdgesparkWarning,
    MissingExtra,
    UsageError,
)
from edgespark.runtime.wording import near

COMMANDS = {
    "run": "edgespark.runtime.commands.run",
    "inspect": "edgespark.runtime.commands.inspect",
    "verify": "edgespark.runtime.commands.verify",
    "sample": "edgespark.calibration.cli_sample",
    "calibrate": "edgespark.engines.calibrate",
    "build": "edgespark.engines.cli_build",
    "convert": "edgespark.export.checkpoints.cli",
}
EXPORT = "edgespark.export.cli"
SUMMARY = """usage: edgespark COMMAND …

  run        ask a bundle about inputs
  inspect    show what a bundle holds
  verify     hash a bundle's files and measure its graphs against their references
  sample     make a calibration set of the files in a folder
  calibrate  gather on a set the ranges that narrower graphs need
  build      derive of a bundle's graphs what a target runs fastest
  convert    write a checkpoint as safetensors, with its tokenizer

edgespark COMMAND --help says more; export-engines makes bundles."""
INTERRUPTED = 130  # 128 + SIGINT, as shells have it
BROKEN_PIPE = 141  # 128 + SIGPIPE
SOON = 0.02  # seconds
EXPORT_NEEDS = ("edgespark.export", "torch", "onnx", "onnxscript", "safetensors")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `edgespark` with the arguments (None: the process's) and return its exit code."""
    return _guarded(lambda: _dispatch(_given(arguments)))


def export_engines(arguments: Sequence[str] | None = None) -> int:
    """Run `export-engines` with the arguments (None: the process's) and return its exit code."""
    return _guarded(lambda: _call("export-engines", EXPORT, _given(arguments)))


def _given(arguments: Sequence[str] | None) -> list[str]:
    return list(sys.argv[1:] if arguments is None else arguments)


def _dispatch(arguments: list[str]) -> int:
    name, *rest = arguments or [""]
    if name in ("-h", "--help"):
        show(SUMMARY)
        return 0
    if name == "--version":
        show(f"edgespark {import_module('importlib.metadata').version('edgespark')}")
        return 0
    if name not in COMMANDS:
        what = f"no command {name!r}{near(name, COMMANDS)}" if name else "no command given"
        raise UsageError(f"{what}; there are: {', '.join(COMMANDS)}")
    return _call(f"edgespark {name}", COMMANDS[name], rest)


def _call(command: str, module: str, arguments: list[str]) -> int:
    try:
        run: Callable[[list[str]], int] = import_module(module).main
        return run(arguments)
    except ModuleNotFoundError as error:
        if not (error.name or "").startswith(EXPORT_NEEDS):
            raise  # a module that no extra brings is a fault of ours
        raise MissingExtra(
            f"{command} needs {error.name}, which is not installed; run:\n"
            "pip install 'edgespark[export]'"
        ) from error


def _guarded(run: Callable[[], int]) -> int:
    """Return the exit code of `run`; an error on purpose becomes a line on stderr."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a terminal that lacks a character
    with warnings.catch_warnings(), _every_interrupt():
        warnings.showwarning = _show_warning
        warnings.simplefilter("always", EdgesparkWarning)
        try:
            return run()
        except BaseException as error:
            code = _told(error)
            if code is None:
                raise
            return code


def _told(error: BaseException) -> int | None:
    """Tell an error on purpose, and return its exit code; None for a fault of ours."""
    if _interrupts(error):
        tell("interrupted")
        return INTERRUPTED
    if isinstance(error, EdgesparkError):
        tell(f"error: {error}")
        return error.exit_code
    if isinstance(error, BrokenPipeError):
        return BROKEN_PIPE
    if isinstance(error, MemoryError):
        tell(f"error: the memory does not suffice: {error}")
        return DeviceError.exit_code
    return None


def _interrupts(error: BaseException | None) -> bool:
    """Tell an interrupt, and an error that one caused: imports in C make it an ImportError."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__
    return error is not None


@contextmanager
def _every_interrupt() -> Iterator[None]:
    """Let no interrupt be lost: Python drops one that comes while a finaliser runs, as torch's."""
    before = sys.unraisablehook

    def hook(dropped: "sys.UnraisableHookArgs") -> None:
        if dropped.exc_type is not KeyboardInterrupt:
            before(dropped)
            return
        again = Timer(SOON, interrupt_main)  # at once, it would come in here and be lost again
        again.daemon = True
        again.start()

    sys.unraisablehook = hook
    try:
        yield
    finally:
        sys.unraisablehook = before


def _show_warning(message: Warning | str, *_: object, **__: object) -> None:
    tell(f"warning: {' '.join(str(message).split())}")
