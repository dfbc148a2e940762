"""Files of trajectories: text, CSV, GPX and .npy."""

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from edgespark.runtime._numbers import is_number
from edgespark.runtime.arguments import Option
from edgespark.runtime.arrays import mapped_npy
from edgespark.runtime.decimals import number_from_text
from edgespark.runtime.errors import InputError
from edgespark.runtime.paths import by_suffix, check_path, checked_file
from edgespark.runtime.preprocessing import Tracks
from edgespark.runtime.timestamps import EXPECTED, seconds_from_text
from edgespark.runtime.tracks.gpx import open_gpx
from edgespark.runtime.tracks.recording import Recording
from edgespark.runtime.tracks.text import agent_from_text, open_csv, open_txt
from edgespark.runtime.tracks.window import window_from_recording
from edgespark.runtime.wording import short, shown


@dataclass(frozen=True, slots=True)
class TrackFile:
    """A file of trajectories, whose agent is meant, and up to when.

    `agent` is its id in the file, or a GPX track's name; None means the only one. `at` is the time
    of the last step to look at, as the file counts it (frames, seconds, ISO 8601); None means the
    agent's last. `fps` says how many frames a second has, where a file counts frames. Raises
    InputError where a value cannot be one for any file.
    """

    path: str | Path
    _: KW_ONLY
    agent: str | float | None = None
    at: str | float | None = None
    fps: float | None = None

    def __post_init__(self) -> None:
        """Refuse what no file could satisfy."""
        check_path(self.path, "trajectory")
        if not (self.agent is None or isinstance(self.agent, str) or is_number(self.agent)):
            raise InputError(f"agent must be the id of one, got {shown(self.agent)}")
        if not (self.at is None or isinstance(self.at, str) or is_number(self.at)):
            raise InputError(f"at must be a time, got {shown(self.at)}")
        if self.fps is not None and not (is_number(self.fps) and 0 < self.fps < float("inf")):
            raise InputError(f"fps must be a number of frames a second, got {shown(self.fps)}")
        _ = self.time

    @property
    def name(self) -> str | None:
        """The agent's id as files are read."""
        return None if self.agent is None else agent_from_text(str(self.agent).strip())

    @property
    def time(self) -> float | None:
        """The time of the last step as a number."""
        try:
            return None if self.at is None else seconds_from_text(str(self.at))
        except ValueError as error:
            raise InputError(f"at={short(str(self.at))} is no time; expected {EXPECTED}") from error


def tracks_from_file(record: Tracks, file: TrackFile) -> NDArray[Any]:
    """Return the positions of a file's agent and those around it, [agents, observed, 2].

    Raises InputError where that agent is not seen at the model's steps up to that time.
    """
    path = checked_file(file.path)
    return by_suffix(path, FORMATS)(record, path, file)


def _npy(_: Tracks, path: Path, file: TrackFile) -> NDArray[Any]:
    if (file.agent, file.at, file.fps) != (None, None, None):
        raise InputError(
            f"{path}: a .npy file holds the steps themselves: agent=, at= and fps= mean nothing"
        )
    return mapped_npy(path)


def _recorded(opened: Callable[[Path], Recording]) -> Callable[..., NDArray[Any]]:
    def read(record: Tracks, path: Path, file: TrackFile) -> NDArray[Any]:
        recording = opened(path)
        if file.fps is not None and recording.unit != "frames":
            raise InputError(f"{path}: tells its times in seconds; fps= is for those in frames")
        return window_from_recording(record, recording, file.name, file.time, file.fps)

    return read


FORMATS: dict[str, Callable[[Tracks, Path, TrackFile], NDArray[Any]]] = {
    ".txt": _recorded(open_txt),
    ".csv": _recorded(open_csv),
    ".gpx": _recorded(open_gpx),
    ".npy": _npy,
}
OPTIONS = {
    "agent": Option(str, "agent=12"),
    "at": Option(str, "at=900 or at=2024-05-01T08:05:00Z"),
    "fps": Option(number_from_text, "fps=25"),
}
