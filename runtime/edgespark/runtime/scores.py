"""Task scores on the held-out samples that a bundle carries."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import TypeAlias

from edgespark.runtime.backends import Array
from edgespark.runtime.bundle import Bundle
from edgespark.runtime.errors import BundleError, UsageError
from edgespark.runtime.manifest import Samples, Score
from edgespark.runtime.reference import arrays
from edgespark.runtime.spark import Spark, load

Track: TypeAlias = Callable[[Sequence[int], str], AbstractContextManager[Iterable[int]]]

FIELDS = ("input", "label", "question", "answer")
TEXTS = ("question", "answer")


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """On what the samples run; `limit` takes the first so many of each set (None: all)."""

    device: str = "auto"
    threads: int | None = None
    limit: int | None = None


def score(bundle: Bundle, track: Track, run: Run) -> tuple[Score, ...]:
    """Return the accuracy (0…1) of each modality's tasks, per variant.

    Task `head`: the most probable label is the sample's, where the head has labels. Task `answer`:
    the generated text is the sample's answer, both stripped. `track` is given the indices and a
    title, and gives the indices back for a block while it shows how far they are.
    """
    values: dict[tuple[str, str], dict[str, float]] = {}
    sets = {each.modality: _checked(bundle, each, run.limit) for each in bundle.manifest.samples}
    for variant in bundle.manifest.variants:
        spark = load(bundle.root, device=run.device, precision=variant.name, threads=run.threads)
        for modality, data in sets.items():
            with track(range(len(data["input"])), f"{modality} {variant.name}") as indices:
                shares = _shares(spark, modality, data, indices)
            for task, share in shares.items():
                values.setdefault((modality, task), {})[variant.name] = share
        spark.drop()
    return tuple(
        Score(
            modality=modality,
            task=task,
            metric="accuracy",
            higher_is_better=True,
            n=len(sets[modality]["input"]),
            values=shares,
        )
        for (modality, task), shares in values.items()
    )


def _checked(bundle: Bundle, samples: Samples, limit: int | None) -> dict[str, Array]:
    data = arrays(bundle, samples.file)
    lacking = [f"has no array {name!r}" for name in FIELDS if name not in data]
    sizes = {name: len(data[name]) if data[name].ndim else 0 for name in FIELDS if name in data}
    if lacking or len(set(sizes.values())) != 1 or 0 in sizes.values():
        problems = lacking or [f"its arrays differ in length, or are empty: {sizes}"]
        raise BundleError(samples.file.path, problems)
    odd = [name for name in FIELDS[1:] if data[name].ndim != 1]
    odd += [name for name in TEXTS if data[name].dtype.kind != "U"]
    if odd:
        problems = [f"array {name!r} does not hold one value per sample" for name in odd]
        raise BundleError(samples.file.path, problems)
    return {name: data[name][:limit] for name in FIELDS}


def _shares(
    spark: Spark, modality: str, data: dict[str, Array], indices: Iterable[int]
) -> dict[str, float]:
    head = spark.manifest.route(modality).head
    labels = head.labels if head is not None else ()
    if labels and not set(data["label"].tolist()) <= set(range(len(labels))):
        raise BundleError(
            f"samples of {modality}", [f"a label is no index of {len(labels)} labels"]
        )
    right = {"head": 0, "answer": 0} if labels else {"answer": 0}
    for i in indices:
        given = {modality: data["input"][i]}
        with _of_the_bundle(f"sample {i} of {modality}"):
            if labels:
                best = next(iter(spark.classify(**given)))
                right["head"] += best == labels[int(data["label"][i])]
            answer = spark.generate(str(data["question"][i]), **given)
        right["answer"] += answer == str(data["answer"][i]).strip()
    return {task: count / len(data["input"]) for task, count in right.items()}


@contextmanager
def _of_the_bundle(where: str) -> Iterator[None]:
    """Turn what would be wrong use by a caller into a fault of the bundle, which asked for it."""
    try:
        yield
    except UsageError as error:
        raise BundleError(where, [str(error)]) from error
