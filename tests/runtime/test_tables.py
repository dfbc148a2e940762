"""Tables in memory: which id each cell gets, and what is refused."""

import math
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from edgespark.runtime.errors import EdgesparkWarning, InputError
from edgespark.runtime.prepared import Prepared
from edgespark.runtime.preprocessing import FIRST, MISSING, PAD, UNSEEN, Column, Table
from edgespark.runtime.tables.read import read_table

EDGES = (0.0, 1.5, 10.0)
SOILS = ("sand", "clay", "peat moss")
RECORD = Table(
    columns=(
        Column(name="height", type="number", edges=EDGES),
        Column(name="soil", type="category", values=SOILS),
        Column(name="plots", type="category", values=("1", "2.5", "NA")),
    ),
    rows=4,
)
SOIL = FIRST + len(EDGES) + 1
PLOTS = SOIL + len(SOILS)


def made(value: object, record: Table = RECORD) -> Prepared:
    return read_table(record, value, lambda _: [])


def ids(value: object, record: Table = RECORD) -> list[list[int]]:
    array = made(value, record).arrays["cells"]
    assert array.dtype == np.int64
    assert array.shape == (1, record.rows, len(record.columns))
    rows: list[list[int]] = array[0].tolist()
    return rows


WHOLE: dict[str, list[Any]] = {"height": ["1"], "soil": ["clay"], "plots": ["1"]}


def one(**cells: object) -> dict[str, list[Any]]:
    return WHOLE | {name: [cell] for name, cell in cells.items()}


def soil(cell: object) -> int:
    return ids(one(soil=cell))[0][1]


def test_each_cell_becomes_an_id_of_its_own_column() -> None:
    rows = np.array([["-1", "sand", "1"], ["0", "clay", "2.5"], ["10", "peat moss", "1"]])
    assert ids(rows) == [
        [FIRST, SOIL, PLOTS],
        [FIRST + 1, SOIL + 1, PLOTS + 1],
        [FIRST + 3, SOIL + 2, PLOTS],
        [PAD] * 3,
    ]


def test_a_mapping_is_read_by_its_names_and_other_columns_are_passed_over() -> None:
    by_name = {"id": [object()], "plots": ["1"], "soil": ["clay"], "height": [2.0]}
    assert ids(by_name)[0] == [FIRST + 2, SOIL + 1, PLOTS]


def test_a_structured_array_is_a_mapping() -> None:
    fields = [("soil", "U9"), ("height", "f4"), ("plots", "i4")]
    assert ids(np.array([("clay", 1.5, 1)], fields))[0] == [FIRST + 2, SOIL + 1, PLOTS]


@given(st.lists(st.floats(-20, 20), min_size=1, max_size=4))
def test_the_bin_of_a_number_counts_the_edges_up_to_it(numbers: list[float]) -> None:
    record = Table(columns=RECORD.columns[:1], rows=4)
    wanted = [[FIRST + sum(edge <= x for edge in EDGES)] for x in numbers]
    assert ids({"height": numbers}, record)[: len(numbers)] == wanted
    assert ids(np.array([[repr(x)] for x in numbers]), record)[: len(numbers)] == wanted


@pytest.mark.parametrize(
    "cell", ["2", "+2.0", " 2e0 ", "20.E-1", 2, 2.0, np.float32(2), np.int8(2), Decimal(2)]
)
def test_numbers_may_be_written_in_many_ways(cell: object) -> None:
    assert ids(one(height=cell))[0][0] == FIRST + 2


@pytest.mark.parametrize(
    "cell",
    [
        *("1,5", "1_000", "two", "0x10", "inf", "-Infinity", "1e999", "\u0663", "1 2", "--1"),
        *(math.inf, 10**400, Decimal("Infinity"), True, b"2", [2]),
    ],
)
def test_what_is_no_finite_number_is_told_with_its_row_and_column(cell: object) -> None:
    columns = {"height": ["1", cell], "soil": ["clay"] * 2, "plots": ["1"] * 2}
    with pytest.raises(InputError, match=r"row 1 \(counted from 0\), column 'height': expected a"):
        made(columns)


@pytest.mark.parametrize("cell", ["", " ", "NA", "nan", "NaN", "null", "NULL", None, math.nan])
def test_missing_cells_have_an_id_of_their_own(cell: object) -> None:
    prepared = made(one(height=cell, soil=cell))
    assert prepared.arrays["cells"][0, 0].tolist() == [MISSING, MISSING, PLOTS]
    assert prepared.valid == pytest.approx(1 / 3)


def test_masked_cells_are_missing() -> None:
    cells = np.ma.MaskedArray([["1", "clay", "1"]], mask=[[False, True, False]])
    assert ids(cells)[0] == [FIRST + 1, MISSING, PLOTS]


def test_a_category_may_have_the_name_of_what_else_is_missing() -> None:
    assert ids(one(plots="NA"))[0][2] == PLOTS + 2


def test_padding_does_not_count_as_missing() -> None:
    assert made(one(soil="clay")).valid == 1.0


@pytest.mark.parametrize("cell", ["peat moss", "  peat moss\t", np.str_("peat moss")])
def test_spaces_around_a_category_do_not_count(cell: str) -> None:
    assert soil(cell) == SOIL + 2


@pytest.mark.parametrize(("cell", "index"), [(1, 0), (1.0, 0), (np.int16(1), 0), (2.5, 1)])
def test_a_number_stands_for_the_category_that_is_written_so(cell: object, index: int) -> None:
    assert ids(one(plots=cell, soil="clay"))[0][2] == PLOTS + index


def test_categories_that_were_never_seen_are_told_once_each() -> None:
    columns = {"height": [1] * 3, "soil": ["clya", "clya", "ash"], "plots": [1] * 3}
    said = r"column 'soil' holds .*: 'clya' in row 0 \(did you mean 'clay'\?\), 'ash' in row 2; it"
    with pytest.warns(EdgesparkWarning, match=said) as warned:
        prepared = made(columns)
    assert len(warned) == 1
    assert prepared.arrays["cells"][0, :3, 1].tolist() == [UNSEEN] * 3
    assert prepared.valid == 1.0


def test_case_matters_in_categories() -> None:
    with pytest.warns(EdgesparkWarning, match="'Clay' in row 0"):
        assert soil("Clay") == UNSEEN


def test_a_hostile_category_cannot_steer_the_terminal() -> None:
    with pytest.warns(EdgesparkWarning) as warned:
        soil("\x1b[2Jclay" * 50)
    assert "\x1b" not in str(warned[0].message)
    assert len(str(warned[0].message)) < 300


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (np.array([["1", "clay"]]), r"expected \[rows, columns\] with 3 columns, .*: height, soil"),
        (np.array(["1", "clay", "1"]), r"expected \[rows, columns\]"),
        (np.empty((0, 3), "U1"), "has no rows"),
        (np.full((5, 3), "1"), "has 5 rows; the model takes 4: give fewer"),
        (np.full((1, 3), b"1"), "holds .*S1; expected text or numbers"),
        (np.full((1, 3), 1j), "holds complex128"),
        (np.full((1, 3), ""), "every cell is missing"),
        ({}, r"no column 'height', 'soil', 'plots'; there are: none"),
        ({**WHOLE, "soil": []}, "differ in length: 'height' 1, 'soil' 0, 'plots' 1"),
        ({name: [] for name in WHOLE}, "has no rows"),
        ({name: column * 5 for name, column in WHOLE.items()}, "has 5 rows"),
        ({**WHOLE, "soil": "clay"}, "column 'soil' must be a sequence of cells, got 'clay'"),
        ({**WHOLE, "soil": 3}, "column 'soil' must be a sequence"),
        ({**WHOLE, "soil": np.ones((1, 1))}, r"column 'soil' has shape \(1, 1\); expected \[rows"),
        ({**WHOLE, "soil": [["clay"]]}, "column 'soil': expected text or a number, got list"),
        ({**WHOLE, "soil": [b"clay"]}, "expected text or a number, got bytes"),
        (3, "expected an array of text .*, got int 3"),
        (None, "got NoneType None"),
        ([["1", "clay", "1"]], "got list"),
    ],
)
def test_what_is_no_such_table_is_refused(value: object, said: str) -> None:
    with pytest.raises(InputError, match=said):
        made(value)


def test_columns_that_lack_are_listed_with_those_that_are_like_them() -> None:
    value = {"Height": ["1"], "soils": ["clay"], "plots": ["1"], "x": [1]}
    with pytest.raises(InputError) as raised:
        made(value)
    assert str(raised.value) == (
        "dict: has no column 'height' (did you mean 'Height'?), 'soil' (did you mean 'soils'?); "
        "there are: 'Height', 'soils', 'plots', 'x'"
    )


class Frame(Mapping[str, NDArray[Any]]):
    """What a data frame is to this: keys and columns, and an array in the order of its own."""

    def __init__(self, columns: dict[str, list[Any]]) -> None:
        self.columns = columns

    def __getitem__(self, name: str) -> NDArray[Any]:
        return np.array(self.columns[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self.columns)

    def __len__(self) -> int:
        return len(self.columns)

    def __array__(self) -> NDArray[Any]:
        cells: NDArray[Any] = np.array(list(self.columns.values())).T
        return cells


def test_a_data_frame_is_read_by_its_names_not_by_its_order() -> None:
    frame = Frame({"soil": ["clay"], "plots": ["1"], "height": ["2"]})
    assert ids(frame)[0] == [FIRST + 2, SOIL + 1, PLOTS]
