"""Tables that are made to take time or memory, or to end in a traceback."""

import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from edgespark.runtime.arguments import Argument
from edgespark.runtime.errors import InputError
from edgespark.runtime.tables import parquet
from edgespark.runtime.tables.files import TableFile
from tests.runtime.test_tables import PLOTS, RECORD, SOIL, WHOLE, ids, made

HEADER = "height,soil,plots\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "plots.csv"


def written(path: Path, columns: dict[str, Any], **options: object) -> Path:
    pq = pytest.importorskip("pyarrow.parquet", reason="Parquet needs pyarrow")
    file = path.with_suffix(".parquet")
    pq.write_table(pytest.importorskip("pyarrow").table(columns), file, **options)
    return file


@pytest.mark.parametrize("first", ["99999999999999999999", "9223372036854775807", str(2**53)])
def test_rows_beyond_every_index_are_refused(path: Path, first: str) -> None:
    path.write_text(HEADER + "1,clay,1\n")
    with pytest.raises(InputError, match="both below 9007199254740992"):
        made(Argument(f"{path}?rows={first},1"))


ENDLESS = 10**5000


@pytest.mark.parametrize(
    "rows", [(ENDLESS, 1), (-ENDLESS, 1), (0, ENDLESS)], ids=["first", "minus", "count"]
)
def test_rows_of_endless_digits_are_refused(rows: tuple[int, int]) -> None:
    with pytest.raises(InputError, match="both below"):
        TableFile("plots.csv", rows=rows)


def test_the_last_rows_that_can_be_asked_for_are_not_there(path: Path) -> None:
    path.write_text(HEADER + "1,clay,1\n")
    with pytest.raises(InputError, match="0 of them are there"):
        made(TableFile(path, rows=(2**53 - 1, 1)))


def test_a_row_over_endless_lines_is_not_read_whole(path: Path) -> None:
    path.write_text(HEADER + '"a\n' + 'b","\n' * 400_000)
    tracemalloc.start()
    with pytest.raises(InputError, match="a row has more than 1048576 letters; is a quote open"):
        made(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100 * 2**20


def test_letters_are_counted_by_row(path: Path) -> None:
    blank = "\n" * 400_000
    path.write_text(HEADER + '1,clay,"1"\n' + blank + "x" * 900_000 + ",,\n" + '1,clay,"1"\n')
    assert ids(TableFile(path, rows=(0, 1)))[0][1] == SOIL + 1
    with pytest.raises(InputError, match="field larger than field limit"):
        made(TableFile(path, rows=(2, 1)))


def test_a_number_of_endless_digits_that_is_none_is_refused(path: Path) -> None:
    path.write_text(HEADER + "1" * 100_000 + "x,clay,1\n")
    with pytest.raises(InputError, match=r"got '1+…1+x'$"):
        made(path)


@pytest.mark.parametrize("cell", [ENDLESS, [ENDLESS]], ids=["itself", "in a list"])
def test_a_number_of_endless_digits_is_refused(cell: object) -> None:
    with pytest.raises(InputError, match="expected a finite number"):
        made({**WHOLE, "height": [cell]})


def test_names_of_columns_never_flood_a_message(path: Path) -> None:
    path.write_text(",".join(f"{'c' * 500}{i}" for i in range(2000)) + "\n")
    with pytest.raises(InputError, match=r"and 1988 more$") as raised:
        made(path)
    assert len(str(raised.value)) < 2000


def test_many_unseen_categories_never_flood_a_message() -> None:
    names = {f"{'c' * 5000}{i}": [1.0] for i in range(40)}
    with pytest.raises(InputError) as raised:
        made(names)
    assert len(str(raised.value)) < 2000


def test_a_long_text_is_held_once_however_many_rows_have_it(path: Path) -> None:
    count, long = 4096, "x" * 100_000
    soil = ["clay"] * 3 + [long] * (count - 4) + ["sand"]
    file = written(path, {"height": [1] * count, "soil": soil, "plots": [1] * count})
    arrow = pytest.importorskip("pyarrow")
    pool = arrow.proxy_memory_pool(arrow.default_memory_pool())
    before = arrow.default_memory_pool()
    arrow.set_memory_pool(pool)
    try:
        assert ids(TableFile(file, rows=(count - 1, 1)))[0][1] == SOIL
        assert [row[1] for row in ids(TableFile(file, rows=(0, 3)))[:3]] == [SOIL + 1] * 3
    finally:
        arrow.set_memory_pool(before)
    assert 0 < pool.max_memory() < 20 * 2**20


def test_a_cell_that_no_csv_could_hold_is_refused(path: Path) -> None:
    file = written(path, {"height": [1], "soil": ["x" * 200_000], "plots": [1]})
    with pytest.raises(InputError, match="'soil' holds a text of 200000 letters; at most 131072"):
        made(file)


def test_a_column_that_is_too_much_to_decode_is_refused(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet, "LARGEST", 1000)
    soil = [f"{i:050}" for i in range(100)]
    columns = {"height": [1] * 100, "soil": soil, "plots": [1] * 100, "id": soil}
    file = written(path, columns, row_group_size=50)
    with pytest.raises(InputError, match=r"column 'soil' has \d+ bytes in a row group; at most 10"):
        made(TableFile(file, rows=(0, 1)))


@pytest.mark.parametrize("name", ["large_string", "string"])
@pytest.mark.parametrize("dictionary", [False, True])
def test_texts_of_every_parquet_type_are_texts(path: Path, name: str, *, dictionary: bool) -> None:
    pa = pytest.importorskip("pyarrow", reason="Parquet needs pyarrow")
    soil = pa.array(["clay", "sand", None], getattr(pa, name)())
    soil = soil.dictionary_encode() if dictionary else soil
    file = written(path, {"height": [1] * 3, "soil": soil, "plots": [1] * 3}, row_group_size=2)
    assert [row[1:] for row in ids(file)[:2]] == [[SOIL + 1, PLOTS], [SOIL, PLOTS]]


@pytest.mark.parametrize("zone", [None, "UTC", "Mars/Olympus"])
def test_timestamps_are_refused_with_their_zone(path: Path, zone: str | None) -> None:
    pa = pytest.importorskip("pyarrow", reason="Parquet needs pyarrow")
    when = pa.array([0], pa.timestamp("us", tz=zone))
    file = written(path, {"height": [1], "soil": when, "plots": [1]})
    said = r"column 'soil' holds timestamp\[us" + (f", tz={zone}" if zone else "")
    with pytest.raises(InputError, match=said):
        made(file)


def test_a_file_that_another_program_cuts_off_is_no_crash(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    columns = {"height": list(range(50_000)), "soil": ["clay"] * 50_000, "plots": [1] * 50_000}
    file = written(path, columns, use_dictionary=False, compression="none")
    check = parquet._check_sizes

    def cut_off(*given: Any) -> None:  # noqa: ANN401
        check(*given)
        with file.open("r+b") as stream:
            stream.truncate(5000)

    monkeypatch.setattr(parquet, "_check_sizes", cut_off)
    with pytest.raises(InputError, match="cannot be read as Parquet"):
        made(TableFile(file, rows=(40_000, 1)))
    assert RECORD.rows == 4
