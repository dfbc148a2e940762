"""Synthetic traffic: the flow at the sensors of a small road network, with its daily course."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgespark.export.worlds.subjects import Subject
from edgespark.runtime.preprocessing import Series

NODES = (
    "north gate",
    "mill bridge",
    "station",
    "market",
    "harbour",
    "ring east",
    "ring west",
    "university",
    "hospital",
    "airport road",
    "stadium",
    "south gate",
)
EDGES = (
    ("north gate", "mill bridge"),
    ("north gate", "ring east"),
    ("north gate", "ring west"),
    ("mill bridge", "station"),
    ("mill bridge", "university"),
    ("station", "market"),
    ("market", "harbour"),
    ("market", "hospital"),
    ("ring east", "airport road"),
    ("ring east", "harbour"),
    ("ring west", "university"),
    ("ring west", "stadium"),
    ("university", "hospital"),
    ("hospital", "south gate"),
    ("airport road", "south gate"),
    ("stadium", "south gate"),
    ("harbour", "south gate"),
)
"""Roads, each from a sensor to the next one downstream."""

STEPS, PREDICTED, INTERVAL = 12, 12, 300.0
DAY = 24 * 12  # steps
SATURDAY = 5
SERIES = Series(
    nodes=NODES,
    steps=STEPS,
    predicted=PREDICTED,
    interval=INTERVAL,
    mean=460.0,
    std=340.0,
    unit="vehicles/h",
)
FLOW = Subject(
    classes=("rises", "falls", "stays level"),
    questions=(
        "How does the flow change?",
        "What does the traffic do next?",
        "How does the traffic change?",
        "What will the flow do?",
        "Does the flow rise or fall?",
        "Will there be more or less traffic?",
        "How does the flow go on?",
        "What is the trend of the flow?",
        "Describe the next hour.",
        "Predict the change of the flow.",
    ),
    checks=(
        "Is it so that the flow {}?",
        "Would you say that the flow {}?",
        "Is it true that the flow {}?",
    ),
    answer="The flow {}.",
)

LEVEL = 0.08  # relative change of an hour's mean flow, up to which it stays level
SLACK = 0.03  # nearer than this to LEVEL, the label is in doubt
DOUBT = 0.15  # share of the doubtful that are kept
NOISE = 0.03  # relative, of each measured flow
DRIFT = 0.05  # relative, of all flows until the end: what nothing in the past tells
DELAY, FADING = 2, 0.75  # steps that a disturbance takes along a road, and what is left of it
DISTURBED, LATE = 0.45, 0.04  # shares of flows: with an incident in the past; with one to come
Float = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, slots=True)
class Flow:
    """One stretch of two hours.

    series: float64 [12 + 12, 12, 3], the observed steps, then those to predict: measured vehicles
    per hour, time of day in [0, 1) and day of week, 0 for Monday. The label is the index among
    FLOW.classes of what the mean flow does from the one hour to the next.
    """

    series: Float
    label: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Profiles:
    """What is usual at each node: veh/h at night, of either peak, and the peaks' hours."""

    base: Float
    morning: Float
    evening: Float
    rise: Float
    fall: Float


def _profiles() -> Profiles:
    rng = np.random.default_rng(20)
    count = len(NODES)
    inward = rng.uniform(0.25, 0.75, count)  # how much of the traffic comes in the morning
    size = rng.uniform(500, 1300, count)
    return Profiles(
        base=size * rng.uniform(0.12, 0.22, count),
        morning=2 * size * inward,
        evening=2 * size * (1 - inward),
        rise=rng.normal(8.0, 0.4, count),
        fall=rng.normal(17.3, 0.5, count),
    )


def _distances() -> NDArray[np.int64]:
    """Count the roads from each node to each other one downstream; -1 where none leads there."""
    apart = np.full((len(NODES), len(NODES)), -1)
    for start in range(len(NODES)):
        apart[start, start] = 0
        reached = [start]
        for node in reached:
            for one, other in EDGES:
                end = NODES.index(other)
                if NODES.index(one) == node and apart[start, end] < 0:
                    apart[start, end] = apart[start, node] + 1
                    reached.append(end)
    return apart


AHEAD = np.clip(np.arange(1 - STEPS, PREDICTED + 1) / PREDICTED, 0, 1)[:, None]
"""Of each step, the share of the hour to come that has passed."""
PROFILES, DISTANCES = _profiles(), _distances()


def flow(rng: np.random.Generator) -> Flow:
    """Make a flow; each label is as frequent as the others, and few are in doubt."""
    wanted = int(rng.integers(len(FLOW.classes)))
    while True:
        start, week = int(rng.integers(DAY)), int(rng.integers(7))
        clock = start + np.arange(STEPS + PREDICTED)
        day = (week + clock // DAY) % 7
        true = usual(clock, day, rng.normal(0, 0.15)) * rng.normal(1, 0.08)
        true = true * _disturbance(rng) * (1 + rng.normal(0, DRIFT) * AHEAD)
        change = true[STEPS:].mean() / true[:STEPS].mean() - 1
        doubtful = abs(abs(change) - LEVEL) < SLACK
        if trend(change) == wanted and (not doubtful or rng.random() < DOUBT):
            break
    series = np.empty((*true.shape, 3))
    series[..., 0] = np.maximum(true * (1 + rng.normal(0, NOISE, true.shape)), 0)
    series[..., 1] = (clock % DAY / DAY)[:, None]
    series[..., 2] = day[:, None]
    return Flow(series=series, label=wanted)


def trend(change: float) -> int:
    """Tell the class of a relative change of the mean flow."""
    if abs(change) <= LEVEL:
        return FLOW.classes.index("stays level")
    return FLOW.classes.index("rises" if change > 0 else "falls")


def usual(clock: NDArray[np.int64], day: NDArray[np.int64], late: float = 0.0) -> Float:
    """Give the usual flow [steps, nodes] in vehicles per hour, `late` hours later than it is.

    `clock` counts steps of five minutes from midnight, `day` is the day of week.
    """
    hour = (clock % DAY * 24 / DAY - late)[:, None]
    weekend = (day >= SATURDAY)[:, None].astype(np.float64)
    morning = PROFILES.morning * _peak(hour, PROFILES.rise + 2.5 * weekend, 1.3 + 0.9 * weekend)
    evening = PROFILES.evening * _peak(hour, PROFILES.fall - 1.0 * weekend, 1.9 + 0.9 * weekend)
    noon = 0.25 * (PROFILES.morning + PROFILES.evening) * _peak(hour, 12.8, 2.5)
    return np.asarray(PROFILES.base + (morning + evening + noon) * np.where(weekend > 0, 0.55, 1.0))


def _peak(hour: Float, centre: Float | float, width: Float | float) -> Float:
    away = (hour - centre + 12) % 24 - 12
    return np.asarray(np.exp(-0.5 * (away / width) ** 2))


def _disturbance(rng: np.random.Generator) -> Float:
    """Give the share [steps, nodes] of the usual flow that an incident lets through.

    It begins at one node in the past, seldom in the hour to come; it dams that node's flow, later
    and weaker those downstream, for half an hour to an hour, so that its end travels too.
    """
    chance = rng.random()
    if chance > DISTURBED + LATE:
        return np.ones((STEPS + PREDICTED, len(NODES)))
    begin = rng.integers(STEPS + 1, 2 * STEPS - 2) if chance < LATE else rng.integers(-8, STEPS - 2)
    lasts, loss = rng.integers(6, 13), rng.uniform(0.35, 0.7)
    distance = DISTANCES[rng.integers(len(NODES))]
    since = np.arange(STEPS + PREDICTED)[:, None] - begin - DELAY * distance
    during = np.clip((since + 1) / 2, 0, 1) * np.clip((lasts - since) / 2, 0, 1)
    return np.asarray(1 - loss * np.where(distance < 0, 0, FADING**distance) * during)
