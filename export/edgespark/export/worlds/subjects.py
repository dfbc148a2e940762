"""What can be asked about: each subject with its classes, its questions and its right answers."""

from dataclasses import dataclass

import numpy as np

OPEN = 0.75  # share of questions that ask which class, not whether it is a certain one
TRUE = 0.5  # share of the latter that name the right class on purpose


@dataclass(frozen=True, kw_only=True, slots=True)
class Dialogue:
    """A question and its right answer."""

    question: str
    answer: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Subject:
    """One thing to be asked about.

    `classes` are as answers say them; `questions` ask for one, `checks` whether it is "{}" (none:
    nobody asks so); `answer` holds "{}" too. The first question is the one that heads the demo.
    """

    classes: tuple[str, ...]
    questions: tuple[str, ...]
    checks: tuple[str, ...]
    answer: str

    def told(self, label: int) -> str:
        """Say which class it is, as the lower-casing tokenizer gives it."""
        return self.answer.format(self.classes[label]).lower()

    def dialogue(self, rng: np.random.Generator, label: int) -> Dialogue:
        """Ask for the class, or, one time in four, whether it is a certain one."""
        if not self.checks or rng.random() < OPEN:
            return Dialogue(question=str(rng.choice(self.questions)), answer=self.told(label))
        asked = label if rng.random() < TRUE else int(rng.integers(len(self.classes)))
        question = str(rng.choice(self.checks)).format(self.classes[asked])
        start = "yes" if asked == label else "no"
        return Dialogue(question=question, answer=f"{start}, {self.told(label)}")
