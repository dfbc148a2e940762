"""Video files, through PyAV: the frames shown at given times, decoding no more than it takes."""

import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from edgespark.runtime.errors import EdgesparkWarning, InputError, MissingExtra
from edgespark.runtime.frames.boxes import check_samples

# A file is read by the demuxer of its suffix alone: others (HLS, concat) follow links elsewhere.
DEMUXERS = {".mp4": "mov", ".mov": "mov", ".mkv": "matroska", ".webm": "matroska", ".avi": "avi"}
GREYS = {"gray": "gray", "gray16le": "gray16le", "gray16be": "gray16le"}
"""FFmpeg's name of a pixel format -> the one that it is given in."""
FAR = Fraction(4)
"""Seconds ahead from which on seeking is cheaper than decoding all that lies between."""
TURN = 90
DURATION = re.compile(r"(\d{1,4}):(\d\d):(\d\d(?:\.\d{1,9})?)", re.ASCII)
MOST_PIXELS = 1 << 26
"""Of a frame, twice those of 8K: what tells of more is broken, or made to exhaust the memory."""
MOST_FRAMES, MOST_RATE = 100_000, 1000
"""Frames, beyond so many each second: seeking takes the square of those outside an edit."""
LIMITS = {"max_pixels": str(MOST_PIXELS)}
TOO_LARGE = f"larger than the {MOST_PIXELS} pixels that are read at most"
PATIENCE = 1 << 12
"""Packets in a row without a frame; a decoder holds back some 50, an edit skips some hundreds."""


@contextmanager
def open_video(path: Path) -> Iterator["Player"]:
    """Open the first video stream of a file, and close it afterwards.

    Only the file itself is read: whatever it refers to elsewhere is refused. Raises InputError for
    what is no video, MissingExtra where PyAV is not installed.
    """
    av = _av()
    demuxer = DEMUXERS[path.suffix.lower()]
    with _told(path), path.open("rb") as file:
        if demuxer == "mov":
            check_samples(path)
        options = {"format": demuxer, "metadata_errors": "replace", "options": LIMITS}
        with av.open(file, io_open=_refuse, **options) as container:
            if not container.streams.video:
                raise InputError(f"{path}: holds no video stream")
            _check(path, container.streams.video[0])
            yield Player(path, container)


def _check(path: Path, stream: Any) -> None:  # noqa: ANN401 PyAV's
    codec, size = stream.codec_context, path.stat().st_size
    if codec is None:
        raise InputError(f"{path}: its video is in a codec that FFmpeg does not know")
    if codec.width * codec.height > MOST_PIXELS:
        raise InputError(
            f"{path}: has frames of {codec.width} x {codec.height} pixels, {TOO_LARGE}"
        )
    if stream.frames > size:
        raise InputError(f"{path}: tells of {stream.frames} frames in {size} bytes")


def _refuse(url: str, *_: object) -> NoReturn:
    raise PermissionError(f"refers to {url!r}, which is not followed")


def _av() -> Any:  # noqa: ANN401 imported late
    try:
        return import_module("av")
    except ImportError as error:
        raise MissingExtra(
            f"videos are read with PyAV, which cannot be imported ({error}): "
            "pip install 'edgespark[media]'"
        ) from error


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Turn FFmpeg's errors into one line."""
    try:
        yield
    except InputError:
        raise
    except (_av().FFmpegError, OSError) as error:
        reason = getattr(error, "strerror", None) or error
        if isinstance(error, _av().ArgumentError):  # what FFmpeg calls a frame beyond LIMITS
            reason = f"{reason}: its frames are broken, or {TOO_LARGE}"
        raise InputError(f"{path}: cannot be read as a video: {reason}") from error


class Player:
    """Plays a video stream forward; it holds two frames at a time."""

    def __init__(self, path: Path, container: Any) -> None:  # noqa: ANN401 PyAV's
        """Stand at the start of the first video stream; InputError where it has no frame."""
        self._path, self._container = path, container
        self._stream = container.streams.video[0]
        self._stream.codec_context.options = LIMITS
        self._base = self._stream.time_base
        self._shown: Any = None
        self._first = (self._stream.start_time or 0) * self._base
        self.lasts = self._declared() or self._measured()
        if self._stream.frames > MOST_FRAMES + MOST_RATE * self.lasts:
            raise InputError(
                f"{path}: tells of {self._stream.frames} frames in {float(self.lasts):.6g} s; cut "
                "it without keeping what lies outside"
            )
        self._seek(Fraction(0))
        if self._shown is None:
            raise InputError(f"{path}: its video stream holds no frame that can be decoded")

    @property
    def rate(self) -> Fraction | None:
        """How many frames a second shows on average; None where the file does not say."""
        rate: Fraction | None = self._stream.average_rate
        return rate or None

    def at(self, times: Sequence[Fraction], bands: int) -> Iterator[tuple[str, NDArray[Any]]]:
        """Give the frame that is shown at each of the ascending times, in seconds, and its name.

        A frame is [3, rows, columns], red, green, blue, uint8; of a grey video [1, rows, columns],
        uint8 or uint16, where `bands` is 1. It is turned as the file says. Raises InputError where
        the video ends before that, or is broken there.
        """
        for time in times:
            if time - self._time(self._shown) >= FAR:
                self._seek(time)
            frame = self._forward(time)
            yield f"the frame at {float(self._time(frame)):.6g} s", self._samples(frame, bands)

    def _declared(self) -> Fraction | None:
        """Return how many seconds the stream lasts, where the file says so."""
        units = self._stream.duration or 0
        if self._container.format.name == "avi":
            # its header counts the frames; FFmpeg takes those that it finds where it is cut off
            units = max(units, self._stream.frames)
        if units:
            return Fraction(units * self._base)
        tagged = _seconds(self._stream.metadata.get("DURATION", ""))
        return tagged or Fraction(self._container.duration or 0, import_module("av").time_base)

    def _measured(self) -> Fraction:
        """Return how many seconds the stream lasts, by reading all packets; none is decoded."""
        packets = self._container.demux(self._stream)
        ends = (each.pts + (each.duration or 0) for each in packets if each.pts is not None)
        return Fraction(max(ends, default=0) * self._base - self._first)

    def _seek(self, time: Fraction) -> None:
        """Stand at a frame at or before the time; a file's index may point behind it."""
        for goal in dict.fromkeys((time, max(time - FAR, Fraction(0)), Fraction(0))):
            self._container.seek(int((self._first + goal) / self._base), stream=self._stream)
            self._decoder = self._frames()
            self._shown, self._next = next(self._decoder, None), next(self._decoder, None)
            if self._shown is not None and self._time(self._shown) <= time:
                return

    def _frames(self) -> Iterator[Any]:
        """Yield the frames from where the container stands; InputError where long none comes."""
        silent = 0
        for packet in self._container.demux(self._stream):
            frames = packet.decode()
            silent = 0 if frames else silent + 1
            if silent > PATIENCE:
                raise InputError(f"{self._path}: gives no frame in {PATIENCE} packets")
            yield from frames

    def _forward(self, time: Fraction) -> Any:  # noqa: ANN401 PyAV's
        """Return the frame that is shown at the time, which is not before the one that is now."""
        while self._next is not None and self._time(self._next) <= time:
            self._shown, self._next = self._next, next(self._decoder, None)
        if self._shown.is_corrupt:
            raise InputError(f"{self._path}: is broken at {float(time):.6g} s")
        if self._next is None and time > self._end(self._shown):
            raise InputError(
                f"{self._path}: its last frame ends at {float(self._end(self._shown)):.6g} s; "
                f"it should last {float(self.lasts):.6g} s: it is cut off, or needs a stop="
            )
        return self._shown

    def _time(self, frame: Any) -> Fraction:  # noqa: ANN401 PyAV's
        stamp = frame.dts if frame.pts is None else frame.pts
        if stamp is None:
            raise InputError(f"{self._path}: its frames do not say when they are shown")
        return Fraction(stamp * frame.time_base - self._first)

    def _end(self, frame: Any) -> Fraction:  # noqa: ANN401 PyAV's
        own = (frame.duration or 0) * frame.time_base
        return Fraction(self._time(frame) + max(own, 1 / self.rate if self.rate else FAR))

    def _samples(self, frame: Any, bands: int) -> NDArray[Any]:  # noqa: ANN401 PyAV's
        grey = GREYS.get(frame.format.name)
        if grey and bands > 1:
            _warn(f"{self._path}: is grey; red, green and blue are the same")
        image = frame.to_ndarray(format=grey if grey and bands == 1 else "rgb24")
        if frame.rotation % TURN:
            _warn(f"{self._path}: says to turn it by {frame.rotation} degrees, which is not done")
        turned = np.rot90(np.atleast_3d(image), frame.rotation // TURN)
        return np.moveaxis(turned, -1, 0)


def _seconds(text: str) -> Fraction | None:
    """Read Matroska's 00:00:02.040000000; None for what does not look like it."""
    found = DURATION.fullmatch(text.strip())
    return found and 3600 * int(found[1]) + 60 * int(found[2]) + Fraction(found[3])


def _warn(text: str) -> None:
    warnings.warn(text, EdgesparkWarning, stacklevel=2)
