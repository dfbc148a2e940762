"""Videos that are made to take all time or memory: samples without bytes, frames without end."""

import struct
import zlib
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgespark.runtime.errors import InputError
from edgespark.runtime.frames import decode
from edgespark.runtime.frames.boxes import MOST_EACH, check_samples
from edgespark.runtime.frames.files import VideoFile
from edgespark.runtime.frames.read import read_frames
from edgespark.runtime.preprocessing import Frames
from tests.runtime.scenes import imagery

av = pytest.importorskip("av", reason="videos need PyAV")
SIZE = 64
RECORD = Frames(count=4, frame=imagery(rows=SIZE, columns=SIZE))


def read(path: Path) -> Any:  # noqa: ANN401 an array
    return read_frames(RECORD, VideoFile(path), lambda _: []).arrays["frames"]


def written(path: Path, codec: str = "mpeg4", **fields: Any) -> Path:  # noqa: ANN401 of PyAV's streams
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=10)
        stream.width, stream.height, stream.pix_fmt = SIZE, SIZE, "yuv420p"
        for name, value in fields.items():
            setattr(stream.codec_context, name, value)
        for i in range(8):
            image = np.full((SIZE, SIZE, 3), 20 * i, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def with_samples(path: Path, count: int) -> Path:
    """Let an MP4 file tell of so many samples of one byte each."""
    data = bytearray(written(path, max_b_frames=2).read_bytes())
    at = data.find(b"stsz")
    struct.pack_into(">III", data, at + 4, 0, 1, count)
    at = data.find(b"stsc")
    struct.pack_into(">IIIII", data, at + 4, 0, 1, 1, count, 1)
    at = data.find(b"stts")
    delta = struct.unpack_from(">I", data, at + 16)[0]
    struct.pack_into(">IIII", data, at + 4, 0, 1, count, delta)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(("count", "what"), [(100_000, "frames"), (0xFFFFFFFF, "samples")])
def test_more_samples_than_bytes_are_refused(tmp_path: Path, count: int, what: str) -> None:
    path = with_samples(tmp_path / "clip.mp4", count)
    with pytest.raises(InputError, match=rf"clip\.mp4: tells of {count} {what} in \d+ bytes"):
        read(path)


def test_the_most_samples_that_a_file_can_hold_are_left_to_the_decoder(tmp_path: Path) -> None:
    size = written(tmp_path / "clip.mp4", max_b_frames=2).stat().st_size
    check_samples(with_samples(tmp_path / "clip.mp4", MOST_EACH * size))
    with pytest.raises(InputError, match=r"tells of .* samples"):
        check_samples(with_samples(tmp_path / "clip.mp4", MOST_EACH * size + 1))


@pytest.mark.parametrize(
    "boxes",
    [
        b"",
        b"\0\0\0",
        struct.pack(">I4s", 0, b"moov") * 9,
        struct.pack(">I4s", 4, b"free"),
        struct.pack(">I4sQ", 1, b"mdat", 1 << 63),
        struct.pack(">I4sQ", 1, b"mdat", 0),
        struct.pack(">I4s", 20, b"stsz") + bytes(11),
        struct.pack(">I4s", 8, b"free") * 100_000,
    ],
)
def test_boxes_of_any_form_have_an_end(tmp_path: Path, boxes: bytes) -> None:
    path = tmp_path / "clip.mp4"
    path.write_bytes(boxes)
    check_samples(path)


def test_frames_that_an_edit_leaves_out_are_limited(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path / "clip.mp4")
    assert read(path).shape == (1, 4, 3, SIZE, SIZE)
    monkeypatch.setattr(decode, "MOST_FRAMES", 0)
    monkeypatch.setattr(decode, "MOST_RATE", 9)
    with pytest.raises(InputError, match=r"tells of 8 frames in 0\.8 s; cut it without keeping"):
        read(path)


def test_packets_that_give_no_frame_come_to_an_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path / "clip.mp4", max_b_frames=2)
    monkeypatch.setattr(decode, "PATIENCE", 0)
    with pytest.raises(InputError, match=r"clip\.mp4: gives no frame in 0 packets"):
        read(path)


def png(side: int) -> bytes:
    """Return a black picture, which is large only once it is unpacked."""

    def chunk(name: bytes, data: bytes) -> bytes:
        body = name + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    pixels = zlib.compress(bytes((3 * side + 1) * side))
    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    chunks = chunk(b"IHDR", head) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


@pytest.mark.parametrize("suffix", [".avi", ".mov"])
def test_frames_too_large_are_not_even_looked_at(
    suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / f"clip{suffix}"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("png", rate=10)
        stream.width, stream.height, stream.pix_fmt = 16, 16, "rgb24"
        for i in range(4):
            packet = av.Packet(png(SIZE))
            packet.stream, packet.pts, packet.dts = stream, i, i
            packet.time_base, packet.is_keyframe = Fraction(1, 10), True
            container.mux(packet)
    assert read(path).shape == (1, 4, 3, SIZE, SIZE)

    monkeypatch.setattr(decode, "LIMITS", {"max_pixels": "1000"})
    opened = av.open

    def seen(*given: object, **options: Any) -> Any:  # noqa: ANN401 PyAV's
        container = opened(*given, **options)
        assert container.streams.video[0].codec_context.width in (0, 16)  # nothing was decoded
        return container

    monkeypatch.setattr(av, "open", seen)
    with pytest.raises(InputError, match=r"Invalid argument: its frames are broken, or larger"):
        read(path)


def test_frames_that_the_header_tells_to_be_too_large_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path / "clip.mkv")
    monkeypatch.setattr(decode, "MOST_PIXELS", 1000)
    with pytest.raises(InputError, match=r"has frames of 64 x 64 pixels, larger than the \d+"):
        read(path)
