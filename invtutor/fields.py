"""What a field may hold, said once, where the field stands: its type, its range, and the words for both.

    threshold: float = within(1.0, 0, 1)

Recipes, methods, the command line, lessons and panels all read it there.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import field, fields
from functools import cache
from types import MappingProxyType, NoneType, UnionType
from typing import Any, Literal, NamedTuple, Union, get_args, get_origin, get_type_hints

from invtutor.words import literal, meant, shown

__all__ = [
    "Range",
    "check",
    "fit",
    "from_text",
    "hints",
    "knobs",
    "members",
    "one_of",
    "range_of",
    "require",
    "valid",
    "within",
]


class Range(NamedTuple):
    """Bounds of a number, or of each of several; `above` and `below` leave the bound itself out. items: how many
    there may be where a field holds several."""

    low: float
    high: float
    above: bool = False
    below: bool = False
    items: tuple[int, int] = (1, 100)

    def __contains__(self, number: object) -> bool:
        assert isinstance(number, int | float)
        low = number > self.low if self.above else number >= self.low
        return low and (number < self.high if self.below else number <= self.high)

    def __str__(self) -> str:
        low, high = (f"{bound:,}" if isinstance(bound, int) else f"{bound:g}" for bound in (self.low, self.high))
        return f"{'(' if self.above else '['}{low}, {high}{')' if self.below else ']'}"


def within(
    default: Any,
    low: float,
    high: float,
    *,
    above: bool = False,
    below: bool = False,
    items: tuple[int, int] = (1, 100),
    kw_only: bool = False,
) -> Any:
    """A dataclass field with a `Range`."""
    return field(default=default, kw_only=kw_only, metadata={"range": Range(low, high, above, below, items)})


@cache
def hints(owner: type[Any]) -> dict[str, Any]:
    """The types that a dataclass declares for the fields of its constructor."""
    declared = get_type_hints(owner)
    return {each.name: declared[each.name] for each in fields(owner) if each.init}


@cache
def range_of(owner: type, name: str) -> Range | None:
    """A field's range; None where it has none."""
    return next((each.metadata.get("range") for each in fields(owner) if each.name == name), None)


def knobs(owner: type[Any]) -> Mapping[str, Any]:
    """The fields of a dataclass that a text could set, with their defaults."""
    return _knobs(owner)  # type: ignore[arg-type]


@cache
def _knobs(owner: type[Any]) -> Mapping[str, Any]:
    plain = [name for name, hint in hints(owner).items() if _plain(hint)]  # type: ignore[arg-type]
    return MappingProxyType({each.name: each.default for each in fields(owner) if each.name in plain})


def require(name: str, holds: bool, wish: str, found: object) -> None:
    """Raises ValueError, in the one form of this library, unless it holds."""
    if not holds:
        raise ValueError(f"Parameter `{name}` should be {wish}. Found {shown(found)}.")


def one_of(name: str, known: Iterable[str], found: object) -> None:
    """Raises ValueError unless it is one of the known names, with a guess at the one that is meant."""
    known = list(known)
    if not (isinstance(found, str) and found in known):
        guessed = meant(found, known) if isinstance(found, str) else ""
        raise ValueError(f"Parameter `{name}` should be one of {', '.join(known)}. Found {shown(found)}.{guessed}")


def check(thing: Any) -> None:
    """Check all fields of a dataclass that a text could set, and put their values into one form: 1 for a float is 1.0.

    Raises ValueError, naming the field.
    """
    for name in knobs(type(thing)):
        object.__setattr__(thing, name, valid(type(thing), name, getattr(thing, name)))


def valid(owner: type, name: str, given: object) -> Any:
    """A value for a field of `owner` in the type that it declares. Raises ValueError, naming the field."""
    return fit(name, hints(owner)[name], given, range_of(owner, name))


def fit(name: str, hint: Any, given: object, limits: Range | None = None) -> Any:
    """A value in the type of a hint. Raises ValueError, naming the parameter."""
    try:
        return _cast(hint, limits, given)
    except (TypeError, ValueError, OverflowError, RecursionError):
        words = [word for part in members(hint) if get_origin(part) is Literal for word in get_args(part)]
        guessed = meant(given, words) if isinstance(given, str) and all(isinstance(w, str) for w in words) else ""
        message = f"Parameter `{name}` should be {_wish(hint, limits)}. Found {shown(given)}.{guessed}"
        raise ValueError(message) from None


def from_text(hint: Any, text: str) -> object:
    """What a text of a command line says to a field with this hint; the text itself where it says nothing."""
    parts = list(members(hint))
    if any(part is str or isinstance(next(iter(get_args(part)), None), str) for part in parts):
        return text
    try:
        return literal(text, flag=bool in parts)
    except ValueError:
        return text


@cache
def members(hint: Any) -> tuple[Any, ...]:
    """The types of a union, or the one that it is."""
    return get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)


def _plain(hint: Any) -> bool:
    """Whether it is made of numbers, words, switches, None and lists of them."""
    return all(
        part in (bool, int, float, str, NoneType) or get_origin(part) in (Literal, tuple) for part in members(hint)
    )


def _cast(hint: Any, limits: Range | None, given: object) -> Any:
    """TypeError or ValueError where that would guess, or lose something."""
    if hasattr(given, "tolist"):
        given = given.tolist()  # NumPy's and torch's numbers are no values of JSON
    for part in members(hint):
        if part is NoneType:
            fits = given is None
        elif part is float:
            fits = type(given) in (int, float)
            if fits:
                given = float(given) + 0.0  # type: ignore[arg-type]  # -0.0 is 0.0
                fits = math.isfinite(given) and (limits is None or given in limits)
        elif part in (bool, int, str):
            fits = type(given) is part and (part is not int or limits is None or given in limits)
        elif get_origin(part) is Literal:
            fits = any(type(given) is type(word) and given == word for word in get_args(part))
        else:
            if isinstance(given, list | tuple):
                low, high = limits.items if limits else (1, 100)
                if low <= len(given) <= high:
                    return tuple(_cast(get_args(part)[0], limits, item) for item in given)
            fits = False
        if fits:
            return given
    raise TypeError


def _wish(hint: Any, limits: Range | None) -> str:
    bounds = f" in {limits}" if limits else ""
    words = []
    for part in members(hint):
        if get_origin(part) is Literal:
            words.append(f"one of {', '.join(map(str, get_args(part)))}")
        elif get_origin(part) is tuple:
            low, high = limits.items if limits else (1, 100)
            words.append(f"a list of {low} to {high} {'texts' if str in get_args(part) else 'numbers'}{bounds}")
        else:
            words.append({
                NoneType: "None", bool: "True or False", str: "a text", int: f"a whole number{bounds}",
                float: f"a finite number{bounds}",
            }[part])  # fmt: skip
    return " or ".join(words)
