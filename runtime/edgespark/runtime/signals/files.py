"""Files of motion and of brain activity: CSV and .npy."""

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from edgespark.runtime.arguments import Option
from edgespark.runtime.arrays import mapped_npy
from edgespark.runtime.paths import by_suffix, check_path, checked_file
from edgespark.runtime.sensory import Motion, Voxels
from edgespark.runtime.signals.readings import recording_from_csv
from edgespark.runtime.signals.recording import Recording, check_clip, recording_from_array
from edgespark.runtime.signals.voxels import voxels_from_csv


@dataclass(frozen=True, slots=True)
class MotionFile:
    """A file of motion, its rate, and where the clip that is meant begins.

    `rate` is in hertz; None means that the file's times tell it, or, of a .npy file, the model's
    own. `start` is in seconds: by the file's own times where they are read, else from its first
    reading; None means the beginning. Raises InputError where a value cannot be one for any file.
    """

    path: str | Path
    _: KW_ONLY
    rate: float | None = None
    start: float | None = None

    def __post_init__(self) -> None:
        """Refuse what no file could satisfy."""
        check_path(self.path, "motion")
        check_clip(self.rate, self.start)


def recording_from_file(record: Motion, file: MotionFile) -> Recording:
    """Return what is needed of a file for its clip; InputError where it is none of its kind."""
    checked_file(file.path)
    return by_suffix(file.path, MOTION)(record, file)


def voxels_from_file(record: Voxels, path: str | Path) -> NDArray[Any]:
    """Return the voxels of a file, [voxels] or [repeats, voxels], not yet looked at; InputError."""
    checked_file(path)
    return by_suffix(path, VOXELS)(record, path)


def _csv_motion(record: Motion, file: MotionFile) -> Recording:
    return recording_from_csv(record, file.path, file.rate, file.start)


def _npy_motion(record: Motion, file: MotionFile) -> Recording:
    array = mapped_npy(file.path)
    return recording_from_array(record, array, file.rate, file.start, str(file.path))


def _npy_voxels(_: Voxels, path: str | Path) -> NDArray[Any]:
    return mapped_npy(path)


MOTION: dict[str, Callable[[Motion, MotionFile], Recording]] = {
    ".csv": _csv_motion,
    ".npy": _npy_motion,
}
VOXELS: dict[str, Callable[[Voxels, str | Path], NDArray[Any]]] = {
    ".csv": voxels_from_csv,
    ".npy": _npy_voxels,
}
OPTIONS = {"rate": Option(float, "rate=100"), "start": Option(float, "start=1.5")}
