"""Standard streams that fail: a result is never lost in silence, a remark loses no result."""

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from edgespark.runtime.progress import track
from edgespark.runtime.streams import write_if_possible, write_whole

FULL = Path("/dev/full")
SHOWS = "from edgespark.runtime.commandline import show, tell; tell('remark'); show('result')"
MAIN = """
import sys
from types import ModuleType
from edgespark.runtime import cli
def main(_):
    {code}
    return 0
module = ModuleType("stand_in")
module.main = main
sys.modules["stand_in"] = module
cli.COMMANDS["verify"] = "stand_in"
sys.exit(cli.main([{arguments}]))
"""
BUFFERS = ("", "1")  # PYTHONUNBUFFERED, which some containers set, takes other ways


def run(shell: str, unbuffered: str, arguments: str = "'verify'") -> tuple[int, str, str]:
    """Run `show` and `tell` behind the command line, with what the shell does to its streams."""
    code = MAIN.format(code=SHOWS, arguments=arguments)
    environment = {**os.environ, "PYTHONUNBUFFERED": unbuffered, "CODE": code}
    made = subprocess.run(
        ["/bin/sh", "-c", f'"{sys.executable}" -c "$CODE" {shell}'],
        env=environment,
        capture_output=True,
        check=False,
        text=True,
    )
    return made.returncode, made.stdout, made.stderr


@pytest.mark.parametrize("unbuffered", BUFFERS)
@pytest.mark.parametrize(
    ("shell", "code", "out", "err"),
    [
        ("", 0, "result\n", "edgespark: remark\n"),
        (">&-", 2, "", "cannot be written to stdout: it is closed\n"),
        ("> /dev/full", 2, "", "cannot be written to stdout: No space left on device\n"),
        ("2>&-", 0, "result\n", ""),
        ("2> /dev/full", 0, "result\n", ""),
        ("<&- >&- 2>&-", 2, "", ""),
    ],
)
def test_a_stream_that_fails_is_told_by_the_exit_code_alone(
    shell: str, code: int, out: str, err: str, unbuffered: str
) -> None:
    if "full" in shell and not FULL.exists():
        pytest.skip("no /dev/full on this system")
    got, shown, told = run(shell, unbuffered)
    assert (got, shown) == (code, out)
    assert told.endswith(err)
    assert "Traceback" not in told


@pytest.mark.parametrize("unbuffered", BUFFERS)
@pytest.mark.parametrize("arguments", ["'--help'", "'run', '--help'"])
def test_help_that_cannot_be_written_is_an_error_too(arguments: str, unbuffered: str) -> None:
    if not FULL.exists():
        pytest.skip("no /dev/full on this system")
    code, _, told = run("> /dev/full", unbuffered, arguments)
    assert code == 2
    assert "cannot be written" in told
    assert len(told.splitlines()) == 1


class Sluggish(io.RawIOBase):
    """A file that takes three bytes at a time, as one on a disk that is nearly full may."""

    def __init__(self) -> None:
        super().__init__()
        self.taken = b""

    def writable(self) -> bool:
        return True

    def write(self, data: "bytes | memoryview") -> int:  # type: ignore[override] # narrower than typeshed
        self.taken += bytes(data)[:3]
        return min(3, len(data))


def test_a_stream_without_a_buffer_gets_the_whole_text() -> None:
    file = Sluggish()
    stream = io.TextIOWrapper(file, encoding="ascii", write_through=True)  # type: ignore[type-var] # a stand-in for a file
    write_whole(stream, "a long result: 東")
    assert file.taken == b"a long result: \\u6771"


class Full(io.StringIO):
    def write(self, _: str) -> int:
        raise OSError(28, "No space left on device")


def test_work_goes_on_where_its_bar_cannot_be_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    with track("abc", "work", 3, asked=True, stream=Full()) as items:
        assert list(items) == ["a", "b", "c"]
    monkeypatch.setattr(sys, "stderr", None)
    with track("abc", "work", 3, asked=True) as items:
        assert list(items) == ["a", "b", "c"]
    write_if_possible(None, "nobody listens")
