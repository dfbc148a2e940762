"""The command line: one result on stdout, everything else on stderr, and the right exit code."""

import io
import re
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from edgespark.runtime import cli
from edgespark.runtime.cli import COMMANDS, export_engines, main
from edgespark.runtime.commandline import show
from edgespark.runtime.errors import (
    BundleError,
    CheckError,
    EdgesparkWarning,
    MissingExtra,
    OutputError,
)
from edgespark.runtime.progress import track


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[list[str]], int]], None]:
    """Return a function that puts another `main` behind `edgespark verify`."""

    def put(run: Callable[[list[str]], int]) -> None:
        module = ModuleType("stand_in_command")
        monkeypatch.setattr(module, "main", run, raising=False)
        monkeypatch.setitem(sys.modules, module.__name__, module)
        monkeypatch.setitem(COMMANDS, "verify", module.__name__)

    return put


def raising(error: BaseException) -> Callable[[list[str]], int]:
    def run(_: list[str]) -> int:
        raise error

    return run


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "no command given; there are: run, inspect, verify"),
        (["runn"], "did you mean 'run'"),
        (["run"], "required: bundle"),
        (["run", "BUNDLE", "--max-tokens", "many"], "invalid int value: 'many'"),
        (["run", "BUNDLE", "--max-tokens", "0"], "max_tokens must be an integer >= 1"),
        (["run", "BUNDLE", "--temperature", "nan"], "temperature must be a finite number"),
        (["run", "BUNDLE", "--top-p", "2"], "top_p"),
        (["run", "BUNDLE", "--seed", "-1"], "seed"),
        (["run", "BUNDLE", "--stop", ""], "stop string"),
        (["run", "BUNDLE", "--prompt", " "], "the prompt is empty"),
        (["run", "BUNDLE", "--prompt", "a" * 200], "the context holds 96"),
        (["run", "BUNDLE", "--input", "rgb"], "is not NAME=VALUE"),
        (["run", "BUNDLE", "--input", "rgb=nowhere.tif"], "nowhere.tif"),
        (["run", "BUNDLE", "--input", "rbg=x.tif"], "did you mean 'rgb'"),
        (["run", "BUNDLE", "--input", "stream=1"], "no modality 'stream'"),
        (["run", "BUNDLE", "--input", "self=1"], "no modality 'self'"),
        (["run", "BUNDLE", "--input", "max_tokens=1"], "no modality 'max_tokens'"),
        (["run", "BUNDLE", "--input", "rgb=a", "--input", "rgb=b"], "more than once"),
        (["run", "BUNDLE", "--input", "trajectory=nowhere.gpx"], "trajectory: nowhere.gpx"),
        (["run", "BUNDLE", "--input", "trajectory=a.csv?agnt=3"], "no option 'agnt'"),
        (["run", "BUNDLE", "--input", "point_cloud=a.las?bounds=1,2"], "bounds"),
        (["run", "BUNDLE", "--input", "point_cloud=a.tif"], "a.tif"),
        (["run", "BUNDLE", "--task", "embed", "--input", "table=a.xls"], "a.xls"),
        (["run", "BUNDLE", "--task", "predict"], "no input for regression"),
        (["run", "BUNDLE", "--task", "predict", "--input", "language=a"], "no regression head"),
        (["run", "BUNDLE", "--task", "guess"], "invalid choice: 'guess'"),
        (["run", "BUNDLE", "--task", "embed", "--prompt", "?"], "--prompt means nothing"),
        (["run", "BUNDLE", "--task", "embed", "--decoding", "a"], "--decoding means nothing"),
        (["run", "BUNDLE", "--precision", "fp61"], "no precision 'fp61'"),
        (["run", "BUNDLE", "--device", "gpu"], "no device 'gpu'"),
        (["run", "BUNDLE", "--threads", "0"], "threads"),
        (["run", "nowhere"], "no bundle at 'nowhere'"),
        (["verify"], "required: bundle"),
        (["verify", "BUNDLE", "--samples", "0"], "--samples must be an integer >= 1"),
        (["verify", "BUNDLE", "--samples", "1"], "--samples means nothing without --scores"),
        (["verify", "BUNDLE", "--device", "gpu"], "no device 'gpu'"),
    ],
)
def test_wrong_use_is_one_line_on_stderr_and_exit_code_2(
    folder: Path, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(folder) if each == "BUNDLE" else each for each in arguments]) == 2
    out, err = capsys.readouterr()
    told = [line for line in err.splitlines() if "no --prompt: asking" not in line]
    assert out == ""
    assert len(told) == 1
    assert told[0].startswith("edgespark: error: ")
    assert said in told[0]


def test_a_device_that_cannot_be_had_is_exit_code_4(folder: Path) -> None:
    assert main(["run", str(folder), "--device", "cuda"]) == 4
    assert main(["verify", str(folder), "--device", "tensorrt"]) == 4


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (OutputError("no place"), 2),
        (BundleError("b", ["one", "two"]), 3),
        (CheckError("too far"), 5),
        (KeyboardInterrupt(), 130),
    ],
)
def test_each_error_has_its_exit_code(
    command: Callable[[Callable[[list[str]], int]], None],
    error: BaseException,
    code: int,
    capsys: pytest.CaptureFixture[str],
) -> None:
    command(raising(error))
    assert main(["verify"]) == code
    assert capsys.readouterr().err.startswith("edgespark: ")


def test_an_interrupt_that_a_finaliser_swallows_comes_again(
    command: Callable[[Callable[[list[str]], int]], None], capsys: pytest.CaptureFixture[str]
) -> None:
    class Finalised:
        def __del__(self) -> None:
            raise KeyboardInterrupt

    def swallow(_: list[str]) -> int:
        made = Finalised()
        del made
        time.sleep(2)
        return 0

    command(swallow)
    # a run in the background has interrupts ignored
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        assert main(["verify"]) == 130
    finally:
        signal.signal(signal.SIGINT, before)
    assert capsys.readouterr().err == "edgespark: interrupted\n"


def caused(error: Exception, cause: BaseException) -> Exception:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    "error",
    [
        caused(ImportError("initialization failed"), KeyboardInterrupt()),
        caused(MissingExtra("no rasterio"), caused(ImportError("x"), KeyboardInterrupt())),
    ],
    ids=["of C", "told as missing"],
)
def test_an_interrupt_that_an_import_turned_into_an_error_is_one(
    command: Callable[[Callable[[list[str]], int]], None],
    error: Exception,
    capsys: pytest.CaptureFixture[str],
) -> None:
    command(raising(error))
    assert main(["verify"]) == 130
    assert capsys.readouterr().err == "edgespark: interrupted\n"


def test_an_import_that_fails_by_itself_keeps_its_traceback(
    command: Callable[[Callable[[list[str]], int]], None],
) -> None:
    command(raising(caused(ImportError("initialization failed"), OSError("no such library"))))
    with pytest.raises(ImportError):
        main(["verify"])


def test_numpy_is_imported_where_an_interrupt_is_told() -> None:
    code = "import edgespark.runtime.cli, sys; sys.exit('numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=False)
    assert done.returncode == 0


def test_a_fault_of_ours_keeps_its_traceback(
    command: Callable[[Callable[[list[str]], int]], None],
) -> None:
    command(raising(ZeroDivisionError()))
    with pytest.raises(ZeroDivisionError):
        main(["verify"])


def test_a_warning_is_one_line_on_stderr(
    command: Callable[[Callable[[list[str]], int]], None], capsys: pytest.CaptureFixture[str]
) -> None:
    def run(_: list[str]) -> int:
        for _again in range(2):
            warnings.warn("the scene\nis  coarse", EdgesparkWarning, stacklevel=1)
        return 0

    command(run)
    assert main(["verify"]) == 0
    assert capsys.readouterr().err == "edgespark: warning: the scene is coarse\n" * 2


def test_the_version_goes_to_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert re.fullmatch(r"edgespark \d+\.\d+\.\d+\n", capsys.readouterr().out)


def test_help_goes_to_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    assert all(name in out for name in COMMANDS)
    with pytest.raises(SystemExit) as left:
        main(["run", "--help"])
    assert left.value.code == 0
    assert "--top-p" in capsys.readouterr().out


@pytest.mark.parametrize("missing", ["torch", "onnx", "onnxscript", "edgespark.export.cli"])
def test_export_without_its_extra_names_the_pip_command(
    monkeypatch: pytest.MonkeyPatch, missing: str, capsys: pytest.CaptureFixture[str]
) -> None:
    error = ModuleNotFoundError(f"No module named {missing!r}", name=missing)
    monkeypatch.setattr(cli, "import_module", raising(error))
    assert export_engines(["allspark-tiny", "--out", "x"]) == 2
    assert "pip install 'edgespark[export]'" in capsys.readouterr().err


def test_a_module_that_no_extra_brings_keeps_its_traceback(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    error = ModuleNotFoundError("No module named 'nonsense'", name="nonsense")
    monkeypatch.setattr(cli, "import_module", raising(error))
    with pytest.raises(ModuleNotFoundError):
        export_engines([])


def test_export_gets_its_arguments_and_gives_its_code(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("stand_in_export")
    monkeypatch.setattr(module, "main", len, raising=False)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(cli, "EXPORT", module.__name__)
    assert export_engines(["a", "b", "c"]) == 3


def test_a_reader_that_leaves_early_is_no_error() -> None:
    code = (
        "import sys, time; from edgespark.runtime.cli import main;"
        "time.sleep(.3); sys.exit(main(['--help']))"
    )
    started = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert started.stdout is not None
    assert started.stderr is not None
    started.stdout.close()
    told = started.stderr.read()
    started.stderr.close()
    assert started.wait(30) == 141
    assert told == b""


def test_what_the_terminal_cannot_show_is_escaped(
    command: Callable[[Callable[[list[str]], int]], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="ascii"))

    def run(_: list[str]) -> int:
        show("東 \x1b[2J")
        return 0

    command(run)
    assert main(["verify"]) == 0
    assert written.getvalue() == b"\\u6771 \\x1b[2J\n"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_is_drawn_on_a_terminal_or_when_asked_and_nowhere_else() -> None:
    for stream, asked, drawn in (
        (io.StringIO(), False, False),
        (io.StringIO(), True, True),
        (Terminal(), False, True),
    ):
        with track("abc", "work", 3, asked=asked, stream=stream) as shown:
            assert list(shown) == list("abc")
        assert ("3/3" in stream.getvalue()) is drawn
        assert stream.getvalue().endswith("\n") is drawn


def test_progress_ends_its_line_when_the_work_fails() -> None:
    def work() -> Any:  # noqa: ANN401 a generator that fails
        yield 1
        raise ValueError("spent")

    stream = Terminal()
    with pytest.raises(ValueError, match="spent"), track(work(), "work", 2, stream=stream) as shown:
        list(shown)
    assert "1/2" in stream.getvalue()
    assert stream.getvalue().endswith("\n")


def test_progress_ends_its_line_before_an_error_of_its_reader_is_told() -> None:
    stream = Terminal()
    try:
        with track("ab", "work", 2, stream=stream) as shown:
            for _ in shown:
                raise ValueError("unreadable")  # noqa: TRY301 as a command's work would
    except ValueError as error:
        stream.write(f"error: {error}\n")  # while the traceback still holds all that was running
    assert stream.getvalue().endswith("0/2\nerror: unreadable\n")


@pytest.mark.parametrize("command", [["verify"], ["inspect", "--hash"]])
def test_hashing_is_shown_and_its_line_ends_before_the_error(
    command: list[str], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changed = next(folder.rglob("*.onnx"))
    changed.write_bytes(changed.read_bytes()[:-1] + b"?")
    assert main([*command, str(folder), "--progress"]) == BundleError.exit_code
    bar, *told = capsys.readouterr().err.splitlines()[-2:]
    assert "hash [" in bar
    assert told[0].startswith("edgespark: error: ")
