"""Files of time series and of graphs: what is read of them, and what is refused."""

import math
import tracemalloc
from collections.abc import Iterable
from datetime import datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pytest

from edgespark.runtime.arguments import Argument
from edgespark.runtime.errors import InputError, MissingInput
from edgespark.runtime.series.files import SeriesFile
from edgespark.runtime.timestamps import moment_from_text
from tests.runtime.test_series import STATIC, flows, made

CASES = Path(__file__).parent / "cases" / "series"
SUNDAY = datetime(2024, 5, 5, 23, 50, tzinfo=timezone.utc)
TIMES = [SUNDAY + timedelta(minutes=5 * i) for i in range(4)]

SAID = {
    "american_times.csv": "line 2: '5/6/2024 0:0' is no timestamp; expected ISO 8601 as 2024",
    "backwards.csv": "line 5: time runs backwards, or stands: .*23:50:00 comes after .*23:55:00",
    "blank.csv": "is empty; expected a first line with the names of the columns",
    "cut_off.csv": "line 7 has 2 cells, the first one 4: is the file cut off",
    "cut_off.npy": "is no .npy file of numbers that can be read",
    "empty.csv": "is empty; expected a first line with the names of the columns",
    "five_nodes.csv": "has 5 nodes and has 'd', 'e' besides; " + STATIC,
    "gap.csv": "line 5 comes 600 s after line 4; .* steps of 300 s: resample, or fill in",
    "header_alone.csv": "has 0 timestamps up to the last one meant; the model needs 4",
    "latin_1.csv": "is not UTF-8: .*; save it as UTF-8",
    "long_cut_off.csv": "line 19 has 2 cells, the first one 3",
    "long_gap.csv": "line 11 comes 600 s after line 8",
    "long_many_nodes.csv": "has 50 nodes and lacks 'a', .* and 38 more besides; " + STATIC,
    "long_missing.csv": "line 14: node 'b' has ''; expected a finite number: fill in what is",
    "long_nan.csv": "line 17: node 'a' has 'nan'; expected a finite number",
    "long_no_time.csv": "has no column of timestamps; it is named time, timestamp, date",
    "long_other_names.csv": "has 3 nodes and lacks 'c', has 'x' besides; " + STATIC,
    "long_twice.csv": "line 20: has node 'a' at a time it had before",
    "long_too_many.csv": "has more than 4 timestamps in its last 4 steps of 300 s",
    "long_two_values.csv": "more than one column for 'value': 'value', 'Value'; rename all but",
    "long_two_nodes.csv": "has 2 nodes and lacks 'c'; " + STATIC,
    "milliseconds.csv": r"line 2: '1714550700000' is no timestamp; .* \(not milliseconds\)",
    "missing.csv": "line 5: node 'c' has ''; expected a finite number: fill in what is missing",
    "nan.csv": "line 5: node 'c' has 'nan'",
    "no_header.csv": "has 3 nodes and lacks 'a', 'b', 'c', has '100', '101', '102' besides",
    "no_such_day.csv": "line 2: '2024-02-30T00:00:00' is no timestamp",
    "no_such_hour.csv": "line 2: '2024-02-03T25:00:00' is no timestamp",
    "offset.csv": r"line 4: '2024-05-06T00:00:00\+99:99' is no timestamp",
    "other_names.csv": "has 3 nodes and lacks 'c', has 'd' besides; " + STATIC,
    "quarters.csv": "line 7 comes 900 s after line 6; the model was made for steps of 300 s",
    "stands.csv": "line 5: time runs backwards, or stands",
    "three_steps.csv": "has 3 timestamps up to the last one meant; the model needs 4, 300 s apart",
    "twice.csv": "has more than one node 'b'",
    "two_nodes.csv": "has 2 nodes and lacks 'c'; " + STATIC,
    "underscore.csv": "line 5: node 'c' has '1_000'; expected a finite number",
    "unknown.parquet": "cannot tell what it is by '.parquet'; there are: .csv, .npy",
    "words.csv": "line 5: node 'c' has 'closed'; expected a finite number",
}
SAID_OF_GRAPHS = {
    "cut_off.graphml": "cannot be read as GraphML: unclosed token",
    "empty.csv": "is empty",
    "empty.graphml": "cannot be read as GraphML: no element found",
    "entities.graphml": "declares a document type, which is not read: remove <!DOCTYPE",
    "four_nodes.csv": "has 4 nodes and has 'd' besides; " + STATIC,
    "four_nodes.graphml": "has 4 nodes and has 'd' besides; " + STATIC,
    "header_alone.csv": "has 0 nodes and lacks 'a', 'b', 'c'; " + STATIC,
    "no_ends.csv": "expected a CSV file of edges with the columns source and target, got a, b",
    "no_graph.graphml": "holds no graph; expected a GraphML file",
    "other_names.graphml": "has 3 nodes and lacks 'a', 'b', 'c', has 'n0', 'n1', 'n2' besides",
    "other_xml.graphml": "holds .*; expected a GraphML file",
    "ragged.csv": "line 3 has 1 cells, the first one 2",
    "strange_key.graphml": "cannot be read as GraphML: no key 'd9' before",
    "two_nodes.csv": "has 2 nodes and lacks 'c'; " + STATIC,
    "two_nodes.graphml": "has 2 nodes and lacks 'c'; " + STATIC,
    "two_sources.csv": "more than one column for 'source': 'source', 'from'; rename all but",
    "two_graphs.graphml": "holds more than one graph; expected the model's",
    "twice.graphml": "has no id for a node, or has it twice: 'a'",
    "unknown.gml": "cannot tell what it is by '.gml'; there are: .graphml, .csv",
}


@pytest.mark.parametrize("name", sorted(each.name for each in CASES.iterdir() if each.is_file()))
def test_a_broken_time_series_is_told_in_one_line(name: str) -> None:
    with pytest.raises(InputError, match=SAID[name]) as raised:
        made(CASES / name)
    assert str(raised.value).startswith(f"{CASES / name}: ")
    assert "\n" not in str(raised.value)


@pytest.fixture
def wide(tmp_path: Path) -> Path:
    """Return a file with the nodes in another order than the record's, and older rows."""
    return written(tmp_path / "wide.csv", [time.isoformat() for time in TIMES])


def written(path: Path, times: Iterable[object], names: str = "cab") -> Path:
    lines = [",".join(("when", *names))]
    for time, row in zip(times, flows(), strict=True):
        values = dict(zip("abc", row[:, 0], strict=True))
        lines.append(",".join((str(time), *(str(values[name]) for name in names))))
    path.write_text("\n".join(lines) + "\n")
    return path


def same(path: object) -> None:
    one, other = made(path), made(flows())
    np.testing.assert_array_equal(one.arrays["series"], other.arrays["series"])
    assert one.anchor is not None
    assert other.anchor is not None
    np.testing.assert_array_equal(one.anchor, other.anchor)


@pytest.mark.parametrize("name", sorted(each.name for each in (CASES / "graphs").iterdir()))
def test_a_broken_graph_is_told_in_one_line(wide: Path, name: str) -> None:
    graph = CASES / "graphs" / name
    with pytest.raises(InputError, match=SAID_OF_GRAPHS[name]) as raised:
        made(SeriesFile(wide, graph=graph))
    assert str(raised.value).startswith(f"{graph}: ")
    assert "\n" not in str(raised.value)


STAMPS: dict[str, list[object]] = {
    "zone": [time.isoformat() for time in TIMES],
    "utc": [f"{time:%Y-%m-%dT%H:%M:%SZ}" for time in TIMES],
    "local": [f"{time:%Y-%m-%d %H:%M}" for time in TIMES],
    "elsewhere": [f"{time:%Y-%m-%dT%H:%M:%S}.000-0730" for time in TIMES],
    "seconds": [int(time.timestamp()) for time in TIMES],
    "fractions": [f"{time.timestamp():.1f}" for time in TIMES],
}


@pytest.mark.parametrize("form", STAMPS)
def test_columns_are_found_by_name_and_days_by_the_timestamps(tmp_path: Path, form: str) -> None:
    same(written(tmp_path / "a.csv", STAMPS[form]))


@pytest.mark.parametrize("header", ["time,node,value", "Value,Sensor,lanes,Timestamp"])
def test_a_long_file_may_have_its_rows_in_any_order(tmp_path: Path, header: str) -> None:
    cells = [
        (time.isoformat(), node, str(value[0]), "2")
        for time, row in zip(TIMES, flows(), strict=True)
        for node, value in zip("abc", row, strict=True)
    ]
    cells.append(((TIMES[0] - timedelta(minutes=5)).isoformat(), "a", "missing", "2"))
    order = {"time": 0, "timestamp": 0, "node": 1, "sensor": 1, "value": 2, "lanes": 3}
    places = [order[name] for name in header.lower().split(",")]
    mixed = [cells[i] for i in np.random.default_rng(1).permutation(len(cells))]
    lines = [",".join(row[place] for place in places) for row in mixed]
    path = tmp_path / "long.csv"
    path.write_text("\n".join([header, *lines]))
    same(path)
    same(SeriesFile(path, at=TIMES[-1].timestamp()))


def day(path: Path, steps: int = 100) -> Path:
    """Write steps from Monday, 06:00 on: node a counts them."""
    start = datetime(2024, 5, 6, 6, tzinfo=timezone.utc)
    lines = [f"{start + timedelta(minutes=5 * i)},{i},0,0" for i in range(steps)]
    path.write_text("\n".join(["t,a,b,c", *lines]))
    return path


@pytest.mark.parametrize("at", ["2024-05-06T08:00Z", "2024-05-06 08:00:00", 1714982400])
def test_the_last_moment_may_be_chosen(tmp_path: Path, at: str | float) -> None:
    prepared = made(SeriesFile(day(tmp_path / "a.csv"), at=at))
    assert prepared.anchor is not None
    assert prepared.anchor[0].tolist() == [24, 0, 0]
    np.testing.assert_allclose(prepared.arrays["series"][0, -1, :, 1], 1 / 3)
    assert not prepared.arrays["series"][0, ..., 2].any()


def test_nothing_behind_the_last_moment_is_read(tmp_path: Path) -> None:
    path = day(tmp_path / "a.csv")
    with path.open("a") as file:
        file.write("\nbroken\n")
    assert made(SeriesFile(path, at="2024-05-06T08:00Z")).anchor is not None


def test_a_moment_that_is_not_in_the_file_is_refused(tmp_path: Path) -> None:
    path = day(tmp_path / "a.csv")
    with pytest.raises(InputError, match=r"no row at the timestamp .*; .* is in line 26"):
        made(SeriesFile(path, at="2024-05-06T08:03Z"))
    with pytest.raises(InputError, match=r"no row at the timestamp that was asked for$"):
        made(SeriesFile(path, at="2023-05-06T08:03Z"))
    with pytest.raises(InputError, match="has 2 timestamps up to the last one meant"):
        made(SeriesFile(path, at="2024-05-06T06:05Z"))


def test_a_wide_file_is_never_held_as_a_whole(tmp_path: Path) -> None:
    path = day(tmp_path / "a.csv", 20_000)
    tracemalloc.start()
    made(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < path.stat().st_size / 2


GRAPHML = """<graphml xmlns="http://graphml.graphdrawing.org/xmlns">
<key id="d0" for="node" attr.name="label" attr.type="string"/><graph edgedefault="directed">
<node id="{}"><data key="d0">b</data></node><node id="{}"><data key="d0">a</data></node>
<node id="{}"><data key="d0">c</data></node><edge source="{}" target="{}"/></graph></graphml>"""


@pytest.mark.parametrize("ids", ["abc", "xyz"])
def test_nodes_of_graphml_go_by_their_ids_or_labels(wide: Path, ids: str) -> None:
    graph = wide.with_suffix(".graphml")
    graph.write_text(GRAPHML.format(*ids, *ids[:2]))
    same(SeriesFile(wide, graph=graph))


@pytest.mark.parametrize(
    "text", ["from,to,weight\na,b,1\nb,c,0.5\n", "Source;Target\nc;a\na;c\nb;\n"]
)
def test_nodes_of_a_list_of_edges_stand_at_either_end(wide: Path, text: str) -> None:
    graph = wide.with_name("roads.csv")
    graph.write_text(text)
    same(SeriesFile(wide, graph=graph))


def test_what_networkx_writes_is_read(wide: Path) -> None:
    networkx = pytest.importorskip("networkx", reason="an oracle")
    graph = networkx.DiGraph([("1", "2"), ("2", "3")])
    networkx.set_node_attributes(graph, {"1": "c", "2": "a", "3": "b"}, "name")
    networkx.set_edge_attributes(graph, 3.5, "length")
    networkx.write_graphml(graph, wide.with_suffix(".graphml"))
    same(SeriesFile(wide, graph=wide.with_suffix(".graphml")))


def test_an_npy_file_holds_times_and_days_too(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", flows())
    same(tmp_path / "a.npy")
    with pytest.raises(InputError, match="holds no timestamps: it cannot be cut by at="):
        made(SeriesFile(tmp_path / "a.npy", at=0))
    np.save(tmp_path / "b.npy", flows()[:, :2])
    with pytest.raises(InputError, match=r"b\.npy: has 2 nodes; " + STATIC):
        made(str(tmp_path / "b.npy"))


def test_options_stand_behind_the_path_on_the_command_line(wide: Path) -> None:
    graph = wide.with_name("roads.csv")
    graph.write_text("u,v\na,b\nb,c\n")
    same(Argument(f"{wide}?graph={graph}&at=2024-05-06T00:05:00Z"))
    with pytest.raises(InputError, match="no option 'agent'; there are: graph, at"):
        made(Argument(f"{wide}?agent=2"))


def test_a_file_that_is_not_there_is_told_so(wide: Path) -> None:
    with pytest.raises(MissingInput, match="there is no such file"):
        made(wide.with_name("other.csv"))
    with pytest.raises(MissingInput, match="there is no such file"):
        made(SeriesFile(wide, graph=wide.with_name("other.graphml")))


BAD_FILES = {
    "expected the path of a time series": lambda: SeriesFile(""),
    "expected the path of a graph": lambda: SeriesFile("a.csv", graph=""),
    "at must be a timestamp, got True": lambda: SeriesFile("a.csv", at=True),
    "at=noon is no timestamp": lambda: SeriesFile("a.csv", at="noon"),
    "at=nan is no timestamp": lambda: SeriesFile("a.csv", at=math.nan),
    "at=1e[+]12 is no timestamp": lambda: SeriesFile("a.csv", at="1e+12"),
}


@pytest.mark.parametrize("told", BAD_FILES)
def test_what_no_file_could_satisfy_is_refused(told: str) -> None:
    with pytest.raises(InputError, match=told):
        BAD_FILES[told]()


@pytest.mark.parametrize("text", ["1969-12-29T12:00Z", "-216000", "1969-12-29 13:30:00+01:30"])
def test_days_before_1970_count_too(text: str) -> None:
    moment = moment_from_text(text)
    assert moment.seconds == -216_000
    assert moment.weekday == 0
    assert moment.time == (0.5625 if "13" in text else 0.5)
