"""CSV, TSV and Parquet: what is read of them, and what is refused."""

import contextlib
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgespark.runtime.arguments import Argument
from edgespark.runtime.errors import EdgesparkWarning, InputError, MissingExtra, MissingInput
from edgespark.runtime.preprocessing import FIRST, MISSING, PAD
from edgespark.runtime.tables.files import TableFile
from tests.runtime.test_tables import PLOTS, RECORD, SOIL, ids, made

CASES = Path(__file__).parent / "cases" / "tables"
HEADER = "plots,height,id,soil\n"
ROWS = ["1,0,a,sand", "1,1.5,b,clay", "2.5,,c,peat moss"]
WANTED = [
    [FIRST + 1, SOIL, PLOTS],
    [FIRST + 2, SOIL + 1, PLOTS],
    [MISSING, SOIL + 2, PLOTS + 1],
    [PAD] * 3,
]

SAID = {
    "after_a_quote.csv": "line 2: cannot be read as CSV: .* expected after",
    "all_missing.csv": "every cell is missing",
    "binary.tsv": "is not UTF-8: invalid start byte; save it as UTF-8",
    "blank_lines.csv": "is empty; expected a first line with the names",
    "broken_footer.parquet": "cannot be read as Parquet",
    "broken_page.parquet": "cannot be read as Parquet",
    "column_lacks.csv": r"no column 'height' \(did you mean 'hight'\?\), 'plots'; there are: 'hi",
    "comma_for_point.csv": r"row 1 \(counted from 0\), column 'height': .* got '1,5'",
    "commas.tsv": "seems to be separated by commas; expected tabs",
    "cut_in_a_quote.csv": "line .: cannot be read as CSV: unexpected end of data",
    "cut_off.parquet": "cannot be read as Parquet",
    "empty.csv": "is empty; expected a first line with the names",
    "empty.parquet": "cannot be read as Parquet",
    "footer_too_long.parquet": "cannot be read as Parquet",
    "header_alone.csv": "has no rows behind its header",
    "header_twice.csv": "more than one column of the name 'soil'",
    "infinite.csv": "expected a finite number like 1.5, got 'inf'",
    "latin_1.csv": "is not UTF-8",
    "no_header.csv": "has no column 'height', 'soil', 'plots'; there are: '1', 'clay'",
    "nul_byte.csv": "line 2 holds a NUL byte",
    "ragged_long.csv": r"row 0 \(counted from 0\) has 4 cells, its header 3: quote cells",
    "ragged_short.csv": r"row 1 \(counted from 0\) has 2 cells, its header 3",
    "semicolons.csv": "seems to be separated by semicolons; expected commas",
    "tabs.csv": "seems to be separated by tabs; expected commas",
    "text.parquet": "cannot be read as Parquet",
    "too_many_rows.csv": r"more than the 4 rows .* rows=FIRST,COUNT, as in rows=0,4",
    "utf_16.csv": "is not UTF-8",
    "utf_16_without_mark.csv": "line 1 holds a NUL byte",
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "plots.csv"


@pytest.mark.parametrize("name", sorted(each.name for each in CASES.iterdir()))
def test_a_broken_table_is_told_in_one_line(name: str) -> None:
    if name.endswith(".parquet"):
        pytest.importorskip("pyarrow", reason="Parquet needs pyarrow")
    with pytest.raises(InputError, match=SAID[name]) as raised:
        made(CASES / name)
    assert str(raised.value).startswith(f"{CASES / name}: ")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "text",
    [
        HEADER + "\n".join(ROWS),
        HEADER + "\n".join(ROWS) + "\n\n\n",
        "\ufeff" + (HEADER + "\n".join(ROWS)).replace("\n", "\r\n"),
        HEADER + "\r".join(ROWS),
        HEADER + "\n".join(ROWS).replace("a", '"a, ""b""\nc"', 1).replace("b,clay", 'b,"clay"'),
        "plots , height,id,id,soil\n"
        + "\n".join(ROWS).replace(",a,", ",a,a,").replace(",b,", ",b,b,").replace(",c,", ",c,c,"),
    ],
    ids=["plain", "blank lines", "BOM and CRLF", "CR", "quotes", "extra columns of one name"],
)
def test_a_csv_is_read_by_the_names_of_its_columns(path: Path, text: str) -> None:
    path.write_bytes(text.encode())
    assert ids(path) == WANTED


def test_a_tsv_has_tabs(path: Path) -> None:
    tabs = path.with_suffix(".TSV")
    tabs.write_text((HEADER + "\n".join(ROWS)).replace(",", "\t"))
    assert ids(str(tabs)) == WANTED


def test_only_the_rows_meant_are_read(path: Path) -> None:
    rest = "this line is, not, read" + "\n" + '"nor is this'
    path.write_text(HEADER + "\n".join([*ROWS, rest]))
    assert ids(TableFile(path, rows=(1, 2))) == [WANTED[1], WANTED[2], [PAD] * 3, [PAD] * 3]
    assert ids(Argument(f"@{path}?rows=0,1"))[:2] == [WANTED[0], [PAD] * 3]


def test_rows_are_numbered_as_in_the_file(path: Path) -> None:
    path.write_text(HEADER + "\n".join([*ROWS, "1,two,d,ash"]))
    with pytest.raises(InputError, match=r"row 3 \(counted from 0\), column 'height'"):
        made(TableFile(path, rows=(2, 2)))
    path.write_text(HEADER + "\n".join([*ROWS, "1,2,d,ash"]))
    with pytest.warns(EdgesparkWarning, match=r"plots\.csv: column 'soil' .*: 'ash' in row 3"):
        made(TableFile(path, rows=(2, 2)))


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ((2, 2), r"rows=2,2 \(the first counted from 0\) leave the table: 1 of them are there"),
        ((9, 1), r"rows=9,1 .* 0 of them are there"),
        ((0, 5), r"rows=0,5 are more than the 4 that the model takes"),
    ],
)
@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_rows_that_are_not_there_are_refused(
    path: Path, suffix: str, rows: tuple[int, int], said: str
) -> None:
    file = _csv(path) if suffix == ".csv" else _parquet(path)
    with pytest.raises(InputError, match=said):
        made(TableFile(file, rows=rows))


@pytest.mark.parametrize("rows", [(-1, 1), (0, 0), (1,), (1, 2, 3), (0.5, 1), 3, "12"])
def test_rows_of_no_file_are_refused(rows: tuple[int, int]) -> None:
    with pytest.raises(InputError, match="rows"):
        TableFile("plots.csv", rows=rows)


@pytest.mark.parametrize("path", ["", 3, None])
def test_what_is_no_path_is_refused(path: str) -> None:
    with pytest.raises(InputError, match="expected the path of a table"):
        TableFile(path)


def test_a_line_without_end_is_not_read_whole(path: Path) -> None:
    path.write_text("a" * (1 << 21))
    with pytest.raises(
        InputError, match="line 1: a row has more than 1048576 letters; is a quote open"
    ):
        made(path)


def test_a_cell_without_end_is_not_read_whole(path: Path) -> None:
    path.write_text(HEADER + '1,1,"' + "a\n" * (1 << 18))
    with pytest.raises(InputError, match="field larger than field limit"):
        made(path)


@pytest.mark.parametrize("text", ["plots.csv?row=1,2", "plots.csv?rows=1", "plots.csv?rows=a,b"])
def test_options_that_cannot_be_are_refused(text: str) -> None:
    with pytest.raises(InputError, match="row"):
        made(Argument(text))


def test_a_file_of_another_kind_is_refused(path: Path) -> None:
    sheet = path.with_suffix(".xlsx")
    with pytest.raises(MissingInput):
        made(sheet)
    sheet.write_bytes(b"PK")
    with pytest.raises(InputError, match=r"by '\.xlsx'; there are: \.csv, \.tsv, \.parquet"):
        made(sheet)


def test_a_folder_is_refused(path: Path) -> None:
    path.mkdir()
    with pytest.raises(InputError, match="is a folder"):
        made(path)


def test_a_parquet_file_is_read_as_a_csv_is(path: Path) -> None:
    assert ids(_parquet(path)) == WANTED


def test_a_parquet_file_may_have_more_rows_than_the_model_takes(path: Path) -> None:
    with pytest.raises(InputError, match=r"more than the 4 rows .* rows=FIRST,COUNT"):
        made(_parquet(path, times=2))


@pytest.mark.parametrize("first", [0, 5, 6, 7, 11, 26])
def test_a_window_of_a_parquet_file_may_span_row_groups(path: Path, first: int) -> None:
    file = _parquet(path, times=10, row_group_size=7)
    wanted = [WANTED[(first + i) % 3] for i in range(4)]
    assert ids(TableFile(file, rows=(first, 4))) == wanted


def test_only_the_row_groups_and_columns_meant_are_touched(path: Path) -> None:
    pq = pytest.importorskip("pyarrow.parquet", reason="Parquet needs pyarrow")
    file = _parquet(path, times=10, row_group_size=10)
    groups = pq.ParquetFile(file).metadata
    data = bytearray(file.read_bytes())
    columns = [(0, groups.schema.names.index("id")), *((2, i) for i in range(groups.num_columns))]
    for group, index in columns:
        column = groups.row_group(group).column(index)
        start = column.dictionary_page_offset or column.data_page_offset
        data[start : start + column.total_compressed_size] = b"\xff" * column.total_compressed_size
    file.write_bytes(data)
    assert ids(TableFile(file, rows=(8, 4))) == [WANTED[i % 3] for i in range(8, 12)]
    with pytest.raises(InputError, match="cannot be read as Parquet"):
        made(TableFile(file, rows=(18, 4)))


@pytest.mark.parametrize(
    ("column", "wanted"),
    [
        ("float32", FIRST + 2),
        ("int8", FIRST + 2),
        ("decimal", FIRST + 2),
        ("string", FIRST + 2),
        ("null", MISSING),
    ],
)
def test_numbers_of_every_parquet_type_are_numbers(path: Path, column: str, wanted: int) -> None:
    pa = pytest.importorskip("pyarrow", reason="Parquet needs pyarrow")
    types = {
        "float32": pa.array([2.0], pa.float32()),
        "int8": pa.array([2], pa.int8()),
        "decimal": pa.array(["2.00"]).cast(pa.decimal128(5, 2)),
        "string": pa.array(["2.0"]),
        "null": pa.nulls(1),
    }
    cells = {"height": types[column], "soil": pa.array(["clay"]), "plots": pa.array([1])}
    assert ids(_written(path, cells))[0] == [wanted, SOIL + 1, PLOTS]


def test_categories_may_be_a_dictionary(path: Path) -> None:
    pa = pytest.importorskip("pyarrow", reason="Parquet needs pyarrow")
    soils = pa.array(["clay", None, "sand"]).dictionary_encode()
    file = _written(path, {"height": [1] * 3, "soil": soils, "plots": [1.0] * 3})
    assert [row[1] for row in ids(file)] == [SOIL + 1, MISSING, SOIL, PAD]


def test_nested_columns_are_refused(path: Path) -> None:
    file = _written(path, {"height": [1], "soil": [{"top": "clay"}], "plots": [1]})
    with pytest.raises(
        InputError, match="'soil' holds struct<top: string>; expected text or numbers"
    ):
        made(file)


def test_a_parquet_file_without_rows_or_columns_is_refused(path: Path) -> None:
    pa = pytest.importorskip("pyarrow", reason="Parquet needs pyarrow")
    nothing = pa.array([], pa.string())
    with pytest.raises(InputError, match="has no rows"):
        made(_written(path, {"height": nothing, "soil": nothing, "plots": nothing}))
    with pytest.raises(InputError, match=r"no column 'height', 'plots'; there are: 'soil'"):
        made(_written(path, {"soil": ["clay"]}))


def test_a_parquet_file_with_one_name_twice_is_refused(path: Path) -> None:
    pa = pytest.importorskip("pyarrow", reason="Parquet needs pyarrow")
    names = ["height", "soil", "plots", "soil"]
    columns = [pa.array(["1"])] * len(names)
    pa.parquet.write_table(pa.Table.from_arrays(columns, names), path.with_suffix(".parquet"))
    with pytest.raises(InputError, match="more than one column of the name 'soil'"):
        made(path.with_suffix(".parquet"))


@pytest.mark.parametrize("seed", range(8))
def test_no_broken_parquet_file_ends_in_a_traceback(path: Path, seed: int) -> None:
    file = _parquet(path)
    data, draw = bytearray(file.read_bytes()), np.random.default_rng(seed)
    for _ in range(40):
        data[draw.integers(len(data))] = draw.integers(256)
        file.write_bytes(data)
        with contextlib.suppress(InputError, EdgesparkWarning):  # of some, the cells are sound
            made(file)


def test_without_pyarrow_the_command_that_installs_it_is_told(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = path.with_suffix(".parquet")
    file.touch()
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(MissingExtra, match=r"pip install 'edgespark\[tables\]'"):
        made(file)


def _csv(path: Path) -> Path:
    path.write_text(HEADER + "\n".join(ROWS))
    return path


def _parquet(path: Path, times: int = 1, **options: int) -> Path:
    columns: dict[str, Any] = {
        "plots": ["1", "1", "2.5"],
        "height": [0.0, 1.5, None],
        "id": ["a", "b", "c"],
        "soil": ["sand", "clay", "peat moss"],
    }
    return _written(path, {name: cells * times for name, cells in columns.items()}, **options)


def _written(path: Path, columns: dict[str, Any], **options: int) -> Path:
    pq = pytest.importorskip("pyarrow.parquet", reason="Parquet needs pyarrow")
    file = path.with_suffix(".parquet")
    pq.write_table(pytest.importorskip("pyarrow").table(columns), file, **options)
    return file


def test_the_cases_are_all_told() -> None:
    assert sorted(SAID) == sorted(each.name for each in CASES.iterdir())
    assert RECORD.rows == 4  # what the cases of too many rows are made for
