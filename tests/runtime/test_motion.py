"""IMU clips from memory and files: what they become, and what is refused."""

import math
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgespark.runtime.arguments import Argument
from edgespark.runtime.errors import EdgesparkWarning, InputError, MissingInput
from edgespark.runtime.sensory import Motion
from edgespark.runtime.signals.files import MotionFile
from edgespark.runtime.signals.read import read_motion
from edgespark.runtime.signals.recording import MotionSignal
from edgespark.runtime.signals.resample import resampled

CHANNELS = ("accl_x", "accl_y", "gyro_x")
RECORD = Motion(channels=CHANNELS, rate=200, samples=400)
Doubles = NDArray[np.float64]


def encode(_: str) -> list[int]:
    raise AssertionError


def made(value: object, record: Motion = RECORD) -> NDArray[Any]:
    found = read_motion(record, value, encode).arrays
    assert list(found) == ["signal"]
    signal: NDArray[Any] = found["signal"]
    assert signal.dtype == np.float32
    assert signal.shape == (1, len(record.channels), record.samples)
    return signal.reshape(signal.shape[1:])


def noise(n: int = 400, channels: int = 3) -> Doubles:
    return np.random.default_rng(n).normal(size=(channels, n))


def waves(seconds: Doubles) -> Doubles:
    """Return signals far below every Nyquist rate here, at any moments: [3, n]."""
    return np.stack([np.sin(2 * np.pi * (k + 1) * seconds + k) for k in range(3)])


def told(said: str = "resampled to the 200 Hz of the model") -> pytest.WarningsRecorder:
    return pytest.warns(EdgesparkWarning, match=said)


def polyphase(x: Doubles, old: int, new: int) -> Doubles:
    """Resample as torchaudio does: one filter for each phase, in steps of the common period."""
    old, new = old // math.gcd(old, new), new // math.gcd(old, new)
    base = 0.99 * min(old, new)
    width = math.ceil(6 * old / base)
    padded = np.pad(x, ((0, 0), (width, width + old)))
    times = -np.arange(new)[:, None] / new + np.arange(-width, width + old) / old
    times = np.clip(times * base, -6, 6)
    filters = np.sinc(times) * np.cos(times * np.pi / 12) ** 2 * base / old
    steps = range(0, padded.shape[1] - 2 * width - old + 1, old)
    out = [padded[:, step : step + 2 * width + old] @ filters.T for step in steps]
    return np.concatenate(out, axis=1)[:, : math.ceil(new * x.shape[1] / old)]


def csv(
    path: Path,
    seconds: Doubles,
    values: Doubles | None = None,
    time: str = "time_s",
    names: tuple[str, ...] = CHANNELS,
) -> Path:
    values = waves(seconds) if values is None else values
    unit = {"s": 1, "ms": 1e3, "µs": 1e6, "μs": 1e6, "ns": 1e9}[
        re.split("[ _(]+", time)[-1].strip(")")
    ]
    rows = np.column_stack([seconds * unit, values.T])
    np.savetxt(path, rows, "%.17g", ",", header=",".join([time, *names]), comments="")
    return path


def test_a_clip_of_the_right_length_passes_as_it_is() -> None:
    signal = noise()
    np.testing.assert_array_equal(made(signal), signal.astype(np.float32))
    np.testing.assert_array_equal(made(MotionSignal(signal)), signal.astype(np.float32))
    np.testing.assert_array_equal(made(np.ones((3, 400), np.int16)), np.ones((3, 400)))


@pytest.mark.parametrize("rate", [12, 50, 100, 104, 201, 333, 400, 1000])
def test_another_rate_is_resampled_as_torchaudio_does(rate: int) -> None:
    x = noise(2 * rate)
    expected = polyphase(x, rate, 200)[:, :400]
    with told(f"array .*: is at {rate} Hz; resampled to the 200 Hz of the model"):
        np.testing.assert_allclose(made(MotionSignal(x, rate=rate)), expected, atol=1e-6)
    np.testing.assert_allclose(resampled(x, rate, 200, 0, 400), expected, atol=1e-10)


def test_a_rate_that_is_off_by_less_than_a_sample_is_the_same() -> None:
    np.testing.assert_array_equal(made(MotionSignal(noise(), rate=200.4)), made(noise()))


def test_a_clip_within_a_recording_is_as_if_all_had_been_resampled() -> None:
    x = noise(1000)
    whole = polyphase(x, 100, 200)
    with told():
        got = made(MotionSignal(x, rate=100, start=3))
    np.testing.assert_allclose(got, whole[:, 600:1000], atol=1e-6)


def test_a_long_clip_is_cut_and_a_short_one_padded_with_a_warning() -> None:
    with pytest.warns(EdgesparkWarning, match=r"has 3 s; the model takes 2 s: cut after"):
        np.testing.assert_array_equal(made(noise(600)), noise(600)[:, :400].astype(np.float32))
    with pytest.warns(EdgesparkWarning, match=r"has 1.5 s; .* takes 2 s: padded with zeros"):
        got = made(noise(300))
    np.testing.assert_array_equal(got[:, :300], noise(300).astype(np.float32))
    assert not got[:, 300:].any()
    with pytest.warns(EdgesparkWarning, match=r"has 0.5 s from start on; .* padded"):
        made(MotionSignal(noise(), start=1.5))


def test_a_chosen_clip_of_a_long_recording_is_no_reason_to_warn() -> None:
    got = made(MotionSignal(noise(1000), start=1))
    np.testing.assert_array_equal(got, noise(1000)[:, 200:600].astype(np.float32))


def test_raw_counts_are_warned_of() -> None:
    with pytest.warns(EdgesparkWarning, match="accl_y reads -16384; .* raw counts"):
        made(np.array([[0], [-16384], [0]]) * np.eye(1, 400, 7))


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (noise(400, 6), r"has shape \(6, 400\); expected \[3, readings\]: accl_x, accl_y, gyro_x$"),
        (noise().T, "give it transposed"),
        (noise()[0], r"has shape \(400,\)"),
        (noise()[:, :0], "holds no readings"),
        (noise()[:, :9], "has 9 readings in its 0.045 s; expected 10 or more in a clip of 2 s"),
        (noise().astype(str), "holds str"),
        (noise() > 0, "holds bool"),
        (np.where(np.arange(400) == 20, np.nan, noise()), r"accl_x is nan at \+0\.100 s from"),
        (np.where(np.arange(400) == 20, 1e300, noise()), r"accl_x is 1e\+300"),
        (np.ma.masked_greater(noise(), 1), "is nan at"),
        (MotionSignal(noise(), start=2), "start=2 lies outside: it has readings for 2 s"),
        (MotionSignal(noise(), start=-1), "start=-1 lies outside"),
        (MotionSignal(noise(), rate=1e-3), "has 1 readings in its 2 s"),
        (MotionSignal(noise(), rate=4), "has 8 readings in its 2 s"),
        ([[1.0]], "expected an array .*, got list"),
        (None, "expected an array"),
    ],
)
def test_what_is_no_clip_is_refused(value: object, said: str) -> None:
    with pytest.raises(InputError, match=said):
        made(value)


@pytest.mark.parametrize(
    "options",
    [{"rate": 0}, {"rate": 1e-308}, {"rate": math.nan}, {"rate": "fast"}, {"start": math.inf}],
)
def test_what_no_recording_could_have_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="must be"):
        MotionSignal(noise(), **options)
    with pytest.raises(InputError, match="must be"):
        MotionFile("a.csv", **options)


def test_npy_files_have_a_rate_and_a_start(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    np.save(path, noise(1000))
    with told():
        expected = made(MotionSignal(noise(1000), rate=100, start=3))
        np.testing.assert_array_equal(made(MotionFile(path, rate=100, start=3)), expected)
        np.testing.assert_array_equal(made(Argument(f"{path}?rate=100&start=3")), expected)


@pytest.mark.parametrize(
    "time", ["time_s", "Timestamp_ms", "canonical_timestamp_ms", "t_ns", "t (µs)", "t_μs"]
)
@pytest.mark.parametrize("begin", [0.0, 17.25])
def test_times_say_the_rate_in_their_own_unit(tmp_path: Path, time: str, begin: float) -> None:
    path = csv(tmp_path / "a.csv", begin + np.arange(400) / 200, waves(np.arange(400) / 200), time)
    np.testing.assert_allclose(made(path), waves(np.arange(400) / 200), atol=1e-6)


def test_columns_stand_in_any_order_beside_others(tmp_path: Path) -> None:
    names = ("component_timestamp_ms", "canonical_timestamp_ms", "GYRO_X", "accl_y", "accl_x")
    x = noise()
    rows = np.column_stack([np.arange(400) * 7, np.arange(400) * 5, x[2], x[1], x[0]])
    np.savetxt(tmp_path / "a.csv", rows, "%.17g", ";", header=";".join(names), comments="")
    np.testing.assert_array_equal(made(tmp_path / "a.csv"), x.astype(np.float32))


def test_a_csv_file_gives_what_its_array_gives(tmp_path: Path) -> None:
    x = noise(1000)
    path = csv(tmp_path / "a.csv", np.arange(1000) / 100, x)
    with told():
        expected = made(MotionSignal(x, rate=100, start=3))
        np.testing.assert_allclose(made(MotionFile(path, start=3)), expected, atol=1e-6)
        np.testing.assert_allclose(made(MotionFile(path, rate=100, start=3)), expected, atol=1e-6)
    with told(), told("has 10 s; the model takes 2 s: cut"):
        made(path)


def test_start_is_in_the_file_s_own_time(tmp_path: Path) -> None:
    path = csv(tmp_path / "a.csv", 100 + np.arange(1000) / 200, noise(1000))
    got = made(MotionFile(path, start=102))
    np.testing.assert_array_equal(got, noise(1000)[:, 400:800].astype(np.float32))
    for start in (99, 105):
        with pytest.raises(InputError, match=r"no reading in the clip .* from 100 s to 104\.995 s"):
            made(MotionFile(path, start=start))


def test_times_in_whole_milliseconds_are_even(tmp_path: Path) -> None:
    times = np.floor(np.arange(201 * 2) / 201 * 1000) / 1000
    with told(r"is at 201\.\d+ Hz; resampled"):
        got = made(csv(tmp_path / "a.csv", times, noise(402)))
    np.testing.assert_allclose(got[:, :390], polyphase(noise(402), 201, 200)[:, :390], atol=0.2)


def test_uneven_readings_are_put_on_straight_lines(tmp_path: Path) -> None:
    steps = np.random.default_rng(0).uniform(0.7, 1.3, 420).cumsum() / 200
    seconds = (steps - steps[0])[:405]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", EdgesparkWarning)  # it may be a sample shorter or longer
        got = made(csv(tmp_path / "a.csv", seconds))
    rate = 404 / seconds[-1]
    np.testing.assert_allclose(
        got[:, 20:380], waves(np.arange(400) / rate)[:, 20:380], atol=0.01 + 2 * abs(rate - 200)
    )


def test_some_missing_readings_are_filled_with_a_warning(tmp_path: Path) -> None:
    seconds = np.arange(400) / 200
    path = csv(tmp_path / "a.csv", np.delete(seconds, range(100, 110)))
    with pytest.warns(EdgesparkWarning, match="10 readings in a row are missing in the clip"):
        got = made(path)
    np.testing.assert_allclose(got, waves(seconds), atol=0.1)


@pytest.mark.parametrize("start", [None, 0.3, 0.6, 0.45])
def test_a_gap_in_the_clip_is_an_error(tmp_path: Path, start: float | None) -> None:
    seconds = np.delete(np.arange(2000) / 200, range(100, 111))
    path = csv(tmp_path / "a.csv", seconds)
    if start == 0.6:  # behind it
        np.testing.assert_allclose(
            made(MotionFile(path, start=start))[:, 0], waves(seconds)[:, 109]
        )
        return
    with pytest.raises(InputError, match="11 readings in a row are missing"):
        made(MotionFile(path, start=start))


def test_a_gap_that_no_reading_follows_for_long_is_an_error(tmp_path: Path) -> None:
    seconds = np.append(np.arange(395) / 200, 1e9)
    with pytest.raises(InputError, match="readings in a row are missing"):
        made(csv(tmp_path / "a.csv", seconds, noise(396)))


def test_a_gap_beside_the_clip_does_not_matter(tmp_path: Path) -> None:
    seconds = np.append(np.arange(402) / 200, 1e6 + np.arange(10) / 200)
    got = made(MotionFile(csv(tmp_path / "a.csv", seconds, noise(412)), start=0))
    np.testing.assert_array_equal(got, noise(412)[:, :400].astype(np.float32))


def test_rows_without_a_time_are_left_out_with_a_warning(tmp_path: Path) -> None:
    path = csv(tmp_path / "a.csv", np.arange(400) / 200, noise())
    path.write_text(path.read_text() + "NULL,1,2,3\n,4,5,6\n")
    with pytest.warns(EdgesparkWarning, match="2 rows have no time: they are left out"):
        np.testing.assert_array_equal(made(path), noise().astype(np.float32))


HEAD = "time_s,accl_x,accl_y,gyro_x\n"
ROWS = [f"{k / 200},1,2,3\n" for k in range(400)]
BAD = {
    "empty": ("", "is empty"),
    "commas alone": (",,,\n", "is missing"),
    "header alone": (HEAD, "holds no readings"),
    "one row": (HEAD + ROWS[0], "has 1 reading in the clip"),
    "three rows": (HEAD + "".join(ROWS[:3]), "has 3 readings in its 0.015 s"),
    "no header": ("".join(ROWS), "expected the columns accl_x, accl_y, gyro_x"),
    "missing channel": ("time_s,accl_x,accl_y\n0,1,2\n", "gyro_x is missing"),
    "channel twice": ("time_s,accl_x,accl_x,accl_y,gyro_x\n", "accl_x is missing, or .* twice"),
    "no unit": ("time,accl_x,accl_y,gyro_x\n", "with its unit in its name.* found time: "),
    "two times": ("t_s,time_ms,accl_x,accl_y,gyro_x\n", "found t_s, time_ms"),
    "no time": ("accl_x,accl_y,gyro_x\n", "found none: .* rate in hertz"),
    "unsorted": (HEAD + ROWS[0] + ROWS[2] + ROWS[1], r"line 4: time stands, or runs backwards"),
    "same time": (HEAD + ROWS[0] + ROWS[0], r"line 3: time stands"),
    "no number": (HEAD + ROWS[0] + "0.1,1,x,3\n", "line 3: 'x' is no number"),
    "time no number": (HEAD + "now,1,2,3\n", "line 2: 'now' is no number"),
    "time endless": (HEAD + "1e300,1,2,3\n", "line 2: '1e300' is no time"),
    "missing value": (HEAD + "".join([*ROWS[:50], "0.25,1,,3\n", *ROWS[51:]]), "accl_y is nan"),
    "infinite": (HEAD + "".join([*ROWS[:50], "0.25,1,inf,3\n", *ROWS[51:]]), "accl_y is inf"),
    "cut off": (HEAD + ROWS[0] + "0.005,1", "line 3 has 2 cells, the first one 4"),
    "milliseconds": (HEAD + "".join(f"{5 * k},1,2,3\n" for k in range(400)), "has 1 readings"),
    "too fast": (HEAD + "0,1,2,3\n1e-9,1,2,3\n2e-9,1,2,3\n", "no sensor is so fast"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_broken_csv_file_is_told_in_one_line(tmp_path: Path, case: str) -> None:
    text, said = BAD[case]
    path = tmp_path / "a.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=said) as raised:
        made(path)
    assert str(raised.value).startswith(f"{path}: ")
    assert "\n" not in str(raised.value)


def test_a_clip_of_a_file_without_readings_is_none(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(HEAD)
    with pytest.raises(InputError, match="holds no readings"):
        made(MotionFile(tmp_path / "a.csv", start=1))


def test_files_of_no_kind_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(b"RIFF")
    (tmp_path / "a.npy").write_bytes(b"text")
    for name, said in (("a.wav", r"there are: \.csv, \.npy"), ("a.npy", r"is no \.npy file")):
        with pytest.raises(InputError, match=said):
            made(tmp_path / name)
    with pytest.raises(MissingInput):
        made("nothing.csv")
    with pytest.raises(InputError, match="no option 'at'"):
        made(Argument("a.csv?at=3"))


def test_a_small_clip_needs_few_readings() -> None:
    record = Motion(channels=CHANNELS, rate=10, samples=4)
    np.testing.assert_array_equal(made(noise(4), record), noise(4).astype(np.float32))
