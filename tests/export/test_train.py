"""Training is a pure function of its seeds, and learns."""

import numpy as np
import pytest
import torch

from edgespark.export.card import Phase, Schedule
from edgespark.export.evaluate import judge
from edgespark.export.models.allspark import AllSpark
from edgespark.export.models.tiny import TINY
from edgespark.export.objectives import answered, answers, batch
from edgespark.export.sequences import Writer
from edgespark.export.train import train
from edgespark.export.worlds.dataset import Samples, make
from edgespark.export.worlds.subjects import Dialogue
from edgespark.export.worlds.tokens import fixed_texts, train_tokenizer
from edgespark.export.worlds.words import PLACE

SCHEDULE = Schedule(
    samples=16,
    size=8,
    phases=(
        Phase(steps=4, rate=1e-3, warmup=2),
        Phase(steps=4, rate=5e-4, warmup=2, weights={"hsi": 3.0}),
    ),
)


@pytest.fixture(scope="module")
def writer() -> Writer:
    return Writer(TINY, train_tokenizer(TINY.llm.vocabulary, fixed_texts(TINY)))


@pytest.fixture(scope="module")
def samples() -> Samples:
    return make(11, 0, 16)


def trained(writer: Writer, samples: Samples) -> AllSpark:
    torch.manual_seed(SCHEDULE.seed)
    return train(AllSpark(TINY), writer, samples, SCHEDULE)


def test_the_same_seeds_train_the_same_weights(writer: Writer, samples: Samples) -> None:
    first, second = (trained(writer, samples).state_dict() for _ in range(2))
    assert all(torch.equal(tensor, second[name]) for name, tensor in first.items())


def test_an_untrained_model_is_judged_to_know_nothing(writer: Writer, samples: Samples) -> None:
    torch.manual_seed(0)
    model = AllSpark(TINY)
    found = judge(model, writer, samples, ("sar", "language"), 16)
    assert found.n == 16
    assert found.answer == 0
    assert found.head is not None
    assert found.head <= 0.5
    assert found.log_loss == pytest.approx(np.log(len(TINY.tasks["sar"].labels)), abs=0.7)
    assert not found.errors


@pytest.mark.parametrize("modality", ["trajectory", "graph"])
def test_a_forecast_of_nothing_scores_as_its_anchor(
    modality: str, writer: Writer, samples: Samples
) -> None:
    model = AllSpark(TINY)
    for parameter in model.heads[modality].parameters():
        torch.nn.init.zeros_(parameter)
    found = judge(model, writer, samples, (modality,), 16)
    first = next(iter(found.baselines.values()))  # constant velocity, last value
    assert found.errors == pytest.approx(first, rel=1e-5)
    assert found.head is None


@torch.no_grad()
def test_an_answer_counts_only_if_every_token_is_the_likeliest(
    writer: Writer, samples: Samples
) -> None:
    talks = [Dialogue(question="What is here?", answer=PLACE.told(label)) for label in (1, 4)]
    drawn = batch(TINY, samples, np.array([0, 1]), ("rgb",), "place", talks)
    told = answers(AllSpark(TINY).eval(), writer, drawn)
    wanted = torch.nn.functional.one_hot(told.targets.clamp(min=0), TINY.llm.vocabulary).float()
    perfect = type(told)(logits=wanted, targets=told.targets)
    assert answered(perfect).tolist() == [True, True]
    wanted[1, int((told.targets[1] >= 0).nonzero()[-1])] = 0
    assert answered(perfect).tolist() == [True, False]
