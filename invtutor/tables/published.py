"""Published numbers, each with its source. They stand in `published.json`; null where a number is not known."""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

__all__ = ["Published", "cells", "published", "sources"]


@dataclass(frozen=True)
class Published:
    """A published accuracy as a share in [0, 1], None where not known, and where it stands.

    spread: what is printed after ±; kind: what that is, `deviation`, `standard error` or `not told`, over how many
    trials, None where the source does not say. source: key of `sources()`. place: the table of the source, and the
    row and column in it.
    """

    mean: float | None
    spread: float | None
    kind: str | None
    trials: int | None
    source: str
    place: tuple[str, str, str]

    @property
    def std(self) -> float | None:
        """The standard deviation that the spread amounts to. A standard error is the population deviation / √n, of
        which the sample deviation, as we print it, is √(n/(n−1)) times as much."""
        if self.kind == "standard error" and self.spread is not None and self.trials is not None:
            return self.spread * math.sqrt(self.trials) * math.sqrt(self.trials / (self.trials - 1))
        return self.spread

    def __str__(self) -> str:
        if self.mean is None:
            return "–"
        error = " s.e." if self.kind == "standard error" else ""
        return f"{100 * self.mean:.1f}" + ("" if self.spread is None else f" ± {100 * self.spread:.1f}{error}")


@cache
def _content() -> dict[str, Any]:
    return json.loads(Path(__file__).with_name("published.json").read_text(encoding="utf-8"))


def sources() -> Mapping[str, Mapping[str, str]]:
    """By key: `paper`, and `where` it and its numbers are to be found."""
    return _content()["sources"]


def cells() -> Iterator[tuple[tuple[str, str, str, str], Published]]:
    """Every published cell, with our table, group, row and column."""
    for entry in _content()["tables"]:
        for row, line in entry["rows"].items():
            for (column, theirs), cell in zip(entry["columns"].items(), line["cells"], strict=True):
                mean, spread = (None if value is None else value / 100 for value in cell or (None, None))
                kind, trials = (None, None) if spread is None else (entry["spread"], entry["trials"])
                place = (entry["place"], line["as"], theirs)
                yield (
                    (entry["table"], entry["group"], row, column),
                    Published(mean, spread, kind, trials, entry["source"], place),
                )


def published(table: str, row: str, column: str, *, group: str = "") -> list[Published]:
    """What is published for a cell, one entry per source; the source of the table that we repeat comes first.

    table, group, row: names as in `rows.TABLES`; column: a metric (`history.GLOSSARY`), or `train` for the mean over
    the training environments. Empty where no source has the row or the column.
    """
    return [found for where, found in cells() if where == (table, group, row, column)]
