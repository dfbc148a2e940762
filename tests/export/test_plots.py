"""Field surveys hold what a surveyor would write down of the ground's covers."""

import numpy as np

from edgespark.export.worlds.covers import NAMES
from edgespark.export.worlds.ground import ground
from edgespark.export.worlds.plots import EMPTY, STOCKS, TABLE, _strata, plots
from edgespark.runtime.preprocessing import UNSEEN, Column


def surveys(count: int) -> np.ndarray[tuple[int, ...], np.dtype[np.str_]]:
    return np.stack([plots(np.random.default_rng(i), ground(4, i)) for i in range(count)])


def fits(column: Column, cell: str) -> bool:
    return cell in column.values if column.type == "category" else float(cell) >= 0


def test_a_survey_is_a_pure_function_of_the_generator() -> None:
    place = ground(2, 3)
    first, second, other = (plots(np.random.default_rng(seed), place) for seed in (5, 5, 6))
    assert np.array_equal(first, second)
    assert not np.array_equal(first, other)


def test_every_cover_has_its_stock_for_every_column() -> None:
    assert set(STOCKS) == set(NAMES)
    numbers = [column for column in TABLE.columns if column.type == "number"]
    soils, plants = (column for column in TABLE.columns if column.type == "category")
    for stock in STOCKS.values():
        assert len(stock.numbers) == len(numbers)
        assert len(stock.soils) == len(soils.values)
        assert len(stock.plants) == len(plants.values)


def test_cells_are_of_their_columns_type_or_empty() -> None:
    made = surveys(40)
    assert made.shape == (40, TABLE.rows, len(TABLE.columns))
    for index, column in enumerate(TABLE.columns):
        assert all(fits(column, str(cell)) for cell in made[..., index].ravel() if cell)


def test_few_cells_are_empty() -> None:
    assert abs((surveys(80) == "").mean() - EMPTY) < 0.02


def test_no_bin_is_without_use() -> None:
    made = surveys(300)
    for index, column in enumerate(TABLE.columns):
        cells = made[..., index].ravel()
        if column.type == "number":
            bins = np.searchsorted(column.edges, cells[cells != ""].astype(float), side="right")
            assert len(np.unique(bins)) == column.ids
        else:
            assert {str(cell) for cell in cells} - {""} == set(column.values)
    assert sum(column.ids for column in TABLE.columns) + UNSEEN < 128


def test_plots_are_shared_out_by_area() -> None:
    for index in range(20):
        shares = np.array([0.5, 0.3, 0.2])
        cover = np.repeat(np.arange(3), (shares * 4000).astype(int))
        chosen = _strata(np.random.default_rng(index), cover)
        counts = np.bincount(chosen, minlength=3)
        assert counts.sum() == TABLE.rows
        assert np.abs(counts - shares * TABLE.rows).max() <= 1
