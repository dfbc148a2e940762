"""Time series, graphs and timestamps that are made to take memory, or to be misread."""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from edgespark.runtime import names
from edgespark.runtime.decimals import number_from_text
from edgespark.runtime.errors import InputError
from edgespark.runtime.series.files import SeriesFile
from edgespark.runtime.timestamps import moment_from_text
from tests.runtime.test_series import made
from tests.runtime.test_series_files import TIMES, same, written


@pytest.fixture
def wide(tmp_path: Path) -> Path:
    return written(tmp_path / "wide.csv", [time.isoformat() for time in TIMES])


@pytest.mark.parametrize(
    "text",
    [
        *("2024-05-01T08:05:00+99:99", "2024-05-01T08:05+24:00", "2024-05-01T08:05-05:60"),
        *(
            "2024-05-01T08:05:60",
            "1_000",
            "\uff11\uff17",
            "\u0663",
            "",
            "+",
            ".",
            "e5",
            "1e",
            "0x10",
            "inf",
        ),
        *("nan", "1 2", "1,5", "9" * 400, "0001-01-32", "0000-01-01"),
    ],
)
def test_what_is_no_timestamp_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".") as raised:
        moment_from_text(text)
    assert len(str(raised.value)) < 200


@pytest.mark.parametrize("end", ["x", "e", "."])
def test_no_text_of_endless_digits_takes_endless_time(end: str) -> None:
    with pytest.raises(ValueError, match="no number"):
        moment_from_text("1" * 50_000 + end)


def test_offsets_of_every_zone_are_known() -> None:
    assert moment_from_text("1970-01-01T23:59+23:59").seconds == 0
    assert moment_from_text("1970-01-01T00:00-1200").seconds == 43_200


@pytest.mark.parametrize(
    "text",
    [
        *("2024-05-01T23:59:59.99999999999999999", "2024-05-01T23:59:59,999999999999"),
        *("-1e-20", "-1e-7", "2024-05-01 23:59:59.9999999Z"),
    ],
)
def test_the_last_moment_of_a_day_is_before_midnight(text: str) -> None:
    moment = moment_from_text(text)
    assert 0.9999 < np.float32(moment.time) < 1
    assert moment.weekday == 2


def test_the_last_moment_of_a_day_can_be_forecast_from(tmp_path: Path) -> None:
    times = [f"2024-05-01T23:{minute}:59.99999999999999" for minute in (44, 49, 54, 59)]
    series = made(written(tmp_path / "a.csv", times)).arrays["series"]
    assert series[0, -1, 0, 1] < 1


@pytest.mark.parametrize("text", ["1", "-1.", "+.5", "1.5e3", "1E-3", " 7 ", "007"])
def test_numbers_are_read_as_python_reads_them(text: str) -> None:
    assert number_from_text(text) == float(text)


def graphml(path: Path, body: str) -> Path:
    path = path.with_suffix(".graphml")
    path.write_text(f"<graphml><graph edgedefault='directed'>{body}</graph></graphml>")
    return path


def test_more_nodes_than_any_model_has_are_not_read_whole(
    wide: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(names, "MOST_NAMES", 10)
    edges = wide.with_name("edges.csv")
    edges.write_text("source,target\n" + "".join(f"a{i},b{i}\n" for i in range(9)))
    nodes = graphml(wide, "".join(f"<node id='{i}'/>" for i in range(11)))
    long = wide.with_name("long.csv")
    long.write_text("time,node,value\n" + "".join(f"0,{i},1\n" for i in range(11)) + "broken\n")
    for file in (SeriesFile(wide, graph=edges), SeriesFile(wide, graph=nodes), SeriesFile(long)):
        with pytest.raises(InputError, match="has more nodes than the 10 that are told apart"):
            made(file)


def test_edges_are_not_held(wide: Path) -> None:
    nodes = "".join(f"<node id='{name}'/>" for name in "abc")
    edges = "<edge source='a' target='b'><data key='w'>1</data></edge>" * 5000
    graph = graphml(wide, nodes + edges)
    tracemalloc.start()
    same(SeriesFile(wide, graph=graph))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2 * 2**20


def test_a_document_type_behind_a_long_comment_is_refused_too(wide: Path) -> None:
    graph = wide.with_suffix(".graphml")
    graph.write_text("<!--" + "x" * 50_000 + "--><!DOCTYPE a [<!ENTITY b 'c'>]><graphml/>")
    with pytest.raises(InputError, match="declares a document type"):
        made(SeriesFile(wide, graph=graph))
    graph.write_text("<!--" + "x" * 500_000 + "--><graphml/>")
    with pytest.raises(InputError, match="has no element in 65536 bytes; expected a GraphML file"):
        made(SeriesFile(wide, graph=graph))


def test_nodes_of_a_group_and_labels_of_yed_are_names(wide: Path) -> None:
    label = "<data key='d'><y:Node><y:NodeLabel>{}</y:NodeLabel></y:Node></data>"
    group = "<node id='1'>{}<graph><node id='2'>{}</node><node id='3'>{}</node></graph></node>"
    body = group.format(*(label.format(name) for name in "cab"))
    graph = graphml(wide, body)
    graph.write_text(graph.read_text().replace("<graphml>", "<graphml><key id='d' for='node'/>"))
    same(SeriesFile(wide, graph=graph))


def test_long_names_never_flood_a_message(wide: Path) -> None:
    path = wide.with_name("a.csv")
    path.write_text("time," + ",".join(f"{'c' * 9000}{i}" for i in range(20)) + "\n")
    graph = wide.with_name("b.csv")
    graph.write_text(f"source,target\n{'a' * 9000},b\n")
    other = graphml(wide, f"<node id='{'a' * 9000}'/>")
    for file in (SeriesFile(path), SeriesFile(wide, graph=graph), SeriesFile(wide, graph=other)):
        with pytest.raises(InputError) as raised:
            made(file)
        assert len(str(raised.value)) < 1500


@pytest.mark.parametrize("at", [10**5000, "1" * 10_000, -(10**400)], ids=["int", "text", "minus"])
def test_moments_of_endless_digits_are_refused(at: int | str) -> None:
    with pytest.raises(InputError, match="at") as raised:
        SeriesFile("a.csv", at=at)  # whole numbers too
    assert len(str(raised.value)) < 300
