"""Methods, worlds and networks of other packages, which these name as entry points."""

import warnings
from importlib.metadata import entry_points
from typing import Any

__all__ = ["plugged"]


def plugged(kind: str) -> dict[str, Any]:
    """What installed packages offer under `invtutor.algorithms`, `invtutor.worlds` or `invtutor.networks`, by name. One
    that does not load is left out, with a warning."""
    found: dict[str, Any] = {}
    for entry in entry_points(group=f"invtutor.{kind}"):
        try:
            found[entry.name] = entry.load()
        except Exception as error:  # a stranger's package must not keep the course from running
            warnings.warn(f"{entry.value}, from an installed package, does not load: {error}", stacklevel=2)
    return found
