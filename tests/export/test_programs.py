"""Programs are Python, and do what is said of them."""

import ast
import inspect
import re
from collections.abc import Callable

import numpy as np
import pytest
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

from edgespark.export.worlds.programs import BODIES, CODE, RESULTS, TELLING, clear, program

VALUES = (3, 7, 8, 12, 19)
COMPARED: dict[str, Callable[[int, int], bool]] = {
    "==": lambda value, key: value == key,
    "<": lambda value, key: value < key,
    ">": lambda value, key: value > key,
}


def compiled(text: str) -> Callable[..., object]:
    names: dict[str, Callable[..., object]] = {}
    exec(text, names)  # noqa: S102 the programs are made here
    return next(made for made in names.values() if inspect.isfunction(made))


def matches(text: str, values: list[int], key: int) -> int:
    """Count what compares with the key as the program's last comparison with it does."""
    name = list(inspect.signature(compiled(text)).parameters)[1]
    operator = re.findall(rf" (==|<|>) {name}\b", text)
    return sum(COMPARED[operator[-1] if operator else "=="](value, key) for value in values)


def found(result: object, values: list[int], key: int) -> bool:
    """Tell whether a search said it had found the key, and was right about where."""
    if isinstance(result, bool):
        return result
    assert isinstance(result, int)
    assert result == -1 or values[result] == key
    return result >= 0


REFERENCES: dict[str, Callable[[list[int]], object]] = {
    "sums the values": sum,
    "averages the values": lambda values: pytest.approx(sum(values) / len(values)),
    "finds the largest value": max,
    "finds the smallest value": min,
    "reverses the list": lambda values: values[::-1],
    "sorts the list": sorted,
}


@pytest.mark.parametrize("label", range(len(CODE.classes)))
def test_programs_do_what_their_class_says(label: int) -> None:
    rng = np.random.default_rng(label)
    name = CODE.classes[label]
    for _ in range(250):
        text = clear(rng, label)
        values = [int(value) for value in rng.permutation(VALUES)]
        key = int(rng.choice([*VALUES, 5]))
        run = compiled(text)
        keyed = len(inspect.signature(run).parameters) == 2
        result = run(list(values), key) if keyed else run(list(values))
        if name == "counts the matches":
            assert result == matches(text, values, key), text
        elif name == "searches for a value":
            assert found(result, values, key) == (key in values), text
        else:
            assert result == REFERENCES[name](values), text


def test_every_class_has_bodies_results_and_names() -> None:
    assert set(BODIES) == set(RESULTS) == set(TELLING) == set(CODE.classes)


def test_programs_are_python_and_short() -> None:
    rng = np.random.default_rng(1)
    for _ in range(1500):
        text = program(rng, int(rng.integers(len(CODE.classes))))
        ast.parse(text)
        assert len(text) < 300
        assert text.count("\n") < 12


def test_programs_fit_a_text_route() -> None:
    rng = np.random.default_rng(2)
    texts = [program(rng, int(rng.integers(len(CODE.classes)))) for _ in range(1500)]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=600,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    assert max(len(tokenizer.encode(text).ids) for text in texts) < 100


def test_programs_are_a_pure_function_of_the_generator_and_vary() -> None:
    assert program(np.random.default_rng(3), 2) == program(np.random.default_rng(3), 2)
    rng = np.random.default_rng(4)
    assert len({program(rng, 0) for _ in range(100)}) > 90


def test_few_programs_do_two_things() -> None:
    rng = np.random.default_rng(5)
    texts = [program(rng, index % len(CODE.classes)) for index in range(2000)]
    results = "|".join(
        re.escape(each).replace(r"\{xs\}", r"\w+").replace(r"\{k\}", r"\w+")
        for each in RESULTS.values()
    )
    double = sum(bool(re.search(f"return ({results}), ({results})$", text)) for text in texts)
    assert 0.03 < double / len(texts) < 0.09


def test_questions_can_be_asked_of_every_class() -> None:
    assert CODE.questions[0] == "What does this code do?"
    for label in range(len(CODE.classes)):
        talk = CODE.dialogue(np.random.default_rng(label), label)
        assert talk.answer.endswith(CODE.told(label))
