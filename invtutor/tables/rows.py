"""The papers' tables as plain data: rows, each a recipe."""

import random
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from invtutor.algorithms import ALGORITHMS
from invtutor.runs.recipe import Recipe, label
from invtutor.tables.draws import CELLS, GOES_ON, METHODS, drawn

__all__ = ["DRAWS", "END", "RATES", "TABLES", "Row", "Table", "usual"]


@dataclass(frozen=True, eq=False)
class Row:
    """A line of a table: a method (a name of `ALGORITHMS`) and what its recipe changes.

    label: as in `published.json`. group: the world or variant, where a table has several. budgets: further changes by
    profile. repeats: the table and the group whose published numbers it is to be compared with; None for its own.
    """

    label: str
    method: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    group: str = ""
    budgets: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    repeats: tuple[str, str] | None = None

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
    """Rows × columns. columns: as for `Result.value`: metrics (`history.GLOSSARY`), `train` for the mean over training
    environments, and what is watched on the way.

    chosen: its rows; empty for every method as it is. seeds: how many each profile takes unless told otherwise. All
    rows share them, so that methods compare in pairs. asked: it is run only where it is asked for by name, since it
    takes long, or since its data are not everybody's.
    """

    title: str
    columns: tuple[str, ...]
    chosen: tuple[Row, ...] = ()
    seeds: Mapping[str, int] = field(default_factory=lambda: {"smoke": 2, "quick": 5, "paper": 10})
    asked: bool = False

    @property
    def rows(self) -> tuple[Row, ...]:
        """Also of methods that were added since."""
        return self.chosen or _rows(ALGORITHMS)


_TEST = ("test p=0.1", "test p=0.2", "test p=0.9")
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
        for i, given in enumerate(_draws(method)):
            yield Row(label(method), method, {"flip_rates": RATES, **share, **given}, f"setting {i}", budgets)
            for rate in RATES:
                rest = tuple(other for other in RATES if other != rate)
                changes = {"flip_rates": rest, **share, **given}
                yield Row(label(method), method, changes, f"setting {i} without {rate:g}", budgets)


# Drawn pictures. The methods' values were set by hand, IRMv1's of three by its training accuracy. Where a method pools
# the environments, a batch is of twice as many samples, and of half as many where it has four groups, so that all see
# as many.
_POOLED = {"batch_size": 48}
_BY_GROUP = {"batch_size": 12, "over": "groups", "step_size": 0.1}
_PENALIZED = {"penalty_weight": 100.0, "anneal": 40}
_META = {"penalty_weight": 2.0, "inner_rate": 0.1, "anneal": 40, "ramp": 300}
_JTT = {"first_steps": 40, "first_batch": 48, "first_rate": 5e-3, **_POOLED}
_SEARCHED = {"over": "groups", "batch_size": None, "learning_rate": 1.5, "steps": 6}
_SEARCHED |= {"inner_steps": 120, "inner_batch": 48, "inner_rate": 0.1}
_BRIEFLY = {"smoke": {"steps": 2, "inner_steps": 5}}


def _of_world(world: str, *rows: tuple[Any, ...]) -> tuple[Row, ...]:
    """Of rows, each a method, what it changes and, where it has any, its budgets."""
    return tuple(Row(label(name), name, {"world": world, **changes}, "", *more) for name, changes, *more in rows)


_MIXTURES = {"environments": "mixtures"}
_WORST_GROUP = _of_world(
    "animals",
    ("erm", {}),
    ("upweighting", _POOLED),
    ("jtt", {"factor": 20.0, **_JTT}),
    ("group_dro", _BY_GROUP),
    ("cvar", {}),
    ("lff", {}),
    ("maple", {"budget": 0.1, **_SEARCHED}, _BRIEFLY),
    # At a λ of 100 it does not fit even the training samples, with annealing over 40 steps or over 100.
    ("irmv1", {"penalty_weight": 10.0, "anneal": 80, **_MIXTURES}),
    ("vrex", _PENALIZED | _MIXTURES),
)
# Selection among a few settings of a method, the first its own: what to go by where groups may be known or not.
_TUNED: Mapping[str, tuple[str, tuple[float, ...]]] = {
    "lff": ("exponent", (0.2, 0.5)),
    "jtt": ("factor", (5.0, 80.0)),
    "group_dro": ("step_size", (0.01, 1.0)),
}


def _tuned() -> Iterator[Row]:
    for row in _WORST_GROUP:
        if row.method in _TUNED:
            name, values = _TUNED[row.method]
            for i, changes in enumerate([{}, *({name: value} for value in values)]):
                yield Row(row.label, row.method, {**row.changes, **changes}, f"setting {i}")


_SHAPES = _of_world(
    "shapes_mnist",
    ("erm", {}),
    ("oracle", {}),
    ("irmv1", _PENALIZED),
    ("vrex", _PENALIZED),
    ("meta_irm", _META),
    ("and_mask", {}),
    # A longer first step leaves hardly any but conflicting samples.
    ("maple", {**_SEARCHED, "learning_rate": 0.1, "steps": 4}, _BRIEFLY),
    ("sparse_irm", _PENALIZED),
    ("birm", _PENALIZED | {"deviation": 0.15}),
    ("upweighting", _POOLED),
    ("jtt", _JTT),
    ("group_dro", _BY_GROUP),
)


# The other methods on drawn pictures, for the map of lesson 09, with the values of their kin.
_KIN = dict.fromkeys(("mmrex", "sparse_irm", "birm", "fishr", "ib_irm"), _PENALIZED) | {"meta_irm": _META}
_RULES = ("and_mask", "sand_mask", "dann", "cvar", "lff", "temporal_mask")
_OTHERS = (*_KIN, *_RULES)


def _others(world: str, told: Iterable[Row], **changes: Any) -> Iterator[Row]:
    for name in [name for name in _OTHERS if name not in {row.method for row in told}]:
        yield Row(label(name), name, {"world": world, **_KIN.get(name, {}), **changes}, world)


# What `search` chose for the papers' worlds: of each of `METHODS` the place of a setting among those drawn. Ten classes
# were not searched, and take what was chosen for five.
_CHOSEN: Mapping[str, tuple[int, ...]] = {
    "25,000 per environment": (0, 0, 0),
    "12,500 per environment": (0, 0, 38),
    "6,250 per environment": (0, 19, 25),
    "two spurious features": (16, 0, 27),
    "5 classes": (13, 11, 29),
}
_REPEATED = {"two spurious features": ("two_spurious", "")}
_REPEATED |= {name: ("multi_class", name) for name in ("5 classes", "10 classes")}


def _searched() -> Iterator[Row]:
    for cell, places in {**_CHOSEN, "10 classes": _CHOSEN["5 classes"]}.items():
        world, where = CELLS.get(cell, {"classes": 10}), _REPEATED.get(cell, ("insufficient", cell))
        for method, place in zip(METHODS, places, strict=True):
            yield Row(label(method), method, {**world, **drawn(method)[place]}, cell, repeats=where)


# Every example an environment: in the paper profile on the paper's network, in the quick one on a perceptron, its size
# and learning rate set by hand on another seed, test digits in view. A run of a small residual network, with the values
# that the world has for one, takes twenty times as long: it has fewer rows.
_THRESHOLDS = (0.0, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8)
_LABELS = {"true labels": 0.0, "random labels": 1.0, "25 % noisy labels": 0.25}
_WATCHED = {"smoke": {"every": 1}, "quick": {"every": 60}, "paper": {"every": 12_500}}
_MISLABELLED = "mislabelled recalled", "mislabelled seen through"
_LEARNED = ("train at 25%", "train at 50%", "train", "test at 50%", "test", *_MISLABELLED)
_SMALL_RESIDUAL = {"network": "residual", "width": 4, "samples": 2000, "steps": 1500, "every": 375}


def _by_heart(thresholds: Iterable[float], **quick: Any) -> Iterator[Row]:
    budgets = {**_WATCHED, "quick": {**_WATCHED["quick"], **quick}}
    for group, share in _LABELS.items():
        for tau in thresholds:
            changes = {"world": "random_labels", "relabeled": share, "threshold": tau}
            yield Row(f"τ = {tau:g}", "and_mask", changes, group, budgets)


# τ, β₃ and the decay of the temporal mask are the paper's; the τ of 64 levels' gradients and all rates were set by
# hand on another seed, test levels in view.
_CLONES = _of_world(
    "coinrun",
    ("erm", {}),
    ("temporal_mask", {"weight_decay": 0.057, "learning_rate": 1e-3}),
    ("and_mask", {"threshold": 0.2, "learning_rate": 1e-3}),
)
# A residual network, for half as many steps, of which each takes ten times as long. All have the first rate that was
# tried, with Adam on another seed.
_CLONES_RESIDUAL = tuple(
    replace(row, budgets={"quick": {"network": "residual", "width": 4, "steps": 100, "learning_rate": 5e-3}})
    for row in _CLONES
)
_CLONED = ("train", "test", "test excess risk", "blind excess risk")

# A short inner step and a large λ, of which only a full batch makes use: no published row. Lesson 05 tells why.
_EXACT = {"quick": {**GOES_ON, "batch_size": None, "steps": 350, "anneal": 120, "ramp": 100, "l2": 1e-3}}
_THREE = ("erm", "irmv1", "vrex", "meta_irm")
_TOLD = ("oracle", "upweighting", "jtt", "group_dro", "maple")
_REST = (*_TOLD, "mmrex", "sparse_irm", "birm", "fishr", "ib_irm", *_RULES)
TABLES: Mapping[str, Table] = {
    "colored_mnist": Table("Colored MNIST", ("train", *_TEST, "gray"), seeds={"smoke": 2, "quick": 10, "paper": 10}),
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
    "two_clues": Table(
        "Two spurious features, other methods",
        _TEST,
        _rows(_REST, patch=True),
        {"smoke": 1, "quick": 3, "paper": 3},
    ),
    "multi_class": Table("Several classes", ("train", "test p=0.9"), (*_multi_class(5), *_multi_class(10))),
    "searched": Table(
        "After a search",
        ("train", *_TEST),
        tuple(_searched()),
        asked=True,
    ),
    "restart": Table(
        "Adam after annealing, V-REx",
        ("test p=0.1", "test p=0.9"),
        (
            Row("starts anew, shorter steps", "vrex", {"restart": True, "late_rate": 0.15}),
            Row("starts anew", "vrex", {"restart": True, "late_rate": 1.0}),
            Row("goes on, shorter steps", "vrex", {"restart": False, "late_rate": 0.15}),
            Row("goes on", "vrex", GOES_ON),
        ),
        {"smoke": 2, "quick": 10, "paper": 10},
    ),
    "ablations": Table(
        "meta-IRM's ablations",
        ("test p=0.1", "test p=0.9"),
        (
            Row("full", "meta_irm"),
            Row("no deviation", "meta_irm", {"penalty_weight": 0.0}),
            Row("first order", "meta_irm", {"first_order": True}),
            Row("same environment", "meta_irm", {"same_environment": True}),
            Row("exact σ", "meta_irm", {"inner_rate": 0.05, "penalty_weight": 300.0}, budgets=_EXACT),
        ),
    ),
    "worst_group": Table(
        "Worst group, animals",
        ("train", "test average", "test", "test worst group"),
        _WORST_GROUP,
        {"smoke": 1, "quick": 3, "paper": 5},
    ),
    "shapes_mnist": Table(
        "Shapes under MNIST", ("train", "test p=0.9", "gray"), _SHAPES, {"smoke": 1, "quick": 3, "paper": 5}
    ),
    "elsewhere": Table(
        "Other methods on drawn pictures",
        ("train", "test worst group", "test p=0.9"),
        (*_others("animals", _WORST_GROUP, **_MIXTURES), *_others("shapes_mnist", _SHAPES)),
        {"smoke": 1, "quick": 3, "paper": 5},
    ),
    "random_labels": Table(
        "Random labels on MNIST, quick: a perceptron",
        _LEARNED,
        tuple(_by_heart(_THRESHOLDS)),
        {"smoke": 1, "quick": 3, "paper": 2},
    ),
    "random_labels_residual": Table(
        "Random labels on MNIST, quick: a small residual network",
        _LEARNED,
        tuple(_by_heart((0.0, 0.2), **_SMALL_RESIDUAL)),
        {"smoke": 1, "quick": 3, "paper": 2},
    ),
    "group_selection": Table(
        "Selection by groups, animals",
        ("test worst group",),
        tuple(_tuned()),
        {"smoke": 1, "quick": 3, "paper": 3},
    ),
    "coinrun": Table(
        "CoinRun, quick: a perceptron",
        _CLONED,
        _CLONES,
        {"smoke": 1, "quick": 5, "paper": 5},
        asked=True,
    ),
    "coinrun_residual": Table(
        "CoinRun, quick: a small residual network",
        _CLONED,
        _CLONES_RESIDUAL,
        {"smoke": 1, "quick": 5, "paper": 5},
        asked=True,
    ),
    "selection": Table("Model selection", ("test p=0.9",), tuple(_selection()), {"smoke": 1, "quick": 5, "paper": 3}),
}


def usual() -> list[str]:
    """The tables that are run where none is named."""
    return [name for name, table in TABLES.items() if not table.asked]
