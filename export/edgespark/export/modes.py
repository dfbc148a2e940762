"""General motion modes, as TUTR has them: the centres of clusters of where agents went."""

import numpy as np
from numpy.typing import NDArray

ROUNDS = 20
MOST = 4000
"""Tracks that are clustered; more change nothing that matters."""


def motion_modes(
    paths: NDArray[np.float64], count: int, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Cluster paths [n, predicted, 2], relative to their start, into [count, predicted, 2].

    Lloyd's k-means; each path is first turned by an angle of its own, as headings mean nothing.
    """
    angle = rng.uniform(0, 2 * np.pi, len(paths[:MOST]))
    turns = np.stack([np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)], -1)
    turned = np.einsum("nij,npj->npi", turns.reshape(-1, 2, 2), paths[:MOST])
    flat = turned.reshape(len(turned), -1)
    centres = flat[rng.permutation(len(flat))[:count]]
    for _ in range(ROUNDS):
        nearest = ((flat[:, None] - centres) ** 2).sum(-1).argmin(1)
        for mode in range(count):
            if (mine := nearest == mode).any():
                centres[mode] = flat[mine].mean(0)
    return np.asarray(centres.reshape(count, *paths.shape[1:]), np.float32)
