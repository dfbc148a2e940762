"""Synthetic walks: people and slow vehicles that turn, stop, follow and avoid each other."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgespark.export.worlds.subjects import Subject
from edgespark.runtime.preprocessing import Tracks

TRACKS = Tracks(observed=8, predicted=12, step=0.4, agents=6, radius=8.0)
WALK = Subject(
    classes=("turns left", "goes straight on", "turns right", "stops"),
    questions=(
        "Where does it go?",
        "What does it do next?",
        "Where is it heading?",
        "What will the agent do?",
        "Which way does it go?",
        "Does it turn, stop or go on?",
        "How does it move on?",
        "Predict its manoeuvre.",
        "What is its next manoeuvre?",
        "Describe where it goes.",
    ),
    checks=(
        "Is it so that it {}?",
        "Would you say that it {}?",
        "Is it true that it {}?",
    ),
    answer="It {}.",
)

NOISE = 0.02  # metres, of each measured coordinate
FAR = 400.0  # metres that the world's origin is away, at most
FINE = 4  # moments a step
BEFORE, AFTER = 2.4, 4.0  # seconds that a path goes on, for those who walk ahead or behind
NOW = (TRACKS.observed - 1) * TRACKS.step  # seconds from the first observation to the last
LATE = 0.03  # share of manoeuvres that begin after the past, so that nothing tells them
VEHICLES, MEETS, STANDS = 0.2, 0.3, 0.1  # shares: of all, of the straight, of those that stop
Float = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, slots=True)
class Walk:
    """One walk.

    tracks: float64 [6, 8 + 12, 2], measured positions in metres, 0.4 s apart: the observed steps,
    then those to predict. The agent itself is first, who is absent is NaN. The label is the index
    among WALK.classes of what it does in the steps to predict.
    """

    tracks: Float
    label: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Way:
    """How fast something is, in m/s, and where it heads, in radians, at each of the moments."""

    speed: Float
    heading: Float

    def path(self) -> Float:
        """Integrate the positions [moments, 2]; at the last observation it is at the origin."""
        aim = np.stack([np.cos(self.heading), np.sin(self.heading)], axis=1)
        velocity = self.speed[:, None] * aim
        path = np.cumsum((velocity[1:] + velocity[:-1]) / 2, axis=0) * (TRACKS.step / FINE)
        path = np.concatenate([np.zeros((1, 2)), path])
        return np.asarray(path - path[np.abs(MOMENTS - NOW).argmin()])


MOMENTS = (
    np.arange(
        -round(BEFORE / TRACKS.step) * FINE,
        (TRACKS.observed + TRACKS.predicted - 1 + round(AFTER / TRACKS.step)) * FINE + 1,
    )
    * TRACKS.step
    / FINE
)
SEEN = np.searchsorted(MOMENTS, 0.0) + FINE * np.arange(TRACKS.observed + TRACKS.predicted)


def walk(rng: np.random.Generator) -> Walk:
    """Make a walk; each label is as frequent as the others."""
    label = int(rng.integers(len(WALK.classes)))
    vehicle = rng.random() < VEHICLES
    speed = rng.uniform(2.2, 4.0) if vehicle else rng.uniform(0.9, 1.8)
    way = MANOEUVRES[WALK.classes[label]](rng, speed)
    own = way.path()
    others = _neighbours(rng, way, own, straight=WALK.classes[label] == "goes straight on")
    paths = np.full((TRACKS.agents, len(SEEN), 2), np.nan)
    for row, path in enumerate([own, *others]):
        paths[row] = path[SEEN]
    turned = paths @ _rotation(rng.uniform(-np.pi, np.pi)) + rng.uniform(-FAR, FAR, 2)
    return Walk(tracks=turned + rng.normal(0, NOISE, turned.shape), label=label)


def _rotation(angle: float) -> Float:
    cosine, sine = np.cos(angle), np.sin(angle)
    return np.array([[cosine, sine], [-sine, cosine]])


def _sway(rng: np.random.Generator) -> Float:
    """Nobody walks on a line: a slow sway of the heading, in radians."""
    return np.asarray(
        rng.normal(0, 0.03) * np.sin(MOMENTS * rng.uniform(0.5, 1.2) + rng.uniform(0, 6))
    )


def _ramp(start: float, rate: float) -> Float:
    """Go from 0 to 1 at `rate` a second from the moment `start` on, with rounded corners."""
    part = np.clip((MOMENTS - start) * rate, 0, 1)
    return np.asarray(part * part * (3 - 2 * part) * 0.5 + part * 0.5)


def _turn(rng: np.random.Generator, speed: float, side: float) -> Way:
    """Turn by about a right angle, 25 to 55 degrees of it before the last observation."""
    angle = np.radians(rng.normal(90, 10))
    rate = np.radians(rng.uniform(28, 55)) / angle
    done = np.radians(rng.uniform(25, 55)) / angle
    late = rng.random() < LATE
    start = NOW + rng.uniform(0.2, 1.0) if late else NOW - done / rate
    slower = 1 - rng.uniform(0.0, 0.25) * _ramp(start - 0.8, 1.0)
    return Way(speed=speed * slower, heading=side * angle * _ramp(start, rate) + _sway(rng))


def _left(rng: np.random.Generator, speed: float) -> Way:
    return _turn(rng, speed, 1.0)


def _right(rng: np.random.Generator, speed: float) -> Way:
    return _turn(rng, speed, -1.0)


def _stop(rng: np.random.Generator, speed: float) -> Way:
    """Brake evenly to a stand, 30 to 80 % of it before the last observation, or stand already."""
    rate = rng.uniform(0.25, 0.5)
    done = rng.uniform(1.0, 2.0) if rng.random() < STANDS else rng.uniform(0.3, 0.8)
    late = rng.random() < LATE
    start = NOW + rng.uniform(0.2, 0.8) if late else NOW - done / rate
    return Way(speed=speed * np.clip(1 - (MOMENTS - start) * rate, 0, 1), heading=_sway(rng))


def _straight(rng: np.random.Generator, speed: float) -> Way:
    """Go on, evenly, or a little faster or slower from some moment on."""
    changed = rng.choice([0.0, rng.uniform(0.2, 0.5), -rng.uniform(0.1, 0.2)])
    begin = rng.uniform(0, NOW - 1)
    return Way(speed=speed * (1 + changed * _ramp(begin, 0.5)), heading=_sway(rng))


MANOEUVRES: dict[str, Callable[[np.random.Generator, float], Way]] = {
    "turns left": _left,
    "goes straight on": _straight,
    "turns right": _right,
    "stops": _stop,
}


def _neighbours(rng: np.random.Generator, way: Way, own: Float, *, straight: bool) -> list[Float]:
    """Surround a path with others; where it is straight it may bend around one that comes towards.

    The bend is made in `own` itself.
    """
    count = int(rng.choice(TRACKS.agents, p=[0.2, 0.25, 0.2, 0.15, 0.1, 0.1]))
    kinds = list(rng.choice(list(COMPANY), count))
    others = [COMPANY[kind](rng, way, own) for kind in kinds]
    if straight and count < TRACKS.agents - 1 and rng.random() < MEETS:
        others.append(_met(rng, way, own))
    return others


def _ahead(rng: np.random.Generator, _: Way, own: Float) -> Float:
    """Lead: where the agent will be some moments later."""
    return _shifted(own, -int(rng.integers(8, 20)))


def _behind(rng: np.random.Generator, _: Way, own: Float) -> Float:
    """Follow: where the agent was some moments ago."""
    return _shifted(own, int(rng.integers(8, 20)))


def _beside(rng: np.random.Generator, way: Way, own: Float) -> Float:
    """Keep the agent company, at its side."""
    aside = rng.choice([-1, 1]) * rng.uniform(0.6, 1.1)
    return np.asarray(own + aside * _normal(way.heading))


def _passing(rng: np.random.Generator, *_: object) -> Float:
    """Walk on a line of one's own, somewhere near."""
    direction, place = rng.uniform(-np.pi, np.pi), rng.uniform(-9, 9, 2)
    speed = rng.uniform(0.5, 1.8)
    aim = np.array([np.cos(direction), np.sin(direction)])
    return np.asarray(place + (MOMENTS - NOW)[:, None] * speed * aim)


def _standing(rng: np.random.Generator, *_: object) -> Float:
    """Stand about."""
    return np.tile(rng.uniform(-7, 7, 2), (len(MOMENTS), 1))


COMPANY: dict[str, Callable[[np.random.Generator, Way, Float], Float]] = {
    "ahead": _ahead,
    "behind": _behind,
    "beside": _beside,
    "passing": _passing,
    "standing": _standing,
}


def _met(rng: np.random.Generator, way: Way, own: Float) -> Float:
    """Come towards the agent, which makes way (in `own`) to the side that is free."""
    meeting = NOW + rng.uniform(0.8, 3.0)
    at = int(np.abs(MOMENTS - meeting).argmin())
    side = rng.choice([-1.0, 1.0])
    normal = _normal(way.heading)
    place = own[at] + side * rng.uniform(0.1, 0.3) * normal[at]
    own -= (
        side * rng.uniform(0.4, 0.7) * np.exp(-(((MOMENTS - meeting) / 1.2) ** 2))[:, None] * normal
    )
    aim = np.array([np.cos(way.heading[at]), np.sin(way.heading[at])])
    return np.asarray(place - (MOMENTS - meeting)[:, None] * rng.uniform(0.9, 1.5) * aim)


def _normal(heading: Float) -> Float:
    """Point to the left of each heading: [moments, 2]."""
    return np.stack([-np.sin(heading), np.cos(heading)], axis=1)


def _shifted(path: Float, moments: int) -> Float:
    """Be where the path was `moments` ago (or will be); beyond its ends, go on as at them."""
    at = np.arange(len(path)) - moments
    inside = np.clip(at, 0, len(path) - 1)
    beyond = (at - inside)[:, None]
    ends = np.where(beyond < 0, path[1] - path[0], path[-1] - path[-2])
    return np.asarray(path[inside] + beyond * ends)
