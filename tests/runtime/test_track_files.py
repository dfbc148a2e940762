"""Recordings of moving agents: what is read of them, and what is refused."""

import math
import tracemalloc
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from edgespark.runtime.arguments import Argument
from edgespark.runtime.errors import EdgesparkWarning, InputError, MissingInput
from edgespark.runtime.prepared import Prepared
from edgespark.runtime.tracks.files import TrackFile
from tests.runtime.test_tracks import RECORD, WALK, beside, made

CASES = Path(__file__).parent / "cases" / "tracks"
ETH = Path(__file__).parents[3] / "shared" / "data" / "trajectories" / "biwi_eth.txt"
needs_eth = pytest.mark.skipif(not ETH.is_file(), reason="the shared real files are not here")
FRAMES = "commonest step, 10 frames, is taken for 0.4 s"

SAID = {
    "backwards.csv": "line 3: agent 1: time runs backwards, from .*09 to .*08: sort the lines",
    "backwards.gpx": "point 2: agent hike: time runs backwards",
    "backwards.txt": "line 5: agent 1: time runs backwards, from 40 to 30",
    "beyond_the_pole.csv": "line 2: longitude 10, latitude 95 is no place",
    "beyond_the_pole.gpx": "point 1: longitude 8.5, latitude 97 is no place",
    "binary.txt": "is not UTF-8: invalid start byte; save it as UTF-8",
    "blank.csv": "is empty; expected a first line with the names of the columns",
    "blank.txt": "holds no positions; expected tracks",
    "cut_off.csv": "line 9 has 3 cells, the first one 4: is the file cut off",
    "cut_off.gpx": "cannot be read as GPX: unclosed token",
    "cut_off.npy": "is no .npy file of numbers that can be read",
    "cut_off.txt": "line 8 has 3 columns; expected 4: frame, agent, x and y in metres",
    "decimal_commas.csv": "line 2: x is '1,5'; expected a finite number",
    "empty.csv": "is empty; expected a first line with the names of the columns",
    "empty.gpx": "cannot be read as GPX: no element found",
    "empty.txt": "holds no positions; expected tracks",
    "entities.gpx": "declares a document type, which is not read: remove <!DOCTYPE",
    "five_columns.txt": "line 1 has 5 columns; expected 4",
    "frames_as_seconds.csv": "positions come every 10 s, the model's every 0.4 s: too few",
    "gap.txt": "agent 1 is not seen near 60: more than one position is missing of the 8 steps",
    "header.txt": "line 1: frame is 'frame'; expected a finite number",
    "header_alone.csv": "holds no positions",
    "infinite.csv": "line 5: x is 'inf'; expected a finite number",
    "latin_1.csv": "is not UTF-8",
    "lon_and_longitude.csv": "more than one column for 'x': 'lon', 'Longitude'; rename all but",
    "lon_and_x.csv": "more than one column for 'x': 'lon', 'x'; rename all but",
    "multi_byte.gpx": "cannot be read as GPX: multi-byte encodings are not supported",
    "milliseconds.csv": r"line 2: '1714550700000' is no time; .* seconds \(not milliseconds\)",
    "missing.csv": "line 5: y is ''; expected a finite number",
    "nan.txt": "line 4: x is 'nan'; expected a finite number",
    "no_id.csv": "line 2: the agent's id is missing",
    "no_longitude.gpx": "point 1: lon is ''; expected degrees",
    "no_such_columns.csv": "its header names 'when', 'who', 'x', 'y'; expected frame or time, id",
    "no_times.gpx": "point 1: its time is ''; expected ISO 8601 .* without times nobody knows",
    "no_y.csv": "its header names 'time', 'id', 'x'; expected frame or time, id, and x and y",
    "not_xml.gpx": "cannot be read as GPX: syntax error",
    "nul.txt": "line 1 holds a NUL byte",
    "one_fix_each.txt": "nobody is seen at two times",
    "open_quote.csv": "line 2: cannot be read as CSV: unexpected end of data",
    "other_xml.gpx": "holds 'kml'; expected a GPX file",
    "ragged.csv": "line 10 has 3 cells, the first one 4",
    "seven_steps.txt": "agent 1 is seen from 0 on, at 7 of the 8 steps up to 60 only",
    "strange_encoding.gpx": "cannot be read as GPX: unknown encoding",
    "three_columns.txt": "line 1 has 3 columns; expected 4",
    "time_and_frame.csv": "more than one column for 'frame': 'time', 'frame'; rename all but",
    "too_coarse.csv": "positions come every 30 s, the model's every 0.4 s: too few",
    "twice.gpx": "point 2: agent hike stands twice at time 1714550400",
    "twice.txt": "line 6: agent 1 stands twice at time 40: keep one of the two",
    "two_agents.txt": "holds 2 agents; say which is meant, as in agent=1; there are: 1, b",
    "unknown.kml": "cannot tell what it is by '.kml'; there are: .txt, .csv, .gpx, .npy",
    "underscore.txt": "line 2: frame is '1_0'; expected a finite number",
    "way_points.gpx": "has no track points; expected a GPX file of recorded tracks",
    "wide_digits.csv": "line 3: x is '\uff11'; expected a finite number",
    "words_for_times.csv": "line 2: 'noon' is no time; expected ISO 8601",
    "x_twice.csv": "more than one column for 'x': 'x', 'x'; rename all but",
}


@pytest.mark.filterwarnings(f"ignore:.*{FRAMES}")
@pytest.mark.parametrize("name", sorted(each.name for each in CASES.iterdir()))
def test_a_broken_trajectory_is_told_in_one_line(name: str) -> None:
    with pytest.raises(InputError, match=SAID[name]) as raised:
        made(CASES / name)
    assert str(raised.value).startswith(f"{CASES / name}: ")
    assert "\n" not in str(raised.value)


Rows = list[tuple[float, str, float, float]]


def rows(tracks: NDArray[np.float64], names: Sequence[str] = "1234", step: float = 10) -> Rows:
    """Return frame, agent, x, y of tracks [agents, steps, 2], frame by frame."""
    return [
        (step * time, name, float(track[time, 0]), float(track[time, 1]))
        for time in range(tracks.shape[1])
        for track, name in zip(tracks, names, strict=False)
    ]


def txt(path: Path, some: Rows, between: str = "\t") -> Path:
    path.write_text("".join(between.join(map(str, row)) + "\n" for row in some))
    return path


def csv(path: Path, some: Rows, header: str = "time,id,x,y") -> Path:
    return txt(path, [*[tuple(header.split(","))], *some], ",")  # type: ignore[list-item] # a header


def same(one: Prepared, other: Prepared) -> None:
    for name in ("track", "neighbours", "present"):
        np.testing.assert_allclose(one.arrays[name], other.arrays[name], atol=1e-5)
    assert one.anchor is not None
    assert other.anchor is not None
    np.testing.assert_allclose(one.anchor, other.anchor, atol=1e-5)


@pytest.mark.parametrize("between", ["\t", " ", "   \t"])
def test_lines_of_frame_agent_and_place_are_read(tmp_path: Path, between: str) -> None:
    tracks = beside((1, 0), (0, 2))
    path = txt(tmp_path / "a.txt", rows(tracks, ("1.0", "2.0", "3.0")), between)
    with pytest.warns(EdgesparkWarning, match=FRAMES):
        same(made(TrackFile(path, agent=1)), made(tracks))
    with pytest.warns(EdgesparkWarning, match=FRAMES):
        same(made(TrackFile(path, agent="2")), made(tracks[[1, 0, 2]]))


def test_told_frames_a_second_need_no_guess(tmp_path: Path) -> None:
    path = txt(tmp_path / "a.txt", rows(WALK[None]))
    same(made(TrackFile(path, fps=25)), made(WALK))


def test_tracks_may_stand_one_after_the_other(tmp_path: Path) -> None:
    tracks = beside((1, 0), (0, 2))
    one_by_one = sorted(rows(tracks), key=lambda row: row[1])
    path = txt(tmp_path / "a.txt", one_by_one)
    same(made(TrackFile(path, agent=1, fps=25)), made(tracks))


HEADERS = ["time,id,x,y", "t,agent,X,Y", "Timestamp,track_id,x,y"]


@pytest.mark.parametrize("header", HEADERS)
def test_a_csv_file_counts_seconds(tmp_path: Path, header: str) -> None:
    tracks = beside((1, 0))
    path = csv(tmp_path / "a.csv", rows(tracks, step=0.4), header)
    same(made(TrackFile(path, agent=1)), made(tracks))


def test_a_csv_file_may_count_frames(tmp_path: Path) -> None:
    path = csv(tmp_path / "a.csv", rows(WALK[None]), "frame,id,x,y")
    with pytest.warns(EdgesparkWarning, match=FRAMES):
        same(made(path), made(WALK))


def test_columns_may_stand_in_any_order_and_the_id_may_lack(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    lines = [f"{y};ok;{x};2024-05-01T08:00:{0.4 * i:06.3f}Z" for i, (x, y) in enumerate(WALK)]
    path.write_text("\n\ny;note;x;time\r\n" + "\r\n".join(lines))
    same(made(path), made(WALK))


def test_a_time_in_the_middle_may_be_asked_for(tmp_path: Path) -> None:
    long = np.stack([np.arange(30.0), np.arange(30.0) ** 2], axis=1)
    path = csv(tmp_path / "a.csv", rows(long[None], step=0.5), "t,id,x,y")
    with pytest.warns(
        EdgesparkWarning, match=r"every 0.5 s; the tracks are resampled to every 0.4"
    ):
        prepared = made(TrackFile(path, at=10))
    assert prepared.arrays["track"][0, 0, 0] == pytest.approx(-7 * 0.4 / 0.5)
    frames = txt(tmp_path / "a.txt", rows(long[None]))
    same(made(TrackFile(frames, at="150", fps=25)), made(long[8:16]))


def test_the_only_one_at_that_time_is_meant(tmp_path: Path) -> None:
    later = [(frame + 200, "2", x, y) for frame, _, x, y in rows(WALK[None])]
    path = txt(tmp_path / "a.txt", rows(WALK[None]) + later)
    same(made(TrackFile(path, at=70, fps=25)), made(WALK))
    with pytest.raises(InputError, match=r"holds 2 agents; .* there are: 1, 2"):
        made(TrackFile(path, fps=25))
    with pytest.raises(InputError, match=r"nobody is seen at 100; .* goes from 0 to 270"):
        made(TrackFile(path, at=100))
    with pytest.raises(InputError, match="agent 2 is seen from 200 to 270, not at 70"):
        made(TrackFile(path, agent=2, at=70))
    with pytest.raises(InputError, match="there is no agent '3'; there are: 1, 2"):
        made(TrackFile(path, agent=3))


def test_one_missing_position_is_interpolated_with_a_warning(tmp_path: Path) -> None:
    path = txt(tmp_path / "a.txt", [row for row in rows(WALK[None]) if row[0] != 30])
    with pytest.warns(EdgesparkWarning, match="positions of agent 1 are missing at some steps"):
        track = made(TrackFile(path, fps=25)).arrays["track"][0]
    np.testing.assert_allclose(track[3], (WALK[2] + WALK[4]) / 2 - WALK[-1], atol=1e-6)


def test_neighbours_that_are_not_seen_at_all_steps_are_left_out(tmp_path: Path) -> None:
    tracks = beside((1, 0), (0, 2), (2, 0))
    some = [row for row in rows(tracks) if row[:2] not in {(0, "2"), (30, "4"), (40, "4")}]
    path = txt(tmp_path / "a.txt", some)
    same(made(TrackFile(path, agent=1, fps=25)), made(tracks[[0, 2]]))


def test_a_time_far_from_every_position_is_refused(tmp_path: Path) -> None:
    some = rows(WALK[None]) + [(100_000 + frame, *rest) for frame, *rest in rows(WALK[None])]
    path = txt(tmp_path / "a.txt", some)  # type: ignore[arg-type] # bad rows
    with pytest.raises(InputError, match="agent 1 is not seen near 50000"):
        made(TrackFile(path, at=50_000, fps=25))


def gpx(path: Path, places: NDArray[np.float64], every: float = 0.4, name: str = "") -> Path:
    """Write one track of latitudes and longitudes [n, 2], and waypoints that mean nothing."""
    points = "".join(
        f'<trkpt lat="{lat:.9f}" lon="{lon:.9f}"><ele>1</ele>'
        f"<time>2024-05-01T10:{i * every // 60:02.0f}:{i * every % 60:06.3f}+02:00</time></trkpt>"
        for i, (lat, lon) in enumerate(places)
    )
    path.write_text(
        '<?xml version="1.0"?><gpx xmlns="http://www.topografix.com/GPX/1/1"><metadata><name>n'
        f'</name></metadata><wpt lat="1" lon="2"/><trk><name>{name}</name>'
        f"<trkseg>{points}</trkseg></trk></gpx>"
    )
    return path


def north(steps: int, metres: float, latitude: float = 47.0) -> NDArray[np.float64]:
    """Walk north: a degree of latitude is 111.2 km or so."""
    return np.stack([latitude + np.arange(steps) * metres / 111_170, np.full(steps, 8.5)], axis=1)


def test_a_gpx_track_is_told_in_metres_from_its_last_point(tmp_path: Path) -> None:
    prepared = made(gpx(tmp_path / "a.gpx", north(9, 0.5)))
    wanted = np.stack([np.zeros(8), 0.5 * np.arange(-7, 1)], axis=1)
    np.testing.assert_allclose(prepared.arrays["track"][0], wanted, atol=0.01)
    assert prepared.anchor is not None
    np.testing.assert_allclose(prepared.anchor[-1], [0, 6], atol=0.01)


def test_a_second_from_point_to_point_is_resampled_with_a_warning(tmp_path: Path) -> None:
    path = gpx(tmp_path / "a.gpx", north(90, 1.5), every=1)
    with pytest.warns(EdgesparkWarning, match="every 1 s; the tracks are resampled to every 0.4 s"):
        track = made(path).arrays["track"][0]
    np.testing.assert_allclose(track[:, 1], 0.6 * np.arange(-7, 1), atol=0.01)


@pytest.mark.parametrize("at", ["2024-05-01T08:00:04Z", "2024-05-01 10:00:04+0200", 1714550404])
def test_a_timestamp_may_be_asked_for(tmp_path: Path, at: str | float) -> None:
    path = gpx(tmp_path / "a.gpx", north(30, 0.5))
    same(made(TrackFile(path, at=at)), made(gpx(tmp_path / "b.gpx", north(11, 0.5))))


def test_tracks_of_a_gpx_file_go_by_their_names(tmp_path: Path) -> None:
    one, other = (
        gpx(tmp_path / "a.gpx", north(9, speed), name="tom").read_text() for speed in (1, 2)
    )
    both = one.replace("</gpx>", other[other.index("<trk>") :])
    (tmp_path / "b.gpx").write_text(both)
    with pytest.raises(InputError, match=r"holds 2 agents; .*: tom, 2"):
        made(tmp_path / "b.gpx")
    assert made(TrackFile(tmp_path / "b.gpx", agent="tom")).arrays["present"].sum() == 1
    track = made(TrackFile(tmp_path / "b.gpx", agent=2)).arrays["track"][0]
    assert track[0, 1] == pytest.approx(-14, abs=0.01)


def test_the_date_line_is_nothing_special(tmp_path: Path) -> None:
    longitudes = (179.99996 + np.arange(9) * 1e-5 + 180) % 360 - 180
    places = np.stack([np.zeros(9), longitudes], axis=1)
    track = made(gpx(tmp_path / "a.gpx", places)).arrays["track"][0]
    degree = math.radians(1) * 6_378_137
    np.testing.assert_allclose(track[:, 0], np.arange(-7, 1) * 1e-5 * degree, atol=0.001)


def test_degrees_in_a_csv_file_become_metres(tmp_path: Path) -> None:
    places = north(8, 0.5)
    some = [(0.4 * i, "1", lon, lat) for i, (lat, lon) in enumerate(places)]
    path = csv(tmp_path / "a.csv", some, "time,id,lon,lat")
    track = made(path).arrays["track"][0]
    np.testing.assert_allclose(track[:, 1], 0.5 * np.arange(-7, 1), atol=0.01)


def test_an_npy_file_holds_the_steps_themselves(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", beside((1, 0)))
    same(made(tmp_path / "a.npy"), made(beside((1, 0))))
    np.save(tmp_path / "b.npy", WALK[1:])
    with pytest.raises(InputError, match=r"b\.npy: has 7 steps"):
        made(str(tmp_path / "b.npy"))
    with pytest.raises(InputError, match="agent=, at= and fps= mean nothing"):
        made(TrackFile(tmp_path / "a.npy", agent=1))


def test_options_stand_behind_the_path_on_the_command_line(tmp_path: Path) -> None:
    path = txt(tmp_path / "a.txt", rows(beside((1, 0))))
    same(made(Argument(f"{path}?agent=2&at=70&fps=25")), made(beside((1, 0))[::-1]))
    with pytest.raises(InputError, match="no option 'id'; there are: agent, at, fps"):
        made(Argument(f"{path}?id=2"))


BAD_FILES = {
    "expected the path of a trajectory": lambda: TrackFile(""),
    "agent must be the id of one, got True": lambda: TrackFile("a.txt", agent=True),
    "at=noon is no time": lambda: TrackFile("a.txt", at="noon"),
    "at=nan is no time": lambda: TrackFile("a.txt", at=math.nan),
    "fps must be a number of frames a second, got 0": lambda: TrackFile("a.txt", fps=0),
    "fps must be a number of frames a second, got inf": lambda: TrackFile("a.txt", fps=math.inf),
}


@pytest.mark.parametrize("told", BAD_FILES)
def test_what_no_file_could_satisfy_is_refused(told: str) -> None:
    with pytest.raises(InputError, match=told):
        BAD_FILES[told]()


def test_frames_a_second_are_for_frames_only(tmp_path: Path) -> None:
    path = csv(tmp_path / "a.csv", rows(WALK[None], step=0.4))
    with pytest.raises(InputError, match="tells its times in seconds; fps= is for"):
        made(TrackFile(path, fps=25))


def test_a_file_that_is_not_there_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(MissingInput, match="there is no such file"):
        made(tmp_path / "a.txt")
    (tmp_path / "b.txt").mkdir()
    with pytest.raises(InputError, match="is a folder"):
        made(tmp_path / "b.txt")


def long_gpx(path: Path) -> TrackFile:
    return TrackFile(gpx(path.with_suffix(".gpx"), north(8000, 0.1)))


def long_txt(path: Path) -> TrackFile:
    walk = np.zeros((1, 30_000, 2))
    return TrackFile(txt(path.with_suffix(".txt"), rows(walk)), at=100_000, fps=25)


@pytest.mark.parametrize("write", [long_gpx, long_txt])
def test_a_file_is_never_held_as_a_whole(
    tmp_path: Path, write: Callable[[Path], TrackFile]
) -> None:
    file = write(tmp_path / "long")
    size = Path(file.path).stat().st_size
    tracemalloc.start()
    made(file)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert size > 400_000
    assert peak < size / 2


@needs_eth
def test_real_pedestrians_are_read_with_those_around_them() -> None:
    table = np.loadtxt(ETH)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        prepared = made(TrackFile(ETH, agent=2, fps=25))
    own = table[table[:, 1] == 2][-8:]
    np.testing.assert_allclose(prepared.arrays["track"][0], own[:, 2:] - own[-1, 2:], atol=1e-6)
    around = [table[(table[:, 1] == who) & np.isin(table[:, 0], own[:, 0])] for who in range(3, 30)]
    near = sorted(
        float(np.hypot(*(each[-1, 2:] - own[-1, 2:])))
        for each in around
        if len(each) == 8 and np.hypot(*(each[-1, 2:] - own[-1, 2:])) <= RECORD.radius
    )
    seen = prepared.arrays["neighbours"][0, prepared.arrays["present"][0]][1:, -1]
    np.testing.assert_allclose(np.hypot(*seen.T), near[: RECORD.agents - 1], atol=1e-5)


@needs_eth
def test_every_real_pedestrian_is_read_or_seen_too_shortly() -> None:
    table = np.loadtxt(ETH)
    for who in range(1, 361, 60):
        own = table[table[:, 1] == who]
        if len(own) >= 8 and np.ptp(np.diff(own[-8:, 0])) == 0:
            assert made(TrackFile(ETH, agent=who, fps=25)).arrays["present"][0, 0]
        else:
            with pytest.raises(InputError, match=f"agent {who} is (not )?seen"):
                made(TrackFile(ETH, agent=who, fps=25))


@needs_eth
def test_of_a_real_recording_an_agent_must_be_named() -> None:
    with pytest.raises(InputError, match=r"holds 360 agents; say which .* there are: 1, 2, 3, "):
        made(ETH)
