"""Scores become probabilities only where each belongs to a label."""

import numpy as np
import pytest

from edgespark.runtime import BundleError
from tests.runtime.stand_in import StandIn

RGB = np.random.default_rng(1).normal(size=(3, 4, 4)).astype(np.float32)


@pytest.mark.parametrize("classes", [2, 4])
def test_another_number_of_scores_than_of_labels_is_a_broken_bundle(
    stand_in: StandIn, classes: int
) -> None:
    stand_in.functions["head_rgb"] = lambda _: {"scores": np.zeros((1, 1, classes), np.float32)}
    with pytest.raises(BundleError, match=rf"head_rgb.*'scores' of shape \[1, 1, {classes}\]"):
        stand_in.spark().classify(rgb=RGB)
