"""Methods, worlds and networks by name: our own, and those of other packages, which these name as entry points."""

import warnings
from collections import UserDict
from collections.abc import Mapping
from functools import cached_property
from importlib.metadata import entry_points
from typing import TypeVar

from invtutor.fields import require

__all__ = ["Registry"]

Kind = TypeVar("Kind")


class Registry(UserDict[str, Kind]):
    """What there is of a kind, by name. To add to it is one call: `ALGORITHMS["mine"] = Mine`.

    kind: algorithms, worlds or networks. What installed packages offer under `invtutor.KIND` is loaded when somebody
    first looks, and not before: those packages import this one, and may be in the middle of it. One that does not load
    is left out, with a warning.
    """

    def __init__(self, kind: str, own: Mapping[str, Kind]):
        self.kind, self.own = kind, own

    @cached_property
    def data(self) -> dict[str, Kind]:  # type: ignore[override]
        """Everything, under its name; `UserDict` does the rest."""
        found = dict(self.own)
        for entry in entry_points(group=f"invtutor.{self.kind}"):
            try:
                found[entry.name] = entry.load()
            except Exception as error:  # a stranger's package must not keep the course from running
                message = f"{entry.value}, from an installed package, does not load: {error}"
                warnings.warn(message, stacklevel=2)
        return found

    def enroll(self, kind: Kind) -> str:
        """The name of a class; one that has none yet, such as a method that a student has just written, is put under
        its own. A class of the same name that was enrolled before, by a cell that is run again, gives way. Raises
        ValueError where the name is one of ours."""
        known = next((name for name, each in self.items() if each is kind), None)
        if known is None:
            known = getattr(kind, "__name__", str(kind))
            require("name", known not in self.own, f"another than those of {self.kind}: {', '.join(self.own)}", known)
            self[known] = kind
        return known
