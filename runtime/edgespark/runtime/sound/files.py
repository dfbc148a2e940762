"""Sound files, and the part of them that is meant."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import KW_ONLY, dataclass
from pathlib import Path

from edgespark.runtime.arguments import Option
from edgespark.runtime.arrays import mapped_npy
from edgespark.runtime.errors import InputError
from edgespark.runtime.paths import by_suffix, check_path, checked_file
from edgespark.runtime.sensory import Fbank
from edgespark.runtime.sound.decoded import open_decoded
from edgespark.runtime.sound.memory import recording_from_array
from edgespark.runtime.sound.recording import Recording, check_span
from edgespark.runtime.sound.wav import open_wav

OPTIONS = {"start": Option(float, "start=1.5"), "stop": Option(float, "stop=12")}


@dataclass(frozen=True, slots=True)
class SoundFile:
    """A sound file, and the part of it that is meant.

    `start` and `stop` are in seconds from its beginning; without them, the whole. Raises InputError
    where a value cannot be one for any file.
    """

    path: str | Path
    _: KW_ONLY
    start: float | None = None
    stop: float | None = None

    def __post_init__(self) -> None:
        """Refuse what no file could satisfy."""
        check_path(self.path, "sound")
        check_span(self.start, self.stop)


@contextmanager
def open_sound(record: Fbank, file: SoundFile) -> Iterator[Recording]:
    """Open a file of a kind that its suffix tells, and close it afterwards.

    A .npy file holds [samples] or [channels, samples] at the record's rate. Raises InputError for
    what is no sound, MissingExtra where soundfile is needed and not installed.
    """
    path = checked_file(file.path)
    if not path.stat().st_size:
        raise InputError(f"{path}: is empty, 0 bytes long; expected a sound")
    try:
        with by_suffix(path, FORMATS)(path, record) as recording:
            yield recording
    except InputError:
        raise
    except OSError as error:  # a broken disk
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error


def _wav(path: Path, _: Fbank) -> AbstractContextManager[Recording]:
    return open_wav(path)


def _decoded(path: Path, _: Fbank) -> AbstractContextManager[Recording]:
    return open_decoded(path)


@contextmanager
def _npy(path: Path, record: Fbank) -> Iterator[Recording]:
    yield recording_from_array(mapped_npy(path), record.rate, str(path))


DECODED = (".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff")
FORMATS: dict[str, Callable[[Path, Fbank], AbstractContextManager[Recording]]] = {
    ".wav": _wav,
    **dict.fromkeys(DECODED, _decoded),
    ".npy": _npy,
}
