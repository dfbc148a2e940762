"""Training is a pure function of its seeds, and learns."""

import numpy as np
import pytest
import torch

from edgespark.export.card import Schedule
from edgespark.export.evaluate import judge
from edgespark.export.models.allspark import AllSpark
from edgespark.export.models.tiny import TINY
from edgespark.export.objectives import answered, answers, batch
from edgespark.export.sequences import Writer
from edgespark.export.train import train
from edgespark.export.worlds.dataset import Scenes, make
from edgespark.export.worlds.tokens import fixed_texts, train_tokenizer
from edgespark.export.worlds.words import Dialogue, answer

SCHEDULE = Schedule(scenes=16, steps=6, size=8, warmup=3)


@pytest.fixture(scope="module")
def writer() -> Writer:
    return Writer(TINY, train_tokenizer(TINY.llm.vocabulary, fixed_texts(TINY)))


@pytest.fixture(scope="module")
def scenes() -> Scenes:
    return make(11, 0, 16)


def trained(writer: Writer, scenes: Scenes) -> AllSpark:
    torch.manual_seed(SCHEDULE.seed)
    return train(AllSpark(TINY), writer, scenes, SCHEDULE)


def test_the_same_seeds_train_the_same_weights(writer: Writer, scenes: Scenes) -> None:
    first, second = (trained(writer, scenes).state_dict() for _ in range(2))
    assert all(torch.equal(tensor, second[name]) for name, tensor in first.items())


def test_an_untrained_model_is_judged_to_know_nothing(writer: Writer, scenes: Scenes) -> None:
    torch.manual_seed(0)
    found = judge(AllSpark(TINY), writer, scenes, ("sar", "language"))
    assert found.n == 16
    assert found.head <= 0.5
    assert found.answer == 0
    assert found.log_loss == pytest.approx(np.log(len(TINY.labels)), abs=0.7)


@torch.no_grad()
def test_an_answer_counts_only_if_every_token_is_the_likeliest(
    writer: Writer, scenes: Scenes
) -> None:
    talks = [Dialogue(question="What is here?", answer=answer(label)) for label in (1, 4)]
    drawn = batch(scenes, np.array([0, 1]), ("rgb",), talks)
    told = answers(AllSpark(TINY).eval(), writer, drawn)
    wanted = torch.nn.functional.one_hot(told.targets.clamp(min=0), TINY.llm.vocabulary).float()
    perfect = type(told)(logits=wanted, targets=told.targets)
    assert answered(perfect).tolist() == [True, True]
    wanted[1, int((told.targets[1] >= 0).nonzero()[-1])] = 0
    assert answered(perfect).tolist() == [True, False]
