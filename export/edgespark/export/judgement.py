"""What a model scored on held-out scenes, as a record that lies beside the weights."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Judgement:
    """What a set of modalities, given together, scores on n held-out scenes.

    `head` and `answer` are shares of right ones, 0…1; `log_loss` is the head's mean negative
    log-likelihood in nats.
    """

    modalities: tuple[str, ...]
    n: int
    head: float
    answer: float
    log_loss: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Scores:
    """All judgements of one training run, and the schedule that it followed."""

    schedule: dict[str, float]
    judgements: tuple[Judgement, ...]
