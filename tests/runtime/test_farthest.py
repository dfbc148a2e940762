"""Farthest-point sampling and nearest neighbours against the kernels, written out, and goldens."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from edgespark.runtime.points.farthest import Floats, farthest, nearest

GOLDEN = Path(__file__).parents[3] / "shared" / "golden"


def kernel(points: Floats, count: int, threads: int, *, skip: bool) -> list[int]:
    """Pick as one block of the CUDA kernel does: strides, then a reduction as a tree."""
    block = min(1 << (len(points).bit_length() - 1), threads)
    least = np.full(len(points), 1e10, np.float32)
    size = points[:, 0] * points[:, 0] + points[:, 1] * points[:, 1] + points[:, 2] * points[:, 2]
    picked = [0]
    while len(picked) < count:
        delta = points - points[picked[-1]]
        squares = delta[:, 0] ** 2 + delta[:, 1] ** 2 + delta[:, 2] ** 2
        best, index = [np.float32(-1)] * block, [0] * block
        for thread in range(block):
            for each in range(thread, len(points), block):
                if skip and float(size[each]) <= 1e-3:
                    continue
                least[each] = min(least[each], squares[each])
                if least[each] > best[thread]:
                    best[thread], index[thread] = least[each], each
        while block_half := len(best) // 2:
            for thread in range(block_half):
                if best[thread + block_half] > best[thread]:
                    best[thread], index[thread] = (
                        best[thread + block_half],
                        index[thread + block_half],
                    )
            best, index = best[:block_half], index[:block_half]
        picked.append(index[0])
    return picked


def lattice(seed: int) -> Floats:
    """Return points on a coarse lattice, where nearly every distance is a tie."""
    rng = np.random.default_rng(seed)
    points = rng.integers(-2, 3, (int(rng.integers(1, 90)), 3)).astype(np.float32)
    points *= np.float32(rng.choice([1, 0.5, 0.02]))
    return points


@pytest.mark.parametrize("seed", range(40))
@pytest.mark.parametrize("threads", [1, 2, 8, 512])
@pytest.mark.parametrize("skip", [True, False])
def test_ties_fall_as_in_the_kernel(seed: int, threads: int, skip: bool) -> None:  # noqa: FBT001 a parameter of the test
    points = lattice(seed)
    picked = farthest(points, 24, skip_near_origin=skip, threads=threads)
    assert picked.tolist() == kernel(points, 24, threads, skip=skip)


def test_what_is_no_tie_falls_as_in_the_kernel() -> None:
    points = np.random.default_rng(1).normal(size=(700, 3)).astype(np.float32)
    for threads in (512, 1024):
        assert farthest(points, 16, threads=threads).tolist() == kernel(
            points, 16, threads, skip=True
        )


@pytest.mark.parametrize(("steps", "picked"), [(0, [0, 2, 0]), (1, [0, 0, 0])])
def test_the_skip_ends_where_the_kernel_s_double_does(steps: int, picked: list[int]) -> None:
    """The kernel compares with the double 1e-3; the float32 of that name is greater."""
    square = np.float32(1e-3)
    for _ in range(steps):
        square = np.nextafter(square, np.float32(0))
    x = np.linspace(0.01, 0.03, 999, dtype=np.float32)
    y = np.sqrt(square - x * x)
    place = np.flatnonzero(x * x + y * y == square)[0]
    points = np.array([[5, 0, 0], [0, 0, 0], [x[place], y[place], 0]], np.float32)
    assert farthest(points, 3).tolist() == picked


def test_a_cloud_that_is_all_near_the_origin_gives_its_first_point() -> None:
    points = np.random.default_rng(2).normal(size=(50, 3)).astype(np.float32) * np.float32(1e-3)
    assert farthest(points, 5).tolist() == [0] * 5


def test_one_point_is_enough() -> None:
    points = np.ones((1, 3), np.float32)
    assert farthest(points, 3).tolist() == [0, 0, 0]
    assert nearest(points, points, 1).tolist() == [[0]]


@pytest.mark.parametrize("seed", range(40))
def test_neighbours_are_sorted_by_distance_then_index(seed: int) -> None:
    points = lattice(seed)
    k = min(7, len(points))
    centres = points[:: max(1, len(points) // 5)]
    delta = points[None] - centres[:, None]
    squares = (delta**2).sum(axis=2)  # exact on a lattice
    wanted = np.argsort(squares, axis=1, kind="stable")[:, :k]
    np.testing.assert_array_equal(nearest(points, centres, k), wanted)


def golden(case: str) -> tuple[Floats, dict[str, NDArray[np.int16]]]:
    folder = GOLDEN / case
    if not folder.is_dir():
        pytest.skip("the golden outputs are not here")
    outputs = np.load(folder / "outputs.npz")
    return np.load(folder / "inputs.npz")["x"], {
        name: outputs[name] for name in ("fps_idx", "knn_idx")
    }


@pytest.mark.parametrize("cloud", [0, 1])
def test_point_bert_s_picks_come_out(cloud: int) -> None:
    points, wanted = golden("pointbert")
    picked = farthest(points[cloud], 64)
    np.testing.assert_array_equal(picked, wanted["fps_idx"][cloud])
    found = nearest(points[cloud], points[cloud][picked], 32)
    np.testing.assert_array_equal(np.sort(found, axis=1), wanted["knn_idx"][cloud])


def test_onellm_s_picks_come_out() -> None:
    inputs, wanted = golden("onellm_small/point")
    points = inputs[0, :, 3:]
    picked = farthest(points, 1024, skip_near_origin=False, threads=1024)
    np.testing.assert_array_equal(picked, wanted["fps_idx"][0])
    found = nearest(points, points[picked], 32)
    np.testing.assert_array_equal(np.sort(found, axis=1), wanted["knn_idx"][0])
