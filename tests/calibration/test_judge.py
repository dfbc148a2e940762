import math
from pathlib import Path

import numpy as np
import pytest

from edgespark.calibration.chain import Swap, opened
from edgespark.calibration.judge import Judge, Terms, Verdict
from edgespark.calibration.outcomes import Outcome, apart, distance
from edgespark.calibration.sets import Sample
from edgespark.calibration.task_scores import TaskScore
from edgespark.runtime import load
from edgespark.runtime.bundle import Bundle
from edgespark.runtime.errors import InputError
from edgespark.runtime.stats import Record
from tests.calibration.small_chain import DEPTH, Drawn, drawn, graph, image, small
from tests.runtime.stand_in import LABELS

TERMS = Terms(tokens=4)


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return small(tmp_path / "bundle")


def scores(verdict: Verdict) -> dict[tuple[str, str], TaskScore]:
    return {(each.modality, each.task): each for each in verdict.scores}


def swapped(name: str, **scales: float) -> dict[str, Swap]:
    return {name: Swap(graph=graph(name, **scales))}


def test_the_bundles_own_graphs_lose_nothing(bundle: Bundle) -> None:
    verdict = Judge(bundle, drawn(), TERMS)({})
    assert set(scores(verdict)) == {
        ("rgb", "head"),
        ("rgb", "answer"),
        ("range", "forecast"),
        ("range", "answer"),
        ("language", "answer"),
    }
    assert verdict.drops() == {"rgb": 0, "range": 0, "language": 0}
    assert verdict.errors == {"rgb": 0, "range": 0, "language": 0}


def test_scores_are_those_that_the_runtime_gives(bundle: Bundle) -> None:
    spark, samples = load(bundle.root), drawn(6)
    by_image = scores(Judge(bundle, samples, TERMS)({}))
    right = [next(iter(spark.classify(rgb=image(i)))) == LABELS[i % len(LABELS)] for i in range(6)]
    assert by_image["rgb", "head"].value == np.mean(right)
    errors = [np.abs(spark.predict(range=image(i, 2)) - [i, -i]).mean() for i in range(6)]
    assert by_image["range", "forecast"].value == pytest.approx(np.mean(errors))
    assert by_image["range", "forecast"].metric == DEPTH.metrics[0]
    said = spark.generate("Which?", max_tokens=4, rgb=image(0))
    known = Drawn({"rgb": [Sample(value=image(0), question="Which?", answer=said, where="0")]})
    assert scores(Judge(bundle, known, TERMS)({}))["rgb", "answer"].value == 1


def test_a_chain_is_scored_by_truth_where_the_set_has_it_else_by_agreement(bundle: Bundle) -> None:
    found = scores(Judge(bundle, drawn(), TERMS)({}))
    assert {name: each.against for name, each in found.items()} == {
        ("rgb", "head"): "truth",
        ("rgb", "answer"): "truth",
        ("range", "forecast"): "truth",
        ("range", "answer"): "fp32",
        ("language", "answer"): "fp32",
    }
    bare = Drawn({"rgb": [Sample(value=image(i), where=f"{i}") for i in range(4)]})
    turned = scores(Judge(bundle, bare, TERMS)(swapped("head_rgb", weight=-1)))["rgb", "head"]
    assert (turned.against, turned.value, turned.reference, turned.drop) == ("fp32", 0, 1, 100)


def test_what_a_worse_chain_loses_is_told_in_points(bundle: Bundle) -> None:
    spark = load(bundle.root)
    best = [LABELS.index(next(iter(spark.classify(rgb=image(i))))) for i in range(4)]
    wrong = [(best[0] + 1) % len(LABELS), *best[1:]]
    samples = [Sample(value=image(i), label=wrong[i], where=f"{i}") for i in range(4)]
    found = scores(Judge(bundle, Drawn({"rgb": samples}), TERMS)(swapped("head_rgb", weight=0)))
    head = found["rgb", "head"]
    assert head.reference == 0.75
    assert head.value == np.mean([label == 0 for label in wrong])  # zeros: the first is the best
    assert head.drop == pytest.approx(100 * (head.reference - head.value))
    assert found["rgb", "answer"].drop == 0


def test_what_a_worse_forecast_loses_is_told_in_per_cent_of_the_error(bundle: Bundle) -> None:
    samples = Drawn({"range": drawn(4).by["range"]})
    found = scores(Judge(bundle, samples, TERMS)(swapped("depth", weight=0)))["range", "forecast"]
    assert found.value == np.mean([0, 1, 2, 3])
    assert found.drop == pytest.approx(100 * (found.value / found.reference - 1))


def test_a_forecast_without_targets_is_compared_with_fp32s(bundle: Bundle) -> None:
    bare = Drawn({"range": [Sample(value=image(i, 2), where=f"{i}") for i in range(4)]})
    judge = Judge(bundle, bare, TERMS)
    assert scores(judge({}))["range", "forecast"].drop == 0
    found = scores(judge(swapped("depth", weight=1.5)))["range", "forecast"]
    spark = load(bundle.root)
    wanted = np.stack([spark.predict(range=image(i, 2)) for i in range(4)])
    assert (found.metric, found.against, found.reference) == ("RMS", "fp32", 0)
    assert found.value == pytest.approx(np.sqrt(np.mean((wanted / 2) ** 2)) / wanted.std())
    assert found.drop == 100 * found.value


def test_a_part_that_overflows_loses_everything_and_nothing_else_stops(bundle: Bundle) -> None:
    verdict = Judge(bundle, drawn(), TERMS)(swapped("bridge", weight=1e38))
    found = scores(verdict)
    assert verdict.errors == {"rgb": math.inf, "range": math.inf, "language": 0}
    assert found["rgb", "head"].value == found["rgb", "answer"].value == 0
    assert found["range", "forecast"].drop == math.inf
    assert found["range", "answer"].drop == 100
    assert found["language", "answer"].drop == 0


def test_only_the_modalities_that_are_asked_for_run(bundle: Bundle) -> None:
    samples = drawn()
    judge = Judge(bundle, samples, TERMS)
    assert set(judge({}, ["language"]).drops()) == {"language"}
    assert set(samples.read) == {"language"}
    assert judge.reached("bridge") == {"rgb", "range"}
    assert judge.reached("decoder") == {"rgb", "range", "language"}


def test_what_the_own_graphs_give_is_computed_once(bundle: Bundle) -> None:
    samples = drawn()
    judge = Judge(bundle, samples, TERMS)
    for _ in range(3):
        judge(swapped("bridge", weight=1.1))
    assert samples.read == dict.fromkeys(samples.by, 4)


def test_the_end_to_end_error_grows_with_what_is_changed(bundle: Bundle) -> None:
    judge = Judge(bundle, drawn(), TERMS)
    errors = [judge(swapped("bridge", weight=1 + w)).errors["rgb"] for w in (0.01, 0.1, 0.5)]
    assert 0 < errors[0] < errors[1] < errors[2]
    doubled = judge(swapped("head_rgb", weight=2)).errors
    assert doubled == {"rgb": pytest.approx(of_a_doubled_head(bundle)), "range": 0, "language": 0}


def of_a_doubled_head(bundle: Bundle) -> float:
    """Return what doubling scores is, in standard deviations of them: by hand."""
    model, made = opened(bundle), []
    head = bundle.manifest.route("rgb").head
    assert head is not None
    for i in range(3):
        blocks = model.blocks({"rgb": image(i)}, Record())
        made.append(model.scores({"rgb": head}, blocks, Record())["rgb"])
    wide = np.stack(made).astype(np.float64)
    return float(np.sqrt(np.mean(wide**2)) / wide.std())


def test_distances_are_in_standard_deviations() -> None:
    wanted = np.array([[1.0, -1.0], [1.0, -1.0]])
    assert distance(wanted, wanted) == 0
    assert distance(wanted + 2, wanted) == 2
    assert distance(np.ones(3), np.ones(3)) == 0
    assert distance(np.zeros(3), np.ones(3)) == math.inf
    assert apart([Outcome(failed=True)], [Outcome(hidden=wanted)]) == math.inf


def test_a_set_that_does_not_fit_is_told(bundle: Bundle) -> None:
    label = Drawn({"rgb": [Sample(value=image(0), label=3, where="0")]})
    with pytest.raises(InputError, match="rgb: the set has label 3; the head knows 0 to 2"):
        Judge(bundle, label, TERMS)({})
    target = Drawn({"range": [Sample(value=image(0, 2), target=np.zeros(5), where="0")]})
    with pytest.raises(InputError, match=r"a target of shape \[5\]; the forecast has \[2\]"):
        Judge(bundle, target, TERMS)({})
    strange = Drawn({"rgb": [Sample(value="words", where="photo 0")]})
    with pytest.raises(InputError, match="photo 0: rgb: "):
        Judge(bundle, strange, TERMS)({})
    with pytest.raises(InputError, match="none of the set's modalities"):
        Judge(bundle, Drawn({"radar": []}), TERMS)
