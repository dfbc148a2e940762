"""Pairs of pictures: how the second is brought to the first, and what is refused."""

from pathlib import Path

import numpy as np
import pytest

from edgespark.runtime.arguments import Argument
from edgespark.runtime.errors import EdgesparkWarning, InputError
from edgespark.runtime.prepared import Prepared
from edgespark.runtime.sensory import PicturePair
from edgespark.runtime.views.bicubic import resized
from edgespark.runtime.views.files import PictureFile
from edgespark.runtime.views.read import read_pair
from tests.runtime.test_views import PLAIN, SIZE, noise, seen
from tests.runtime.whole import Whole

PAIR = PicturePair(picture=PLAIN, second="depth")


def pair(value: object) -> Prepared:
    return read_pair(PAIR, value, lambda _: [])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "picture.png"


def test_a_pair_is_prepared_alike(path: Path) -> None:
    first, second = noise(16, 20), noise(16, 20, 1, seed=1)
    frames = pair((first, second)).arrays["frames"]
    assert frames.shape == (1, 2, 3, SIZE, SIZE)
    np.testing.assert_array_equal(frames[0, 0].round(3), seen(first))
    np.testing.assert_array_equal(frames[0, 1].round(3), seen(second))
    for each, name in ((first, "a.npy"), (second, "b.npy")):
        np.save(path.with_name(name), each)
    a, b = path.with_name("a.npy"), path.with_name("b.npy")
    for value in ([a, str(b)], (PictureFile(a), second), Argument(f"{a}?second={b}")):
        np.testing.assert_array_equal(pair(value).arrays["frames"], frames)
    both = np.stack([first, first])
    np.testing.assert_array_equal(pair(both).arrays["frames"][0, 1], frames[0, 0])


def test_the_second_is_brought_to_the_size_of_the_first() -> None:
    first, second = noise(16, 20), noise(40, 50)
    frames = pair((first, second)).arrays["frames"]
    same = resized(Whole(image=second), 16, 20).read((0, 0, 20, 16))
    np.testing.assert_array_equal(frames[0, 1].round(3), seen(same))


def test_a_second_of_another_shape_is_stretched_with_a_warning() -> None:
    with pytest.warns(EdgesparkWarning, match="20 x 20 pixels, is stretched to the 20 x 16"):
        pair((noise(16, 20), noise(20, 20)))


def test_each_of_a_pair_has_its_own_options(path: Path) -> None:
    colours, depth = noise(20, 30, 4), (noise(20, 30, 1) * 20.0).astype(np.float32)
    a, b = path.with_name("a.npy"), path.with_name("b.npy")
    np.save(a, colours)
    np.save(b, depth)
    text = f"{a}?second={b}&bands=4,3,2&window=1,2,16,16&second_window=3,4,16,16"
    frames = pair(Argument(f"{text}&second_range=0,5100")).arrays["frames"][0].round(3)
    np.testing.assert_array_equal(frames[0], seen(colours[[3, 2, 1], 2:18, 1:17]))
    depths = np.rint(depth[:, 4:20, 3:19] / 20).astype(np.uint8)
    np.testing.assert_array_equal(frames[1], seen(depths))


def test_the_valid_share_of_a_pair_is_that_of_both() -> None:
    hidden = np.ma.MaskedArray(noise(SIZE, SIZE), mask=False)
    hidden[:, : SIZE // 2] = np.ma.masked
    assert pair((noise(SIZE, SIZE), hidden)).valid == 0.75


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (noise(5, 5), r"expected two pictures, \(picture, depth\), got ndarray"),
        ((noise(5, 5),), "got tuple of 1"),
        ([noise(5, 5)] * 3, "got list of 3"),
        (np.zeros((3, 3, 5, 5), np.uint8), "got list of 3"),
        ("a.png", "got str"),
        ((noise(5, 5) / 2, noise(5, 5)), r"^array \(3, 5, 5\): holds float64"),
        (
            (noise(5, 5), noise(5, 5) * 2.5),
            r"^the second picture \(depth; its options begin with second_\): .*holds float64",
        ),
        ((noise(5, 5), "nowhere.png"), "^the second picture .*there is no such file"),
        (Argument("a.png"), r"say which is its depth, as in a\.png\?second="),
        (Argument("a.png?second="), "say which is its depth"),
        (Argument("a.png?second=b.png&first=c.png"), "no option 'first'"),
    ],
)
def test_what_is_no_pair_is_refused(value: object, said: str) -> None:
    with pytest.raises(InputError, match=said):
        pair(value)
