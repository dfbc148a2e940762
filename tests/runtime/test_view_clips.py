"""Video as OneLLM takes it: which frames, in which cuts, and what is refused."""

import math
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from edgespark.runtime.arguments import Argument
from edgespark.runtime.errors import EdgesparkWarning, InputError, MissingInput
from edgespark.runtime.frames.files import VideoFile
from edgespark.runtime.prepared import Prepared
from edgespark.runtime.sensory import Clips, Picture
from edgespark.runtime.views.bicubic import Bytes
from edgespark.runtime.views.bilinear import bilinear
from edgespark.runtime.views.clips import cuts, moments
from edgespark.runtime.views.read import read_clips

CASES = Path(__file__).parent / "cases" / "view_clips"
SIZE, RATE = 8, 10
PLAIN = Picture(size=SIZE, mean=(0.0,) * 3, std=(1 / 255,) * 3)  # gives 0…255
RECORD = Clips(clips=5, seconds=1.0, crops=3, picture=PLAIN)
CODECS = {".mp4": "mpeg4", ".mkv": "ffv1", ".avi": "mpeg4"}
FORMATS = {"ffv1": "bgr0"}

SAID = {
    "bands_last.npy": r"expected \[frames, 3 or 1, rows, columns\]; are its bands last",
    "empty.mp4": "cannot be read as a video",
    "floats.npy": "holds float64 samples; expected uint8, 0…255",
    "four_bands.npy": r"expected \[frames, 3 or 1, rows, columns\]$",
    "no_frames.npy": "is empty",
    "no_rows.npy": "is empty",
    "picture.npy": r"expected \[frames, 3 or 1, rows, columns\]$",
    "sixteen_bits.npy": "holds uint16 samples",
    "sound_alone.mp4": "holds no video stream",
    "text.avi": "cannot be read as a video",
    "text.mp4": "cannot be read as a video",
    "video.wmv": r"cannot tell what it is by '\.wmv'",
}


def made(value: object, record: Clips = RECORD) -> Prepared:
    return read_clips(record, value, lambda _: [])


def seen(value: object, record: Clips = RECORD) -> NDArray[np.float32]:
    array = made(value, record).arrays["frames"]
    assert array.dtype == np.float32
    assert array.shape == (1, record.clips * record.crops, 3, SIZE, SIZE)
    frames: NDArray[np.float32] = array[0]
    return frames


def greys(total: int, rows: int = 16, columns: int = 16) -> Bytes:
    """Return frames whose grey tells their number, up to 84."""
    number = np.arange(total, dtype=np.uint8)[:, None, None, None]
    return np.broadcast_to(3 * number, (total, 3, rows, columns))


def numbers(array: NDArray[np.float32]) -> list[int]:
    """Return which frames these are; the cuts of each are alike."""
    told = [round(float(each) / 3) for each in array.mean(axis=(1, 2, 3))]
    assert told == [each for each in told[::3] for _ in range(3)]
    return told[::3]


def write(path: Path, frames: Bytes, rate: int = RATE) -> Path:
    av: Any = pytest.importorskip("av", reason="videos need PyAV")
    codec = CODECS[path.suffix]
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate)
        stream.height, stream.width = frames.shape[2:]
        stream.pix_fmt = FORMATS.get(codec, "yuv420p")
        stream.bit_rate = 4_000_000
        for frame in frames:
            image = np.ascontiguousarray(frame.transpose(1, 2, 0))
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "clip.mp4"


@pytest.mark.parametrize(
    ("total", "rate", "wanted"),
    [
        (60, 10, [0, 10, 20, 30, 40]),  # 5 s / 5 = 1 s from clip to clip
        (33, 10, [0, 5, 10, 14, 19]),  # 0.46 s: 4.6, 9.2, 13.8 and 18.4, and up
        (250, 25, [0, 45, 90, 135, 180]),
        (10, 10, [0, 0, 0, 0, 0]),  # just one clip
        (3, 10, [0, 0, 0, 0, 0]),  # less than one
        (10, Fraction(1, 2), [0, 2, 4, 6, 8]),  # a frame every 2 s
        (2, Fraction(1, 10), [0, 1, 1, 1, 1]),  # never beyond the last one
        (300, Fraction(30000, 1001), [0, 55, 109, 163, 217]),
    ],
)
def test_the_first_frame_of_each_clip_is_taken(
    total: int, rate: Fraction | int, wanted: list[int]
) -> None:
    rate = Fraction(rate)
    times = moments(RECORD, total / rate, rate)
    assert [math.floor(time * rate) for time in times] == wanted
    assert [(time * rate) % 1 for time in times] == [Fraction(1, 2)] * 5


def test_without_a_rate_the_clips_begin_evenly() -> None:
    assert moments(RECORD, Fraction(6), None) == [0, 1, 2, 3, 4]
    assert moments(RECORD, Fraction(1, 25), None) == [0] * 5


@given(st.integers(1, 10_000), st.fractions(Fraction(1, 100), 240), st.integers(1, 9))
def test_all_frames_are_in_the_video_and_ascend(total: int, rate: Fraction, clips: int) -> None:
    record = Clips(clips=clips, seconds=1.0, crops=1, picture=PLAIN)
    times = moments(record, total / rate, rate)
    assert times == sorted(times)
    assert len(times) == clips
    assert 0 < times[0] <= times[-1] < total / rate


@pytest.mark.parametrize("suffix", CODECS)
def test_a_video_gives_the_frames_of_the_rule(path: Path, suffix: str) -> None:
    file = write(path.with_suffix(suffix), greys(60))
    for value in (file, str(file), VideoFile(file), Argument(f"@{file}")):
        assert numbers(seen(value)) == [0, 10, 20, 30, 40]


def test_a_part_of_a_video_is_sampled_as_if_it_were_all(path: Path) -> None:
    write(path, greys(80))
    wanted = [20, 26, 32, 38, 44]
    assert numbers(seen(VideoFile(path, start=2.0, stop=6.0))) == wanted
    assert numbers(seen(Argument(f"{path}?start=2&stop=6"))) == wanted


def test_a_short_video_gives_its_first_frame_with_a_warning(path: Path) -> None:
    write(path, greys(9))
    with pytest.warns(EdgesparkWarning, match="gives 1 frames for the 5 clips"):
        assert numbers(seen(path)) == [0] * 5


def test_a_video_of_one_frame_is_taken(path: Path) -> None:
    for suffix in CODECS:
        file = write(path.with_suffix(suffix), greys(1))
        with pytest.warns(EdgesparkWarning, match="gives 1 frames"):
            assert numbers(seen(file)) == [0] * 5


def test_colours_are_red_green_and_blue(path: Path) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (1, 3, 16, 16), dtype=np.uint8)
    file = write(path.with_suffix(".mkv"), frames)
    with pytest.warns(EdgesparkWarning, match="gives 1 frames"):
        array = seen(file)
    np.testing.assert_array_equal(array[:3], cuts(RECORD, frames[0]))


def test_frames_without_times_are_spread_evenly(path: Path) -> None:
    frames = greys(20)
    assert numbers(seen(frames)) == [2, 6, 10, 14, 18]
    np.save(path.with_suffix(".npy"), frames)
    assert numbers(seen(path.with_suffix(".npy"))) == [2, 6, 10, 14, 18]
    assert numbers(seen(greys(5)[:, :1])) == [0, 1, 2, 3, 4]
    with pytest.warns(EdgesparkWarning, match="gives 2 frames for the 5 clips"):
        assert numbers(seen(greys(2))) == [0, 0, 1, 1, 1]


@pytest.mark.parametrize(
    ("shape", "offsets"),
    [
        ((8, 8), [(0, 0)] * 3),
        ((8, 13), [(0, 0), (0, 3), (0, 5)]),  # half of 5 is rounded up
        ((13, 8), [(0, 0), (3, 0), (5, 0)]),
        ((8, 20), [(0, 0), (0, 6), (0, 12)]),
    ],
)
def test_the_cuts_stand_along_the_longer_side(
    shape: tuple[int, int], offsets: list[tuple[int, int]]
) -> None:
    frame = np.random.default_rng(1).integers(0, 256, (3, *shape), dtype=np.uint8)
    wanted = [frame[:, row : row + SIZE, column : column + SIZE] for row, column in offsets]
    np.testing.assert_array_equal(cuts(RECORD, frame).round(3), wanted)


@pytest.mark.parametrize(("crops", "offsets"), [(1, [3]), (2, [0, 6]), (4, [0, 2, 4, 6])])
def test_other_numbers_of_cuts_are_spread_alike(crops: int, offsets: list[int]) -> None:
    record = Clips(clips=1, seconds=1.0, crops=crops, picture=PLAIN)
    frame = np.random.default_rng(1).integers(0, 256, (3, 8, 14), dtype=np.uint8)
    wanted = [frame[:, :, offset : offset + SIZE] for offset in offsets]
    np.testing.assert_array_equal(cuts(record, frame).round(3), wanted)


def test_the_cuts_of_a_frame_stand_together() -> None:
    frames = np.random.default_rng(2).integers(0, 256, (5, 3, 8, 20), dtype=np.uint8)
    array = seen(frames)
    for i, frame in enumerate(frames):
        np.testing.assert_array_equal(array[3 * i : 3 * i + 3], cuts(RECORD, frame))


def test_pixels_between_two_are_weighed_by_their_distance() -> None:
    image = np.array([[[0, 255]]], np.uint8)
    assert bilinear(image, 1, 4, (0, 0, 4, 1)).tolist() == [[[0, 0.25, 0.75, 1]]]
    assert bilinear(image, 1, 1, (0, 0, 1, 1)).tolist() == [[[0.5]]]
    wide = np.array([[[255, 0, 0, 0, 0, 255]]], np.uint8)  # no antialiasing: the ends are not seen
    assert bilinear(wide, 1, 2, (0, 0, 2, 1)).tolist() == [[[0, 0]]]


def test_a_window_is_a_part_of_the_whole() -> None:
    image = np.random.default_rng(3).integers(0, 256, (3, 9, 14), dtype=np.uint8)
    whole = bilinear(image, 20, 31, (0, 0, 31, 20))
    np.testing.assert_array_equal(bilinear(image, 20, 31, (5, 4, 7, 6)), whole[:, 4:10, 5:12])


@pytest.mark.parametrize("shape", [(1, 1), (1, 3), (2, 2)])
def test_tiny_frames_are_enlarged(shape: tuple[int, int]) -> None:
    assert (seen(np.full((5, 3, *shape), 60, np.uint8)).round(3) == 60).all()


def test_of_long_frames_three_squares_are_taken_with_a_warning() -> None:
    with pytest.warns(EdgesparkWarning, match="only 3 squares of it are looked at"):
        seen(np.zeros((5, 3, 2, 50_000), np.uint8))


def test_masked_frames_are_counted() -> None:
    frames = np.ma.MaskedArray(greys(5), mask=False)
    frames[0] = np.ma.masked
    assert made(frames).valid == pytest.approx(0.8)


@pytest.mark.parametrize("name", SAID)
def test_a_bad_file_is_told(name: str) -> None:
    if name.endswith((".mp4", ".avi")):
        pytest.importorskip("av", reason="videos need PyAV")
    with pytest.raises(InputError, match=SAID[name]) as told:
        made(CASES / name)
    assert "\n" not in str(told.value)


def test_the_cases_are_all_told() -> None:
    assert {path.name for path in CASES.iterdir()} == set(SAID)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (None, r"expected an array \[frames, 3 or 1, rows, columns\] of uint8, a path"),
        ([greys(1)[0]], "got list"),
        (greys(2)[0], "expected"),
        (greys(2) / 2, "holds float64 samples"),
        (np.zeros((2, 5, 5, 3), np.uint8), "are its bands last"),
        (greys(0), "is empty"),
        (VideoFile(CASES / "floats.npy", start=1.0), "holds frames without times"),
        (Argument("a.mp4?range=1,2"), "no option 'range'; there are: start, stop"),
        ("", "expected the path of a video"),
    ],
)
def test_what_is_no_video_is_refused(value: object, said: str) -> None:
    with pytest.raises(InputError, match=said):
        made(value)


def test_a_part_beyond_the_end_is_refused(path: Path) -> None:
    write(path, greys(10))
    with pytest.raises(InputError, match="is beyond its end; it lasts 1 s"):
        made(VideoFile(path, stop=3.0))


def test_a_video_that_is_not_there_is_missing(path: Path) -> None:
    with pytest.raises(MissingInput, match="there is no such file"):
        made(path)
