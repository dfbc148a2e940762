"""Real co-registered scenes go through the whole chain, every sensor alone and all subsets."""

import itertools
import json
import math
from pathlib import Path
from typing import Any

import pytest

from edgespark.runtime import EdgesparkWarning, Spark, load
from edgespark.runtime.cli import main

TERRAMESH = Path(__file__).parents[3] / "shared" / "data" / "terramesh"
FILES = {"rgb": "S2RGB.tif", "msi": "S2L2A.tif", "sar": "S1RTC.tif"}
SUBSETS = [names for count in (1, 2, 3) for names in itertools.combinations(FILES, count)]
PLACES = sorted(TERRAMESH.iterdir()) if TERRAMESH.is_dir() else []

pytestmark = [
    pytest.mark.skipif(not PLACES, reason="no real scenes at ../shared/data/terramesh"),
]


@pytest.fixture(scope="module")
def spark(tiny: Path) -> Spark:
    pytest.importorskip("rasterio", reason="the extra [geo] is not installed")
    return load(tiny)


@pytest.mark.parametrize("names", SUBSETS, ids="+".join)
@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.name)
def test_a_real_scene_has_an_answer_and_valid_scores(
    place: Path, names: tuple[str, ...], spark: Spark
) -> None:
    given: dict[str, Any] = {name: place / FILES[name] for name in names}
    answer = spark.generate("What is in this scene?", **given)
    scores = spark.classify(**given)
    assert answer
    assert len(scores) == 10
    assert math.isclose(sum(scores.values()), 1, abs_tol=1e-5)
    assert all(0 <= p <= 1 for p in scores.values())
    assert spark.stats.valid == dict.fromkeys(names, 1.0)


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.name)
def test_the_command_line_gives_one_document(
    place: Path, tiny: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("rasterio", reason="the extra [geo] is not installed")
    inputs = [f"--input={name}={place / file}" for name, file in FILES.items()]
    assert main(["run", str(tiny), *inputs, "--prompt", "What is here?", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["answer"]
    assert set(told) >= {"answer", "scores", "device", "precision", "stages"}


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.name)
def test_power_that_is_given_for_decibels_is_told(place: Path, spark: Spark) -> None:
    rasterio = pytest.importorskip("rasterio", reason="the extra [geo] is not installed")
    with rasterio.open(place / FILES["sar"]) as file:
        decibels = file.read()
    spark.embed(sar=decibels)
    with pytest.warns(EdgesparkWarning, match="are they backscatter in dB"):
        spark.embed(sar=10 ** (decibels / 10))
