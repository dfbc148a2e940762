"""The example files show what the synthetic world drew, and the tour tells of each of them."""

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from edgespark.export.worlds.world import RECORDS, SUBJECTS, Sample, sample
from edgespark.runtime.errors import MissingInput
from edgespark.runtime.inputs import READERS
from edgespark.runtime.manifest import Route
from edgespark.runtime.prepared import Prepared
from edgespark.runtime.preprocessing import Text
from examples import make_scenes, tour

HERE = Path(__file__).parents[1] / "examples"
TEXTS = sorted(name for name, record in RECORDS.items() if isinstance(record, Text))
LOST = {"oblique": 0.1, "video": 0.03, "trajectory": 1e-3, "graph": 1e-3, "point_cloud": 1e-3}
"""Mean differences of prepared values, in standard deviations, that a format may make."""
MOST_BYTES = 600_000


@pytest.fixture(scope="module")
def drawn() -> Sample:
    return sample(make_scenes.STREAM, make_scenes.INDEX)


def ids(text: str) -> list[int]:
    return [ord(sign) for sign in text]


def prepared(modality: str, value: object) -> Prepared:
    record = RECORDS[modality]
    return READERS[type(record)](record, value, ids)


def test_there_is_a_file_and_a_truth_for_each_modality() -> None:
    truths = json.loads((HERE / "truth.json").read_text("utf-8"))
    assert set(make_scenes.FILES) == set(tour.INPUTS) == set(truths) == set(RECORDS)
    assert sum(path.stat().st_size for path in HERE.iterdir() if path.is_file()) < MOST_BYTES


@pytest.mark.parametrize("modality", [name for name in RECORDS if name not in TEXTS])
def test_a_file_shows_what_the_world_drew(modality: str, drawn: Sample) -> None:
    found = prepared(modality, tour.INPUTS[modality][1])
    wanted = prepared(modality, drawn.raw[modality])
    assert found.arrays.keys() == wanted.arrays.keys()
    for name, array in wanted.arrays.items():
        assert found.arrays[name].dtype == array.dtype
        off = np.abs(found.arrays[name].astype(float) - array.astype(float)).mean()
        assert off <= LOST.get(modality, 0.0), name


@pytest.mark.parametrize("modality", TEXTS)
def test_a_text_is_what_the_world_wrote(modality: str, drawn: Sample) -> None:
    found = prepared(modality, tour.INPUTS[modality][1])
    np.testing.assert_array_equal(found.arrays["ids"][0], ids(str(drawn.raw[modality])))


def test_the_committed_files_are_those_that_the_script_writes(tmp_path: Path) -> None:
    make_scenes.main(tmp_path)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert [name for name in names if not (HERE / name).is_file()] == []
    for name in (name for name in names if Path(name).suffix in {".csv", ".json", ".py", ".txt"}):
        assert (HERE / name).read_bytes() == (tmp_path / name).read_bytes(), name


def test_the_truth_is_the_worlds(drawn: Sample) -> None:
    truths = json.loads((HERE / "truth.json").read_text("utf-8"))
    assert truths["sar"]["label"] == SUBJECTS["place"].classes[drawn.label["place"]]
    assert truths["graph"]["answer"] == SUBJECTS["flow"].told(drawn.label["flow"])
    np.testing.assert_allclose(
        truths["trajectory"]["target"], drawn.target["trajectory"], atol=1e-3
    )


def test_the_tour_asks_about_every_modality(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tour.main(str(tiny))
    lines = capsys.readouterr().out.splitlines()
    for modality, (name, _) in tour.INPUTS.items():
        assert any(modality in line and name in line for line in lines), modality
    assert any(" + ".join(tour.TOGETHER) in line for line in lines)
    assert f"of {len(tour.INPUTS) + 1} answers are right" in lines[-1]


def test_a_tour_of_no_bundle_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(MissingInput):
        tour.main(str(tmp_path / "none"))


def forecast_of(modality: str, *offs: float) -> list[str]:
    """Draw the example's forecast where it is off by so much from what came."""
    ready = prepared(modality, tour.INPUTS[modality][1])
    truths = json.loads((HERE / "truth.json").read_text("utf-8"))
    came: NDArray[np.float64] = np.array(truths[modality]["target"])
    route = Route(
        modality=modality, preprocessing=RECORDS[modality], wires=(), output="", prompt=""
    )
    return list(tour.FORECASTS[modality][1](route, ready, came + np.array(offs), came))


def test_a_forecast_that_came_true_covers_what_came() -> None:
    legend, *lines = forecast_of("trajectory", 0.0)
    picture = "\n".join(lines)
    assert "⊗" in legend
    assert "⊗" in picture
    assert "·" in picture
    assert "x" not in picture
    assert "o" not in picture
    assert len(lines) <= tour.HEIGHT


def test_a_forecast_that_is_far_off_is_drawn_apart() -> None:
    picture = "\n".join(forecast_of("trajectory", 50.0, 0.0)[1:])
    assert "x" in picture
    assert "o" in picture
    assert max(map(len, picture.splitlines())) <= 2 * 60 + 1


def test_a_series_is_a_line_for_each_node_with_its_error() -> None:
    _, *lines = forecast_of("graph", 5.0)
    assert [line[:15].rstrip() for line in lines] == list(RECORDS["graph"].nodes)  # type: ignore[union-attr] # a Series
    assert all(line.endswith("  5") for line in lines)


def test_bars_begin_at_zero_and_end_at_one() -> None:
    assert tour.bars(np.array([0.0, 0.5, 1.0, -1.0])) == "▁▅█▁"
