"""Synthetic code: short Python functions, and what can be asked about them."""

import numpy as np

from edgespark.export.worlds.subjects import Subject

CODE = Subject(
    classes=(
        "sums the values",
        "averages the values",
        "finds the largest value",
        "finds the smallest value",
        "counts the matches",
        "searches for a value",
        "reverses the list",
        "sorts the list",
    ),
    questions=(
        "What does this code do?",
        "What does this function do?",
        "What does it do?",
        "What is this code for?",
        "What does the program compute?",
        "Which algorithm is this?",
        "Explain the code.",
        "Describe this function.",
        "Summarise the code.",
        "What happens here?",
    ),
    checks=(
        "Is it true that it {}?",
        "Would you say that it {}?",
        "Is this code that {}?",
        "Is this a function that {}?",
    ),
    answer="It {}.",
)
DOUBLE = 0.06  # share of programs that give two results, of which the class is either
HINTED, GUARDED, IDLE = 0.3, 0.3, 0.45  # shares with types, early ways out, lines of no use
TOLD, MISLED = 0.2, 0.1  # shares with a function's name that says what it does, or another thing

EACH = (
    "for {x} in {xs}:\n",
    "for {x} in {xs}:\n",
    "for {i} in range(len({xs})):\n        {x} = {xs}[{i}]\n",
    "for {i}, {x} in enumerate({xs}):\n",
    "{i} = 0\n    while {i} < len({xs}):\n        {x} = {xs}[{i}]\n        {i} += 1\n",
)
EXTREME = (
    "return {most}({xs})",
    "return sorted({xs})[{last}]",
    "{a} = {xs}[0]\n    {each}        if {x} {beyond} {a}:\n            {a} = {x}\n    return {a}",
    "{a} = {xs}[0]\n    {each}        if {a} {within} {x}:\n            {a} = {x}\n    return {a}",
    "{a} = {xs}[0]\n    {each}        {a} = {most}({a}, {x})\n    return {a}",
    "{a} = {xs}[0]\n    {each}        {a} = {x} if {x} {beyond} {a} else {a}\n    return {a}",
    "if len({xs}) == 1:\n        return {xs}[0]\n    {a} = {f}({xs}[1:])\n"
    "    return {xs}[0] if {xs}[0] {beyond} {a} else {a}",
    "{xs}.sort()\n    return {xs}[{last}]",
)
LARGEST = {"most": "max", "last": "-1", "beyond": ">", "within": "<"}
SMALLEST = {"most": "min", "last": "0", "beyond": "<", "within": ">"}


def _filled(texts: tuple[str, ...], words: dict[str, str]) -> tuple[str, ...]:
    made = texts
    for word, text in words.items():
        made = tuple(each.replace(f"{{{word}}}", text) for each in made)
    return made


BODIES = {
    "sums the values": (
        "return sum({xs})",
        "{a} = 0\n    {each}        {a} += {x}\n    return {a}",
        "{a} = 0\n    {each}        {a} = {a} + {x}\n    return {a}",
        "if len({xs}) == 1:\n        return {xs}[0]\n    return {xs}[0] + {f}({xs}[1:])",
        "{a} = 0\n    while {xs}:\n        {a} += {xs}.pop()\n    return {a}",
        "{a} = sum({x} for {x} in {xs})\n    return {a}",
    ),
    "averages the values": (
        "return sum({xs}) / len({xs})",
        "{a} = 0\n    {each}        {a} += {x}\n    return {a} / len({xs})",
        "{a} = sum({xs})\n    {n} = len({xs})\n    return {a} / {n}",
        "{a}, {n} = 0, 0\n    {each}        {a} += {x}\n        {n} += 1\n    return {a} / {n}",
        "{a} = 0\n    {each}        {a} += {x} / len({xs})\n    return {a}",
        "{n} = len({xs})\n    return sum({x} / {n} for {x} in {xs})",
    ),
    "finds the largest value": _filled(EXTREME, LARGEST),
    "finds the smallest value": _filled(EXTREME, SMALLEST),
    "counts the matches": (
        "return {xs}.count({k})",
        "{a} = 0\n    {each}        if {x} {op} {k}:\n            {a} += 1\n    return {a}",
        "{a} = 0\n    {each}        {a} += {x} {op} {k}\n    return {a}",
        "return sum(1 for {x} in {xs} if {x} {op} {k})",
        "return len([{x} for {x} in {xs} if {x} {op} {k}])",
        "return sum({x} {op} {k} for {x} in {xs})",
        "if not {xs}:\n        return 0\n    return ({xs}[0] {op} {k}) + {f}({xs}[1:], {k})",
    ),
    "searches for a value": (
        "return {k} in {xs}",
        "{each}        if {x} == {k}:\n            return True\n    return False",
        "for {i}, {x} in enumerate({xs}):\n        if {x} == {k}:\n            return {i}\n"
        "    return -1",
        "for {i} in range(len({xs})):\n        if {xs}[{i}] == {k}:\n            return {i}\n"
        "    return -1",
        "return {xs}.index({k}) if {k} in {xs} else -1",
        "return any({x} == {k} for {x} in {xs})",
        "if not {xs}:\n        return False\n    return {xs}[0] == {k} or {f}({xs}[1:], {k})",
        "{a} = False\n    {each}        if {x} == {k}:\n            {a} = True\n    return {a}",
    ),
    "reverses the list": (
        "return {xs}[::-1]",
        "return list(reversed({xs}))",
        "{xs}.reverse()\n    return {xs}",
        "{a} = []\n    {each}        {a}.insert(0, {x})\n    return {a}",
        "{a} = []\n    {each}        {a} = [{x}] + {a}\n    return {a}",
        "{a} = []\n    while {xs}:\n        {a}.append({xs}.pop())\n    return {a}",
        "if not {xs}:\n        return []\n    return {f}({xs}[1:]) + [{xs}[0]]",
        "return [{xs}[-{i} - 1] for {i} in range(len({xs}))]",
    ),
    "sorts the list": (
        "return sorted({xs})",
        "{xs}.sort()\n    return {xs}",
        "{a} = []\n    while {xs}:\n        {a}.append(min({xs}))\n        {xs}.remove({a}[-1])\n"
        "    return {a}",
        "for {i} in range(len({xs})):\n        for {n} in range({i}):\n"
        "            if {xs}[{i}] < {xs}[{n}]:\n"
        "                {xs}[{i}], {xs}[{n}] = {xs}[{n}], {xs}[{i}]\n    return {xs}",
        "if not {xs}:\n        return []\n    {a} = min({xs})\n    {xs}.remove({a})\n"
        "    return [{a}] + {f}({xs})",
        "{a} = list({xs})\n    {a}.sort()\n    return {a}",
    ),
}
RESULTS = {
    "sums the values": "sum({xs})",
    "averages the values": "sum({xs}) / len({xs})",
    "finds the largest value": "max({xs})",
    "finds the smallest value": "min({xs})",
    "counts the matches": "{xs}.count({k})",
    "searches for a value": "{k} in {xs}",
    "reverses the list": "{xs}[::-1]",
    "sorts the list": "sorted({xs})",
}
TELLING = {
    "sums the values": ("total", "add_up", "sum_all"),
    "averages the values": ("mean", "average"),
    "finds the largest value": ("largest", "maximum", "find_max"),
    "finds the smallest value": ("smallest", "minimum", "find_min"),
    "counts the matches": ("count", "how_many", "matches"),
    "searches for a value": ("search", "find", "contains"),
    "reverses the list": ("reverse", "backwards", "flip"),
    "sorts the list": ("sort", "order", "arrange"),
}
PLAIN = ("f", "g", "run", "work", "compute", "solve", "process", "step", "handle", "apply")
LISTS = ("xs", "values", "items", "data", "nums", "row", "seq", "arr")
ITEMS = ("x", "v", "item", "e", "y", "num")
RESULT = ("total", "out", "result", "acc", "s", "best", "t", "res")
COUNTS = ("n", "m", "size", "c")
PLACES = ("i", "j", "k", "pos")
KEYS = ("key", "target", "w", "goal", "wanted")
GUARDS = ("if not {xs}:\n        return None", "assert {xs}", "assert len({xs}) > 0")
LINES = ("debug = False", "limit = {c}", "seen = 0", "# todo: test this", "scale = 1", "# step {c}")
OPERATORS = ("==", "==", "<", ">")


def program(rng: np.random.Generator, label: int) -> str:
    """Write a function of the class `label`; a few give another class's result as well."""
    if rng.random() < DOUBLE:
        other = (label + int(rng.integers(1, len(CODE.classes)))) % len(CODE.classes)
        pair = [RESULTS[CODE.classes[each]] for each in rng.permutation([label, other])]
        return _written(rng, label, f"return {pair[0]}, {pair[1]}")
    return clear(rng, label)


def clear(rng: np.random.Generator, label: int) -> str:
    """Write a function that does what its class says and nothing else.

    It takes a list, and a value too where its body needs one.
    """
    return _written(rng, label, _one(rng, BODIES[CODE.classes[label]]))


def _written(rng: np.random.Generator, label: int, body: str) -> str:
    keyed = "{k}" in body
    hint = rng.random() < HINTED
    lines = [f"def {{f}}({{xs}}{': list' if hint else ''}{', {k}' if keyed else ''}):"]
    if rng.random() < GUARDED and "if not" not in body:
        lines.append(_one(rng, GUARDS))
    elif rng.random() < IDLE:
        lines.append(_one(rng, LINES))
    text = "\n    ".join([*lines, body]).replace("{each}", _one(rng, EACH))
    return text.format_map(_names(rng, label))


def _names(rng: np.random.Generator, label: int) -> dict[str, str]:
    return {
        "f": _called(rng, label),
        "xs": _one(rng, LISTS),
        "x": _one(rng, ITEMS),
        "a": _one(rng, RESULT),
        "n": _one(rng, COUNTS),
        "i": _one(rng, PLACES),
        "k": _one(rng, KEYS),
        "op": _one(rng, OPERATORS),
        "c": str(rng.integers(2, 100)),
    }


def _called(rng: np.random.Generator, label: int) -> str:
    drawn = rng.random()
    if drawn > TOLD + MISLED:
        return _one(rng, PLAIN)
    told = label if drawn < TOLD else int(rng.integers(len(CODE.classes)))
    return _one(rng, TELLING[CODE.classes[told]])


def _one(rng: np.random.Generator, choices: tuple[str, ...]) -> str:
    return choices[int(rng.integers(len(choices)))]
