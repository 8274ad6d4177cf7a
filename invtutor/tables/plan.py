"""What is to be run: the rows of tables for every seed, or a grid of settings, each recipe once."""

import re
from collections.abc import Mapping, Sequence
from itertools import product
from math import prod
from typing import Any, get_origin

from invtutor.fields import from_text, hints, members, one_of, require
from invtutor.runs.budgets import PROFILES
from invtutor.runs.commands import settable, text_of
from invtutor.runs.recipe import Recipe, label, owner
from invtutor.tables.rows import END, TABLES, usual
from invtutor.words import unknown

__all__ = ["PLACES", "grid", "placed", "plan", "series"]

MOST = 1_000_000  # runs of a grid
PLACES = ("seed", "device", "source")  # what the runs of one setting may differ in


def plan(
    profile: str,
    tables: Sequence[str] = (),
    seeds: int | None = None,
    *,
    source: str = "mnist",
    device: str = "cpu",
    precision: str = Recipe.precision,
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
    for name in tables or usual():
        table = TABLES[name]
        for seed in range(seeds or table.seeds[profile]):
            for row in table.rows:
                recipe = placed(row.recipe(profile, precision=precision), seed, source, device)
                planned.setdefault(recipe.digest, (recipe, f"{name}: {row.name}, seed {seed}"))
    return dict(planned.values())


def grid(method: str, given: Mapping[str, Any]) -> dict[Recipe, str]:
    """A recipe for every combination of what is given, each once, with what to call it while it runs; seed by seed.

    given: by name, for the profile (one alone) and for all that `-p` can set, the alternatives: a list of them, a
    single one, or their text as on a command line, such as `1e2,1e3`; `0:10` for the whole numbers from 0 to 9; and,
    where each is itself a list, `0.1,0.2;0.1,0.3`. Raises ValueError, naming the parameter, for what no recipe can be,
    and for a grid that is empty or too large.
    """
    profile, worlds = given.get("profile", "quick"), _alternatives("world", str, given.get("world", Recipe.world))
    bases = [Recipe.profile(profile, method, world=world, every=END) for world in worlds]
    axes: dict[str, Sequence[Any]] = {}
    for name in sorted(given, key=lambda name: name != "seed"):
        if name not in (known := settable(bases[0])):
            raise ValueError(unknown(name, known, method))
        if name not in ("profile", "world"):
            kind = owner(name, bases[0])
            assert kind is not None  # since it can be set
            axes[name] = _alternatives(name, hints(kind)[name], given[name])
    count = prod(map(len, axes.values())) * len(worlds)
    require("given", count <= MOST, f"at most {MOST:,} runs", f"{count:,} runs")
    for name, some in axes.items():
        for value in some:
            bases[0].but(**{name: value})  # refused by itself, before thousands are made
    told = [name for name, some in axes.items() if len(some) > 1]
    planned: dict[Recipe, str] = {}
    for values in product(*axes.values()):
        changes = dict(zip(axes, values, strict=True))
        words = [f"{name}={text_of(changes[name])}" for name in told]
        for base in bases:
            world = [base.world] * (len(bases) > 1)
            planned.setdefault(base.but(**changes), ", ".join([label(method), *world, *words]))
    return planned


def _alternatives(name: str, hint: Any, given: Any) -> Sequence[Any]:
    """What `grid` is given for a parameter, one by one."""
    listed = any(get_origin(part) is tuple for part in members(hint))
    if not isinstance(given, str):
        some = given if isinstance(given, Sequence) else [given]
    elif int in members(hint) and (ends := re.fullmatch(r"(\d{1,10}):(\d{1,10})", given)):
        some = range(int(ends[1]), int(ends[2]))
    else:
        some = [from_text(hint, text) for text in given.split(";" if listed else ",")]
    require(name, len(some) > 0, "one value or more, such as 1,2 or 0:10", given)
    return some


def placed(recipe: Recipe, seed: int, source: str, device: str) -> Recipe:
    """The recipe for a seed and a device and, where its world is made of digits, with those of a source."""
    wanted = {"seed": seed, "device": device, **({"source": source} if "source" in recipe.world_options else {})}
    return recipe.but(**wanted) if any(getattr(recipe, name) != value for name, value in wanted.items()) else recipe


def series(recipe: Recipe) -> tuple[Any, ...]:
    """What the seeds of a setting share, on whatever device and digits."""
    values = [(name, value) for name, value in recipe.values.items() if name not in PLACES]
    return (recipe.algorithm, recipe.world, recipe.network, *values)
