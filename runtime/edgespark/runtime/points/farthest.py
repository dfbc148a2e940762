"""Farthest-point sampling and nearest neighbours, exactly as the published kernels pick."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Indices = NDArray[np.int64]

FAR = 1e10
"""The running minimum that the kernels start from."""
NEAR_ORIGIN = 1e-3
"""Squared: pointnet2_ops takes what is no farther from the origin for padding."""


def farthest(
    points: Floats, count: int, *, skip_near_origin: bool = True, threads: int = 512
) -> Indices:
    """Return the indices [count] of points [n, 3], each the farthest from all before it.

    Point 0 comes first. Squared distances are float32, dx*dx + dy*dy + dz*dz without fusing. As in
    the kernel of pointnet2_ops (erikwijmans/Pointnet2_PyTorch), points with |p|^2 <= 1e-3 are never
    picked after the start; OneLLM's (csuhan/OneLLM at 8587a47) has no such rule, and 1024 threads.
    `threads` decides between exact ties only. Where `count` is more than the points that differ,
    some are picked again. Points must be finite, fewer than 2^31, and at least one.
    """
    order = _priority(len(points), threads)
    soa = np.ascontiguousarray(points[order].T, np.float32)
    least = np.full(len(order), FAR, np.float32)
    if skip_near_origin:
        squares = _squares(soa, np.zeros((3, 1), np.float32), np.empty_like(soa))
        least[squares.astype(np.float64) <= NEAR_ORIGIN] = -1
    return order[_pick(soa, least, count)]


def _pick(soa: Floats, least: Floats, count: int) -> Indices:
    """Return the places [count] picked among soa [3, n], whose running minima are `least` [n]."""
    picked = np.zeros(count, np.int64)
    delta = np.empty_like(soa)
    place = 0
    for step in range(1, count):
        np.minimum(least, _squares(soa, soa[:, place, None], delta), out=least)
        place = int(least.argmax())
        picked[step] = place
    return picked


def _priority(n: int, threads: int) -> Indices:
    """Return the indices 0…n-1 in the order in which the kernel prefers them on a tie.

    Thread t of a block (the largest power of two <= n, at most `threads`) keeps the first maximum
    of t, t + block, …; the tree reduction then prefers the lower slot, the lowest bit deciding
    last: the smallest bit-reversed thread number wins.
    """
    block = min(1 << (n.bit_length() - 1), threads)
    turned = np.zeros(1, np.int64)
    while len(turned) < block:
        turned = np.concatenate([2 * turned, 2 * turned + 1])
    rounds = -(-n // block)
    order = np.arange(rounds * block, dtype=np.int64).reshape(rounds, block).T[turned].ravel()
    preferred: Indices = order[order < n]
    return preferred


def nearest(points: Floats, centres: Floats, k: int) -> Indices:
    """Return the indices [groups, k] of the points [n, 3] nearest to each centre [groups, 3].

    Sorted by squared distance (float32, of direct differences), then by index; a centre that is
    one of the points finds itself. Points must be finite, and at least k.
    """
    soa = np.ascontiguousarray(points.T, np.float32)
    found = np.empty((len(centres), k), np.int64)
    delta, ranked = np.empty_like(soa), np.empty_like(soa[0])
    for group, centre in enumerate(np.asarray(centres, np.float32)):
        squares = _squares(soa, centre[:, None], delta)
        ranked[:] = squares
        ranked.partition(k - 1)
        within = np.flatnonzero(squares <= ranked[k - 1])
        found[group] = within[squares[within].argsort(kind="stable")[:k]]
    return found


def _squares(soa: Floats, centre: Floats, delta: Floats) -> Floats:
    """Return the squared distances [n], added in the kernels' order, in the first row of `delta`.

    `soa` and `delta` are [3, n], `centre` is [3, 1].
    """
    dx: Floats
    dx, dy, dz = delta
    np.subtract(soa, centre, out=delta)
    np.multiply(delta, delta, out=delta)
    np.add(dx, dy, out=dx)
    np.add(dx, dz, out=dx)
    return dx
