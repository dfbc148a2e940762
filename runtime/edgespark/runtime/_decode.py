"""Read plain JSON values into frozen dataclasses, and tell every problem at once."""

import json
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from reprlib import Repr
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

T = TypeVar("T")
INT_BITS = 64
SHOWN = 60


class DuplicateKey(ValueError):
    """One JSON object names the same key twice."""


def parse(text: str) -> object:
    """Parse JSON strictly (RFC 8259, I-JSON's strings); anything else is a ValueError.

    A key that stands twice, NaN, Infinity, a lone surrogate and a nesting that exhausts the stack
    are errors.
    """
    try:
        value = json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant)
        # A lone surrogate can stand neither in a path nor on a terminal: refuse it here, once.
        json.dumps(value, ensure_ascii=False).encode()
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    return cast("object", value)


def decode(kind: type[T], value: object) -> tuple[T | None, list[str]]:
    """Return the value as `kind`, or None beside the list of what is wrong with it."""
    problems: list[str] = []
    made = _read(kind, value, "$", problems)
    return (None if problems else cast("T", made)), problems


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    made = dict(pairs)
    if len(made) < len(pairs):
        counts = Counter(name for name, _ in pairs)
        twice = sorted(name for name, count in counts.items() if count > 1)
        raise DuplicateKey(f"key {', '.join(map(repr, twice))} stands more than once in one object")
    return made


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is no JSON number")


def _read(kind: Any, value: object, at: str, problems: list[str]) -> object:  # noqa: ANN401 a type form
    origin = get_origin(kind)
    if origin is Literal:
        return _choice(get_args(kind), value, at, problems)
    if origin in (Union, UnionType):
        return _union(get_args(kind), value, at, problems)
    if origin is tuple:
        return _items(get_args(kind)[0], value, at, problems)
    if origin is dict:
        return _mapping(get_args(kind)[1], value, at, problems)
    if is_dataclass(kind):
        return _record(kind, value, at, problems)
    return _plain(kind, value, at, problems)


def _choice(allowed: tuple[object, ...], value: object, at: str, problems: list[str]) -> object:
    if not any(type(value) is type(each) and value == each for each in allowed):
        problems.append(f"{at}: {shown(value)} is none of {', '.join(map(str, allowed))}")
    return value


def _union(kinds: tuple[Any, ...], value: object, at: str, problems: list[str]) -> object:
    if value is None and NoneType in kinds:
        return None
    kinds = tuple(kind for kind in kinds if kind is not NoneType)
    if len(kinds) == 1:
        return _read(kinds[0], value, at, problems)
    tags = {get_args(get_type_hints(kind)["kind"])[0]: kind for kind in kinds}
    tag = value.get("kind") if isinstance(value, Mapping) else None
    if not isinstance(tag, str) or tag not in tags:
        problems.append(f"{at}.kind: {shown(tag)} is none of {', '.join(tags)}")
        return None
    return _read(tags[tag], value, at, problems)


def _items(kind: Any, value: object, at: str, problems: list[str]) -> tuple[object, ...]:  # noqa: ANN401 a type form
    if not isinstance(value, list):
        problems.append(f"{at}: expected a list, got {type(value).__name__}")
        return ()
    return tuple(_read(kind, item, f"{at}[{i}]", problems) for i, item in enumerate(value))


def _mapping(kind: Any, value: object, at: str, problems: list[str]) -> dict[str, object]:  # noqa: ANN401 a type form
    if not isinstance(value, Mapping):
        problems.append(f"{at}: expected an object, got {type(value).__name__}")
        return {}
    return {name: _read(kind, item, _member(at, name), problems) for name, item in value.items()}


def _plain(kind: Any, value: object, at: str, problems: list[str]) -> object:  # noqa: ANN401 a type form
    if kind is float and type(value) is int:
        value = float(value) if abs(value) <= 2**53 else math.inf
    if type(value) is not kind:
        problems.append(f"{at}: expected {kind.__name__}, got {shown(value)}")
    elif isinstance(value, float) and not math.isfinite(value):
        problems.append(f"{at}: {value} is not a finite number")
    elif isinstance(value, int) and value.bit_length() >= INT_BITS:
        problems.append(f"{at}: {shown(value)} is beyond {INT_BITS} bits")
    return value


def _record(kind: Any, value: object, at: str, problems: list[str]) -> object:  # noqa: ANN401 a type form
    if not isinstance(value, Mapping):
        problems.append(f"{at}: expected an object, got {type(value).__name__}")
        return None
    known = {field.name: field for field in fields(kind)}
    before = len(problems)
    problems += [f"{_member(at, name)}: unknown field" for name in sorted(set(value) - set(known))]
    hints, made = get_type_hints(kind), {}
    for name, field in known.items():
        if name in value:
            made[name] = _read(hints[name], value[name], f"{at}.{name}", problems)
        elif field.default is MISSING and field.default_factory is MISSING:
            problems.append(f"{at}.{name}: missing")
    if len(problems) > before:
        return None
    try:
        return kind(**made)
    except ValueError as error:
        problems.append(f"{at}: {error}")
        return None


def _member(at: str, name: str) -> str:
    return f"{at}.{name}" if name.replace("-", "_").isidentifier() else f"{at}[{name!r}]"


def shown(value: object) -> str:
    """Write a value with its type, briefly; reprlib bounds what a hostile one costs to show."""
    text = _BRIEF.repr(value)
    return f"{type(value).__name__} {text if len(text) <= SHOWN else text[: SHOWN - 3] + '…'}"


_BRIEF = Repr()
_BRIEF.maxstring = _BRIEF.maxlong = SHOWN
