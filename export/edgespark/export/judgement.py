"""What a model scored on held-out samples, as a record that lies beside the weights."""

from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True, slots=True)
class Judgement:
    """What a set of modalities, given together, scores on n held-out samples.

    `head` and `answer` are shares of right ones, 0…1; `log_loss` is the head's mean negative
    log-likelihood in nats. A forecast has `errors` by metric, in the task's unit, and what each of
    the `baselines` scores by the same metrics; its head is no share of anything.
    """

    modalities: tuple[str, ...]
    n: int
    answer: float
    head: float | None = None
    log_loss: float | None = None
    errors: dict[str, float] = field(default_factory=dict)
    baselines: dict[str, dict[str, float]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Scores:
    """All judgements of one training run, and the schedule that it followed."""

    schedule: dict[str, float]
    judgements: tuple[Judgement, ...]
