"""A search for settings: one protocol for all methods and worlds, stated before it is run.

For every method and world 40 settings, the first the one that was there before, the others drawn at random from the
same ranges in each world (`draws`). Each is trained with one seed, the best 10 with two more, the best 3 of these with
three more; and of the three the best is chosen (successive halving; Jamieson and Talwalkar 2016). The seeds are none of
those that tables report.

Trials are judged on validation digits alone, by the worse of the accuracies at p = 0.1 and p = 0.9. That uses what is
known of this world: which clues are spurious, and that they may turn round.
"""

import math
from collections.abc import Iterable, Sequence
from itertools import product
from statistics import fmean

import torch

from invtutor.runs.commands import text_of
from invtutor.runs.history import spread
from invtutor.runs.recipe import Recipe, label
from invtutor.tables.draws import CELLS, COUNT, METHODS, drawn
from invtutor.tables.plan import placed, series
from invtutor.tables.rows import END
from invtutor.tables.sheet import Sheet
from invtutor.tables.store import Result
from invtutor.worlds.risks import accuracy_curve

__all__ = ["FIRST", "METHODS", "PROFILES", "ROUNDS", "kept", "layout", "planned", "score"]

ROUNDS = ((COUNT, 1), (10, 3), (3, 6))  # settings that are trained, and with how many seeds from `FIRST` on
FIRST = 100
PROFILES = ("smoke", "quick")  # of full batches there is nothing to choose


def _trial(cell: str, method: str, place: int, profile: str) -> Recipe:
    """The recipe of a setting, by its place among those drawn, in a cell; its seed is the first."""
    changes = {**CELLS[cell], **drawn(method, profile)[place]}
    return Recipe.profile(profile, method, **{"every": END, "seed": FIRST, **changes})


def planned(
    results: Iterable[Result],
    number: int,
    profile: str = "quick",
    methods: Sequence[str] = METHODS,
    *,
    source: str = "mnist",
    device: str = "cpu",
) -> dict[Recipe, str]:
    """The trials of a round, counted from 0, with what to call them while they run. results: of the rounds before."""
    due = {}
    for (cell, method), places in kept(results, number, profile, methods).items():
        for place, seed in product(places, _seeds(number)):
            recipe = placed(_trial(cell, method, place, profile), seed, source, device)
            due[recipe] = f"{label(method)}, {cell}, setting {place}, seed {seed}"
    return due


def kept(
    results: Iterable[Result], number: int, profile: str = "quick", methods: Sequence[str] = METHODS
) -> dict[tuple[str, str], list[int]]:
    """By cell and method the places of the settings that come into a round, counted from 0, the best first; in the end,
    where `number` is that of all rounds, the one that is chosen. What diverged is worse than all else."""
    tried = _Scores(results, profile)
    counts = [*(count for count, _ in ROUNDS[1:]), 1]
    found = {}
    for cell, method in product(CELLS, methods):
        places = list(range(COUNT))
        for before, count in enumerate(counts[:number]):
            mean = {place: fmean(tried.of(cell, method, place, before)) for place in places}
            places = sorted(places, key=lambda place: -mean[place])[:count]
        found[cell, method] = places
    return found


def score(result: Result) -> float:
    """The worse of the accuracies at p = 0.1 and p = 0.9 on validation digits, each in every color."""
    return min(accuracy_curve(torch.tensor(result.validation, dtype=torch.float64), (0.1, 0.9)))


def layout(results: Sequence[Result], profile: str = "quick", methods: Sequence[str] = METHODS) -> Sheet:
    """What was chosen: its score and that of the setting before in %, over the seeds that each has, how many
    trials there were, and what the setting changes."""
    tried, rows = _Scores(results, profile), []
    for (cell, method), (place,) in kept(results, len(ROUNDS), profile, methods).items():
        if [cell] not in rows:
            rows.append([cell])
        chosen, own = (spread(tried.there(cell, method, each)).percent() for each in (place, 0))
        count = sum(len(tried.there(cell, method, each)) for each in range(COUNT))
        words = " ".join(f"{name}={text_of(value)}" for name, value in drawn(method, profile)[place].items())
        rows.append([f"  {label(method)}", chosen, own, str(count), words or "–"])
    head = ["Search, worse of p=0.1 and p=0.9, validation", "chosen", "usual", "trials", "changes"]
    return Sheet(head, rows)


def _seeds(number: int) -> range:
    return range(FIRST, FIRST + ROUNDS[number][1])


class _Scores:
    """Those of trials, by setting and seed."""

    def __init__(self, results: Iterable[Result], profile: str):
        self._profile = profile
        self._found = {(series(r.recipe), r.recipe.seed): score(r) for r in results if len(r.validation)}

    def of(self, cell: str, method: str, place: int, number: int) -> list[float]:
        """Over the seeds of a round."""
        what = series(_trial(cell, method, place, self._profile))
        return [self._found.get((what, seed), -math.inf) for seed in _seeds(number)]

    def there(self, cell: str, method: str, place: int) -> list[float]:
        """Over the seeds that were run."""
        return [value for value in self.of(cell, method, place, -1) if value > -math.inf]
