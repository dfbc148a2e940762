import math
from pathlib import Path

import numpy as np
import pytest

from edgespark.calibration import rig
from edgespark.calibration.chain import Swap, open_part
from edgespark.calibration.judge import Judge, Terms
from edgespark.calibration.outcomes import Asked, outcome
from edgespark.calibration.rig import Rig
from edgespark.engines.sensitivity import Few, sensitivities
from edgespark.runtime.backends import Program, Session
from edgespark.runtime.bundle import Bundle
from edgespark.runtime.errors import InputError
from edgespark.runtime.stats import Record
from tests.calibration.small_chain import Drawn, drawn, graph, image, small

LAYERS = {
    "encoder_rgb": ["kernel", "turn"],
    "encoder_sar": ["turn"],
    "bridge": ["weight"],
    "decoder": ["mix"],
    "head_rgb": ["weight"],
}
"""Named here by their weights."""


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return small(tmp_path / "bundle")


def rougher(part: str, layer: str) -> Swap:
    return Swap(graph=graph(part, **{layer: 1.05}))


def test_a_layer_adds_what_the_whole_chain_is_judged_by(bundle: Bundle) -> None:
    samples, count = drawn(4), 2
    added = sensitivities(bundle, samples, LAYERS, rougher, Few(count=2 * count))
    assert {part: list(layers) for part, layers in added.items()} == LAYERS
    for part, layers in added.items():
        judge = Judge(bundle, samples, Terms(limit=max(1, 4 // shared_by(part)), tokens=1))
        for layer, error in layers.items():
            errors = judge({part: rougher(part, layer)}).errors
            assert error == pytest.approx(max(errors.values()), rel=1e-5)
            assert error > 0


def shared_by(part: str) -> int:
    return {"bridge": 2, "decoder": 3}.get(part, 1)


def test_a_layer_that_changes_nothing_adds_nothing(bundle: Bundle) -> None:
    added = sensitivities(bundle, drawn(), LAYERS, lambda part, _: Swap(graph=graph(part)))
    assert {error for layers in added.values() for error in layers.values()} == {0.0}


def test_a_layer_that_overflows_adds_infinitely_much(bundle: Bundle) -> None:
    added = sensitivities(
        bundle, drawn(), {"bridge": ["weight"]}, lambda *_: Swap(graph=graph("bridge", weight=1e38))
    )
    assert added == {"bridge": {"weight": math.inf}}


def test_parts_that_no_sample_passes_have_no_entry(bundle: Bundle) -> None:
    samples = Drawn({"language": drawn().by["language"]})
    assert set(sensitivities(bundle, samples, LAYERS, rougher)) == {"decoder"}


def test_samples_that_cannot_be_taken_are_named(bundle: Bundle) -> None:
    samples = drawn()
    samples.by["rgb"][1] = samples.by["language"][0]
    with pytest.raises(InputError, match="language 0: rgb: "):
        sensitivities(bundle, samples, LAYERS, rougher)


def asked(made: Rig) -> Asked:
    route = made.model.manifest.route("rgb")
    ready = made.model.chain.prepared("rgb", image(0), Record())
    return Asked(route=route, ready=ready, question=None, tokens=2)


@pytest.mark.parametrize("room", [rig.ROOM, 1000, 0])
def test_a_rig_gives_what_a_new_chain_gives(bundle: Bundle, room: int) -> None:
    made = Rig(bundle, room=room)
    what = asked(made)
    first = outcome(made.model, made.tap, what)
    made.exchange({"decoder": rougher("decoder", "mix")})
    other = outcome(made.model, made.tap, what)
    fresh = Rig(bundle)
    fresh.exchange({"decoder": rougher("decoder", "mix")})
    again = outcome(fresh.model, fresh.tap, what)
    made.exchange({})
    back = outcome(made.model, made.tap, what)
    for one, two in ((first, back), (other, again)):
        assert np.array_equal(one.hidden, two.hidden)  # type: ignore[arg-type]
        assert np.array_equal(one.scores, two.scores)  # type: ignore[arg-type]
        assert one.answer == two.answer
    assert not np.array_equal(first.hidden, other.hidden)  # type: ignore[arg-type]


def test_what_is_in_front_of_an_exchanged_part_does_not_run_again(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs: list[str] = []

    class Counted:
        def __init__(self, name: str, session: Session) -> None:
            self.name, self.session = name, session

        def run(self, *given: object) -> object:
            runs.append(self.name)
            return self.session.run(*given)  # type: ignore[arg-type]

        def close(self) -> None:
            self.session.close()

    def opens(name: str, program: Program) -> Counted:
        return Counted(name, open_part(name, program))

    monkeypatch.setattr(rig, "open_part", opens)
    made = Rig(bundle)
    what = asked(made)
    outcome(made.model, made.tap, what)
    assert {"encoder_rgb", "bridge", "decoder", "head_rgb"} <= set(runs)
    runs.clear()
    made.exchange({"head_rgb": rougher("head_rgb", "weight")})
    outcome(made.model, made.tap, what)
    assert runs == ["head_rgb"]
    made.exchange({"bridge": rougher("bridge", "weight")})
    runs.clear()
    outcome(made.model, made.tap, what)
    assert "encoder_rgb" not in runs
    assert {"bridge", "decoder", "head_rgb"} <= set(runs)
