"""Words of a user: what they may have meant, and how to show them in one line."""

import ast
import difflib
import re
import warnings
from collections.abc import Iterable, Sequence

__all__ = ["guess", "literal", "meant", "named", "shown", "unknown"]


def shown(value: object) -> str:
    """What was found, for a message: not without end, and whatever its own `repr` does."""
    try:
        text = repr(value)
    except Exception:  # a whole number of over 4,300 digits, or an object of the user's
        text = f"a value of type {type(value).__name__}"
    return text if len(text) <= 200 else f"{text[:150]} … {text[-40:]}"


def guess(name: object, known: Iterable[str]) -> str | None:
    """The known name that is meant, as far as one can tell; signs and capitals do not count."""
    plain = {_plain(each): each for each in known}
    close = difflib.get_close_matches(_plain(str(name)[:80]), plain, n=1, cutoff=0.7)
    return plain[close[0]] if close else None


def _plain(name: str) -> str:
    return re.sub(r"[\W_]", "", name).lower()


def meant(name: object, known: Iterable[str]) -> str:
    """` Did you mean …?`, to follow a message; empty where no known name is near."""
    close = guess(name, known)
    return f" Did you mean `{close}`?" if close else ""


def unknown(name: str, known: Iterable[str], owner: str) -> str:
    """The message for a parameter that its owner does not have."""
    close = guess(name, known := list(known))
    hint = f"did you mean `{close}`?" if close else f"it has: {', '.join(known) or 'none'}."
    return f"{owner} has no parameter `{name}`; {hint}"


def literal(text: str, *, flag: bool = False) -> object:
    """The number, the list, True, False or None that a text says; for a flag in any capitals. Raises ValueError."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # `1or 2` would be told of on stderr
        try:
            return ast.literal_eval(text.strip().title() if flag else text.strip())
        except (TypeError, ValueError, SyntaxError, OverflowError, RecursionError, MemoryError):
            raise ValueError(f"{shown(text)} is no value") from None


def named(pairs: Sequence[str]) -> dict[str, str]:
    """Words NAME=VALUE, as after -p, as a mapping. Raises ValueError for one without `=` and for a name given twice."""
    given: dict[str, str] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not (name and equals):
            raise ValueError(f"Option -p should be NAME=VALUE. Found {shown(pair)}.")
        if name in given:
            raise ValueError(f"Parameter `{name}` is given twice.")
        given[name] = value
    return given
