"""What the tables say: results sorted into rows, measured beside published."""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from statistics import fmean, median

import torch

from invtutor.runs.history import spread
from invtutor.runs.recipe import Recipe
from invtutor.tables.plan import RATES, TABLES, Row, placed
from invtutor.tables.published import Published, published
from invtutor.tables.selection import CRITERIA, Candidate, chosen
from invtutor.tables.sheet import Sheet
from invtutor.tables.store import Result
from invtutor.worlds.risks import accuracy_curve

__all__ = ["beside", "candidates", "collect", "color_balanced", "layout", "theirs", "values"]


def collect(results: Iterable[Result], table: str, profile: str = "quick") -> dict[Row, list[Result]]:
    """For each row of a table its results in order of their seeds, on whatever device and digits; empty where none was
    run."""
    by_setting: dict[str, list[Result]] = {}
    for result in results:
        by_setting.setdefault(_setting(result.recipe), []).append(result)
    rows = {row: by_setting.get(row.recipe(profile).digest, []) for row in TABLES[table].rows}
    return {row: sorted(found, key=lambda result: result.recipe.seed) for row, found in rows.items()}


@lru_cache(4096)
def _setting(recipe: Recipe) -> str:
    """The digest that a recipe's seeds share; kept, since a lesson reads the same results a hundred times."""
    return placed(recipe, 0, "auto", "auto").digest


def values(found: Sequence[Result], column: str) -> dict[int, float]:
    """A column's value by seed, of the runs that measured it."""
    return {r.recipe.seed: value for r in found if (value := r.value(column)) is not None}


def _column(found: Sequence[Result], column: str) -> list[float]:
    return list(values(found, column).values())


def beside(
    results: Iterable[Result], table: str, column: str, profile: str = "quick", *, group: str = ""
) -> tuple[dict[str, list[float]], dict[str, tuple[float, float | None]]]:
    """What `figures.beside` draws of a column: by row, the value of every seed, and the published mean and deviation
    where there is one."""
    rows = {row.label: found for row, found in collect(results, table, profile).items() if row.group == group}
    measured = {label: _column(found, column) for label, found in rows.items()}
    return measured, theirs(table, rows, column, group=group)


def theirs(table: str, labels: Iterable[str], column: str, *, group: str = "") -> dict[str, tuple[float, float | None]]:
    """The published mean and deviation of rows, from the first source; rows without a number are left out."""
    found = {label: published(table, label, column, group=group)[:1] for label in labels}
    return {label: (p.mean, p.std) for label, some in found.items() for p in some if p.mean is not None}


def color_balanced(results: Iterable[Result], profile: str = "quick") -> float | None:
    """The height of the color-balanced ceiling on Colored MNIST: accuracy at p = 0.5, halfway along its line, of a
    network that is told the colors (`upweighting`), mean over the seeds; None where it was not run."""
    rows = collect(results, "colored_mnist", profile)
    told = [v for row, found in rows.items() if row.method == "upweighting" for v in _column(found, "test p=0.5")]
    return fmean(told) if told else None


def candidates(results: Iterable[Result], profile: str = "quick") -> list[list[Candidate]]:
    """The selection lab's candidates, one list per seed for which every run is there."""
    rows = collect(results, "selection", profile)
    by_name = {row.name: {r.recipe.seed: r for r in found if r.validation} for row, found in rows.items()}
    complete = set.intersection(*(set(found) for found in by_name.values()))
    trials = []
    for seed in sorted(complete):
        trial = []
        for row in rows:
            if "without" in row.group:
                continue
            whole = by_name[row.name][seed]
            test = whole.metrics["test p=0.9"]
            rest = {rate: by_name[f"{row.name} without {rate:g}"][seed] for rate in RATES}
            left_out = tuple(accuracy_curve(torch.tensor(r.validation), [rate])[0] for rate, r in rest.items())
            validation = tuple(v for name, v in whole.metrics.items() if name.startswith("validation p="))
            low, high = whole.validation
            trial.append(Candidate(row.label, row.group, validation, left_out, (low, high), test))
        trials.append(trial)
    return trials


def layout(results: Iterable[Result], table: str, profile: str = "quick") -> Sheet:
    """Measured mean ± standard deviation in %, and in brackets what is published (– if nothing is)."""
    if table == "selection":
        return _selection_layout(list(results), profile)
    columns = TABLES[table].columns
    rows, group = [], ""
    for row, found in collect(results, table, profile).items():
        if row.group != group:
            group = row.group
            rows.append([group + ":"])
        cells = []
        for column in columns:
            cells.append(_cell(_column(found, column), published(table, row.label, column, group=row.group)))
        seconds = f"{median(result.cpu for result in found):.1f}" if found else "–"
        rows.append([("  " if group else "") + row.label, *cells, str(len(found)), seconds])
    return Sheet([TABLES[table].title, *columns, "seeds", "s a run"], rows)


def _selection_layout(results: Sequence[Result], profile: str) -> Sheet:
    trials = candidates(results, profile)
    rows = []
    for method in dict.fromkeys(row.label for row in TABLES["selection"].rows):
        cells = [
            _cell(
                [chosen(trial, criterion)[method].test for trial in trials],
                published("selection", method, "test p=0.9", group=name),
            )
            for name, criterion in CRITERIA.items()
        ]
        rows.append([method, *cells, str(len(trials))])
    return Sheet(["Model selection, test p=0.9", *CRITERIA, "seeds"], rows)


def _cell(measured: Sequence[float], known: Sequence[Published]) -> str:
    return f"{spread(measured).percent() if measured else 'not run'} ({known[0] if known else '–'})"
