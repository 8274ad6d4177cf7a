"""Published numbers, each with its source. They stand in `published.json`; null where a number is not known."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

__all__ = ["Published", "published", "sources"]


@dataclass(frozen=True)
class Published:
    """A published accuracy: mean and standard deviation as shares in [0, 1], None where not known, and its source.

    source: key of `sources()`. place: the table of the source that it stands in.
    """

    mean: float | None
    std: float | None
    source: str
    place: str

    def __str__(self) -> str:
        if self.mean is None:
            return "–"
        return f"{100 * self.mean:.1f}" + ("" if self.std is None else f" ± {100 * self.std:.1f}")


@cache
def _content() -> dict[str, Any]:
    return json.loads(Path(__file__).with_name("published.json").read_text(encoding="utf-8"))


def sources() -> Mapping[str, Mapping[str, str]]:
    """By key: `paper`, and `where` it and its numbers are to be found."""
    return _content()["sources"]


def published(table: str, row: str, column: str, *, group: str = "") -> list[Published]:
    """What is published for a cell, one entry per source; the source of the table that we repeat comes first.

    table, group, row: names as in `sweeps.TABLES`; column: a metric (`history.GLOSSARY`), or `train` for the mean over
    the training environments. Empty where no source has the row or the column.
    """
    found = []
    for entry in _content()["tables"]:
        if (entry["table"], entry["group"]) == (table, group) and row in entry["rows"] and column in entry["columns"]:
            cell = entry["rows"][row][entry["columns"].index(column)]
            mean, std = (None if value is None else value / 100 for value in cell or (None, None))
            found.append(Published(mean, std, entry["source"], entry["place"]))
    return found
