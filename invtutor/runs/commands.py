"""Recipes as words of a command, and back."""

import re
from collections.abc import Mapping
from typing import Any

from invtutor.fields import fit, from_text, hints, valid
from invtutor.runs.budgets import PROFILES
from invtutor.runs.knobs import KNOBS, Change
from invtutor.runs.recipe import Recipe, owner
from invtutor.words import meant, shown, unknown

__all__ = ["options", "parse_change", "read_recipe", "settable", "text_of"]


def _given(recipe: Recipe) -> dict[str, Any]:
    """What a command says of a recipe; how often it is watched is left out, since it changes no step."""
    named = {name: getattr(recipe, name) for name in ("world", "network")}
    return named | {name: value for name, value in recipe.values.items() if name != "every"}


def settable(recipe: Recipe) -> list[str]:
    """What `-p` can set of a recipe of this method and world."""
    return ["profile", *_given(recipe), "every"]


def options(recipe: Recipe) -> list[str]:
    """The words `-p NAME=VALUE …` from which `read_recipe` makes the recipe's method the recipe again, apart from
    `every`; those of the profile that comes nearest are left out."""

    usual = {"profile": "quick", "world": Recipe.world}

    def differing(profile: str) -> dict[str, Any]:
        base = _given(Recipe.profile(profile, recipe.algorithm, world=recipe.world))
        return {name: value for name, value in _given(recipe).items() if value != base[name]}

    profile = min(("quick", *PROFILES), key=lambda profile: len(differing(profile)))
    given = {"profile": profile, "world": recipe.world}
    given = {name: value for name, value in given.items() if value != usual[name]} | differing(profile)
    return [word for name, value in given.items() for word in ("-p", f"{name}={text_of(value)}")]


def text_of(value: Any) -> str:
    """A value as `-p` takes it."""
    if isinstance(value, tuple | list):
        return ",".join(map(text_of, value)) + "," * (len(value) == 1)
    short = f"{value:g}" if isinstance(value, float) else str(value)
    return short if not isinstance(value, float) or float(short) == value else repr(value)


def read_recipe(method: str, given: Mapping[str, str]) -> Recipe:
    """A method's recipe from the texts of a command line: `profile` (else quick), and fields of the recipe or
    hyper-parameters by name. Raises ValueError, one line, for whatever they should not be."""
    texts = dict(given)
    world = {"world": texts["world"]} if "world" in texts else {}
    base = Recipe.profile(texts.pop("profile", "quick"), method, **world)
    for name in texts:
        if name not in settable(base):
            raise ValueError(unknown(name, settable(base), method))
    values = {}
    for name, text in texts.items():
        kind = owner(name, base)
        assert kind is not None  # since it is known
        values[name] = valid(kind, name, from_text(hints(kind)[name], text))
    return base.but(**values)


def parse_change(text: str) -> Change:
    """`STEP:NAME=VALUE` as a change. Raises ValueError for anything else."""
    step, _, rest = text.partition(":")
    name, equals, number = rest.partition("=")
    wish = f"STEP:NAME=VALUE, NAME one of {', '.join(KNOBS)}"
    if not (equals and re.fullmatch("[0-9]{1,9}", step) and name in KNOBS):
        raise ValueError(f"Option --steer should be {wish}. Found {shown(text)}.{meant(name, KNOBS) if name else ''}")
    return Change(int(step), name, fit(name, int | float, from_text(int | float, number)))
