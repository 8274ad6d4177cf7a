"""What the tables say: results sorted into rows, measured beside published."""

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from statistics import fmean, median
from typing import Any

import torch

from invtutor.runs.commands import text_of
from invtutor.runs.history import spread
from invtutor.runs.recipe import Recipe, label
from invtutor.tables.plan import PLACES, series
from invtutor.tables.published import Published, published
from invtutor.tables.rows import RATES, TABLES, Row
from invtutor.tables.selection import BY_GROUPS, CRITERIA, Candidate, chosen
from invtutor.tables.sheet import Sheet
from invtutor.tables.store import Result
from invtutor.worlds.risks import accuracy_curve

__all__ = ["UNITS", "beside", "candidates", "collect", "color_balanced", "layout", "picked", "settings", "theirs"]
__all__ += ["means", "values"]


UNITS = "Accuracy in %, mean ± standard deviation over seeds; a risk in nats, mean and its 95 % interval"


def collect(results: Iterable[Result], table: str, profile: str = "quick") -> dict[Row, list[Result]]:
    """For each row of a table a result of each seed, in their order, on whatever device and digits, in float32 where
    there is one; empty where none was run."""
    by_setting, rows = _by_setting(results), {}
    for row in TABLES[table].rows:
        recipe = row.recipe(profile)
        either = (by_setting.get(series(recipe.but(precision=each)), []) for each in ("bfloat16", "float32"))
        by_seed = {result.recipe.seed: result for found in either for result in found}
        rows[row] = [by_seed[seed] for seed in sorted(by_seed)]
    return rows


def _by_setting(results: Iterable[Result]) -> dict[tuple[Any, ...], list[Result]]:
    found: dict[tuple[Any, ...], list[Result]] = {}
    for result in results:
        found.setdefault(series(result.recipe), []).append(result)
    return found


def values(found: Sequence[Result], column: str) -> dict[int, float]:
    """A column's value by seed, of the runs that measured it."""
    return {r.recipe.seed: value for r in found if (value := r.value(column)) is not None}


def _column(found: Sequence[Result], column: str) -> list[float]:
    return list(values(found, column).values())


def means(results: Sequence[Result], column: str, *tables: str, profile: str = "quick") -> dict[str, float]:
    """The mean over the seeds, by row of these tables; rows in which the column was not measured are left out."""
    rows = [pair for table in tables for pair in collect(results, table, profile).items()]
    return {row.label: fmean(some) for row, found in rows if (some := _column(found, column))}


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


def picked(results: Iterable[Result], profile: str = "quick") -> dict[str, dict[str, list[Result]]]:
    """What each rule of `BY_GROUPS` picks of a method's settings: by rule and method, a run of every seed for which all
    settings are there."""
    settings: dict[str, list[dict[int, Result]]] = {}
    for row, found in collect(results, "group_selection", profile).items():
        judged = {r.recipe.seed: r for r in found if {*BY_GROUPS.values()} <= r.metrics.keys()}
        settings.setdefault(row.label, []).append(judged)
    return {
        rule: {
            method: [
                max((some[seed] for some in tried), key=lambda result: result.metrics[metric])
                for seed in sorted(set.intersection(*map(set, tried)))
            ]
            for method, tried in settings.items()
        }
        for rule, metric in BY_GROUPS.items()
    }


def layout(
    results: Iterable[Result], table: str, profile: str = "quick", *, only: Collection[str] | None = None
) -> Sheet:
    """Measured mean ± standard deviation in %, and in brackets what is published (– if nothing is). only: the rows with
    these labels; None is all."""
    if table == "selection":
        return _selection_layout(list(results), profile)
    if table == "group_selection":
        return _picked_layout(results, profile)
    columns = TABLES[table].columns
    rows, group = [], ""
    for row, found in collect(results, table, profile).items():
        if only is not None and row.label not in only:
            continue
        if row.group != group:
            group = row.group
            rows.append([group + ":"])
        cells = []
        for column in columns:
            source, of = row.repeats or (table, row.group)
            known = published(source, row.label, column, group=of)
            cells.append(_cell(_column(found, column), known, column, ran=bool(found)))
        seconds = f"{median(result.cpu for result in found):.1f}" if found else "–"
        rows.append([("  " if group else "") + row.label, *cells, str(len(found)), seconds])
    return Sheet([TABLES[table].title, *columns, "seeds", "s a run"], rows)


def settings(results: Iterable[Result]) -> Sheet:
    """A line for every setting, whatever table it belongs to: what tells it from the others, and mean ± standard
    deviation in % over its seeds of the accuracies that training and choosing have not seen."""
    found = list(_by_setting(results).values())
    recipes = [some[0].recipe for some in found]
    said = [{"world": recipe.world, "network": recipe.network, **recipe.values} for recipe in recipes]
    names = dict.fromkeys(name for line in said for name in line if name not in PLACES)
    told = [name for name in names if len({line.get(name, _UNSAID) for line in said}) > 1]
    measured = dict.fromkeys(name for some in found for result in some for name in result.metrics)
    columns = ["train", *(name for name in measured if name.split()[0] in ("test", "gray"))]
    rows = []
    for some, recipe, line in sorted(
        zip(found, recipes, said, strict=True), key=lambda one: _rank(one[1], one[2], told)
    ):
        knobs = [text_of(line[name]) if name in line else "–" for name in told]
        cells = [_told(column, name) if (column := _column(some, name)) else "–" for name in columns]
        seconds = f"{median(result.cpu for result in some):.1f}"
        rows.append([label(recipe.algorithm), *knobs, *cells, str(len(some)), seconds])
    return Sheet(["Settings", *told, *columns, "seeds", "s a run"], rows)


_UNSAID = object()


def _rank(recipe: Recipe, line: Mapping[str, Any], told: Sequence[str]) -> list[Any]:
    """Numbers by their size, words by the alphabet, and what is not said first."""
    values = [line.get(name) for name in told]
    numbers = [value if isinstance(value, int | float) else -math.inf for value in values]
    return [recipe.algorithm, *zip(numbers, map(str, values), strict=True)]


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


def _picked_layout(results: Iterable[Result], profile: str) -> Sheet:
    by_rule, (column,) = picked(results, profile), TABLES["group_selection"].columns
    rows = []
    for method, some in next(iter(by_rule.values())).items():
        cells = [_cell(_column(by_rule[rule][method], column), ()) for rule in by_rule]
        rows.append([method, *cells, str(len(some))])
    return Sheet([f"{TABLES['group_selection'].title}: {column}", *by_rule, "seeds"], rows)


def _cell(measured: Sequence[float], known: Sequence[Published], column: str = "", *, ran: bool = False) -> str:
    nothing = "–" if ran else "not run"
    return f"{_told(measured, column) if measured else nothing} ({known[0] if known else '–'})"


def _told(measured: Sequence[float], column: str) -> str:
    """In the column's `UNITS`."""
    summary = spread(measured)
    if "risk" not in column.split():
        return summary.percent()
    return f"{summary.mean:.4f}" + ("" if summary.low is None else f" [{summary.low:.4f}, {summary.high:.4f}]")
