"""The synthetic world in words: field notes on a scene, and what can be asked about it."""

import numpy as np
from numpy.typing import NDArray

from edgespark.export.worlds.covers import NAMES
from edgespark.export.worlds.subjects import Subject

NOTE_STREAM = 1 << 32
VAGUE = 0.06  # share of notes without amounts
COMMON = 0.12  # share of signs that several covers have
QUESTIONS = (
    "What is in this scene?",
    "What is here?",
    "What is this?",
    "What do you see?",
    "What does the scene show?",
    "What is the land cover?",
    "Which land cover dominates?",
    "Which land cover is this?",
    "What covers most of the ground?",
    "Describe the scene.",
    "Describe the land cover.",
    "Name the main land cover.",
    "What kind of place is this?",
    "What is on the ground here?",
    "Classify this scene.",
)
CHECKS = ("Is this {}?", "Is there mostly {} here?", "Does the scene show {}?")

SIGNS: dict[str, tuple[str, ...]] = {
    "water": ("open water", "a calm surface", "waves near the shore", "a boat at anchor"),
    "broadleaf forest": ("tall broadleaf trees", "a closed canopy", "leaf litter", "old oaks"),
    "conifer forest": ("tall pines", "a closed canopy", "needles on the soil", "dark spruce"),
    "grassland": ("short grass", "grazing sheep", "open meadows", "green fields"),
    "cropland": ("ploughed rows", "ripe wheat", "a tractor track", "green fields"),
    "orchard": ("fruit trees", "trees in lines", "apple boxes", "a mown strip"),
    "wetland": ("reeds", "wet soil", "a flooded meadow", "frogs and rushes"),
    "shrubland": ("low bushes", "heather", "thorny scrub", "dry soil"),
    "built-up area": ("houses", "paved roads", "rows of roofs", "a car park"),
    "bare ground": ("bare rock", "gravel", "dry soil", "sand without plants"),
}
SHARED: dict[str, tuple[str, ...]] = {
    "open ground": ("grassland", "cropland", "bare ground", "shrubland"),
    "many trees": ("broadleaf forest", "conifer forest", "orchard"),
    "soft wet soil": ("wetland", "water", "grassland"),
    "straight lines": ("cropland", "orchard", "built-up area"),
}
MOST = ("mostly {}", "{} nearly everywhere", "a lot of {}", "{} over most of it")
SOME = ("some {}", "{} in a corner", "a little {}", "a patch of {}")


PLACE = Subject(
    classes=NAMES,
    questions=QUESTIONS,
    checks=CHECKS,
    answer="This scene shows {}.",
)


def note(stream: int, index: int, shares: NDArray[np.float64]) -> str:
    """Write a field note on a scene: what someone who walked there saw of its two main covers.

    A pure function of its arguments. Signs that several covers share, and amounts that the writer
    left out, make some notes ambiguous.
    """
    key = np.array([NOTE_STREAM + stream, index], np.uint64)
    rng = np.random.Generator(np.random.Philox(key=key))
    main, second = (NAMES[i] for i in np.argsort(shares)[::-1][:2])
    vague = rng.random() < VAGUE  # no amounts: the reader cannot tell which is the main one
    amounts = ("{}",) if vague else MOST
    seen = [_sign(rng, main, amounts), _sign(rng, main, ("{}",) if vague else ("{}", *MOST))]
    seen.append(_sign(rng, second, ("{}",) if vague else SOME))
    if vague:
        seen.append(_sign(rng, second, ("{}",)))
    rng.shuffle(seen)
    return ", ".join(seen) + "."


def _sign(rng: np.random.Generator, cover: str, amounts: tuple[str, ...]) -> str:
    common = [sign for sign, covers in SHARED.items() if cover in covers]
    signs = common if common and rng.random() < COMMON else list(SIGNS[cover])
    return str(rng.choice(amounts)).format(rng.choice(signs))
