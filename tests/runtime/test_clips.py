"""Video files, written here by PyAV: which frames are shown when, and what is refused."""

import sys
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgespark.runtime.arguments import Argument
from edgespark.runtime.errors import EdgesparkWarning, InputError, MissingExtra, MissingInput
from edgespark.runtime.frames.files import VideoFile
from edgespark.runtime.frames.prepare import prepare_clip, spread
from edgespark.runtime.frames.read import read_frames
from edgespark.runtime.preprocessing import Frames
from tests.runtime.scenes import band, imagery

av = pytest.importorskip("av", reason="videos need PyAV")
COUNT, ROWS, COLUMNS, RATE = 8, 16, 24, 10
CODECS = {".mp4": "mpeg4", ".mov": "mjpeg", ".mkv": "ffv1", ".avi": "mpeg4", ".webm": "libvpx"}
FORMATS = {
    ("mjpeg", "rgb24"): "yuvj420p",
    ("ffv1", "rgb24"): "bgr0",
    ("ffv1", "gray16le"): "gray16le",
}


def video(count: int = COUNT, **changes: Any) -> Frames:  # noqa: ANN401 any field
    sizes = {"rows": ROWS, "columns": COLUMNS} | changes
    return Frames(count=count, frame=imagery(**sizes))


def clip(total: int) -> NDArray[np.uint8]:
    """Return greys [total, rows, columns, 3], up to 60: their mean tells the frame's number."""
    images = np.zeros((total, ROWS, COLUMNS, 3), np.uint8)
    images += 4 * np.arange(total, dtype=np.uint8)[:, None, None, None]
    images[:, : ROWS // 2] += 10
    images[:, :, : COLUMNS // 2] += 4
    return images


def write(
    path: Path,
    images: NDArray[Any],
    turned: int = 0,
    shape: str = "rgb24",
    options: dict[str, str] | None = None,
    **fields: Any,  # noqa: ANN401 of PyAV's streams
) -> Path:
    """Write [frames, rows, columns, 3] in the codec of the suffix, RATE frames a second."""
    codec = fields.pop("codec", CODECS[path.suffix])
    with av.open(str(path), "w", options=options or {}) as container:
        stream = container.add_stream(codec, rate=RATE)
        stream.height, stream.width = images.shape[1:3]
        stream.pix_fmt = FORMATS.get((codec, shape), "yuv420p")
        stream.bit_rate = 4_000_000
        for name, value in fields.items():
            setattr(stream.codec_context, name, value)
        if turned:
            stream.set_display_rotation(turned)
        for image in images:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format=shape)))
        container.mux(stream.encode())
    return path


def frames(value: object, record: Frames | None = None) -> NDArray[np.float32]:
    made = read_frames(record or video(), value, lambda _: [])
    assert made.valid == 1.0
    array: NDArray[np.float32] = made.arrays["frames"][0]
    return array


def numbers(array: NDArray[np.float32]) -> list[int]:
    """Return which frames these are."""
    return [round((float(each) - 7) / 4) for each in array.mean(axis=(1, 2, 3))]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "clip.mp4"


@pytest.mark.parametrize("suffix", CODECS)
@pytest.mark.parametrize("total", [COUNT, 20, 60])
def test_every_kind_of_video_gives_the_frames_of_the_rule(
    path: Path, suffix: str, total: int
) -> None:
    array = frames(write(path.with_suffix(suffix), clip(total)))
    assert array.shape == (COUNT, 3, ROWS, COLUMNS)
    assert numbers(array) == spread(total, COUNT)


def test_colours_are_red_green_and_blue(path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 255, (COUNT, ROWS, COLUMNS, 3)).astype(np.uint8)
    array = frames(write(path.with_suffix(".mkv"), images))
    np.testing.assert_array_equal(array, images.transpose(0, 3, 1, 2))


def test_a_part_is_counted_in_seconds(path: Path) -> None:
    write(path, clip(60))
    assert numbers(frames(VideoFile(path, start=2.0, stop=4.0), video(2))) == [25, 35]
    assert numbers(frames(Argument(f"{path}?start=2&stop=4"), video(2))) == [25, 35]
    assert numbers(frames(VideoFile(path, start=5.0), video(5))) == [51, 53, 55, 57, 59]
    assert numbers(frames(VideoFile(str(path), stop=0.4), video(4))) == [0, 1, 2, 3]


@pytest.mark.parametrize("fields", [{"max_b_frames": 2, "gop_size": 12}, {"gop_size": 300}])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_seeking_finds_the_same_frames_as_decoding_everything(
    path: Path, suffix: str, fields: dict[str, Any]
) -> None:
    images = np.repeat(clip(60), 20, axis=0)
    write(path.with_suffix(suffix), images, codec="mpeg4", **fields)
    part = VideoFile(path.with_suffix(suffix), start=3.1, stop=117.7)
    wanted = [int(31 + (i + 0.5) * (1177 - 31) / 7) // 20 for i in range(7)]
    assert numbers(frames(part, video(7))) == wanted


def test_a_stretch_of_fewer_frames_shows_some_again(path: Path) -> None:
    write(path, clip(20))
    with pytest.warns(EdgesparkWarning, match=r"clip\.mp4: has 2 frames of the 4 that the model"):
        array = frames(VideoFile(path, start=1.0, stop=1.2), video(4))
    assert numbers(array) == [10, 10, 11, 11]


@pytest.mark.parametrize("turned", [90, 180, -90])
def test_a_video_is_turned_as_it_says(path: Path, turned: int) -> None:
    write(path, clip(COUNT), turned)
    stored = frames(write(path.with_name("b.mp4"), clip(COUNT)))
    across = {"rows": COLUMNS, "columns": ROWS} if turned % 180 else {}
    np.testing.assert_array_equal(
        frames(path, video(**across)), np.rot90(stored, turned // 90, (2, 3))
    )


def test_an_odd_turn_is_told_and_not_made(path: Path) -> None:
    write(path, clip(COUNT), 30)
    with pytest.warns(EdgesparkWarning, match="says to turn it by .* degrees, which is not done"):
        frames(path)


def test_a_grey_video_keeps_its_depth_where_the_model_takes_one_band(path: Path) -> None:
    heat = (300 * np.arange(COUNT * ROWS * COLUMNS) % 60_000).reshape(COUNT, ROWS, COLUMNS)
    write(path.with_suffix(".mkv"), heat.astype("<u2"), shape="gray16le")
    array = frames(path.with_suffix(".mkv"), video(bands=(band("heat"),)))
    np.testing.assert_array_equal(array[:, 0], heat)
    with pytest.warns(EdgesparkWarning, match="is grey; red, green and blue are the same"):
        array = frames(path.with_suffix(".mkv"))
    np.testing.assert_array_equal(array[:, 0], array[:, 2])


def test_a_colour_video_is_not_made_grey_in_silence(path: Path) -> None:
    with pytest.raises(InputError, match=r"the frame at 0 s of .*found 3 bands .*expected 1"):
        frames(write(path, clip(COUNT)), video(bands=(band("heat"),)))


def test_a_clip_in_npy_is_mapped_not_read(path: Path) -> None:
    images = (
        np.zeros((200, 3, 128, 128), np.uint8) + np.arange(200, dtype=np.uint8)[:, None, None, None]
    )
    np.save(path.with_suffix(".npy"), images)
    record = video()
    tracemalloc.start()
    try:
        array = frames(path.with_suffix(".npy"), record)
        assert tracemalloc.get_traced_memory()[1] < images.nbytes / 3
    finally:
        tracemalloc.stop()
    np.testing.assert_array_equal(array, prepare_clip(record, images).arrays["frames"][0])
    with pytest.raises(InputError, match="holds frames without times; start and stop are for vid"):
        frames(VideoFile(path.with_suffix(".npy"), stop=2.0))


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".avi"])
@pytest.mark.parametrize("share", [0.0, 0.01, 0.6, 0.98])
def test_a_file_that_was_cut_off_is_an_error(path: Path, suffix: str, share: float) -> None:
    path = path.with_suffix(suffix)
    noise = np.random.default_rng(0).integers(0, 255, (60, 64, 64, 3)).astype(np.uint8)
    whole = write(path, noise, options={"movflags": "faststart"} if suffix == ".mp4" else None)
    data = whole.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(InputError, match=rf"{path.name}: "):
        frames(path, video(60))


def test_a_broken_middle_is_an_error(path: Path) -> None:
    data = bytearray(write(path, clip(60)).read_bytes())
    data[len(data) // 3 : len(data) // 2] = bytes(len(data) // 2 - len(data) // 3)
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"clip\.mp4: "):
        frames(path, video(60))


@pytest.mark.parametrize("suffix", CODECS)
def test_what_is_no_video_is_an_error(path: Path, suffix: str) -> None:
    path = path.with_suffix(suffix)
    path.write_bytes(b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nhttp://localhost:9/a.ts\n")
    with pytest.raises(InputError, match="cannot be read as a video: Invalid data"):
        frames(path)


def test_a_file_of_sound_alone_is_an_error(path: Path) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=8000, layout="mono")
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 1024), "f4"), "fltp", "mono")
        sound.sample_rate = 8000
        container.mux(stream.encode(sound))
        container.mux(stream.encode())
    with pytest.raises(InputError, match=r"clip\.mp4: holds no video stream"):
        frames(path)


@pytest.mark.parametrize("tag", [b"00:00:1/0", b"00:00:1e9999999", b"00:00:nan"])
def test_a_duration_that_is_none_is_passed_over(path: Path, tag: bytes) -> None:
    data = write(path.with_suffix(".mkv"), clip(20)).read_bytes()
    told = b"00:00:02.000000000"
    assert told in data
    path.with_suffix(".mkv").write_bytes(data.replace(told, tag.ljust(len(told), b"\0")))
    assert numbers(frames(path.with_suffix(".mkv"))) == spread(20, COUNT)


def test_a_video_of_no_frames_is_an_error(path: Path) -> None:
    with pytest.raises(InputError, match=r"clip\.(mkv|mp4): "):
        frames(write(path.with_suffix(".mkv"), clip(1)[:0]))


@pytest.mark.parametrize(
    ("part", "said"),
    [
        ({"start": 6.0}, r"start=6 is beyond its end; it lasts 6 s"),
        ({"start": 1.0, "stop": 7.5}, r"stop=7\.5 is beyond its end; it lasts 6 s"),
    ],
)
def test_a_part_beyond_the_end_is_an_error(path: Path, part: dict[str, float], said: str) -> None:
    write(path, clip(60))
    with pytest.raises(InputError, match=said):
        frames(VideoFile(path, **part))


@pytest.mark.parametrize(
    ("part", "said"),
    [
        ({"start": -1.0}, "start must be a number of seconds, 0 or more, got -1"),
        ({"stop": float("nan")}, "stop must be a number of seconds"),
        ({"stop": "2"}, "stop must be a number of seconds, 0 or more, got '2'"),
        ({"stop": 0.0}, "stop=0.0 must be greater than start=0"),
        ({"start": 3.0, "stop": 2.0}, "must be greater than start=3.0"),
        ({"path": 3}, "expected the path of a video, got 3"),
    ],
)
def test_what_could_be_no_part_of_any_video_is_an_error(part: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        VideoFile(**{"path": "a.mp4"} | part)


def test_an_unknown_suffix_is_told_with_the_known_ones(path: Path) -> None:
    path.with_suffix(".gif").touch()
    with pytest.raises(InputError, match=r"cannot tell what it is by '\.gif'; there are: \.mp4"):
        frames(path.with_suffix(".gif"))
    with pytest.raises(MissingInput, match="there is no such file"):
        frames(path)


def test_without_pyav_the_extra_is_named(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(path, clip(COUNT))
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(MissingExtra, match=r"pip install 'edgespark\[media\]'"):
        frames(path)
