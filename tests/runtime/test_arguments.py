"""Inputs as they are written on the command line."""

from pathlib import Path

import numpy as np
import pytest

from edgespark.runtime.errors import InputError, UsageError
from edgespark.runtime.inputs import Argument, Raster, parse_argument, prepare
from edgespark.runtime.preprocessing import Text
from tests.runtime.scenes import imagery, ramp, route


def encode(text: str) -> list[int]:
    return list(text.encode())


def test_an_argument_is_split_at_the_first_sign() -> None:
    assert parse_argument("rgb=a=b.tif") == ("rgb", Argument("a=b.tif"))


@pytest.mark.parametrize("text", ["", "rgb", "=a.tif", " =a.tif", "rgb="])
def test_an_argument_without_a_name_or_a_value_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is not NAME=VALUE"):
        parse_argument(text)


def test_options_of_an_argument_become_those_of_the_raster() -> None:
    argument = Argument("scene.tif?window=0,1,224,225&bands=4,3,2&nodata=-1.5&overviews=true")
    assert argument.raster() == Raster(
        "scene.tif", bands=(4, 3, 2), window=(0, 1, 224, 225), nodata=-1.5, overviews=True
    )


@pytest.mark.parametrize("text", ["scene.tif", "@scene.tif", "scene.tif?"])
def test_imagery_may_be_given_as_a_path_with_or_without_a_mark(text: str) -> None:
    assert Argument(text).raster() == Raster("scene.tif")


def test_a_file_whose_name_looks_like_options_wins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    np.save("a.tif?bands=1.npy", ramp())
    assert Argument("a.tif?bands=1.npy").raster() == Raster("a.tif?bands=1.npy")
    assert Argument("a.tif?bands=1.npy?bands=1,2,3").raster().bands == (1, 2, 3)
    assert prepare(route(imagery()), Argument("a.tif?bands=1.npy"), encode).valid == 1.0


def test_a_question_is_a_text_and_no_options() -> None:
    _, argument = parse_argument("language=why? a=b")
    made = prepare(route(Text(max_tokens=9)), argument, encode)
    assert bytes(made.arrays["ids"][0].tolist()) == b"why? a=b"


BAD_OPTIONS = {
    "?bands=1": "expected the path of a raster",
    "@": "expected the path of a raster",
    "a.tif?band=1": "no option 'band'; there are: window, bands, nodata, overviews",
    "a.tif?bands=1&bands=2": "'bands' stands more than once",
    "a.tif?bands": "it looks like bands=4,3,2",
    "a.tif?bands=": "it looks like bands=4,3,2",
    "a.tif?bands=1;2": "it looks like bands=4,3,2",
    "a.tif?bands=0": "counted from 1",
    "a.tif?window=0,0,8": "must be column, row, width, height",
    "a.tif?window=0,0,a,8": "it looks like window=COLUMN,ROW,WIDTH,HEIGHT",
    "a.tif?window=0,0,0,8": "is empty",
    "a.tif?nodata=x": "it looks like nodata=0",
    "a.tif?overviews=maybe": "it looks like overviews=true",
    "a.tif?bands=1&": "no option ''",
}


@pytest.mark.parametrize("text", BAD_OPTIONS)
def test_a_bad_option_is_refused_with_what_it_should_look_like(text: str) -> None:
    with pytest.raises(InputError, match=BAD_OPTIONS[text]):
        prepare(route(imagery()), Argument(text), encode)
