"""What is made of the scores that task heads give."""

from collections.abc import Mapping, Sequence

import numpy as np

from edgespark.runtime.backends import Array
from edgespark.runtime.errors import UsageError
from edgespark.runtime.manifest import Head, Route


def heads(task: str, routes: Sequence[Route], given: Sequence[str]) -> dict[str, Head]:
    """Return the head of that task for each modality given; UsageError where one has none."""
    able = {r.modality: r.head for r in routes if r.head is not None and r.head.task == task}
    lacking = [modality for modality in given if modality not in able]
    if lacking or not given:
        names = ", ".join(able) if able else "no modality"
        verb = "has" if len(lacking) == 1 else "have"
        what = f"{', '.join(lacking)} {verb} no {task} head" if lacking else f"no input for {task}"
        raise UsageError(f"{what}; of this bundle {names} can do that")
    return {modality: able[modality] for modality in given}


def check_labels(chosen: Mapping[str, Head]) -> None:
    """Refuse heads that name different classes: their probabilities cannot be averaged."""
    first, *others = chosen
    for other in others:
        if set(chosen[other].labels) != set(chosen[first].labels):
            raise UsageError(
                f"the heads of {first} and {other} have different labels, so that they "
                "give no common answer: classify one at a time"
            )


def probabilities(scores: Mapping[str, Array], chosen: Mapping[str, Head]) -> dict[str, float]:
    """Return label → probability, the most probable first.

    `scores` are logits [classes] per modality. Several are combined by the mean of their
    log-probabilities (a product of experts, Hinton 2002, to the power 1/n), then normalised.
    """
    labels = next(iter(chosen.values())).labels
    total = np.zeros(len(labels))
    for modality, logits in scores.items():
        order = [chosen[modality].labels.index(label) for label in labels]
        total += _log_softmax(logits.astype(np.float64))[order]
    values = np.exp(_log_softmax(total / len(scores)))
    order = np.argsort(-values, kind="stable").tolist()
    return {labels[i]: float(values[i]) for i in order}


def _log_softmax(logits: Array) -> Array:
    shifted: Array = logits - logits.max()
    shifted -= np.log(np.exp(shifted).sum())
    return shifted
