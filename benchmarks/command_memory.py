r"""Memory, time and disk that a command takes, at their peaks: for exports of large models.

    python benchmarks/command_memory.py --disk build \
        export-engines onellm-7b --checkpoint FILE --out build/onellm --precision int4

Measured, ten times a second, over the command and all its children: anonymous and shared resident
memory, which the process alone can give back, and resident memory with mapped files, whose pages
the kernel takes back when it needs them (/proc, Linux only). Once a second: what the folder
`--disk` holds more than before, in blocks, hard links once. The wall clock and CPU time are of the
whole command, start of Python included. Peaks shorter than a tenth of a second may be missed. The
command's own output goes on to the terminal; the last line is one JSON document.
"""

import argparse
import json
import os
import platform
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

KIB, BLOCK = 1024, 512  # bytes
EVERY = 0.1  # seconds
DISK_EVERY = 10  # samples


def family(pid: int) -> Iterator[int]:
    """Give a process and all its children's."""
    yield pid
    try:
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                yield from family(int(child))
    except OSError:
        return


def resident(pid: int) -> dict[str, int]:
    """Read a process's resident bytes: anonymous, shared and of mapped files."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return {}
    fields = dict(line.split(":", 1) for line in lines)
    names = {"anonymous": "RssAnon", "shared": "RssShmem", "files": "RssFile"}
    return {ours: int(fields.get(name, "0").split()[0]) * KIB for ours, name in names.items()}


def held(folder: Path) -> int:
    """Count the bytes of the blocks that a folder's files take, each inode once."""
    seen: dict[int, int] = {}
    for path in folder.rglob("*"):
        try:
            found = path.lstat()
        except OSError:  # gone since it was listed
            continue
        seen[found.st_ino] = found.st_blocks * BLOCK
    return sum(seen.values())


def watch(process: "subprocess.Popen[bytes]", folder: Path | None) -> dict[str, int]:
    """Sample until the process ends; return the peaks, in bytes."""
    before = held(folder) if folder else 0
    peaks = {"anonymous_and_shared": 0, "with_mapped_files": 0, "disk": 0}
    count = 0
    while process.poll() is None:
        found = [resident(pid) for pid in family(process.pid)]
        own = sum(each.get("anonymous", 0) + each.get("shared", 0) for each in found)
        files = sum(each.get("files", 0) for each in found)
        now = {"anonymous_and_shared": own, "with_mapped_files": own + files}
        if folder and count % DISK_EVERY == 0:
            now["disk"] = held(folder) - before
        peaks |= {name: max(peaks[name], value) for name, value in now.items()}
        count += 1
        time.sleep(EVERY)
    return peaks


def main() -> int:
    """Run the command, and print what it took."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--disk", type=Path, help="the folder whose growth is measured")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    given = parser.parse_args()
    if not given.command or shutil.which(given.command[0]) is None:
        parser.error(f"no command to run: {' '.join(given.command[:1]) or 'none given'}")
    load, start = os.getloadavg()[0], time.perf_counter()
    process = subprocess.Popen(given.command)  # noqa: S603 what the user asks for
    peaks = watch(process, given.disk)
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    report = {
        "command": given.command,
        "exit": process.returncode,
        "seconds": round(time.perf_counter() - start, 1),
        "cpu_seconds": round(usage.ru_utime + usage.ru_stime, 1),
        "peak_gb": {name: round(value / 1e9, 3) for name, value in peaks.items()},
        "load": [round(load, 1), round(os.getloadavg()[0], 1)],
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "date": time.strftime("%Y-%m-%d"),
    }
    print(json.dumps(report))
    return process.returncode


if __name__ == "__main__":
    sys.exit(main())
