"""The papers' tables as plain data, and what fills them: many recipes, one file of results that survives a kill."""

import io
import json
import math
import platform
import random
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from statistics import fmean, median
from typing import Any

import torch
from tqdm import tqdm

from invtutor.algorithms import ALGORITHMS
from invtutor.fields import one_of, require
from invtutor.files import append, finite, whole_lines
from invtutor.runs.budgets import PROFILES
from invtutor.runs.history import spread
from invtutor.runs.recipe import Recipe, find_device, label
from invtutor.runs.run import build_world, run
from invtutor.tables.published import Published, published
from invtutor.tables.selection import CRITERIA, Candidate, chosen, validation_corners
from invtutor.tables.sheets import Sheet
from invtutor.worlds.colored_mnist import TEST_RATES, ColoredWorld
from invtutor.worlds.digits import Digits, load_digits
from invtutor.worlds.mnist import announce
from invtutor.worlds.risks import accuracy_curve

__all__ = [
    "MEASURED",
    "TABLES",
    "Result",
    "Results",
    "Row",
    "Table",
    "beside",
    "candidates",
    "collect",
    "layout",
    "reproduce",
]
__all__ += ["color_balanced", "plan", "theirs", "values"]

MEASURED = Path(__file__).parent / "measured" / "quick.jsonl"
"""The results that come with the course: real MNIST, quick profile."""

# ------------------------------------------------------------------------------------------------- tables


@dataclass(frozen=True, eq=False)
class Row:
    """A line of a table: a method (a name of `ALGORITHMS`, or `oracle`) and what its recipe changes.

    label: as in `published.json`. group: the world or variant, where a table has several. budgets: further changes by
    profile.
    """

    label: str
    method: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    group: str = ""
    budgets: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """`V-REx, 12,500 per environment`."""
        return f"{self.label}, {self.group}" if self.group else self.label

    def recipe(self, profile: str, **changes: Any) -> Recipe:
        """The row's recipe under a profile's budget, judged at its end alone: to watch it would cost a third more."""
        wanted = {"every": END, **self.changes, **self.budgets.get(profile, {}), **changes}
        return Recipe.profile(profile, self.method, **wanted)


@dataclass(frozen=True, eq=False)
class Table:
    """Rows × columns. columns: metrics (`history.GLOSSARY`), or `train` for the mean over training environments.

    seeds: how many each profile takes unless told otherwise. All rows share them, so that methods compare in pairs.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    seeds: Mapping[str, int] = field(default_factory=lambda: {"smoke": 2, "quick": 5, "paper": 10})


_TEST = ("test p=0.1", "test p=0.2", "test p=0.9")
GRAY = label("oracle")
END = 10**6  # steps between two looks at a run


def _rows(methods: Iterable[str], group: str = "", **changes: Any) -> tuple[Row, ...]:
    return tuple(Row(label(method), method, changes, group) for method in methods)


# By profile and method. The paper's are those of Choe et al. 2020, who train ERM ten times as long as IRM; the quick
# ones were chosen on validation digits.
_CHOE = {"width": 256, "anneal": 100, "l2": 1e-3, "learning_rate": 1e-3, "penalty_weight": 1e4}
_MULTI_CLASS: Mapping[tuple[str, int], Mapping[str, Mapping[str, Any]]] = {
    ("erm", 5): {"paper": {"steps": 5001, "l2": 1e-3}},
    ("erm", 10): {"paper": {"steps": 5001, "l2": 1e-3}},
    ("irmv1", 5): {"paper": _CHOE | {"steps": 501}},
    ("irmv1", 10): {"paper": _CHOE | {"steps": 1001}},
}


def _multi_class(classes: int) -> Iterator[Row]:
    for method in ("erm", "irmv1", "meta_irm", "oracle"):
        budgets = _MULTI_CLASS.get((method, classes), {})
        yield Row(label(method), method, {"classes": classes}, f"{classes} classes", budgets)


# The selection lab. Three environments, so that one can be left out and two remain to learn from.
RATES = (0.1, 0.2, 0.3)
DRAWS = 6
_SWEPT: Mapping[str, Mapping[str, tuple[float, float]]] = {  # powers of ten
    "erm": {},
    "irmv1": {"penalty_weight": (0.0, 5.0)},
    "vrex": {"penalty_weight": (0.0, 5.0)},
    "group_dro": {"step_size": (-3.0, 0.0)},
}


def _draws(method: str) -> Iterator[dict[str, Any]]:
    """Hyper-parameters drawn at random, on logarithmic scales; the first draw is the method's own setting."""
    generator = random.Random(method)
    yield {}
    for _ in range(DRAWS - 1):
        ranges = {"learning_rate": (-3.3, -2.5), "l2": (-4.0, -2.5), **_SWEPT[method]}
        yield {name: float(f"{10 ** generator.uniform(*powers):.3g}") for name, powers in ranges.items()}


def _selection() -> Iterator[Row]:
    share = {"samples": 50_000 // len(RATES)}
    budgets = {"quick": {"batch_size": 500}}  # many runs: a third of the usual batch each
    for method in _SWEPT:
        for i, drawn in enumerate(_draws(method)):
            yield Row(label(method), method, {"flip_rates": RATES, **share, **drawn}, f"setting {i}", budgets)
            for rate in RATES:
                rest = tuple(other for other in RATES if other != rate)
                changes = {"flip_rates": rest, **share, **drawn}
                yield Row(label(method), method, changes, f"setting {i} without {rate:g}", budgets)


def _ablations() -> tuple[Row, ...]:
    variants: dict[str, dict[str, Any]] = {
        "full": {},
        "no deviation": {"penalty_weight": 0.0},
        "first order": {"first_order": True},
        "same environment": {"same_environment": True},
    }
    return tuple(Row(label, "meta_irm", changes) for label, changes in variants.items())


_THREE = ("erm", "irmv1", "vrex", "meta_irm")
TABLES: Mapping[str, Table] = {
    "colored_mnist": Table(
        "Colored MNIST",
        ("train", *_TEST, "gray"),
        _rows(ALGORITHMS),
        {"smoke": 2, "quick": 10, "paper": 10},
    ),
    "insufficient": Table(
        "Insufficient data",
        _TEST,
        (
            *_rows(_THREE, "25,000 per environment"),
            *_rows(_THREE, "12,500 per environment", samples=12_500),
            *_rows(_THREE, "6,250 per environment", samples=6_250),
        ),
    ),
    "two_spurious": Table("Two spurious features", _TEST, _rows(_THREE, patch=True)),
    "multi_class": Table("Several classes", ("train", "test p=0.9"), (*_multi_class(5), *_multi_class(10))),
    "ablations": Table("meta-IRM's ablations", ("test p=0.1", "test p=0.9"), _ablations()),
    "selection": Table("Model selection", ("test p=0.9",), tuple(_selection()), {"smoke": 1, "quick": 5, "paper": 3}),
}


def plan(
    profile: str, tables: Sequence[str] = (), seeds: int | None = None, *, source: str = "mnist", device: str = "cpu"
) -> dict[Recipe, str]:
    """The recipes that fill the tables, each once, with what to call it while it runs.

    Seed by seed, so that a sweep that is stopped early has every row with fewer seeds. seeds: for every table; None is
    each table's own number. Raises ValueError for a profile or a table that there is not.
    """
    one_of("profile", PROFILES, profile)
    for name in tables:
        one_of("tables", TABLES, name)
    if seeds is not None:
        require("seeds", type(seeds) is int and 1 <= seeds <= 1000, "a whole number in [1, 1,000]", seeds)
    planned: dict[str, tuple[Recipe, str]] = {}
    for name in tables or TABLES:
        table = TABLES[name]
        for seed in range(seeds or table.seeds[profile]):
            for row in table.rows:
                recipe = row.recipe(profile, seed=seed, source=source, device=device)
                planned.setdefault(recipe.to_json(), (recipe, f"{name}: {row.name}, seed {seed}"))
    return dict(planned.values())


# ------------------------------------------------------------------------------------------------- results


@dataclass(frozen=True, eq=False)
class Result:
    """One run as it is kept.

    metrics: of the last step (`history.GLOSSARY`). corners: test accuracies with the color agreeing and flipped (with
    patches, one row per color). validation: `selection.validation_corners`. cpu: processor seconds of the run, on all
    threads. made: device, digits, versions, date, profile.
    """

    recipe: Recipe
    metrics: Mapping[str, float]
    corners: list[Any]
    validation: list[float]
    cpu: float
    made: Mapping[str, str]

    def curve(self, flip_rates: Sequence[float]) -> list[float]:
        """Expected test accuracy at each flip rate (`risks.accuracy_curve`)."""
        return accuracy_curve(torch.tensor(self.corners, dtype=torch.float64), flip_rates)

    def value(self, column: str) -> float:
        """A metric, or `train`, the mean accuracy over the training environments."""
        if column == "train":
            return fmean(value for name, value in self.metrics.items() if name.startswith("train p="))
        return self.metrics[column]

    def to_json(self) -> str:
        """One line; metrics to five digits."""
        values = {
            "recipe": json.loads(self.recipe.to_json()),
            "metrics": {name: float(f"{value:.5g}") for name, value in self.metrics.items()},
            "corners": self.corners,
            "validation": self.validation,
            "cpu": round(self.cpu, 2),
            "made": dict(self.made),
        }
        return json.dumps(finite(values), ensure_ascii=False, allow_nan=False)

    START = '{"recipe": {'  # how each line begins

    @classmethod
    def from_json(cls, line: str) -> "Result":
        """Read what `to_json` wrote. Raises ValueError, KeyError, TypeError or RecursionError for anything else."""
        values = json.loads(line)
        result = cls(recipe=Recipe.from_json(json.dumps(values.pop("recipe"))), **values)
        needed = {f"test p={rate:g}" for rate in TEST_RATES} | {"gray"}
        require("metrics", needed <= result.metrics.keys(), f"numbers for {', '.join(sorted(needed))}", result.metrics)
        require("metrics", any(name.startswith("train p=") for name in result.metrics), "numbers for training", "none")
        corners = torch.tensor(result.corners, dtype=torch.float64)
        numbers = [*result.metrics.values(), *corners.flatten().tolist(), *result.validation, result.cpu]
        finite = all(type(number) in (int, float) and math.isfinite(number) for number in numbers)
        require("metrics", finite, "finite numbers", numbers)
        require("corners", corners.shape in ((2,), (2, 2)), "two accuracies, or two times two", result.corners)
        several = isinstance(result.validation, list) and len(result.validation) in (0, 2)
        require("validation", several, "two accuracies, or none", result.validation)
        require("made", all(isinstance(word, str) for word in result.made.values()), "texts", result.made)
        return result


class Results:
    """A file of results, JSON lines, one per run, that grows by whole lines: whatever kills a program, the file holds
    every run that had ended. Programs may share one; where several ran the same recipe, the last line counts.

    Raises ValueError, naming file and line, for a file that holds something else.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self._read, self._count = 0, 0
        self._by_recipe: dict[str, Result] = {}
        self.refresh()

    def refresh(self) -> None:
        """Read what this program, or another, has added meanwhile."""
        try:
            if self.path.exists() and not (self.path.is_file() or self.path.is_dir()):
                raise OSError(0, "it is no file")
            content = self.path.read_bytes() if self.path.exists() else b""
            text = whole_lines(content[self._read :], Result.START).decode()
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(f"Cannot read results from {self.path}: {_reason(error)}.") from None
        for line in io.StringIO(text, newline="\n"):
            self._read += len(line.encode())
            self._count += 1
            if not line.strip():
                continue
            try:
                result = Result.from_json(line)
            except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
                wish = "a result of `invtutor reproduce`; mend or remove the line, or choose another file"
                raise ValueError(f"{self.path}, line {self._count} is not {wish}.") from None
            self._by_recipe[result.recipe.to_json()] = result

    def __len__(self) -> int:
        return len(self._by_recipe)

    def __iter__(self) -> Iterator[Result]:
        return iter(self._by_recipe.values())

    def __contains__(self, recipe: Recipe) -> bool:
        return recipe.to_json() in self._by_recipe

    def __getitem__(self, recipe: Recipe) -> Result:
        """The result of exactly this recipe, its seed and its device included."""
        return self._by_recipe[recipe.to_json()]

    def add(self, *results: Result) -> None:
        """Keep results in the file, which is made, with its folder, if need be. Raises ValueError where it cannot be
        written."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            append(self.path, [result.to_json() for result in results], Result.START)
        except OSError as error:
            raise ValueError(f"Cannot write results into {self.path}: {_reason(error)}.") from None
        self.refresh()


def _reason(error: OSError | UnicodeDecodeError) -> str:
    return getattr(error, "strerror", None) or "it is no text"


def reproduce(
    out: str | Path,
    profile: str = "quick",
    tables: Sequence[str] = (),
    seeds: int | None = None,
    *,
    source: str = "auto",
    device: str = "auto",
    quiet: bool = False,
) -> list[Result]:
    """Run what the tables still lack, keep each run in `out` as it ends, and return the results of all that was asked
    for. Shows a bar, which names the present run.

    Raises ValueError as `plan`, `Results`, `load_digits` and `find_device` do, and FloatingPointError, naming the run,
    for one that diverges; what had ended is then in the file, and the next call goes on from there.
    """
    plan(profile, tables, seeds, source=source)  # refuses what it does before digits are loaded
    place = str(find_device(device))
    results = Results(out)
    announce(source)
    digits = load_digits(source, quiet=True)
    planned = plan(profile, tables, seeds, source=digits.source, device=place)
    missing = {recipe: name for recipe, name in planned.items() if recipe not in results}
    if missing:
        results.add()  # tells now, and not after the first run, if it cannot
    with tqdm(total=len(planned), initial=len(planned) - len(missing), unit="run", disable=quiet, leave=False) as bar:
        for recipe, name in missing.items():
            bar.set_description(name)
            results.refresh()
            if recipe not in results:  # else another program has run it meanwhile
                try:
                    results.add(_result(recipe, profile, digits))
                except FloatingPointError as error:
                    raise FloatingPointError(f"{name}: {error}") from None
            bar.update()
    return [results[recipe] for recipe in planned]


def _result(recipe: Recipe, profile: str, digits: Digits) -> Result:
    world = build_world(recipe, digits)[0]
    start = time.process_time()
    done = run(recipe, data=digits, progress=False)
    cpu = time.process_time() - start
    on_gpu = torch.device(recipe.device).type == "cuda"
    made = {
        "profile": profile,
        "digits": digits.source,
        "device": torch.cuda.get_device_name(recipe.device) if on_gpu else f"cpu, {torch.get_num_threads()} threads",
        "date": datetime.now(timezone.utc).date().isoformat(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "invtutor": version("invtutor"),
    }
    assert isinstance(world, ColoredWorld)
    corners = validation_corners(done.algorithm.predict, world)
    return Result(recipe, done.metrics, done.corners.tolist(), corners, cpu, made)  # type: ignore[union-attr]


# ------------------------------------------------------------------------------------------------- reading


def collect(results: Iterable[Result], table: str, profile: str = "quick") -> dict[Row, list[Result]]:
    """For each row of a table its results in order of their seeds, on whatever device and digits; empty where none was
    run."""
    by_setting: dict[str, list[Result]] = {}
    for result in results:
        by_setting.setdefault(result.recipe.but(seed=0, device="auto", source="auto").to_json(), []).append(result)
    rows = {row: by_setting.get(row.recipe(profile).to_json(), []) for row in TABLES[table].rows}
    return {row: sorted(found, key=lambda result: result.recipe.seed) for row, found in rows.items()}


def values(found: Sequence[Result], column: str) -> dict[int, float]:
    """A column's value by seed."""
    return {result.recipe.seed: result.value(column) for result in found}


def beside(
    results: Iterable[Result], table: str, column: str, profile: str = "quick", *, group: str = ""
) -> tuple[dict[str, list[float]], dict[str, tuple[float, float | None]]]:
    """What `figures.beside` draws of a column: by row, the value of every seed, and the published mean and deviation
    where there is one."""
    rows = {row.label: found for row, found in collect(results, table, profile).items() if row.group == group}
    measured = {label: list(values(found, column).values()) for label, found in rows.items()}
    return measured, theirs(table, rows, column, group=group)


def theirs(table: str, labels: Iterable[str], column: str, *, group: str = "") -> dict[str, tuple[float, float | None]]:
    """The published mean and deviation of rows, from the first source; rows without a number are left out."""
    found = {label: published(table, label, column, group=group)[:1] for label in labels}
    return {label: (p.mean, p.std) for label, some in found.items() for p in some if p.mean is not None}


def color_balanced(results: Iterable[Result], profile: str = "quick") -> float | None:
    """The height of the color-balanced ceiling on Colored MNIST: accuracy at p = 0.5, halfway along its line, of a
    network that is told the colors (`upweighting`), mean over the seeds; None where it was not run."""
    rows = collect(results, "colored_mnist", profile)
    found = [values(some, "test p=0.5") for row, some in rows.items() if row.method == "upweighting" and some]
    return fmean(found[0].values()) if found else None


def candidates(results: Iterable[Result], profile: str = "quick") -> list[list[Candidate]]:
    """The selection lab's candidates, one list per seed for which every run is there."""
    rows = collect(results, "selection", profile)
    by_name = {row.name: {result.recipe.seed: result for result in found} for row, found in rows.items()}
    complete = set.intersection(*(set(found) for found in by_name.values()))
    trials = []
    for seed in sorted(complete):
        trial = []
        for row in rows:
            if "without" in row.group:
                continue
            whole = by_name[row.name][seed]
            rest = {rate: by_name[f"{row.name} without {rate:g}"][seed] for rate in RATES}
            left_out = tuple(accuracy_curve(torch.tensor(r.validation), [rate])[0] for rate, r in rest.items())
            validation = tuple(v for name, v in whole.metrics.items() if name.startswith("validation p="))
            low, high = whole.validation
            trial.append(Candidate(row.label, row.group, validation, left_out, (low, high), whole.value("test p=0.9")))
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
            measured = spread(list(values(found, column).values())).percent() if found else "not run"
            cells.append(f"{measured} ({_first(published(table, row.label, column, group=row.group))})")
        seconds = f"{median(result.cpu for result in found):.1f}" if found else "–"
        rows.append([("  " if group else "") + row.label, *cells, str(len(found)), seconds])
    return Sheet([TABLES[table].title, *columns, "seeds", "s a run"], rows)


def _selection_layout(results: Sequence[Result], profile: str) -> Sheet:
    trials = candidates(results, profile)
    rows = []
    for method in dict.fromkeys(row.label for row in TABLES["selection"].rows):
        cells = []
        for name, criterion in CRITERIA.items():
            tests = [chosen(trial, criterion)[method].test for trial in trials]
            cells.append(
                f"{spread(tests).percent() if tests else 'not run'} "
                f"({_first(published('selection', method, 'test p=0.9', group=name))})"
            )
        rows.append([method, *cells, str(len(trials))])
    return Sheet(["Model selection, test p=0.9", *CRITERIA, "seeds"], rows)


def _first(found: Sequence[Published]) -> str:
    return str(found[0]) if found else "–"
